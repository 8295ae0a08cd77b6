"""One place before and after: native pixels and the result as reflectance, on the grid of the result, north up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xr_s2sr import arguments
from xr_s2sr.api import upsample
from xr_s2sr.bands import BANDS
from xr_s2sr.errors import ArgumentTypeError, BandError, GridError, InputError
from xr_s2sr.layouts.normalize import Scene, bands_of_result, by_names, to_native
from xr_s2sr.plot.png import RGB8, painted
from xr_s2sr.scene.crs import check_one_crs
from xr_s2sr.scene.grid import TOLERANCE, Grid, degraded_by, nest, read_axis, read_grid, spatial_dims
from xr_s2sr.scene.names import Names
from xr_s2sr.scene.offsets import offset_argument, radiometric_state
from xr_s2sr.scene.pixels import dn, measured
from xr_s2sr.scene.radiometry import Radiometry, Units
from xr_s2sr.scene.scene import NativeScene

#: A picture that is wanted: the name of a composite, else an empty text, and the ids of its bands, one or three.
Picture: TypeAlias = tuple[str, tuple[str, ...]]

#: Composites by name: the bands shown in red, green and blue.
COMPOSITES = {"true colour": ("B04", "B03", "B02"), "swir": ("B12", "B8A", "B04")}
#: More pixels along a side than any screen has.
MOST_PIXELS = 3000


@dataclass(frozen=True)
class View:
    """One band, or three of a composite, before and after.

    Attributes
    ----------
    bands : tuple of str
        Ids, one or three.
    titles : (str, str)
        Of the two pictures: bands, and pixel size.
    before, after : ndarray of float64, shape (bands, y, x)
        Reflectance, NaN where invalid.
    limits : tuple of (float, float)
        For each band, the reflectance that becomes black, and that becomes white, in both pictures.
    grid : Grid
        Of `after`; rows from north to south.
    """

    bands: tuple[str, ...]
    titles: tuple[str, str]
    before: NDArray[np.float64]
    after: NDArray[np.float64]
    limits: tuple[tuple[float, float], ...]
    grid: Grid

    def colours(self, image: NDArray[np.float64]) -> RGB8:
        """Return a picture of shape (3, y, x): grey or a composite, with the colour of nodata."""
        return painted(image, self.limits, np.nan)


def requested(ds: Scene, bands: Any, composite: Any) -> list[Picture]:
    """Return the pictures that are wanted of a scene; the swir composite by default."""
    wanted: list[Picture] = []
    _, names = by_names(ds)
    if composite is not None or bands is None:
        wanted.append(_composite("swir" if composite is None else composite, names))
    if bands is not None:
        wanted += [("", (band,)) for band in names.ids(arguments.names("bands", bands))]
    return wanted


def _composite(composite: Any, names: Names) -> Picture:
    """Return a composite's name, if it has one, and its three bands."""
    if isinstance(composite, str):
        name = arguments.choice("composite", composite, COMPOSITES)
        return name, COMPOSITES[name]
    listed = arguments.names("composite", composite)
    ids = names.ids(listed)
    if len(ids) != 3 or len(listed) != 3:
        raise InputError(
            f"composite={composite!r} names {len(ids)} bands; expected three, for red, green and blue, such as "
            f'composite=("B12", "B8A", "B04"), or one of {", ".join(map(repr, COMPOSITES))}'
        )
    return "", tuple(ids)


def _restore(ds: Scene, bands: Iterable[str], units: Units | None, offset: float | None) -> Scene:
    """Return the bands restored, of a scene of one date that is small enough to be seen."""
    scene = to_native(ds).read(units, offset)
    scene.check()
    _check_one_date(scene.fine, "the scene")
    rows, cols = scene.grid.shape
    if max(rows, cols) > MOST_PIXELS:
        raise GridError(
            f"the scene has {rows} x {cols} pixels at 10 m; expected at most {MOST_PIXELS} a side "
            "without a result, so that they can be seen. Show a part of its result: sr = ds.s2sr.upsample(), "
            "ds.s2sr.plot(sr.isel(y=slice(0, 600), x=slice(0, 600)))"
        )
    result: Scene = upsample(ds, bands, units=units, offset=offset)
    return result


