"""Grids: places of pixels, read once from coordinates into frozen values; and one grid in another, in whole pixels."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import xarray as xr
from affine import Affine
from numpy.typing import NDArray

from xr_s2sr.bands import native_name
from xr_s2sr.errors import GridError

#: Coordinates may be off by this part of a pixel: float jitter, not misalignment.
TOLERANCE = 0.01

#: Attribute of a band that ``degrade`` simulated: how many times larger than the sensor's own its pixels are.
DEGRADED_BY = "s2sr_degraded_by"


@dataclass(frozen=True)
class Axis:
    """Equally spaced pixel centres along one dimension.

    Attributes
    ----------
    dim : hashable
        Name of the dimension.
    first : float
        Centre of the first pixel, in CRS units.
    step : float
        From one centre to the next; negative where the coordinate descends.
    size : int
    """

    dim: Hashable
    first: float
    step: float
    size: int

    @property
    def edge(self) -> float:
        """Outer edge of the first pixel."""
        return self.first - self.step / 2


@dataclass(frozen=True)
class Grid:
    """A regular, north-aligned raster.

    Attributes
    ----------
    y, x : Axis
    """

    y: Axis
    x: Axis

    @property
    def shape(self) -> tuple[int, int]:
        return self.y.size, self.x.size

    @property
    def gsd(self) -> float:
        """Pixel size along x, in CRS units."""
        return abs(self.x.step)

    @property
    def transform(self) -> Affine:
        return self.corner(0, 0)

    def lattice(self, size: int) -> tuple[int, int] | None:
        """Return the first row and column, below `size`, whose edge is a multiple of so many pixels in the CRS.

        None where no pixel's is, as the grid is not one of Sentinel-2's products.
        """
        starts = []
        for axis in (self.y, self.x):
            edge = -axis.edge / axis.step
            if abs(edge - round(edge)) > TOLERANCE:
                return None
            starts.append(round(edge) % size)
        return starts[0], starts[1]

    def corner(self, row: int, col: int) -> Affine:
        """Return the transform of the part that starts at this pixel."""
        return Affine(
            self.x.step, 0.0, self.x.edge + col * self.x.step, 0.0, self.y.step, self.y.edge + row * self.y.step
        )


_Y_NAMES, _X_NAMES = ("y", "lat", "north"), ("x", "lon", "east")


def spatial_dims(da: xr.DataArray) -> tuple[Hashable, Hashable]:
    """Return the last two dimensions, which must be rows and columns.

    Raises
    ------
    GridError
        With fewer than two dimensions, or with columns before rows.
    """
    if da.ndim < 2:
        raise GridError(f"{da.name!r} has dims {da.dims}; a band needs two spatial dimensions such as (y, x)")
    rows, cols = da.dims[-2:]
    if str(rows).lower().startswith(_X_NAMES) and str(cols).lower().startswith(_Y_NAMES):
        raise GridError(
            f'{da.name!r} has dims {da.dims}, columns before rows. Turn it: ds = ds.transpose(..., "{cols}", "{rows}")'
        )
    for dim in (rows, cols):
        if str(dim).lower() in ("time", "band", "bands", "date"):
            raise GridError(
                f"{da.name!r} has dims {da.dims}; the spatial dimensions must come last. "
                f'Move it: ds = ds.transpose("{dim}", ...)'
            )
    return rows, cols


def read_axis(da: xr.DataArray, dim: Hashable, single: float | None = None) -> Axis:
    """Read one dimension's coordinate.

    Parameters
    ----------
    da : DataArray
    dim : hashable
    single : float, optional
        Spacing to take where there is one pixel only.

    Raises
    ------
    GridError
        Without a numeric coordinate, or one that is not equally spaced.
    """
    name, size = da.name, da.sizes[dim]
    if size == 0:
        raise GridError(f"{name!r} is empty: dimension {dim!r} has no pixels")
    if dim not in da.coords:
        raise GridError(
            f"{name!r} has no coordinate along {dim!r}, so nothing says where its pixels lie. Assign the pixel "
            f'centres, from the outer edge and the signed step: ds = ds.assign_coords({{"{dim}": edge + step * '
            f"(np.arange({size}) + 0.5)}})"
        )
    values = np.asarray(da.coords[dim].values)
    if values.ndim != 1 or values.dtype.kind not in "iuf":
        raise GridError(f"{name!r}: the coordinate {dim!r} holds {values.dtype}, expected metres as numbers")
    values = values.astype(np.float64)
    if not np.isfinite(values).all():
        raise GridError(f"{name!r}: the coordinate {dim!r} holds NaN or inf; expected the pixel centres in metres")
    if size == 1:
        if single is None:
            raise GridError(f"{name!r} has one pixel along {dim!r}, so its spacing cannot be told; use a larger slice")
        return Axis(dim, float(values[0]), single, 1)
    step = float(values[-1] - values[0]) / (size - 1)
    if step == 0:
        raise GridError(f"{name!r}: the coordinate {dim!r} is constant; expected the pixel centres in metres")
    worst = float(np.abs(values - (values[0] + step * np.arange(size))).max())
    if worst > TOLERANCE * abs(step):
        raise GridError(
            f"{name!r}: the coordinate {dim!r} is not equally spaced (off by up to {worst:g} at a mean spacing of "
            f"{abs(step):g}). {_evened(values, dim)}"
        )
    # A step that jitters would put the origin of the CRS, half a million pixels away, on another pixel.
    whole = float(round(step))
    if abs(step - whole) * (size - 1) <= TOLERANCE * abs(whole):
        step = whole
    return Axis(dim, float(values[0]), step, size)


def outer_edge(axis: Axis, rows: bool) -> float:
    """Return the outer edge of the first pixel where the coordinates may be upper left corners (stackstac's default).

    Sentinel-2's pixels have their edges on multiples of their size, so coordinates on those are corners.
    """
    place = axis.first / axis.step
    return axis.edge if abs(place - round(place)) > TOLERANCE else corner_edge(axis, rows)


def corner_edge(axis: Axis, rows: bool) -> float:
    """Return the outer edge of the first pixel where the coordinates are upper (rows) or left corners."""
    inner = axis.step < 0 if rows else axis.step > 0
    return axis.first if inner else axis.first - axis.step


def loading(gsd: int, band: str = "") -> str:
    """Return the line that loads a band, or several, of one UTM zone in that zone, so that no pixel is resampled."""
    listed = f'["{native_name(band, gsd)}"]' if band else "bands"
    return (
        'items = [item for item in items if item.properties["proj:code"] == items[0].properties["proj:code"]]; '
        f"odc.stac.load(items, bands={listed}, resolution={gsd})"
    )


def _evened(values: NDArray[np.float64], dim: Hashable) -> str:
    """Say what makes coordinates equally spaced, by what is wrong with them."""
    ordered, first = np.unique(values, return_index=True)
    steps = np.diff(ordered)
    if np.ptp(steps) <= TOLERANCE * steps.min():
        if len(first) < len(values):
            return f'Some come twice. Keep one of each: ds = ds.drop_duplicates("{dim}").sortby("{dim}")'
        return f'They are out of order: ds = ds.sortby("{dim}")'
    if np.ptp(steps) < 0.5 * steps.min():
        return (
            "If the pixels are, and only the numbers are rounded or wrong: "
            f'ds = ds.assign_coords({{"{dim}": np.linspace({values[0]!s}, {values[-1]!s}, {len(values)})}})'
        )
    if abs(steps.min() / 10 - round(steps.min() / 10)) <= TOLERANCE:
        gaps = np.flatnonzero(np.abs(np.diff(values)) > 1.5 * steps.min()) + 1
        start, stop = max(pairwise([0, *gaps.tolist(), len(values)]), key=lambda part: part[1] - part[0])
        return (
            "Some pixels are missing; expected a rectangle without gaps. Load them too, or take the largest part: "
            f'ds = ds.isel({{"{dim}": slice({start}, {stop})}})'
        )
    return (
        "So are pixels of several resolutions that were merged into one dimension; expected each on dims of its own. "
        "Combine what was loaded: ds = xr_s2sr.combine(ds10, ds20, ds60)"
    )


def degraded_by(da: xr.DataArray) -> int:
    """Return the pixel size of a band over the sensor's own; 1 unless ``degrade`` made it.

    Raises
    ------
    GridError
        If the attribute holds anything else than an integer of 1 or more.
    """
    value = da.attrs.get(DEGRADED_BY, 1)
    if not np.isscalar(value) or not isinstance(value, int | np.integer) or value < 1:
        raise GridError(
            f"{da.name!r} has {DEGRADED_BY}={value!r} in its attrs; expected an integer of 1 or more, as degrade() "
            f'writes it. If it is a native band: del ds["{da.name}"].attrs["{DEGRADED_BY}"]'
        )
    return int(value)


def read_grid(da: xr.DataArray, gsd: int, like: Grid | None = None, degraded: int = 1) -> Grid:
    """Read a band's grid and check that it is one of `gsd` metres.

    Parameters
    ----------
    da : DataArray
    gsd : int
        The band's pixel size, 10, 20 or 60.
    like : Grid, optional
        The 10 m grid; gives the direction of an axis that has one pixel only.
    degraded : int
        The scene's :func:`degraded_by`, by which pixels are larger.

    Raises
    ------
    GridError
        If the spacing is not `gsd` times `degraded`, in metres.
    """
    dims = spatial_dims(da)
    signs = (1, -1) if like is None else (np.sign(like.x.step), np.sign(like.y.step))
    pitch = gsd * degraded
    y = read_axis(da, dims[0], pitch * float(signs[1]))
    x = read_axis(da, dims[1], pitch * float(signs[0]))
    for axis in (y, x):
        spacing = abs(axis.step)
        if abs(spacing - pitch) <= TOLERANCE * pitch:
            continue
        if spacing < 0.01:
            raise GridError(
                f"{da.name!r} has a spacing of {spacing:g} along {axis.dim!r}, which looks like degrees; expected "
                "metres on a UTM grid. To reproject it would interpolate it, so load it again in the CRS of its tile: "
                f"{loading(10)}"
            )
        raise GridError(
            f"{da.name!r} is a {gsd} m band with a spacing of {spacing:g} along {axis.dim!r}; expected {pitch}"
            f"{f', as the scene was degraded by {degraded}' if degraded > 1 else ''}"
            + _not_copies(da, gsd, spacing, pitch)
        )
    return Grid(y, x)


def _not_copies(da: xr.DataArray, gsd: int, spacing: float, pitch: int) -> str:
    """Say why a band may not lie on such pixels, and how to load it."""
    if "s2sr_model" in da.attrs:
        return f". {da.attrs['s2sr_model']} has restored it already: upsample the native scene"
    if "s2sr_native_gsd" in da.attrs and spacing > pitch:
        return ". upsample(resolution=20) has averaged it already: upsample the native scene"
    if spacing < pitch and "proj:epsg" in da.attrs:  # as xarray-eopf opens products, unless told otherwise
        return (
            ", or exact copies of such pixels; these were interpolated. Open the product as it is: "
            'ds = xr.open_datatree(path, engine="zarr"), or with xarray-eopf, engine="eopf-zarr", op_mode="native"'
        )
    if spacing < pitch:
        return (
            ", or exact copies of such pixels; these were interpolated or reprojected. Load each band at its native "
            f"pixels, in the UTM zone of its tile, {loading(gsd, str(da.name))}, and merge: "
            'xr_s2sr.combine(ds10, ds20, ds60). Or load all bands so, with resolution=10 and resampling="nearest", and '
            "reproject the result"
        )
    if round(spacing) in (20, 60):
        return f". Load each band at its native pixels: {loading(gsd, str(da.name))}"
    return (
        f". Sentinel-2 has no pixels of {spacing:g} m: these were resampled, as those of HLS are. Load bands from a "
        f"collection of Sentinel-2 itself: {loading(10)}"
    )


def nest(
    fine: Grid, coarse: Grid, factor: int, names: tuple[str, str], dims: Sequence[Hashable] = ()
) -> tuple[int, int]:
    """Return the start of a coarse grid in a fine one, in whole fine pixels.

    Parameters
    ----------
    fine, coarse : Grid
    factor : int
        Coarse over fine pixel size.
    names : (str, str)
        Variables that stand for the two grids, for the message.
    dims : sequence of hashable
        All spatial dimensions of the scene, for the line that shifts them; by default those of the two grids.

    Returns
    -------
    (int, int)
        Row and column of the fine grid at which the coarse grid's first pixel starts; may be negative.

    Raises
    ------
    GridError
        If pixel edges do not coincide, or an axis runs the other way.
    """
    start = []
    for near, far in ((fine.y, coarse.y), (fine.x, coarse.x)):
        if near.step * far.step < 0:
            raise GridError(
                f"{names[0]!r} and {names[1]!r} run in opposite directions along {near.dim!r} and {far.dim!r}. "
                f'Sort one: ds = ds.sortby("{far.dim}", ascending={near.step > 0})'
            )
        offset = (far.edge - near.edge) / near.step
        if abs(offset - round(offset)) > TOLERANCE * factor:
            if factor % 2 == 0 and _centres_coincide(fine, coarse, TOLERANCE * factor):
                listed = ", ".join(f'"{dim}"' for dim in dims or (fine.y.dim, fine.x.dim, coarse.y.dim, coarse.x.dim))
                raise GridError(
                    f"the grids of {names[0]!r} and {names[1]!r} share coordinates along {near.dim!r}, as upper left "
                    'corners would; expected pixel centres. Load with centres (stackstac: xy_coords="center"), or '
                    f"shift all by half a pixel: ds = ds.assign_coords({{d: ds[d] + float(ds[d][1] - ds[d][0]) / 2 "
                    f"for d in ({listed})}})"
                )
            raise GridError(
                f"the {abs(far.step):g} m grid of {names[1]!r} does not nest in the {abs(near.step):g} m grid of "
                f"{names[0]!r}: its edges lie {abs(offset - round(offset)):.2f} pixels off along {near.dim!r}. "
                "Load both on the tile's own grid, without resampling"
            )
        start.append(round(offset))
    _check_corners(fine, coarse, factor, names, start)
    return start[0], start[1]


def _check_corners(fine: Grid, coarse: Grid, factor: int, names: tuple[str, str], start: Sequence[int]) -> None:
    """Refuse coarse corners beside fine centres: the same extent, shifted by half a pixel, off Sentinel-2's tiling."""
    pairs = (fine.y, coarse.y), (fine.x, coarse.x)
    half = all(2 * abs(offset) == factor for offset in start)
    if not (half and all(near.size == factor * far.size for near, far in pairs)) or _on_tiling_grid(coarse):
        return
    shifts = {far.dim: round(far.edge - near.edge, 3) for near, far in pairs}
    end = "min" if (start[0] < 0) == (fine.y.step < 0) else "max"  # by its place: the scene may run the other way
    moved = ", ".join(f'"{dim}": ds["{dim}"] {"-+"[shift < 0]} {abs(shift):g}' for dim, shift in shifts.items())
    raise GridError(
        f"{names[1]!r} has the extent of {names[0]!r}, but shifted by half a pixel of its own along both "
        f"{coarse.y.dim!r} and {coarse.x.dim!r}, so its coordinates seem to be upper left corners; expected pixel "
        f"centres. Shift them: ds = ds.assign_coords({{{moved}}}). If the shift is real, leave out the row beyond it: "
        f'ds = ds.drop_sel({{"{fine.y.dim}": ds["{fine.y.dim}"].{end}()}})'
    )


def _on_tiling_grid(grid: Grid) -> bool:
    """Tell whether pixel edges lie on multiples of the pixel size; in the south, rows count from 10 000 km."""
    places = [(axis.edge - origin) / axis.step for axis, origin in ((grid.x, 0), (grid.y, 0), (grid.y, 1e7))]
    x, *y = (abs(place - round(place)) <= TOLERANCE for place in places)
    return x and any(y)


def _centres_coincide(fine: Grid, coarse: Grid, tolerance: float) -> bool:
    """Tell whether coarse coordinates are also fine ones, on both axes; true of corners, never of centres."""
    apart = [(far.first - near.first) / near.step for near, far in ((fine.y, coarse.y), (fine.x, coarse.x))]
    return all(abs(a - round(a)) <= tolerance for a in apart)
