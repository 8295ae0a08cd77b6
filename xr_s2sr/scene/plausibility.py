"""Check pixels against metadata: a median that no surface has means that the unit is not the one assumed.

Single values that no surface has are fill values that nothing declares: taken as nodata, with a warning.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from xr_s2sr.errors import LazyError, Line, RadiometryError, warn
from xr_s2sr.scene.offsets import BASELINE_OFFSET
from xr_s2sr.scene.pixels import numba_ready
from xr_s2sr.scene.radiometry import UNITS, Radiometry, Units
from xr_s2sr.scene.validity import LARGEST, possible, valid

if TYPE_CHECKING:
    from xr_s2sr.scene.band import SceneBand
    from xr_s2sr.scene.info import SceneInfo

#: No surface is this bright, and none so dark: atmospheric correction may go a little below 0, not its median so far.
BRIGHTEST, DARKEST = 5.0, -0.03

#: So many impossible values may be fill values; more are a unit that is not what was thought.
FILL_VALUES = 3


def check_variable(da: xr.DataArray, native: SceneBand) -> None:
    """Refuse pixels whose median contradicts the metadata, on any date.

    Of pixels that are still in a file, the middle of the image is looked at; dask arrays are not.

    Raises
    ------
    RadiometryError
        With both facts: the median, and what the metadata would make of it.
    """
    if da.chunks is not None:
        return
    if not da.variable._in_memory:  # xarray has no public name for it
        da = da.isel({dim: _middle(da.sizes[dim]) for dim in da.dims[-2:]})
    data = da.data
    if not isinstance(data, np.ndarray) or data.size == 0:
        return
    # a few thousand pixels spread over the image tell a median well enough
    rows, cols = (slice(None, None, max(1, n // 64)) for n in data.shape[-2:])
    for index in np.ndindex(*data.shape[:-2]):
        coords = {dim: da[dim].values[i] for dim, i in zip(da.dims, index, strict=False) if dim in da.coords}
        date = ", ".join(f"{dim}={str(value)[:10]}" for dim, value in coords.items()) or f"index {index}"
        check(data[(*index, rows, cols)], native.at(index), str(da.name), f" at {date}" if index else "")


def _middle(size: int) -> slice:
    return slice(max(0, size // 2 - 32), size // 2 + 32)


def check(pixels: np.ndarray, radiometry: Radiometry, name: str, when: str = "") -> None:
    """Refuse pixels of one date whose median cannot be a reflectance."""
    sample = _without_fill(pixels, radiometry)
    if sample.size == 0:
        return
    median = float(np.median(sample.astype(np.float64)))
    reflectance = median * radiometry.scale + radiometry.offset
    if DARKEST <= reflectance <= BRIGHTEST:
        return
    fact = (
        f"{name!r} has a median of {median:g}{when}, which would be a reflectance of {reflectance:.4g} "
        f"({radiometry.source})"
    )
    if reflectance < DARKEST:
        raise RadiometryError(f"{fact}; expected {DARKEST:g} or more. {_brighter(reflectance, radiometry)}")
    likely: Units = "percent" if median < 100 and radiometry.scale == 1.0 else "dn"
    fix = f"Say what the values are: upsample(units={likely!r})"
    if radiometry.scale == UNITS[likely]:
        fix = f'Bring the values to DN, or correct the offset: ds["{name}"] = ..., upsample(offset=0)'
    raise RadiometryError(f"{fact}; expected at most {BRIGHTEST:g}. {fix}")


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


def _without_fill(pixels: np.ndarray, radiometry: Radiometry) -> np.ndarray:
    """Return the pixels that are there, without fill values that nothing declares."""
    numbers = pixels[valid(pixels, radiometry.validity._replace(low=-LARGEST, high=LARGEST))]
    strange = ~valid(numbers, radiometry.validity)
    if len(np.unique(numbers[strange])) > FILL_VALUES:
        return numbers
    rest = numbers[~strange]
    # an image of nothing but one value may be constant, in another unit
    constant = rest.size == 0 and valid(numbers, possible(UNITS["dn"], 0.0)).any()
    return numbers if constant else rest


@dataclass
class Fill:
    """Undeclared fill values of one variable.

    Attributes
    ----------
    count : int
        Of pixels.
    smallest, largest : float
    radiometry : Radiometry
    """

    count: int
    smallest: float
    largest: float
    radiometry: Radiometry

    def __add__(self, other: Fill) -> Fill:
        smallest, largest = min(self.smallest, other.smallest), max(self.largest, other.largest)
        return Fill(self.count + other.count, smallest, largest, self.radiometry)

    @property
    def values(self) -> str:
        """The one value, or the smallest and the largest."""
        low, high = _shown(self.smallest), _shown(self.largest)
        return low if low == high else f"{low} to {high}"

    def fix(self, name: str) -> str:
        """Return the line that declares them."""
        if self.smallest == self.largest:
            return f'ds["{name}"].attrs["_FillValue"] = {self.values}'
        blank, (_, low, high, _) = self.radiometry.blank, self.radiometry.validity
        below = [f'(ds["{name}"] > {low:g})'] if self.smallest < low else []
        above = [f'(ds["{name}"] < {high:g})'] if self.largest > high else []
        other = "" if np.isnan(blank) else f", {blank:g}"
        return f'ds["{name}"] = ds["{name}"].where({" & ".join(below + above)}{other})'


def _shown(value: float) -> str:
    """Format a number as float32 knows it: -9999.9 and not -9999.900390625."""
    return str(np.float32(value) if abs(value) <= LARGEST else value).removesuffix(".0")


@dataclass
class Undeclared:
    """Fill values that nothing declares, by variable: gathered over bands and dates, reported in one warning."""

    fills: dict[str, Fill] = field(default_factory=dict)
    _seen: set[Any] = field(default_factory=set)

    def look(self, image: np.ndarray, radiometry: Radiometry, name: str, index: tuple[int, ...] = ()) -> None:
        """Count those of one image, of shape (y, x); a second time does not count."""
        from xr_s2sr.scene import pixel_codes  # brings numba

        if (name, index) in self._seen:
            return
        self._seen.add((name, index))
        count, smallest, largest = pixel_codes.impossible(image, radiometry.validity)
        if count:
            fill = Fill(count, smallest, largest, radiometry)
            self.fills[name] = self.fills[name] + fill if name in self.fills else fill

    def warn(self, where: str = "", at: Line | None = None) -> None:
        """Name values, pixels and the line that declares them, if there are any."""
        if not self.fills:
            return
        listed = ", ".join(f"{fill.values} in {name!r} ({fill.count} pixels)" for name, fill in self.fills.items())
        name, fill = next(iter(self.fills.items()))
        more = ", and so for the others" if len(self.fills) > 1 else ""
        warn(
            f"taken as nodata, since no surface has such a reflectance{where}: {listed}. Declare it{more}: "
            f"{fill.fix(name)}",
            at,
        )


def check_pixels(ds: xr.Dataset, info: SceneInfo, needed: Iterable[str]) -> None:
    """Refuse what cannot be computed in memory, and pixels that contradict their unit; warn of undeclared nodata.

    Raises
    ------
    LazyError
        If a band is a dask array.
    RadiometryError
        If the median of a band contradicts its metadata.
    """
    undeclared = Undeclared()
    for band in needed:
        native = info.bands[band]
        if ds[native.name].chunks is not None:
            raise LazyError(
                f"{native.name!r} is a dask array; this method computes in memory. Take a part of the scene and load "
                "it: ds = ds.isel(...).load()"
            )
        check_variable(ds[native.name], native)
        pixels = numba_ready(ds[native.name].values)
        for index in np.ndindex(pixels.shape[:-2]):
            undeclared.look(pixels[index], native.at(index), native.name, index)
    undeclared.warn()


#: Variables that tasks have warned of in this process, by call of upsample().
_warned: set[tuple[str, str]] = set()
_lock = Lock()


def warn_once(undeclared: Undeclared, call: str, at: Line | None) -> None:
    """Warn from a task, at the line of the call: of each variable once in this process, whatever other tasks find."""
    with _lock:
        undeclared.fills = {name: fill for name, fill in undeclared.fills.items() if (call, name) not in _warned}
        _warned.update((call, name) for name in undeclared.fills)
    undeclared.warn(", here and in other chunks", at)


def forget(call: str) -> None:
    """Let the tasks of a call warn, though there was one like it."""
    with _lock:
        _warned.difference_update([key for key in _warned if key[0] == call])
