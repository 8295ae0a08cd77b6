"""Check pixels against metadata: values that no surface has mean that the unit is not the one assumed.

Of whole scenes, both a median that is too bright and one that is too dark are refused. A part of a scene may well be
all shadow, lake or fill, so of a part only what is too bright is refused, or what is plainly in another unit.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from xr_s2sr.errors import LazyError, RadiometryError
from xr_s2sr.scene.fill_values import Undeclared
from xr_s2sr.scene.offsets import BASELINE_OFFSET
from xr_s2sr.scene.pixels import numba_ready
from xr_s2sr.scene.radiometry import UNITS, By, Radiometry, Units
from xr_s2sr.scene.sampling import Sample, sample, samples

if TYPE_CHECKING:
    from xr_s2sr.scene.band import SceneBand
    from xr_s2sr.scene.info import SceneInfo

#: No surface is this bright, and none so dark: atmospheric correction may go a little below 0, not its median so far.
BRIGHTEST, DARKEST = 5.0, -0.03

#: In hardly any scene is the brightest band as faint as this: the blue of dark lakes.
FAINTEST = 0.01

#: Median of the brightest band, of a unit that is likely.
LIKELY = 0.02, 2.5


def check_scene(ds: xr.Dataset, bands: Iterable[SceneBand]) -> None:
    """Refuse bands in memory whose pixels contradict the metadata, on any date.

    Raises
    ------
    RadiometryError
        With both facts: the median, and what the metadata would make of it.
    """
    judge([one for band in bands for one in samples(ds[band.name], band)])


def check(pixels: np.ndarray, radiometry: Radiometry, name: str, when: str = "") -> None:
    """Refuse pixels of one date whose median cannot be a reflectance."""
    judge([sample(pixels, radiometry, name, when)])


def judge(taken: Iterable[Sample], *, part: bool = False) -> list[RadiometryError]:
    """Refuse samples of one scene whose values cannot be what the metadata say.

    Parameters
    ----------
    taken : iterable of Sample
    part : bool
        True for a part of the scene, which may be dark.

    Returns
    -------
    list of RadiometryError
        What is too dark in a part of the scene; of a whole one, it is raised.

    Raises
    ------
    RadiometryError
        With both facts: the median, and what the metadata would make of it.
    """
    taken = [one for one in taken if one.pixels.size]
    dark = []
    for one in taken:
        problem = _other_unit(one, taken) or _contradiction(one)
        if problem is None:
            continue
        if not part or one.too_small or one.reflectance > BRIGHTEST:
            raise problem
        dark.append(problem)
    return dark


def _contradiction(one: Sample) -> RadiometryError | None:
    """Return the error for a median that no surface has."""
    radiometry, reflectance = one.radiometry, one.reflectance
    if DARKEST <= reflectance <= BRIGHTEST:
        return None
    if reflectance < DARKEST:
        return RadiometryError(f"{one.fact}; expected {DARKEST:g} or more. {_brighter(reflectance, radiometry)}")
    likely: Units = "percent" if one.median < 100 and radiometry.scale == 1.0 else "dn"
    fix = f"Say what the values are: upsample(units={likely!r})"
    if radiometry.scale == UNITS[likely]:
        fix = f'Bring the values to DN, or correct the offset: ds["{one.name}"] = ..., upsample(offset=0)'
    return RadiometryError(f"{one.fact}; expected at most {BRIGHTEST:g}. {fix}")


def _brighter(reflectance: float, radiometry: Radiometry) -> str:
    """Say what may be wrong with a median below any surface's, and how to put it right."""
    already = radiometry.offset < 0
    missing = -radiometry.offset if already else -BASELINE_OFFSET * UNITS["dn"]
    if reflectance + missing < DARKEST:
        return (
            "No offset of Sentinel-2 explains that, so these are neither DN nor reflectances: undo what was done to "
            "the values (a logarithm, a standardisation, a difference), and upsample the bands as they were read"
        )
    shift = 0.0 if already else missing / radiometry.scale
    return f"The offset seems to have been taken off {'already' if already else 'twice'}: upsample(offset={shift:g})"


