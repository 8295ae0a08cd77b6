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
import pandas as pd
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

Flags: TypeAlias = NDArray[np.bool_]
Cells: TypeAlias = tuple[NDArray[np.intp], ...]
#: By band, the value that it has in each cell; NaN where it has none.
Values: TypeAlias = Mapping[str, NDArray[np.float64]]


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

    def one_each(self, rows: Span, cols: Span, at: int) -> NDArray[Any]:
        """Return one pixel of each cell, the `at`-th of its diagonal."""
        cuts = []
        for start, span in zip(self.start, (rows, cols), strict=True):
            first = span.start * self.side - start + at
            cuts.append(slice(first, first + (len(span) - 1) * self.side + 1, self.side))
        part: NDArray[Any] = self.array[cuts[0], cuts[1]]
        return part

    def pixels(self, cells: Cells) -> Iterator[Cells]:
        """Yield the rows and columns of the pixels of some cells, one of each cell at a time; some may lie outside."""
        first = [at * self.side - start for at, start in zip(cells, self.start, strict=True)]
        for row, col in np.ndindex(self.side, self.side):
            yield first[0] + row, first[1] + col

    def gone(self, pixels: NDArray[Any]) -> Flags:
        """Tell which pixels hold no value."""
        gone: Flags = invalid(pixels, self.radiometry.validity) | ~np.isfinite(pixels)
        return gone


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
    flags, values, corner = _even_cells(placed)
    flags = _squares(flags, values)
    if not flags.any() or (alone and flags.all()):
        return {}
    found: dict[str, tuple[Flags, list[float]]] = {}
    table = pd.DataFrame({band: one[flags] for band, one in values.items()})
    labels = np.full(flags.shape, -1)
    labels[flags] = table.groupby([*placed], sort=False, dropna=False).ngroup()
    for k, combination in enumerate(table.drop_duplicates().to_dict("records")):
        value = {str(band): one for band, one in combination.items() if np.isfinite(one)}
        cells = _near(labels == k, corner)
        for side in {own.side for own in placed.values()}:
            group = {band: placed[band] for band in value if placed[band].side == side}
            for band, mask in _pixels(group, value, cells).items():
                known, listed = found.setdefault(band, (mask, []))
                np.logical_or(known, mask, out=known)
                listed.append(value[band])
    return found


def _even_cells(placed: Mapping[str, Placed]) -> tuple[Flags, Values, tuple[int, int]]:
    """Tell which cells, from a first row and column on, have one value in each band, and which that is."""
    rows, cols = (
        Span(start := max(c.start for c in own), max(start, min(c.stop for c in own)))
        for own in ([one.cells(axis) for one in placed.values()] for axis in (0, 1))
    )
    corner = rows.start, cols.start
    flags = np.ones((len(rows), len(cols)), np.bool_)
    there = np.zeros(flags.shape, np.bool_)
    values: dict[str, NDArray[np.float64]] = {}
    if not flags.size:
        return flags, values, corner
    # two pixels of each cell tell most of them
    for band, own in placed.items():
        first, last = own.one_each(rows, cols, 0), own.one_each(rows, cols, own.side - 1)
        gone = own.gone(first)
        flags &= (first == last) | (gone & own.gone(last))
        there |= ~gone
        values[band] = np.where(gone, np.nan, first.astype(np.float64))
    flags &= there
    if _squares(flags, values).any():
        for band, own in placed.items():
            cells = np.nonzero(flags)
            value = values[band][cells]
            for at in own.pixels((cells[0] + rows.start, cells[1] + cols.start)):
                pixels = own.array[at]
                flags[cells] &= np.where(np.isnan(value), own.gone(pixels), pixels == value)
    return flags, values, corner


def _squares(flags: Flags, values: Values) -> Flags:
    """Return the even cells that are part of a square of four with the same values."""
    right = flags[:, :-1] & flags[:, 1:]
    below = flags[:-1] & flags[1:]
    if right.any() and below.any():
        for held in values.values():
            gone = np.isnan(held)
            right &= (held[:, :-1] == held[:, 1:]) | (gone[:, :-1] & gone[:, 1:])
            below &= (held[:-1] == held[1:]) | (gone[:-1] & gone[1:])
    square = right[:-1] & right[1:] & below[:, :-1] & below[:, 1:]
    out = np.zeros_like(flags)
    for part in (out[:-1, :-1], out[:-1, 1:], out[1:, :-1], out[1:, 1:]):
        part |= square
    return out


def _near(cells: Flags, corner: tuple[int, int]) -> Cells:
    """Return the rows and columns of the cells of an area and of those around it."""
    height, width = cells.shape
    around = np.zeros((height + 2 * NEAR, width + 2 * NEAR), np.bool_)
    for row, col in np.ndindex(2 * NEAR + 1, 2 * NEAR + 1):
        around[row : row + height, col : col + width] |= cells
    rows, cols = np.nonzero(around)
    return rows + corner[0] - NEAR, cols + corner[1] - NEAR


