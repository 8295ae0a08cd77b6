"""Check pixels against metadata: values that no surface has mean that the unit is not the one assumed.

Samples of pixels tell, without nodata and fill values. Of whole scenes, both a median that is too bright and one that
is too dark are refused. A part of a scene may well be all shadow, lake or fill, so of a part only what is too bright is
refused, or what is plainly in another unit.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xr_s2sr.errors import LazyError, RadiometryError
from xr_s2sr.scene.fill_values import Undeclared
from xr_s2sr.scene.offsets import BASELINE_OFFSET
from xr_s2sr.scene.pixels import middle, numba_ready
from xr_s2sr.scene.radiometry import UNITS, By, Radiometry, Units
from xr_s2sr.scene.scene import NativeScene, SceneBand
from xr_s2sr.scene.validity import LARGEST, possible, valid

#: Numbers of which 90 % are this small, and most not whole, are no DN; a few may be anything.
SMALLEST_DN = 3.0

#: So many impossible values may be fill values; more are a unit that is not what was thought.
FILL_VALUES = 3

#: No surface has one value in so much of an image; and this much is seldom, of values that no surface has.
OFTEN, SELDOM = 0.25, 0.05


@dataclass(frozen=True)
class Sample:
    """Some pixels of one band at one date, spread over the image.

    Attributes
    ----------
    name : str
        Of the variable.
    when : str
        Which date, in words; empty where there is but one.
    radiometry : Radiometry
    pixels : ndarray of float64, one-dimensional
        Without nodata and fill values.
    """

    name: str
    when: str
    radiometry: Radiometry
    pixels: NDArray[np.float64]

    @property
    def median(self) -> float:
        return float(np.median(self.pixels))

    @property
    def reflectance(self) -> float:
        """The median as a reflectance, as the metadata have it."""
        return self.median * self.radiometry.scale + self.radiometry.offset

    @property
    def constant(self) -> bool:
        """Tell whether there are no more values than there may be fill values."""
        return len(np.unique(self.pixels)) <= FILL_VALUES

    @property
    def fact(self) -> str:
        return (
            f"{self.name!r} has a median of {self.median:g}{self.when}, which would be a reflectance of "
            f"{self.reflectance:.4g} ({self.radiometry.source})"
        )

    @property
    def broken(self) -> bool:
        """Tell whether most values are no whole numbers, as DN are."""
        return bool(np.count_nonzero(self.pixels != np.rint(self.pixels)) > self.pixels.size / 2)

    @property
    def too_small(self) -> bool:
        """Tell whether the values cannot be the DN that they are said to be."""
        dn = self.radiometry.scale <= 10 * UNITS["dn"]
        return dn and self.broken and bool(np.quantile(np.abs(self.pixels), 0.9) < SMALLEST_DN)


def sample(pixels: np.ndarray, radiometry: Radiometry, name: str, when: str = "", *, part: bool = False) -> Sample:
    """Take a sample of an image of shape (y, x), a `part` of the scene or all of it."""
    # a few thousand pixels spread over the image tell a median well enough
    rows, cols = (slice(None, None, max(1, n // 64)) for n in pixels.shape)
    return Sample(name, when, radiometry, _without_fill(pixels[rows, cols], radiometry, part).astype(np.float64))


def samples(da: xr.DataArray, native: SceneBand) -> Iterator[Sample]:
    """Yield a sample of each date that has pixels.

    Of pixels that are still in a file, the middle of the image is looked at; dask arrays are not. A date of fill values
    alone among others is left out.
    """
    if da.chunks is not None:
        return
    if not da.variable._in_memory:  # xarray has no public name for it
        da = middle(da, 64)
    data = da.data
    if not isinstance(data, np.ndarray) or data.size == 0:
        return
    taken = []
    for index in np.ndindex(*data.shape[:-2]):
        coords = {dim: da[dim].values[i] for dim, i in zip(da.dims, index, strict=False) if dim in da.coords}
        date = ", ".join(f"{dim}={str(value)[:10]}" for dim, value in coords.items()) or f"index {index}"
        taken.append(sample(data[index], native.at(index), str(da.name), f" at {date}" if index else ""))
    taken = [one for one in taken if one.pixels.size]
    varied = [one for one in taken if not one.constant]
    yield from varied or taken


def _without_fill(pixels: np.ndarray, radiometry: Radiometry, part: bool) -> np.ndarray:
    """Return the pixels that are there, without fill values that nothing declares; of a part, none if they are few."""
    numbers = pixels[valid(pixels, radiometry.validity._replace(low=-LARGEST, high=LARGEST))]
    strange = ~valid(numbers, radiometry.validity)
    values, most = _values(numbers[strange])
    if len(values) > FILL_VALUES and not (part and most > SELDOM * numbers.size):
        rest = numbers  # in another unit; if one value is there again and again, the others lie in the blur around it
    else:
        rest = numbers[~strange]
        # an image of nothing but one value may be constant, in another unit
        if rest.size == 0 and not part and valid(numbers, possible(UNITS["dn"], 0.0)).any():
            return numbers
    values, most = _values(rest)
    if len(values) <= FILL_VALUES:
        return rest[:0] if part else rest
    return rest[rest != values[-1]] if most > OFTEN * rest.size else rest


def _values(numbers: np.ndarray) -> tuple[np.ndarray, int]:
    """Return the values from the rarest to the commonest, and how often that is there."""
    found, counts = np.unique(numbers, return_counts=True)
    return found[np.argsort(counts, kind="stable")], int(counts.max(initial=0))


#: No surface is this bright, and none so dark: atmospheric correction may go a little below 0, not its median so far.
BRIGHTEST, DARKEST = 5.0, -0.03

#: In hardly any scene is the brightest band as faint as this: the blue of dark lakes.
FAINTEST = 0.01

#: Median of the brightest band, of a unit that is likely.
LIKELY = 0.02, 2.5


def check_scene(scene: NativeScene, bands: Iterable[str]) -> None:
    """Refuse bands in memory whose pixels contradict the metadata, on any date.

    Raises
    ------
    RadiometryError
        With both facts: the median, and what the metadata would make of it.
    """
    judge([one for band in bands for one in samples(scene[band], scene.bands[band])])


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


def check_pixels(scene: NativeScene, needed: Iterable[str]) -> NativeScene:
    """Refuse what cannot be computed in memory, and pixels that contradict their unit; warn of undeclared nodata.

    Returns
    -------
    NativeScene
        The same, with nodata in areas that one value fills in all bands at once.

    Raises
    ------
    LazyError
        If a band is a dask array.
    RadiometryError
        If the median of a band contradicts its metadata.
    """
    bands = {band: scene.bands[band] for band in needed}
    for band in bands:
        if scene[band].chunks is not None:
            raise LazyError(
                f"{scene[band].name!r} is a dask array; this method computes in memory. Take a part of the scene and "
                "load it: ds = ds.isel(...).load()"
            )
    check_scene(scene, bands)
    corner = max(bands.values(), key=lambda native: native.factor).start
    starts = {
        band: ((own.start[0] - corner[0]) // own.factor, (own.start[1] - corner[1]) // own.factor)
        for band, own in bands.items()
    }
    undeclared = Undeclared()
    pixels = {band: numba_ready(scene[band].values) for band in bands}
    masked: dict[str, np.ndarray] = {}
    lead = scene.fine.shape[:-2]
    for index in np.ndindex(lead):
        images = {band: values[index] for band, values in pixels.items()}
        for band in undeclared.mask(images, starts, bands, index, alone=math.prod(lead) == 1):
            masked.setdefault(band, pixels[band].copy())[index] = images[band]
        for band, native in bands.items():
            undeclared.look(images[band], native.at(index), native.name, index)
    undeclared.warn()
    whole = ((scene[band], values) for band, values in masked.items())
    filled = {da.name: da.copy(data=values.astype(da.dtype)) for da, values in whole}
    return replace(scene, ds=scene.ds.assign(filled))