def views(
    ds: Scene,
    sr: Scene | None,
    wanted: Sequence[Picture],
    *,
    units: Units | None,
    offset: float | None,
    percentiles: tuple[float, float],
) -> list[View]:
    """Read what the pictures show; names, grids and arguments are checked before any pixel is read.

    Without a result, the bands that are shown are restored first.
    """
    low, high = _percentiles(percentiles)
    bands = list(dict.fromkeys(band for _, group in wanted for band in group))
    if sr is None:
        sr = _restore(ds, bands, units, offset)
    if not isinstance(sr, xr.Dataset | xr.DataArray | xr.DataTree):
        raise ArgumentTypeError(f"expected the Dataset that upsample() gave, not a {type(sr).__name__}")
    offset_or_dates = offset_argument(offset)
    scene, fine = to_native(ds).read(units, offset), bands_of_result(sr)
    restored = {band: _restored(fine, band) for band in bands if not BANDS[band].is_fine}
    grid = _common_grid([*restored.values()] or [*fine.values()][:1])
    places = {band: _place(scene, band, restored.get(band), grid) for band in bands}
    native_images = {band: _on_grid(scene, band, place) for band, place in places.items()}
    images = native_images | {
        band: _reflectance(da, radiometric_state(da, units, offset_or_dates)[0]) for band, da in restored.items()
    }
    drawn = []
    for name, group in wanted:
        before, after = (np.stack([shown[band] for band in group]) for shown in (native_images, images))
        limits = tuple(_limits(image, low, high) for image in before)
        titles = _titles(group, name, [scene.bands[band].grid.gsd for band in group], grid.gsd)
        drawn.append(View(group, titles, before, after, limits, grid))
    return drawn


def _titles(bands: Sequence[str], name: str, native: Sequence[float], result: float) -> tuple[str, str]:
    """Return the titles of a native picture and of its result: bands, a composite's name, and pixel sizes."""
    label = " ".join(bands) + (f" ({name})" if name else "")
    sizes = " and ".join(f"{gsd:g}" for gsd in dict.fromkeys(native))
    origin = "native" if {*native} == {result} else "restored to"
    return f"{label}, native {sizes} m", f"{label}, {origin} {result:g} m"


def _percentiles(percentiles: Any) -> tuple[float, float]:
    """Return two percentiles, checked."""
    pair = [arguments.number("percentiles", end) for end in percentiles] if isinstance(percentiles, Iterable) else []
    if len(pair) != 2 or not 0 <= pair[0] < pair[1] <= 100:
        raise InputError(f"percentiles={percentiles!r}; expected two numbers from 0 to 100, the lower first: (2, 98)")
    return pair[0], pair[1]


def _restored(result: Mapping[str, xr.DataArray], band: str) -> xr.DataArray:
    """Return a band of the result, or say why it has none."""
    if band not in result:
        raise BandError(
            f"the result holds no {band} (but {', '.join(result) or 'no band'}), which is to be shown. "
            f'Restore it: sr = ds.s2sr.upsample(["{band}", ...]), or choose others: bands=[...]'
        )
    return result[band]


