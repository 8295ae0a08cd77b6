"""Windows over a domain: the pixels that each reads, keeps and writes. Pure integers, no arrays.

All numbers are 10 m pixels of the domain, the rectangle of whole coarse pixels that a run covers. A read may reach
over the domain's edges: pixels beyond them are mirrored ('symmetric') when they are gathered.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TypeAlias

from xr_s2sr.errors import InputError
from xr_s2sr.spans import CELL, Extent, Span, ceil_to_cell

#: Smallest side of a tile that is chosen to keep threads busy: the margin of a smaller one costs more than it brings.
SMALLEST_TILE = 240


@dataclass(frozen=True)
class Window:
    """One step of a run.

    Attributes
    ----------
    read : (Span, Span)
        Rows and columns that the network sees; may reach outside the domain.
    crop : (Span, Span)
        The part of the network's output that is kept, counted from the window's own corner.
    write : (Span, Span)
        Its place in the domain.
    """

    read: Extent
    crop: Extent
    write: Extent

    def __post_init__(self) -> None:
        for read, crop, write in zip(self.read, self.crop, self.write, strict=True):
            if read.start % CELL or read.stop % CELL:
                raise InputError(f"a window must start and end on multiples of {CELL} pixels, not {read}")
            if len(crop) != len(write) or crop.shift(read.start) != write:
                raise InputError(f"a window keeps {crop} of {read}, which is not {write}")

    def halves(self, margin: int) -> tuple[Window, Window] | None:
        """Return two windows that together write the same pixels; None if one cell is left.

        Parameters
        ----------
        margin : int
            Pixels that a window reads beyond those that it writes, but where the domain ends.
        """
        for axis in sorted((0, 1), key=lambda k: -len(self.read[k])):
            write = self.write[axis]
            middle = ceil_to_cell(write.start + len(write) // 2)
            if write.start < middle < write.stop:
                return tuple(  # type: ignore[return-value]
                    self._part(axis, half, margin) for half in (Span(write.start, middle), Span(middle, write.stop))
                )
        return None

    def _part(self, axis: int, write: Span, margin: int) -> Window:
        """Return a window that writes less along an axis."""
        whole = self.read[axis]
        first, last = write.start // CELL * CELL - margin, ceil_to_cell(write.stop) + margin
        read = Span(max(first, whole.start), min(last, whole.stop))
        reads, crops, writes = list(self.read), list(self.crop), list(self.write)
        reads[axis], crops[axis], writes[axis] = read, write.shift(-read.start), write
        return Window((reads[0], reads[1]), (crops[0], crops[1]), (writes[0], writes[1]))


#: Pixels of 10 m before and after a domain, along both axes, that windows may read.
Outer: TypeAlias = tuple[tuple[int, int], tuple[int, int]]


@dataclass(frozen=True)
class Plan:
    """All windows of a run, of one shape.

    Attributes
    ----------
    shape : (int, int)
        The domain's, in pixels.
    tile : (int, int)
        Pixels of the domain that each window is responsible for; multiples of 6. The first and the last along an axis
        have more where less than the margin is read beyond the domain.
    margin : int
        Pixels read beyond the tile on each side; a multiple of 6.
    overlap : int
        Pixels kept beyond the tile on each side, to be blended; 0 where the margin covers the halo.
    look : int
        Pixels beyond the margin that are read to register bands, and that the network does not see.
    outer : ((int, int), (int, int)), optional
        Pixels read beyond the domain: before and after the rows, before and after the columns; multiples of 6, at most
        the margin, which it is by default.
    """

    shape: tuple[int, int]
    tile: tuple[int, int]
    margin: int
    overlap: int = 0
    look: int = 0
    outer: Outer | None = None

    @property
    def window_shape(self) -> tuple[int, int]:
        """Rows and columns that every window reads."""
        return self._side(0), self._side(1)

    @property
    def counts(self) -> tuple[int, int]:
        """Number of windows along both axes."""
        return self._count(0), self._count(1)

    def __len__(self) -> int:
        return self.counts[0] * self.counts[1]

    def __iter__(self) -> Iterator[Window]:
        rows, cols = ([*self._along(axis)] for axis in (0, 1))
        for row in rows:
            for col in cols:
                read, crop, write = zip(row, col, strict=True)
                yield Window(read, crop, write)

    def read(self, axis: int, span: Span) -> Span:
        """Return the pixels that the windows that touch a part of the domain read along an axis."""
        touching = [read for read, _, write in self._along(axis) if len(write.clip(span))]
        return Span(touching[0].start, touching[-1].stop)

    def _whole(self, axis: int) -> Span:
        """Return all that is read along an axis."""
        before, after = self.outer[axis] if self.outer else (self.margin, self.margin)
        return Span(-before, ceil_to_cell(self.shape[axis]) + after)

    def _count(self, axis: int) -> int:
        """Return the number of windows along an axis."""
        return max(1, -(-(len(self._whole(axis)) - 2 * self.margin) // self.tile[axis]))

    def _side(self, axis: int) -> int:
        """Return the pixels that each window reads along an axis."""
        usual = self.tile[axis] + 2 * self.margin
        return usual if self.overlap or self._count(axis) > 1 else len(self._whole(axis))

    def _along(self, axis: int) -> Iterator[tuple[Span, Span, Span]]:
        """Yield each window's read, crop and write along an axis."""
        size, whole, side = self.shape[axis], self._whole(axis), self._side(axis)
        starts = [whole.start + k * self.tile[axis] for k in range(self._count(axis))]
        if not self.overlap:
            starts[-1] = whole.stop - side
        borders = [0, *(start + self.margin for start in starts[1:]), size]
        for start, first, last in zip(starts, borders, borders[1:], strict=False):
            read, write = Span(start, start + side), Span(first, last)
            if self.overlap:
                write = Span(max(0, first - self.overlap), min(size, last + self.overlap))
            yield read, write.shift(-read.start), write

    def with_margin(self, margin: int, outer: Outer | None) -> Plan:
        """Return a plan of as many windows that read less beyond their tiles."""
        shape = self.shape
        rows, cols = (
            _tile(size, count, margin, outer and outer[axis])
            for axis, (size, count) in enumerate(zip(shape, self.counts, strict=True))
        )
        return replace(self, tile=(rows, cols), margin=margin, outer=outer)


