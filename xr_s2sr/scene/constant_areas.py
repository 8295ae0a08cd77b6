"""Areas in which no band changes from pixel to pixel: fill of any value, for no surface is so even in all bands.

An area is known by its 60 m cells: each band has one value in four cells that make a square. The pixels of that value
around, as far as :data:`NEAR`, belong to it. So every pixel is judged by what is near it, whatever part of a scene it
is seen in.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from xr_s2sr.scene.band import SceneBand
from xr_s2sr.scene.radiometry import Radiometry
from xr_s2sr.scene.validity import invalid
from xr_s2sr.spans import CELL, Span

#: Cells around an area in which pixels of its value belong to it.
NEAR = 2
#: 10 m pixels beyond a pixel that decide whether it belongs to an area: the rest of its cell, and those of a square.
REACH = CELL * (NEAR + 2)

#: Cells whose pixels are looked at at once.
BATCH = 2**14

Flags: TypeAlias = NDArray[np.bool_]
Cells: TypeAlias = tuple[NDArray[np.intp], ...]


@dataclass(frozen=True)
class Placed:
    """Pixels of one band, and their place among the cells of a domain.

    Attributes
    ----------
    array : ndarray, shape (y, x)
    start : (int, int)
        Place of the first pixel in the domain, counted in the band's own pixels.
    side : int
        Pixels along the side of a cell: 6, 3 or 1.
    radiometry : Radiometry
    """

    array: NDArray[Any]
    start: tuple[int, int]
    side: int
    radiometry: Radiometry

    def cells(self, axis: int) -> Span:
        """Return the cells that lie inside along an axis."""
        first, size = self.start[axis], self.array.shape[axis]
        begin = -(-first // self.side)
        return Span(begin, max(begin, (first + size) // self.side))

    def index(self, axis: int, cells: NDArray[np.intp]) -> NDArray[np.intp]:
        """Return the first pixel of cells along an axis."""
        return cells * self.side - self.start[axis]

    def one_each(self, rows: Span, cols: Span, at: int) -> NDArray[Any]:
        """Return one pixel of each cell, the `at`-th of its diagonal."""
        cuts = []
        for axis, span in enumerate((rows, cols)):
            first = span.start * self.side - self.start[axis] + at
            cuts.append(slice(first, first + (len(span) - 1) * self.side + 1, self.side))
        part: NDArray[Any] = self.array[cuts[0], cuts[1]]
        return part

    def gone(self, pixels: NDArray[Any]) -> Flags:
        """Tell which pixels hold no value."""
        gone: Flags = invalid(pixels, self.radiometry.validity) | ~np.isfinite(pixels)
        return gone


@dataclass(frozen=True)
class Even:
    """The cells of a lattice: which are even in all bands, and the value that each band has in them.

    Attributes
    ----------
    rows, cols : Span
    flags : ndarray of bool, shape (rows, cols)
    values : mapping of str to ndarray of float64, shape (rows, cols)
        NaN where a band holds no value.
    """

    rows: Span
    cols: Span
    flags: Flags
    values: Mapping[str, NDArray[np.float64]]


def constant_areas(
    arrays: Mapping[str, NDArray[Any]],
    starts: Mapping[str, tuple[int, int]],
    bands: Mapping[str, SceneBand],
    index: tuple[int, ...],
    *,
    alone: bool = False,
) -> dict[str, tuple[Flags, list[float]]]:
    """Find the areas of one date in which all bands are constant; return their pixels and values by band.

    Parameters
    ----------
    arrays : mapping of str to ndarray, shape (y, x)
        By band.
    starts : mapping of str to (int, int)
        See :class:`Placed`.
    bands : mapping of str to SceneBand
    index : tuple of int
        The date, along the leading dimensions.
    alone : bool
        True if this is all there is of the scene: an image of one value is then no area of another.
    """
    placed = {
        band: Placed(array, starts[band], CELL // bands[band].factor, bands[band].at(index))
        for band, array in arrays.items()
    }
    if len({own.side for own in placed.values()}) < 2 or not any(own.side == CELL for own in placed.values()):
        return {}  # one band alone may well be even, such as the SWIR of water
    even = _even_cells(placed)
    if even is None:
        return {}
    flags = _squares(even)
    if not flags.any() or (alone and flags.all()):
        return {}
    found: dict[str, tuple[Flags, list[float]]] = {}
    held = (even.values[band][flags] for band in placed)
    table = np.stack([np.where(np.isnan(values), -np.inf, values) for values in held], -1)
    if (table == table[0]).all():
        combinations, labels = table[:1], np.where(flags, 0, -1)
    else:
        combinations, which = np.unique(table, axis=0, return_inverse=True)
        labels = np.full(flags.shape, -1)
        labels[flags] = which.reshape(-1)
    for k, combination in enumerate(combinations):
        value = {band: one for band, one in zip(placed, combination.tolist(), strict=True) if np.isfinite(one)}
        for side in {own.side for own in placed.values()}:
            group = {band: placed[band] for band in value if placed[band].side == side}
            for band, mask in _pixels(group, value, labels == k, even).items():
                known, values = found.setdefault(band, (mask, []))
                np.logical_or(known, mask, out=known)
                values.append(value[band])
    return found


def _even_cells(placed: Mapping[str, Placed]) -> Even | None:
    """Tell which cells are even; None if there are none."""
    rows, cols = (
        Span(start := max(c.start for c in own), max(start, min(c.stop for c in own)))
        for own in ([one.cells(axis) for one in placed.values()] for axis in (0, 1))
    )
    if len(rows) < 2 or len(cols) < 2:
        return None
    flags = np.ones((len(rows), len(cols)), np.bool_)
    there = np.zeros(flags.shape, np.bool_)
    values = {}
    # two pixels of each cell tell most of them
    for band, own in placed.items():
        first, last = own.one_each(rows, cols, 0), own.one_each(rows, cols, own.side - 1)
        gone = own.gone(first)
        flags &= (first == last) | (gone & own.gone(last))
        there |= ~gone
        values[band] = np.where(gone, np.nan, first.astype(np.float64))
    flags &= there
    if not _squares(Even(rows, cols, flags, values)).any():
        return None
    for cells in _some(np.nonzero(flags)):
        for band, own in placed.items():
            blocks = _blocks(own, cells, rows.start, cols.start)[0]
            value = values[band][cells][:, None, None]
            same = np.where(np.isnan(value), own.gone(blocks), blocks == value)
            flags[cells] &= same.all((1, 2))
    return Even(rows, cols, flags, values)


def _some(cells: Cells) -> Iterator[Cells]:
    """Yield cells, some at once, so that memory stays small."""
    for first in range(0, len(cells[0]), BATCH):
        yield cells[0][first : first + BATCH], cells[1][first : first + BATCH]


def _blocks(own: Placed, cells: Cells, row: int, col: int) -> tuple[NDArray[Any], Cells, Flags]:
    """Return the pixels (cell, y, x) of some cells, their index in the array, and which of them lie in it.

    Parameters
    ----------
    own : Placed
    cells : (ndarray, ndarray)
        Rows and columns, from a cell on that is the `row`-th and `col`-th.
    """
    within = np.arange(own.side)
    y = own.index(0, cells[0] + row)[:, None, None] + within[:, None]
    x = own.index(1, cells[1] + col)[:, None, None] + within
    height, width = own.array.shape
    at = np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)
    return own.array[at], at, (y == at[0]) & (x == at[1])


def _squares(even: Even) -> Flags:
    """Return the even cells that are part of a square of four with the same values."""
    flags = even.flags
    right = flags[:, :-1] & flags[:, 1:]
    below = flags[:-1] & flags[1:]
    if right.any() and below.any():
        for values in even.values.values():
            gone = np.isnan(values)
            right &= (values[:, :-1] == values[:, 1:]) | (gone[:, :-1] & gone[:, 1:])
            below &= (values[:-1] == values[1:]) | (gone[:-1] & gone[1:])
    square = right[:-1] & right[1:] & below[:, :-1] & below[:, 1:]
    out = np.zeros_like(flags)
    for part in (out[:-1, :-1], out[:-1, 1:], out[1:, :-1], out[1:, 1:]):
        part |= square
    return out


def _pixels(group: Mapping[str, Placed], value: Mapping[str, float], cells: Flags, even: Even) -> dict[str, Flags]:
    """Return the pixels of areas of one value a band: those of their cells, and those of their values around."""
    if not group:
        return {}
    around = np.zeros((cells.shape[0] + 2 * NEAR, cells.shape[1] + 2 * NEAR), np.bool_)
    for i in range(2 * NEAR + 1):
        for j in range(2 * NEAR + 1):
            around[i : i + cells.shape[0], j : j + cells.shape[1]] |= cells
    found = {band: np.zeros(own.array.shape, np.bool_) for band, own in group.items()}
    for some in _some(np.nonzero(around)):
        blocks = {
            band: _blocks(own, some, even.rows.start - NEAR, even.cols.start - NEAR) for band, own in group.items()
        }
        joint = np.logical_and.reduce([(held == value[band]) | ~there for band, (held, _, there) in blocks.items()])
        for band, (_, at, there) in blocks.items():
            rows, cols = (one[joint & there] for one in np.broadcast_arrays(*at))
            found[band][rows, cols] = True
    return found
