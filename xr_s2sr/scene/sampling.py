"""Samples of pixels, from which the unit of a band can be told: without nodata and fill values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xr_s2sr.scene.radiometry import UNITS, Radiometry
from xr_s2sr.scene.validity import LARGEST, possible, valid

if TYPE_CHECKING:
    from xr_s2sr.scene.band import SceneBand

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
        da = da.isel({dim: _middle(da.sizes[dim]) for dim in da.dims[-2:]})
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


def _middle(size: int) -> slice:
    return slice(max(0, size // 2 - 32), size // 2 + 32)


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
