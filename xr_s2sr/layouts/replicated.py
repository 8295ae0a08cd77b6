"""Bands replicated by nearest neighbour on a finer grid, as one load at 10 m gives them: recognised, decimated exactly.

A 20 m band on 10 m pixels is 2 x 2 copies of each native pixel. The pixel that starts a cell, the phase, follows
from the edges between unequal neighbours: all of them are edges of cells. The pixels decide; the tiling grid of
Sentinel-2 stands in where they cannot tell, and for dask arrays, which are not computed for it.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from typing import Any, TypeAlias

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xr_s2sr.bands import BANDS
from xr_s2sr.errors import GridError, S2SRError
from xr_s2sr.scene.crs import read_crs, tile_origin
from xr_s2sr.scene.grid import TOLERANCE, Axis, Grid, degraded_by, loading, outer_edge, read_axis, spatial_dims
from xr_s2sr.scene.pixels import numba_ready
from xr_s2sr.scene.radiometry import validity_in_any_unit
from xr_s2sr.scene.result import GRID_ATTRS
from xr_s2sr.scene.validity import Validity

Dims: TypeAlias = tuple[Hashable, Hashable]
Corner: TypeAlias = tuple[int, int]
#: Row and column of the finer grid at which a cell starts; None where nothing tells.
Phase: TypeAlias = tuple[int | None, int | None]


@dataclass
class Group:
    """Bands of one GSD on one finer grid.

    Attributes
    ----------
    gsd, factor : int
        Of the bands; and over the finer grid's pixel size.
    grid : Grid
        The finer one.
    copies : dict of str to Validity
        Variables that are copies, with the bounds of their valid pixels; one whose pixels deny it is taken out.
    lazy : bool
        Whether pixels were left unread.
    phase : (int or None, int or None)
        That pixels show, by axis.
    """

    gsd: int
    factor: int
    grid: Grid
    copies: dict[str, Validity] = field(default_factory=dict)
    lazy: bool = False
    phase: Phase = (None, None)

    @property
    def dims(self) -> Dims:
        return self.grid.y.dim, self.grid.x.dim


@dataclass(frozen=True)
class NativeGrids:
    """A Dataset whose bands are on grids of their own.

    Attributes
    ----------
    ds : Dataset
    gaps : tuple of str
        Variables some of whose cells have valid and invalid pixels, or may have: masked after they had been copied.
    notes : tuple of str
    """

    ds: xr.Dataset
    gaps: tuple[str, ...]
    notes: tuple[str, ...]


def native_grids(ds: xr.Dataset, bands: Mapping[Hashable, str]) -> NativeGrids:
    """Put each replicated band onto its native grid; the others are left as they are. `bands` are ids by name.

    A band at a finer spacing that is not an exact copy is left alone: it is refused by read_scene.

    Raises
    ------
    GridError
        If a dask array's cells cannot be placed without its pixels.
    """
    groups = _groups(ds, bands)
    for group in groups:
        group.phase = _phase_of_pixels(ds, group)
    out = ds
    gaps: list[str] = []
    notes: list[str] = []
    for group in groups:
        if not group.copies:
            continue
        phase, assumed = _settled(ds, group, groups)
        out, masked, done = _on_native_grid(out, group, phase)
        gaps += masked
        if done:
            listed = ", ".join(repr(name) for name in done)
            notes.append(
                f"{listed}: copies of {group.gsd} m pixels on a finer grid, decimated; the first whole one starts at "
                f"row {phase[0]}, column {phase[1]}" + (f" (assumed: {assumed})" if assumed else "")
            )
    return NativeGrids(out, tuple(gaps), tuple(notes))


def _groups(ds: xr.Dataset, bands: Mapping[Hashable, str]) -> list[Group]:
    """Return the bands on a grid 2, 3 or 6 times finer than their own, coarsest bands first."""
    groups: dict[tuple[Dims, int], Group] = {}
    for name, band in bands.items():
        da = ds[name]
        if BANDS[band].gsd == 10 or da.dtype.kind not in "iuf" or "s2sr_model" in da.attrs:
            continue
        gsd = BANDS[band].gsd
        try:
            rows, cols = spatial_dims(da)
            known = groups.get(((rows, cols), gsd))
            grid = known.grid if known else Grid(read_axis(da, rows), read_axis(da, cols))
            pitch = gsd * degraded_by(da)
            validity = validity_in_any_unit(da)
        except S2SRError:
            continue  # read_scene says so
        factor = round(pitch / grid.gsd)
        square = abs(abs(grid.y.step) - grid.gsd) <= TOLERANCE * grid.gsd
        if factor not in (2, 3, 6) or not square or abs(grid.gsd * factor - pitch) > TOLERANCE * pitch:
            continue
        group = groups.setdefault(((rows, cols), gsd), Group(gsd, factor, grid))
        group.copies[str(name)] = validity
        group.lazy |= da.chunks is not None
    return sorted(groups.values(), key=lambda group: -group.gsd)


def _phase_of_pixels(ds: xr.Dataset, group: Group) -> Phase:
    """Return the phase by axis that the pixels show; bands that differ inside of a cell are taken out of the group."""
    from xr_s2sr.kernels import cell_edges  # brings numba

    seen: list[tuple[set[int], set[int]]] = []
    for name, validity in list(group.copies.items()):
        da = ds[name]
        if da.chunks is not None:
            continue
        marks = tuple(np.zeros(size, bool) for size in group.grid.shape)
        pixels = numba_ready(da.values)
        for index in np.ndindex(pixels.shape[:-2]):
            cell_edges(pixels[index], validity, *marks)
        rows, cols = ({int(at) % group.factor for at in np.flatnonzero(mark)} for mark in marks)
        if len(rows) > 1 or len(cols) > 1:
            del group.copies[name]
        else:
            seen.append((rows, cols))
    phase = []
    for axis in (0, 1):
        starts = {at for pair in seen for at in pair[axis]}
        if len(starts) > 1:  # each might be a copy, but not of one grid
            group.copies = {name: own for name, own in group.copies.items() if ds[name].chunks is not None}
        phase.append(starts.pop() if len(starts) == 1 else None)
    return phase[0], phase[1]


def _settled(ds: xr.Dataset, group: Group, groups: Sequence[Group]) -> tuple[Corner, str]:
    """Return the phase, and what was assumed for it where the pixels of this group do not tell."""
    settled: list[int] = []
    assumed: list[str] = []
    for axis, own in enumerate(group.phase):
        known = [(other.factor, other.phase[axis]) for other in groups if other.dims == group.dims]
        coarser = [at for factor, at in known if at is not None and factor > group.factor]
        finer = [(factor, at) for factor, at in known if at is not None and factor < group.factor]
        if own is None:
            if coarser:
                own, reason = coarser[0] % group.factor, "cells of a coarser band"
            else:
                own, reason = _on_tile(ds, group, axis)
            if any((own - at) % factor for factor, at in finer):
                own, reason = finer[0][1], "cells of a finer band"
            assumed.append(reason)
        settled.append(own)
    return (settled[0], settled[1]), ", ".join(dict.fromkeys(assumed))


def _on_tile(ds: xr.Dataset, group: Group, axis: int) -> tuple[int, str]:
    """Return the phase along one axis by the tiling grid of Sentinel-2."""
    first = next(iter(group.copies))
    crs = read_crs(ds[first]) or read_crs(ds)
    origin = tile_origin(crs)
    line = (group.grid.y, group.grid.x)[axis]
    if origin is not None:
        start = (origin[axis] - outer_edge(line, rows=axis == 0)) / line.step
        if abs(start - round(start)) <= TOLERANCE * group.factor:
            return round(start) % group.factor, "the tiling grid of Sentinel-2"
    if group.lazy:
        if crs is None:
            fix = 'Write its CRS, ds = ds.rio.write_crs("EPSG:326xx"), or let the pixels tell: ds = ds.load()'
        elif origin is None and "UTM" not in crs.to_wkt():  # a CRS written over it would be wrong
            fix = f"Load it there: {loading(10)}"
        else:
            fix = "Let the pixels tell: ds = ds.load()"
        raise GridError(
            f"{first!r} is a {group.gsd} m band on {group.grid.gsd:g} m pixels, in a dask array, and nothing "
            f"tells where its native pixels start (CRS: {crs or 'none found'}); expected the tile's own grid, in its "
            f"UTM zone. {fix}"
        )
    return 0, "cells start with the first pixel"


def _on_native_grid(ds: xr.Dataset, group: Group, phase: Corner) -> tuple[xr.Dataset, list[str], list[str]]:
    """Put the group's bands on their native grid; also return those with gaps, and those that really were copies."""
    row, col = (at - group.factor if at else 0 for at in phase)
    y, x = (_coarser(axis, group.factor, at) for axis, at in zip((group.grid.y, group.grid.x), (row, col), strict=True))
    coords = {
        dim: (dim, centres, ds[axis.dim].attrs)
        for dim, centres, axis in zip(_free(ds, group, (y, x)), (y, x), (group.grid.y, group.grid.x), strict=True)
    }
    out, gaps, done = {}, [], []
    for name, validity in group.copies.items():
        da = ds[name]
        if da.chunks is None:
            data, differing, masked = _native_pixels(da.values, group.factor, (row, col), (len(y), len(x)), validity)
            if differing:
                continue
            gaps += [name] if masked else []
        else:
            data = decimated(da, group, (row, col), validity)
            gaps.append(name)  # nobody knows before they are computed
        own = {key: coord for key, coord in da.coords.items() if not {*group.dims} & {*coord.dims}}
        attrs = {key: value for key, value in da.attrs.items() if key not in GRID_ATTRS}
        out[name] = xr.DataArray(data, {**own, **coords}, (*da.dims[:-2], *coords), name, attrs)
        out[name].encoding = da.encoding
        done.append(name)
    return ds.assign(out), gaps, done


