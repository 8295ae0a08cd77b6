"""Fill that nothing declares, taken as nodata with a warning: values that no surface has, and constant areas.

No surface is so even that no band changes from pixel to pixel. An area is known by its 60 m cells: each band has one
value in four cells that make a square. The pixels of that value around, as far as :data:`NEAR`, belong to it. So every
pixel is judged by what is near it, whatever part of a scene it is seen in.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from xr_s2sr.errors import Line, warn
from xr_s2sr.scene.pixels import numba_ready
from xr_s2sr.scene.radiometry import Radiometry
from xr_s2sr.scene.scene import NativeScene, SceneBand
from xr_s2sr.scene.validity import LARGEST, invalid
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


def warn_of_fill_values(scene: NativeScene, bands: Iterable[str]) -> None:
    """Warn of fill values that nothing declares in bands in memory that no model reads."""
    undeclared = Undeclared()
    for band in (scene.bands[key] for key in bands):
        if scene[band.id].chunks is None:
            pixels = numba_ready(scene[band.id].values)
            for index in np.ndindex(*pixels.shape[:-2]):
                undeclared.look(pixels[index], band.at(index), band.name, index)
    undeclared.warn()


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