def _pixels(group: Mapping[str, Placed], value: Mapping[str, float], cells: Cells) -> dict[str, Flags]:
    """Return the pixels of some cells that have, in all bands of one resolution, the value of an area."""
    found = {band: np.zeros(own.array.shape, np.bool_) for band, own in group.items()}
    for places in zip(*(own.pixels(cells) for own in group.values()), strict=True):
        inside = [
            (y >= 0) & (y < own.array.shape[0]) & (x >= 0) & (x < own.array.shape[1])
            for own, (y, x) in zip(group.values(), places, strict=True)
        ]
        joint = np.ones(cells[0].shape, np.bool_)
        for (band, own), (y, x), there in zip(group.items(), places, inside, strict=True):
            joint[there] &= own.array[y[there], x[there]] == value[band]
        for band, (y, x), there in zip(group, places, inside, strict=True):
            found[band][y[joint & there], x[joint & there]] = True
    return found


@dataclass
class Found:
    """Pixels of one variable that are taken as nodata.

    Attributes
    ----------
    count, size : int
        Of pixels: those, and all that were looked at.
    values : set of float
        Of impossible pixels, the smallest and the largest.
    radiometry : Radiometry
    """

    count: int
    size: int
    values: set[float]
    radiometry: Radiometry

    def __add__(self, other: Found) -> Found:
        return Found(self.count + other.count, self.size + other.size, self.values | other.values, self.radiometry)

    def impossible(self, name: str) -> tuple[str, str]:
        """Return what was found, and the line that declares it, for values that no surface has."""
        low, high = _shown(smallest := min(self.values)), _shown(largest := max(self.values))
        told = f"{low if low == high else f'{low} to {high}'} in {name!r} ({self.count} pixels)"
        if smallest == largest:
            return told, f'ds["{name}"].attrs["_FillValue"] = {low}'
        blank, (_, first, last, _) = self.radiometry.blank, self.radiometry.validity
        below = [f'(ds["{name}"] > {first:g})'] if smallest < first else []
        above = [f'(ds["{name}"] < {last:g})'] if largest > last else []
        other = "" if np.isnan(blank) else f", {blank:g}"
        return told, f'ds["{name}"] = ds["{name}"].where({" & ".join(below + above)}{other})'

    def constant(self, name: str) -> tuple[str, str]:
        """Return what was found, and the line that declares it, for areas that one value fills in all bands at once."""
        shown = [_shown(value) for value in sorted(self.values)]
        few = ", ".join(shown[:3]) + (" ..." if len(shown) > 3 else "")
        told = f"{few} in {name!r} ({self.count} pixels, {100 * self.count / self.size:.2g} %)"
        nodata, band = self.radiometry.nodata, f'ds["{name}"]'
        free = np.isnan(nodata) or self.radiometry.storage is not None  # where() would lose what decoded floats are
        if len(shown) == 1 and not self.radiometry.integer and free:
            return told, f'{band}.attrs["_FillValue"] = {shown[0]}'
        other = "" if np.isnan(nodata) else f", {_shown(nodata)}"
        return told, f"{band} = {band}.where(~{band}.isin([{', '.join(shown)}]){other})"


def _shown(value: float) -> str:
    """Format a number as float32 knows it: -9999.9 and not -9999.900390625."""
    return str(np.float32(value) if abs(value) <= LARGEST else value).removesuffix(".0")


@dataclass
class Undeclared:
    """Fill that nothing declares, by variable: gathered over bands and dates, reported in one warning for each kind."""

    fills: dict[str, Found] = field(default_factory=dict)
    areas: dict[str, Found] = field(default_factory=dict)
    _seen: set[Any] = field(default_factory=set)

    def look(self, image: np.ndarray, radiometry: Radiometry, name: str, index: tuple[int, ...] = ()) -> None:
        """Count the impossible values of one image, of shape (y, x); a second time does not count."""
        from xr_s2sr import kernels  # brings numba

        if (name, index) in self._seen:
            return
        self._seen.add((name, index))
        count, smallest, largest = kernels.impossible(image, radiometry.validity)
        if count:
            fill = Found(count, image.size, {smallest, largest}, radiometry)
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
            area = Found(int(mask.sum()), mask.size, {*values}, radiometry)
            self.areas[name] = self.areas[name] + area if name in self.areas else area
        return [*areas]

    def warn(self, where: str = "", at: Line | None = None) -> None:
        """Name values, pixels and the line that declares them, if there are any."""
        for reason, found in (
            ("no surface has such a reflectance", [fill.impossible(name) for name, fill in self.fills.items()]),
            ("one value fills whole areas in all bands at once", [a.constant(name) for name, a in self.areas.items()]),
        ):
            if found:
                listed, more = ", ".join(told for told, _ in found), ", and so for the others" if len(found) > 1 else ""
                warn(f"taken as nodata, since {reason}{where}: {listed}. Declare it{more}: {found[0][1]}", at)


def warn_of_fill_values(scene: NativeScene, bands: Iterable[str]) -> None:
    """Warn of fill values that nothing declares in bands in memory that no model reads."""
    undeclared = Undeclared()
    for band in (scene.bands[key] for key in bands):
        if scene[band.id].chunks is None:
            pixels = numba_ready(scene[band.id].values)
            for index in np.ndindex(*pixels.shape[:-2]):
                undeclared.look(pixels[index], band.at(index), band.name, index)
    undeclared.warn()


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
