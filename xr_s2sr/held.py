"""A band as a Dataset holds it: its variable, its place, what its values mean."""

from __future__ import annotations

from dataclasses import dataclass, replace

from xr_s2sr.bands import BANDS
from xr_s2sr.baseline import DateOffsets
from xr_s2sr.grid import Grid
from xr_s2sr.radiometry import Radiometry
from xr_s2sr.spans import Extent, Span


@dataclass(frozen=True)
class Held:
    """A band as a Dataset holds it.

    Attributes
    ----------
    id : str
    name : str
        Of the variable.
    grid : Grid
    start : (int, int)
        Where its first pixel starts, in 10 m pixels, counted from the 10 m grid's first.
    radiometry : Radiometry
        Of the first date, where offsets differ.
    dates : DateOffsets or None
        The offsets by date, where they differ.
    axis : int
        Of the dates, among the leading dimensions.
    """

    id: str
    name: str
    grid: Grid
    start: tuple[int, int]
    radiometry: Radiometry
    dates: DateOffsets | None = None
    axis: int = 0

    def at(self, index: tuple[int, ...]) -> Radiometry:
        """The radiometry at a leading index."""
        return (
            self.radiometry
            if self.dates is None
            else replace(self.radiometry, offset=self.dates.values[index[self.axis]])
        )

    @property
    def told(self) -> str:
        """Its radiometry, for people."""
        if self.dates is None:
            return str(self.radiometry)
        offsets = " or ".join(f"{value:+g}" for value in sorted(set(self.dates.values)))
        return (
            f"{self.radiometry.dtype} x {self.radiometry.scale:g} {offsets} by date, nodata {self.radiometry.nodata:g}"
        )

    @property
    def factor(self) -> int:
        return BANDS[self.id].factor

    @property
    def extent(self) -> Extent:
        """Rows and columns of the 10 m grid that it covers."""
        rows, cols = (
            Span(start, start + size * self.factor) for start, size in zip(self.start, self.grid.shape, strict=True)
        )
        return rows, cols