def _native_pixels(
    copies: NDArray[Any], factor: int, corner: Corner, shape: Sequence[int], validity: Validity
) -> tuple[NDArray[Any], bool, bool]:
    """Take the first valid pixel of each cell; tell whether others in a cell differ, and whether some are invalid."""
    from xr_s2sr.kernels import decimate  # brings numba

    pixels = numba_ready(copies)
    out = np.empty((*pixels.shape[:-2], *shape), pixels.dtype)
    counts = [decimate(pixels[index], factor, *corner, validity, out[index]) for index in np.ndindex(pixels.shape[:-2])]
    return out.astype(copies.dtype, copy=False), any(n for n, _ in counts), any(gaps for _, gaps in counts)


def _coarser(axis: Axis, factor: int, start: int) -> NDArray[np.float64]:
    """Return the centres of the cells that hold an axis' pixels, the first of which starts at `start`."""
    size = -((start - axis.size) // factor)
    return np.asarray(axis.edge + axis.step * (start + factor * (np.arange(size) + 0.5)), np.float64)


def _free(ds: xr.Dataset, group: Group, centres: tuple[NDArray[Any], NDArray[Any]]) -> list[str]:
    """Return names for the native dims that nothing else in the Dataset has, unless at the same places."""
    names = []
    for dim, values in zip(group.dims, centres, strict=True):
        name = f"{dim}_{group.gsd}m"
        while name in ds.variables and not np.array_equal(ds[name].values, values):
            name += "_"
        names.append(name)
    return names


def decimated(da: xr.DataArray, group: Group, corner: Corner, validity: Validity) -> Any:
    """Return the native pixels of a replicated band as a dask array; computing a block that is not replicated raises.

    `corner` is the row and column at which the first cell starts: 0 or less.
    """
    factor = group.factor
    edges = [_cell_edges(sizes, factor, start) for sizes, start in zip(da.data.chunks[-2:], corner, strict=True)]
    whole = da.data.rechunk({da.ndim - 2 + axis: _sizes(along) for axis, along in enumerate(edges)})
    cells = [
        _sizes([0, *(-((start - edge) // factor) for edge in along[1:])])
        for along, start in zip(edges, corner, strict=True)
    ]
    return whole.map_blocks(
        _decimated,
        band=str(da.name),
        gsd=group.gsd,
        factor=factor,
        corner=corner,
        validity=validity,
        chunks=(*whole.chunks[:-2], *cells),
        dtype=da.dtype,
        meta=np.empty((0,) * da.ndim, da.dtype),
    )


def _cell_edges(sizes: Sequence[int], factor: int, start: int) -> list[int]:
    """Return the edges of blocks along an axis, moved on to the next edge of a cell."""
    size = sum(sizes)
    moved = (min(size, start - (start - stop) // factor * factor) for stop in accumulate(sizes))
    return [0, *dict.fromkeys(moved)]


def _sizes(edges: Sequence[int]) -> tuple[int, ...]:
    """Return the lengths between edges."""
    return tuple(stop - begin for begin, stop in pairwise(edges))


def _decimated(
    block: NDArray[Any],
    band: str,
    gsd: int,
    factor: int,
    corner: tuple[int, int],
    validity: Validity,
    block_info: Any = None,
) -> NDArray[Any]:
    """Return the first valid pixel of each cell.

    Raises
    ------
    GridError
        If valid pixels differ inside of a cell.
    """
    begins = [begin for begin, _ in block_info[0]["array-location"][-2:]]
    row, col = (-((begin - start) % factor) for begin, start in zip(begins, corner, strict=True))
    data, differing, _ = _native_pixels(block, factor, (row, col), block_info[None]["chunk-shape"][-2:], validity)
    if differing:
        raise GridError(
            f"{band!r} was taken for copies of {gsd} m pixels on a finer grid, but pixels differ inside of a cell "
            "of Sentinel-2's grid: interpolated, or copied from elsewhere. If they are copies, let the pixels tell "
            f"where: ds = ds.load(). If not, load it at its native pixels: {loading(gsd, band)}"
        )
    return data