def make_plan(shape: tuple[int, int], tile: int, halo: int | None, margin: int | None = None, reach: int = 0) -> Plan:
    """Cover a domain with equal windows.

    Parameters
    ----------
    shape : (int, int)
        The domain, in 10 m pixels.
    tile : int
        Largest side of a tile; rounded up to a multiple of 6, then evened out so that little is padded.
    halo : int or None
        The network's receptive-field radius; None if unknown.
    margin : int, optional
        Pixels read beyond the tile, rounded up to a multiple of 6. By default the halo; 24 where it is unknown.
    reach : int
        Pixels beyond the halo that the filling of invalid pixels looks at.

    Returns
    -------
    Plan
        With ``overlap == 0`` where the margin covers the halo: every pixel then comes from one window, and is
        the same whatever the tile. Else neighbours overlap by the margin on both sides of their border; a margin
        of 0 leaves seams.

    Raises
    ------
    InputError
        If shape or tile are not positive, or the margin is negative.
    """
    if min(shape) < 1:
        raise InputError(f"nothing to cover: the domain is {shape[0]} x {shape[1]} pixels")
    if tile < 1:
        raise InputError(f"tile is {tile}; use a positive number of 10 m pixels, such as tile=720")
    if margin is not None and margin < 0:
        raise InputError(f"margin is {margin}; use 0 or more 10 m pixels, such as margin=36")
    if halo is not None and (margin is None or margin >= halo):
        margin, overlap = ceil_to_cell(max(margin or 0, halo + reach)), 0
    else:
        margin = overlap = ceil_to_cell(24 if margin is None else margin)
    # a tile narrower than both its ramps would be reached by three windows, whose weights do not sum to one
    tile = max(ceil_to_cell(tile), 2 * overlap)
    even = (_tile(n, -(-n // tile), margin, None) for n in shape)
    rows, cols = (max(side, 2 * overlap) for side in even)
    return Plan(shape, (rows, cols), margin, overlap)


@lru_cache(maxsize=64)
def balanced_plan(shape: tuple[int, int], margin: int, threads: int, largest: int, outer: Outer | None = None) -> Plan:
    """Cover a domain with the equal windows that keep all threads busy to the end, and read the fewest pixels twice.

    Parameters
    ----------
    shape : (int, int)
        The domain, in 10 m pixels.
    margin : int
        Pixels read beyond the tile, which covers the halo; a multiple of 6.
    threads : int
        Windows under way at once.
    largest : int
        Pixels of a window, its margin included, that memory allows; if not even a window around one tile of
        :data:`SMALLEST_TILE` pixels fits, that one is taken all the same.
    outer : ((int, int), (int, int)), optional
        See :class:`Plan`.
    """
    before_and_after = outer or (None, None)
    best: tuple[tuple[int, int], Plan] | None = None
    for down in range(1, max(1, shape[0] // SMALLEST_TILE) + 1):
        for across in range(1, max(1, shape[1] // SMALLEST_TILE) + 1):
            rows, cols = (
                _tile(size, count, margin, sides)
                for size, count, sides in zip(shape, (down, across), before_and_after, strict=True)
            )
            plan = Plan(shape, (rows, cols), margin, outer=outer)
            area = math.prod(plan.window_shape)
            # pixels that the busiest thread sees, then pixels that all of them see
            cost = -(-len(plan) // threads) * area, len(plan) * area
            if area <= largest and (best is None or cost < best[0]):
                best = cost, plan
    if best is not None:
        return best[1]
    rows, cols = (min(SMALLEST_TILE, ceil_to_cell(n)) for n in shape)
    return Plan(shape, (rows, cols), margin, outer=outer)


def _tile(size: int, count: int, margin: int, outer: tuple[int, int] | None) -> int:
    """Return the side of tiles, on whole cells, of which so many windows or fewer read all of a length.

    Parameters
    ----------
    size, count, margin : int
    outer : (int, int), optional
        Pixels read before and after it; by default the margin.
    """
    beyond = 0 if outer is None else sum(outer) - 2 * margin
    return max(CELL, ceil_to_cell(-(-(ceil_to_cell(size) + beyond) // count)))