def _other_unit(one: Sample, taken: Iterable[Sample]) -> RadiometryError | None:
    """Return the error for values that make no sense in the unit that the metadata name, and would in a larger one.

    Arithmetic keeps attributes: DN that were divided by 10000 still say that they are to be multiplied by 0.0001.
    """
    radiometry, small = one.radiometry, one.too_small
    named = next((units for units in UNITS if math.isclose(UNITS[units], radiometry.scale)), None)
    alike = [other for other in taken if other.radiometry.scale == radiometry.scale and other.too_small == small]
    brightest = max(abs(other.median) for other in alike)
    # whole numbers are DN, and who says what the values are may say that they are dark
    sure = named is None or (named == "dn" and not one.broken) or radiometry.scale_from.by is By.USER
    if not small and (sure or brightest * radiometry.scale > FAINTEST):
        return None
    bands = ", ".join(dict.fromkeys(repr(other.name) for other in alike))
    fact = f"{one.fact}; expected {FAINTEST:g} or more in the brightest of {bands}"
    for units, scale in UNITS.items():
        if scale < 10 * radiometry.scale or not LIKELY[0] <= brightest * scale <= LIKELY[1]:
            continue
        darkest = min(float(np.quantile(other.pixels, 0.01)) for other in alike) * scale
        left = radiometry.offset if darkest + radiometry.offset >= DARKEST else 0.0
        done = ", but their offset not taken off (if it was, leave offset= out)" if left else ""
        dark = f"If they are as dark as that: {_told(named, radiometry.offset, radiometry.scale)}. Else "
        scaled = f"he values seem to have been scaled already{done}: {_told(units, left, scale)}"
        return RadiometryError(f"{fact}. {'T' if small else f'{dark}t'}{scaled}")
    if named == "reflectance" and LIKELY[0] <= brightest * 1e4 <= LIKELY[1]:
        return RadiometryError(f"{fact}. The values seem to have been scaled twice: ds = ds * 10000")
    return None


def _told(units: Units | None, offset: float, scale: float) -> str:
    """Return the call that says what the values are; `offset` is a reflectance."""
    return f"upsample(units={units!r}" + (f", offset={offset / scale:g})" if offset else ")")


def check_pixels(ds: xr.Dataset, info: SceneInfo, needed: Iterable[str]) -> xr.Dataset:
    """Refuse what cannot be computed in memory, and pixels that contradict their unit; warn of undeclared nodata.

    Returns
    -------
    Dataset
        The same, with nodata in areas that one value fills in all bands at once.

    Raises
    ------
    LazyError
        If a band is a dask array.
    RadiometryError
        If the median of a band contradicts its metadata.
    """
    bands = {band: info.bands[band] for band in needed}
    for native in bands.values():
        if ds[native.name].chunks is not None:
            raise LazyError(
                f"{native.name!r} is a dask array; this method computes in memory. Take a part of the scene and load "
                "it: ds = ds.isel(...).load()"
            )
    check_scene(ds, bands.values())
    corner = max(bands.values(), key=lambda native: native.factor).start
    starts = {
        band: ((own.start[0] - corner[0]) // own.factor, (own.start[1] - corner[1]) // own.factor)
        for band, own in bands.items()
    }
    undeclared = Undeclared()
    pixels = {band: numba_ready(ds[native.name].values) for band, native in bands.items()}
    masked: dict[str, np.ndarray] = {}
    lead = ds[info.fine.name].shape[:-2]
    for index in np.ndindex(lead):
        images = {band: values[index] for band, values in pixels.items()}
        for band in undeclared.mask(images, starts, bands, index, alone=math.prod(lead) == 1):
            masked.setdefault(band, pixels[band].copy())[index] = images[band]
        for band, native in bands.items():
            undeclared.look(images[band], native.at(index), native.name, index)
    undeclared.warn()
    whole = ((ds[bands[band].name], values) for band, values in masked.items())
    return ds.assign({da.name: da.copy(data=values.astype(da.dtype)) for da, values in whole})
