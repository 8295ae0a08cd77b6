"""Fill that nothing declares, taken as nodata with a warning: values that no surface has, and constant areas."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xr_s2sr.errors import Line, warn
from xr_s2sr.scene.constant_areas import constant_areas
from xr_s2sr.scene.radiometry import Radiometry
from xr_s2sr.scene.validity import LARGEST

if TYPE_CHECKING:
    from xr_s2sr.scene.band import SceneBand


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


@dataclass
class Area:
    """Pixels of one variable in areas that one value fills in all bands at once.

    Attributes
    ----------
    count, size : int
        Of pixels: of the areas, and of the images that were looked at.
    values : set of float
    radiometry : Radiometry
    """

    count: int
    size: int
    values: set[float]
    radiometry: Radiometry

    def __add__(self, other: Area) -> Area:
        values = self.values | other.values
        return Area(self.count + other.count, self.size + other.size, values, self.radiometry)

    def told(self, name: str) -> str:
        """Return values, pixels and their share in words."""
        few = ", ".join(map(_shown, sorted(self.values)[:3])) + (" ..." if len(self.values) > 3 else "")
        return f"{few} in {name!r} ({self.count} pixels, {100 * self.count / self.size:.2g} %)"

    def fix(self, name: str) -> str:
        """Return the line that declares them."""
        nodata, band = self.radiometry.nodata, f'ds["{name}"]'
        free = np.isnan(nodata) or self.radiometry.storage is not None  # where() would lose what decoded floats are
        if len(self.values) == 1 and not self.radiometry.integer and free:
            return f'{band}.attrs["_FillValue"] = {_shown(*self.values)}'
        values = ", ".join(map(_shown, sorted(self.values)))
        other = "" if np.isnan(nodata) else f", {_shown(nodata)}"
        return f"{band} = {band}.where(~{band}.isin([{values}]){other})"


def _shown(value: float) -> str:
    """Format a number as float32 knows it: -9999.9 and not -9999.900390625."""
    return str(np.float32(value) if abs(value) <= LARGEST else value).removesuffix(".0")


@dataclass
class Undeclared:
    """Fill that nothing declares, by variable: gathered over bands and dates, reported in one warning for each kind."""

    fills: dict[str, Fill] = field(default_factory=dict)
    areas: dict[str, Area] = field(default_factory=dict)
    _seen: set[Any] = field(default_factory=set)

    def look(self, image: np.ndarray, radiometry: Radiometry, name: str, index: tuple[int, ...] = ()) -> None:
        """Count the impossible values of one image, of shape (y, x); a second time does not count."""
        from xr_s2sr import kernels  # brings numba

        if (name, index) in self._seen:
            return
        self._seen.add((name, index))
        count, smallest, largest = kernels.impossible(image, radiometry.validity)
        if count:
            fill = Fill(count, smallest, largest, radiometry)
            self.fills[name] = self.fills[name] + fill if name in self.fills else fill

    def mask(
        self,
        arrays: dict[str, NDArray[Any]],
        starts: Mapping[str, tuple[int, int]],
        bands: Mapping[str, SceneBand],
        index: tuple[int, ...],
        *,
        alone: bool = False,
    ) -> list[str]:
        """Replace bands that are constant in whole areas by copies without a value there, and return which those are.

        The arguments are those of :func:`constant_areas`. A second time, bands are not counted again.
        """
        areas = constant_areas(arrays, starts, bands, index, alone=alone)
        for band, (mask, values) in areas.items():
            radiometry, name = bands[band].at(index), bands[band].name
            arrays[band] = arrays[band].copy()
            arrays[band][mask] = radiometry.nodata
            if (name, index, "areas") in self._seen:
                continue
            self._seen.add((name, index, "areas"))
            area = Area(int(mask.sum()), mask.size, {*values}, radiometry)
            self.areas[name] = self.areas[name] + area if name in self.areas else area
        return [*areas]

    def warn(self, where: str = "", at: Line | None = None) -> None:
        """Name values, pixels and the line that declares them, if there are any."""
        reason = "since no surface has such a reflectance"
        listed = [f"{fill.values} in {name!r} ({fill.count} pixels)" for name, fill in self.fills.items()]
        _warn(reason + where, listed, [fill.fix(name) for name, fill in self.fills.items()], at)
        reason = "since one value fills whole areas in all bands at once"
        listed = [area.told(name) for name, area in self.areas.items()]
        _warn(reason + where, listed, [area.fix(name) for name, area in self.areas.items()], at)


def _warn(reason: str, listed: list[str], fixes: list[str], at: Line | None) -> None:
    if listed:
        more = ", and so for the others" if len(listed) > 1 else ""
        warn(f"taken as nodata, {reason}: {', '.join(listed)}. Declare it{more}: {fixes[0]}", at)


#: Variables, and what else tasks have warned of in this process, by call of upsample().
_warned: set[tuple[str, str]] = set()
_lock = Lock()


def warn_once(undeclared: Undeclared, call: str, at: Line | None) -> None:
    """Warn from a task, at the line of the call: of each variable once in this process, whatever other tasks find."""
    with _lock:
        undeclared.fills = {name: fill for name, fill in undeclared.fills.items() if (call, name) not in _warned}
        undeclared.areas = {name: area for name, area in undeclared.areas.items() if (call, f"{name} ") not in _warned}
        _warned.update((call, name) for name in undeclared.fills)
        _warned.update((call, f"{name} ") for name in undeclared.areas)
    undeclared.warn(", here and in other chunks", at)


def warn_first(message: str, call: str, at: Line | None) -> None:
    """Warn from a task, at the line of the call, unless another task of this process did so, whatever of."""
    with _lock:
        first = (call, "") not in _warned
        _warned.add((call, ""))
    if first:
        warn(message, at)


def forget(call: str) -> None:
    """Let the tasks of a call warn, though there was one like it."""
    with _lock:
        _warned.difference_update([key for key in _warned if key[0] == call])
