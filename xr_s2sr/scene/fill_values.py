"""Fill values that nothing declares: single values that no surface has, taken as nodata with a warning."""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Lock
from typing import Any

import numpy as np

from xr_s2sr.errors import Line, warn
from xr_s2sr.scene.radiometry import Radiometry
from xr_s2sr.scene.validity import LARGEST


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


#: Variables, and what else tasks have warned of in this process, by call of upsample().
_warned: set[tuple[str, str]] = set()
_lock = Lock()


def warn_once(undeclared: Undeclared, call: str, at: Line | None) -> None:
    """Warn from a task, at the line of the call: of each variable once in this process, whatever other tasks find."""
    with _lock:
        undeclared.fills = {name: fill for name, fill in undeclared.fills.items() if (call, name) not in _warned}
        _warned.update((call, name) for name in undeclared.fills)
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
