"""Subset a scene on disk before its pixels are read: bands, bounding box, chunks."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

import xarray as xr

from xr_s2sr import arguments
from xr_s2sr.bands import BY_GSD, resolve_requested
from xr_s2sr.errors import ArgumentTypeError, BandError, DependencyError, InputError
from xr_s2sr.scene.crs import georeference
from xr_s2sr.scene.grid import read_axis
from xr_s2sr.scene.scene import NativeScene, read_scene
from xr_s2sr.spans import CELL, ceil_to_cell


def wanted_bands(present: Iterable[str], bands: Any, where: str) -> list[str]:
    """Return the ids of the bands to open: all that are there, or those asked for and the 10 m bands that guide them.

    Raises
    ------
    BandError
        If a band is unknown or absent.
    """
    present = list(present)
    if bands is None:
        return present
    asked = resolve_requested(arguments.names("bands", bands))
    absent = [band for band in asked if band not in present]
    if absent:
        raise BandError(f"asked for {', '.join(absent)}, but {where} holds {', '.join(present) or 'no band'}")
    return [band for band in present if band in asked or band in BY_GSD[10]]


def subset(ds: xr.Dataset, bands: Any, bbox: Any, chunks: Any, where: str) -> xr.Dataset:
    """Return the part of a scene that was asked for; other variables than bands stay, on the same area.

    Parameters
    ----------
    ds : Dataset
        In native form.
    bands, bbox, chunks
        As in :func:`xr_s2sr.open_safe`.
    where : str
        The file, for messages.
    """
    scene = read_scene(ds)
    kept = wanted_bands(scene.variables, bands, where)
    left_out = [name for band, name in scene.variables.items() if band not in kept]
    scene = replace(scene, ds=scene.ds.drop_vars(left_out))
    if bbox is not None:
        scene = replace(scene, ds=crop(scene, bbox, where))
    return scene.ds if chunks is None else chunked(scene, chunks)


def crop(scene: NativeScene, bbox: Any, where: str) -> xr.Dataset:
    """Cut every resolution to a rectangle, snapped outwards to whole 60 m cells and cut at the scene's edge.

    Raises
    ------
    InputError
        If `bbox` is not a rectangle, or has no pixel of the scene.
    """
    box, ds = _rectangle(bbox), scene.ds
    if scene.reference is None:
        scene.check()
        return ds
    # the coarsest band tells where cells begin; its grid nests in the 10 m one
    coarsest = max(scene.bands.values(), key=lambda band: band.factor)
    axes, spans = (scene.grid.y, scene.grid.x), []
    left, bottom, right, top = box
    for axis, start, ends in zip(axes, coarsest.start, ((bottom, top), (left, right)), strict=True):
        # a thousandth of a pixel, so that an edge with float jitter takes no further cell
        first, last = sorted((end - axis.edge) / axis.step for end in ends)
        first = math.floor((first + 1e-3 - start) / CELL) * CELL + start
        last = math.ceil((last - 1e-3 - start) / CELL) * CELL + start
        first, last = max(first, 0), min(last, axis.size)
        if first >= last:
            raise _outside(box, scene, where)
        spans.append((first, last))
    cuts: dict[Hashable, slice] = {}
    for variable in (v for v in ds.data_vars.values() if v.ndim >= 2):
        for dim, span, fine in zip(variable.dims[-2:], spans, axes, strict=True):
            if dim not in cuts and dim in ds.coords:
                own = read_axis(variable, dim, fine.step)
                edges = sorted(round((fine.edge + at * fine.step - own.edge) / own.step) for at in span)
                cuts[dim] = slice(*(max(edge, 0) for edge in edges))
    return georeference(ds.isel(cuts), scene.grid.corner(spans[0][0], spans[1][0]))


def _rectangle(bbox: Any) -> tuple[float, float, float, float]:
    """Return the four numbers of a bounding box, in order; refuse any other value."""
    form = "bbox=(minx, miny, maxx, maxy)"
    if isinstance(bbox, str) or not isinstance(bbox, Iterable):
        raise ArgumentTypeError(f"bbox={bbox!r} is a {type(bbox).__name__}; expected four numbers, {form}")
    values = list(bbox)
    if len(values) != 4:
        raise InputError(f"bbox has {len(values)} numbers; expected four, {form}")
    left, bottom, right, top = (arguments.number("bbox", value) for value in values)
    if not (left < right and bottom < top):
        raise InputError(f"bbox={tuple(values)} is empty; expected minx < maxx and miny < maxy, {form}")
    return left, bottom, right, top


def _outside(box: tuple[float, float, float, float], scene: NativeScene, where: str) -> InputError:
    """Return the error for a bounding box without a pixel of the scene."""
    y, x = ((axis.edge, axis.edge + axis.size * axis.step) for axis in (scene.grid.y, scene.grid.x))
    bounds = min(x), min(y), max(x), max(y)
    hint = ", and looks like degrees: give metres of that CRS" if max(map(abs, box)) <= 180 else ""
    return InputError(
        f"bbox={box} lies outside of {where}{hint}; expected some of its bounds "
        f"({', '.join(f'{value:.0f}' for value in bounds)}) in {scene.crs or 'its CRS'}"
    )


def chunked(scene: NativeScene, chunks: Any) -> xr.Dataset:
    """Back the scene by dask, in chunks that nest."""
    if find_spec("dask") is None:
        raise DependencyError('computing in chunks needs dask, which is not installed: pip install "xr_s2sr[dask]"')
    if isinstance(chunks, Mapping):
        return scene.ds.chunk(chunks)
    side = ceil_to_cell(arguments.count("chunks", chunks))
    factors = {axis.dim: band.factor for band in scene.bands.values() for axis in (band.grid.y, band.grid.x)}
    return scene.ds.chunk({dim: side // factor for dim, factor in factors.items() if dim in scene.ds.dims})


def by_blocks(ds: xr.Dataset, side: int) -> xr.Dataset:
    """Back a scene by dask in chunks of about one side, of whole blocks of its files: no block is decoded twice.

    Parameters
    ----------
    ds : Dataset
        In native form, opened without chunks.
    side : int
        Of a chunk, in 10 m pixels.
    """
    chunks, scene = {}, read_scene(ds)
    for band in scene.bands.values():
        for axis in (band.grid.y, band.grid.x):
            stored = {
                v.encoding.get("preferred_chunks", {}).get(axis.dim, 1) for v in ds.values() if axis.dim in v.dims
            }
            block, wanted = math.lcm(*stored), max(1, side // band.factor)
            # blocks of several sizes, or very large ones: each would be read whole
            chunks[axis.dim] = max(1, round(wanted / block)) * block if block <= 2 * wanted else wanted
    return chunked(scene, chunks)