def _common_grid(result: list[xr.DataArray]) -> Grid:
    """Return the 10 m grid of the result's bands, which must be one, of one date, and small enough to be seen."""
    if not result:
        raise BandError("the result holds no band; expected that of upsample(): ds.s2sr.plot(ds.s2sr.upsample())")
    grids = []
    for da in result:
        pitch = 10 * degraded_by(da)
        spacing = abs(read_axis(da, spatial_dims(da)[1], pitch).step)
        if abs(spacing - pitch) > TOLERANCE * pitch:
            raise GridError(
                f"{da.name!r} has pixels of {spacing:g} m in the result; expected {pitch} m, as upsample() gives. The "
                "native scene comes first: ds.s2sr.plot(sr), with sr = ds.s2sr.upsample()"
            )
        _check_one_date(da, "the result")
        grids.append(read_grid(da, 10, degraded=degraded_by(da)))
        if grids[-1] != grids[0]:
            raise GridError(
                f"{result[0].name!r} and {da.name!r} of the result lie on two grids; expected one 10 m grid"
            )
    rows, cols = grids[0].shape
    if max(rows, cols) > MOST_PIXELS:
        y, x = result[0].dims[-2:]
        raise GridError(
            f"the result has {rows} x {cols} pixels; expected at most {MOST_PIXELS} a side, so that they can be seen. "
            f"Show a part: ds.s2sr.plot(sr.isel({y}=slice(0, 600), {x}=slice(0, 600)))"
        )
    return grids[0]


def _check_one_date(da: xr.DataArray, where: str) -> None:
    """Refuse a variable of several dates."""
    lead = dict(zip(da.dims[:-2], da.shape[:-2], strict=True))
    if any(size != 1 for size in lead.values()):
        dim = next(dim for dim, size in lead.items() if size != 1)
        raise GridError(
            f"{da.name!r} has the leading dimensions {lead} in {where}; expected one date. Select it in both: "
            f"ds.isel({dim}=0).s2sr.plot(sr.isel({dim}=0))"
        )


def _place(
    scene: NativeScene, band: str, restored: xr.DataArray | None, grid: Grid
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the native row, and the native column, of each of the result's; some lie outside of the native band."""
    if band not in scene.variables:
        raise BandError(
            f"the native scene holds no {band} (but {', '.join(scene.variables) or 'no band'}), which is to be shown. "
            "Load it too, or choose others: bands=[...]"
        )
    if band not in scene.bands:
        scene.check()
    native, before = scene.bands[band], scene[band]
    _check_one_date(before, "the native scene")
    if restored is not None:
        check_one_crs(restored, before, "Show them")
    start = nest(grid, native.grid, native.factor, ("the result", native.name))
    rows, cols = ((np.arange(n) - at) // native.factor for n, at in zip(grid.shape, start, strict=True))
    for there, n in zip((rows, cols), native.grid.shape, strict=True):
        if there[0] >= n or there[-1] < 0:
            raise GridError(
                f"the result and the native {native.name!r} have no pixel in common; expected the same place. Show a "
                "scene with its own result: ds.s2sr.plot(ds.s2sr.upsample())"
            )
    return rows, cols


def _on_grid(scene: NativeScene, band: str, place: tuple[NDArray[np.intp], NDArray[np.intp]]) -> NDArray[np.float64]:
    """Return reflectance of native pixels, repeated on the grid of the result; NaN beyond them."""
    native = scene.bands[band]
    rows, cols = (np.clip(there, 0, n - 1) for there, n in zip(place, native.grid.shape, strict=True))
    part = scene[band][..., rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1]
    image = _reflectance(part, native.at((0,) * part.ndim))[np.ix_(rows - rows[0], cols - cols[0])]
    image[rows != place[0]] = np.nan
    image[:, cols != place[1]] = np.nan
    return image


def _reflectance(da: xr.DataArray, radiometry: Radiometry) -> NDArray[np.float64]:
    """Return the pixels of one date as reflectance."""
    values = da.values.reshape(da.shape[-2:])
    return dn(measured(values, radiometry), radiometry) / 1e4


def _limits(image: NDArray[np.float64], low: float, high: float) -> tuple[float, float]:
    """Return the percentiles of the native pixels; where all are alike or none is valid, limits around them."""
    known = image[~np.isnan(image)]
    if not known.size:
        return 0.0, 1.0
    ends = np.percentile(known, (low, high))
    return (float(ends[0]), float(ends[1])) if ends[1] > ends[0] else (float(ends[0]) - 0.01, float(ends[1]) + 0.01)
