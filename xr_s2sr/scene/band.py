"""A band of a Dataset: its variable, its place, and the meaning of its values."""

from __future__ import annotations

from dataclasses import dataclass, replace

from xr_s2sr.bands import BANDS
from xr_s2sr.scene.grid import Grid
from xr_s2sr.scene.offsets import DateOffsets
from xr_s2sr.scene.radiometry import Radiometry
from xr_s2sr.spans import Extent, Span


@dataclass(frozen=True)
class SceneBand:
    """A band of a Dataset.

    Attributes
    ----------
    id : str
    name : str
        Name of the variable.
    grid : Grid
    start : (int, int)
        Start of its first pixel, in 10 m pixels from the first of the 10 m grid.
    radiometry : Radiometry
        That of the first date if offsets differ.
    dates : DateOffsets or None
        The offsets by date if they differ.
    axis : int
        Position of the dates among the leading dimensions.
    mtf : float
        At the Nyquist frequency of its pixels.
    """

    id: str
    name: str
    grid: Grid
    start: tuple[int, int]
    radiometry: Radiometry
    dates: DateOffsets | None = None
    axis: int = 0
    mtf: float = 0.25

    def at(self, index: tuple[int, ...]) -> Radiometry:
        """Return the radiometry at a leading index."""
        return (
            self.radiometry
            if self.dates is None
            else replace(self.radiometry, offset=self.dates.values[index[self.axis]])
        )

    @property
    def radiometry_text(self) -> str:
        """Its radiometry in words."""
        if self.dates is None:
            return str(self.radiometry)
        offsets = " or ".join(f"{value:+g}" for value in sorted(set(self.dates.values)))
        return (
            f"{self.radiometry.dtype} x {self.radiometry.scale:g} {offsets} by date, nodata {self.radiometry.nodata:g}"
        )

    @property
    def factor(self) -> int:
        """Pixel size over 10 m: 1, 2 or 6."""
        return BANDS[self.id].factor

    @property
    def extent(self) -> Extent:
        """Rows and columns of the 10 m grid that it covers."""
        rows, cols = (
            Span(start, start + size * self.factor) for start, size in zip(self.start, self.grid.shape, strict=True)
        )
        return rows, cols
