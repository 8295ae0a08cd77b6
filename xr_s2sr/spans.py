"""Intervals and rectangles of pixels, in integers.

A span counts pixels of 10 m unless it says otherwise; the cell is that of Sentinel-2's coarsest grid, 60 m.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from xr_s2sr.errors import InputError

#: Every window starts and ends on the 60 m grid: the least common multiple of 1, 2 and 6 pixels.
CELL = 6


@dataclass(frozen=True)
class Span:
    """A half-open interval of pixels."""

    start: int
    stop: int

    def __post_init__(self) -> None:
        if self.stop < self.start:
            raise InputError(f"a span cannot end before it starts: {self.start}:{self.stop}")

    def __len__(self) -> int:
        return self.stop - self.start

    def shift(self, by: int) -> Span:
        """Return the span moved by a number of pixels."""
        return Span(self.start + by, self.stop + by)

    def clip(self, to: Span) -> Span:
        """Return the part inside of another span; empty if they do not meet."""
        start = min(max(self.start, to.start), to.stop)
        return Span(start, max(start, min(self.stop, to.stop)))

    def whole(self, anchor: int, pixel: int, side: int) -> Span:
        """Return the part that begins where larger pixels do, one of them at `anchor`, and is a multiple of `side`."""
        start = self.start + (anchor - self.start) % pixel
        return Span(start, start + max(0, self.stop - start) // side * side)

    def mirrored(self, n: int) -> Span:
        """Return the part of `n` samples that this span reads, if they are mirrored symmetrically at both ends."""
        return Span(max(0, min(self.start, 2 * n - self.stop)), min(n, max(self.stop, -self.start)))

    @property
    def slice(self) -> slice:
        """Slice of the span, as an index."""
        return slice(self.start, self.stop)


#: Rows and columns of a rectangle.
Extent: TypeAlias = tuple[Span, Span]


def ceil_to_cell(n: int) -> int:
    """Round up to a multiple of 6 pixels."""
    return -(-n // CELL) * CELL


def around(extent: Extent, reach: int, whole: Extent) -> Extent:
    """Return a rectangle and `reach` pixels of 10 m beyond it, on whole cells, as far as another one goes."""
    rows, cols = (
        Span((span.start - reach) // CELL * CELL, ceil_to_cell(span.stop + reach)).clip(limit)
        for span, limit in zip(extent, whole, strict=True)
    )
    return rows, cols


def inside(extent: Extent, whole: Extent, factor: int = 1) -> tuple[slice, slice]:
    """Return where a rectangle lies in another one, both in 10 m pixels, in pixels that are `factor` times as large."""
    rows, cols = (
        slice((span.start - outer.start) // factor, (span.stop - outer.start) // factor)
        for span, outer in zip(extent, whole, strict=True)
    )
    return rows, cols
