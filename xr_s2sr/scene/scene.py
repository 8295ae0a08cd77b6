"""A scene in native form: its bands, their grids and what their values mean, and everything that is wrong with them.

No pixel is read. Problems are collected instead of raised: ``upsample`` raises the first, ``validate`` shows all.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import xarray as xr

from xr_s2sr.bands import BANDS, BY_GSD, CIRRUS, EFFECTIVE_MTF
from xr_s2sr.errors import ArgumentTypeError, BandError, GridError, InputError, RadiometryError, S2SRError
from xr_s2sr.scene.crs import check_tile, crs_of_bands
from xr_s2sr.scene.grid import Grid, degraded_by, nest, read_grid
from xr_s2sr.scene.names import Names, read_names
from xr_s2sr.scene.offsets import DateOffsets, offset_argument, radiometric_state
from xr_s2sr.scene.radiometry import Radiometry, Units, units_argument
from xr_s2sr.spans import Extent, Span

#: A grid, and the start of its first pixel on the 10 m grid.
Place: TypeAlias = tuple[Grid, tuple[int, int]]

#: Attribute of a simulated band: its MTF at the Nyquist frequency of its own, larger pixels.
MTF_ATTR = "s2sr_mtf"


@dataclass(frozen=True)
class SceneBand:
    """A band of a scene: its variable, its place, and the meaning of its values.

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
        if self.dates is None:
            return self.radiometry
        return replace(self.radiometry, offset=self.dates.values[index[self.axis]])

    def below(self, covered: Extent) -> tuple[slice, slice]:
        """Return the rows and columns of its own pixels in an extent of whole ones."""
        rows, cols = (
            slice((span.start - start) // self.factor, (span.stop - start) // self.factor)
            for span, start in zip(covered, self.start, strict=True)
        )
        return rows, cols

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


@dataclass(frozen=True)
class NativeScene:
    """A scene in native form, of which no variable's name is read again.

    Attributes
    ----------
    ds : Dataset
        One variable a band, each resolution on dims of its own, and whatever else the scene holds.
    names : Names
        What its variables are.
    bands : mapping of str to SceneBand
        The bands without a problem.
    reference : str or None
        Id of the 10 m band whose coordinates the result takes.
    crs : str or None
    problems : tuple of S2SRError
        Reasons why bands cannot be used.
    said : (units, offset)
        What the user says the values are.
    """

    ds: xr.Dataset
    names: Names = field(default_factory=Names)
    bands: Mapping[str, SceneBand] = field(default_factory=dict)
    reference: str | None = None
    crs: str | None = None
    problems: tuple[S2SRError, ...] = ()
    said: tuple[Units | None, float | xr.DataArray | None] = (None, None)

    def __getitem__(self, band: str) -> xr.DataArray:
        """Return the variable of a band."""
        return self.ds[self.variables[band]]

    @property
    def variables(self) -> Mapping[str, str]:
        """Band id to variable name, in the order of wavelength."""
        return self.names.variables

    @property
    def fine(self) -> xr.DataArray:
        """The 10 m band whose coordinates the result takes."""
        return self[self.reference or ""]

    @property
    def grid(self) -> Grid:
        """The 10 m grid."""
        return self.bands[self.reference or ""].grid

    @property
    def notes(self) -> list[str]:
        """Remarks on what is left out or was simulated, and on the sources of scale, offset and nodata value."""
        notes = []
        if CIRRUS in self.variables:
            notes.append("B10 (cirrus) carries no ground signal: left out unless asked for by name, then bicubic")
        if self.reference and (degraded := degraded_by(self.fine)) > 1:
            notes.append(f"a simulated scene, degraded by {degraded}: its pixels are {degraded} times larger")
        sources: dict[str, list[str]] = {}
        for band in self.bands.values():
            sources.setdefault(band.radiometry.source, []).append(band.id)
        of = {source: f" of {', '.join(ids)}" if len(sources) > 1 else "" for source, ids in sources.items()}
        return notes + [f"radiometry{bands}: {source}" for source, bands in of.items()]

    def only(self, bands: Collection[str]) -> NativeScene:
        """Return the scene with these bands alone; the variables of the others stay in `ds`.

        Where there are problems, it is read again, as one that bands share is told of the first of them.
        """
        names = self.names.only(bands)
        if self.problems or self.reference not in bands:
            return read_scene(self.ds, *self.said, names)
        return replace(self, names=names, bands={band: self.bands[band] for band in names.variables})

    def with_mtf(self, mtf: object) -> NativeScene:
        """Return the scene with the MTFs of bands that the user gives, by any alias.

        Raises
        ------
        ArgumentTypeError
            If `mtf` is not a mapping.
        BandError
            If it names what is not a band, or one twice.
        InputError
            If a value is not a number between 0 and 1.
        """
        if mtf is None:
            return self
        if not isinstance(mtf, Mapping):
            kind = type(mtf).__name__
            raise ArgumentTypeError(f'mtf={mtf!r} is a {kind}; expected one value a band: mtf={{"B11": 0.2}}')
        given: dict[str, float] = {}
        for name, value in mtf.items():
            [band] = self.names.ids([name])
            line = f"mtf={{{band!r}: 0.25}}"
            if not _is_mtf(value):
                raise InputError(f"mtf has {value!r} for {band}; expected a number between 0 and 1: {line}")
            if band in given:
                raise BandError(f"mtf has two values for {band}, one of them under {name!r}; expected one: {line}")
            given[band] = float(value)
        own = {key: replace(self.bands[key], mtf=given[key]) for key in self.bands if key in given}
        return replace(self, bands={**self.bands, **own})

    def common_extent(self, needed: Collection[str]) -> Extent:
        """Return the rows and columns of the 10 m grid that all needed bands cover.

        Raises
        ------
        GridError
            If there are none.
        """
        extents = [self.bands[band].extent for band in needed]
        rows, cols = ((max(e[axis].start for e in extents), min(e[axis].stop for e in extents)) for axis in (0, 1))
        if rows[0] >= rows[1] or cols[0] >= cols[1]:
            listed = "; ".join(
                f"{band.name!r} rows {band.extent[0].start}:{band.extent[0].stop}, columns "
                f"{band.extent[1].start}:{band.extent[1].stop}"
                for band in {h.factor: h for b, h in self.bands.items() if b in needed}.values()
            )
            raise GridError(
                f"the resolutions do not overlap, counted in 10 m pixels: {listed}. Select the same area in each: "
                "ds.sel(y=..., x=..., y_20m=..., x_20m=...)"
            )
        return Span(*rows), Span(*cols)

    def check_one_offset(self) -> None:
        """Refuse offsets that differ between dates, for methods that compare or degrade dates together.

        Raises
        ------
        RadiometryError
            If they differ along a dimension of any band.
        """
        for band in self.bands.values():
            if band.dates is not None:
                raise RadiometryError(
                    f"the offsets of {band.name!r} differ along {band.dates.dim!r} ({band.radiometry.source}); "
                    f"expected one. Take the dates of one offset: ds.isel({band.dates.dim}=[...])"
                )

    def check(self) -> None:
        """Raise the first problem, if there is one."""
        raise_first(self.problems)


def raise_first(problems: Sequence[S2SRError]) -> None:
    """Raise the first problem, if there is one, and say how many more there are."""
    if problems:
        first, more = problems[0], len(problems) - 1
        raise type(first)(f"{first} (and {more} more: see ds.s2sr.validate())") if more else first


@contextmanager
def _collected(problems: list[S2SRError]) -> Iterator[None]:
    """Collect an error of this package instead of raising it."""
    try:
        yield
    except S2SRError as problem:
        problems.append(problem)


def read_scene(ds: xr.Dataset, units: Any = None, offset: Any = None, names: Names | None = None) -> NativeScene:
    """Look at names, coordinates and metadata of a Dataset in native form.

    Parameters
    ----------
    ds : Dataset
    units, offset
        As in :func:`xr_s2sr.upsample`.
    names : Names, optional
        Where they are known already.
    """
    said = units_argument(units), offset_argument(offset)
    if names is None:
        names = read_names(ds)
        ds = ds.rename(names.renamed)
    variables, problems = names.variables, list[S2SRError](names.problems)
    crs = crs_of_bands(ds, [variables[band] for band in sorted(variables, key=lambda band: BANDS[band].gsd)])
    scene = NativeScene(ds, names, crs=None if crs is None else crs.to_string(), said=said)
    reference, places = _place_of_fine(scene, problems)
    bands: dict[str, SceneBand] = {}
    if reference is not None:
        fine, dims = scene[reference], list(dict.fromkeys(d for name in variables.values() for d in ds[name].dims[-2:]))
        [(grid, _)] = [place for place in places.values() if place is not None]
        for band, name in variables.items():
            da, own = ds[name], BANDS[band]
            if (key := (own.gsd, da.dims[-2:])) not in places:
                places[key] = None
                with _collected(problems):
                    coarse = read_grid(da, own.gsd, like=grid, degraded=degraded_by(fine))
                    check_tile(coarse, own.gsd, crs, name)
                    places[key] = coarse, nest(grid, coarse, own.factor, (str(fine.name), name), dims)
            if (place := places[key]) is None:
                continue
            with _collected(problems):
                _check_dims(da, fine, own.is_fine)
                radiometry, dates = radiometric_state(da, *said)
                axis = 0 if dates is None else da.dims.index(dates.dim)
                bands[band] = SceneBand(band, name, *place, radiometry, dates, axis, _read_mtf(da, band))
    problems += _across_cells(bands.values())
    return replace(scene, bands=bands, reference=reference, problems=tuple(problems))


def _place_of_fine(
    scene: NativeScene, problems: list[S2SRError]
) -> tuple[str | None, dict[tuple[int, tuple[Hashable, ...]], Place | None]]:
    """Return the first 10 m band whose grid can be read, and what is known by GSD and dims.

    What shares those shares its place, and its problem: reported once.
    """
    fine = [band for band in BY_GSD[10] if band in scene.variables]
    if not fine and scene.variables:
        problems.append(
            BandError(
                f"missing {', '.join(BY_GSD[10])}, the 10 m bands that guide every restoration (found: "
                f"{', '.join(scene.variables)}). Load them too, or name the variables by band"
            )
        )
    places: dict[tuple[int, tuple[Hashable, ...]], Place | None] = {}
    for band in fine:
        da = scene[band]
        if (10, da.dims[-2:]) in places:
            continue
        places[10, da.dims[-2:]] = None
        with _collected(problems):
            places[10, da.dims[-2:]] = read_grid(da, 10, degraded=degraded_by(da)), (0, 0)
            return band, places
    return None, places


def _check_dims(da: xr.DataArray, reference: xr.DataArray, fine: bool) -> None:
    """Refuse 10 m bands with dims of their own, and bands with other leading dims."""
    if fine and da.dims[-2:] != reference.dims[-2:]:
        raise GridError(
            f"the 10 m bands {reference.name!r} and {da.name!r} have dims of their own, {reference.dims[-2:]} and "
            f"{da.dims[-2:]}; expected one 10 m grid. Load them together"
        )
    lead, expected = da.dims[:-2], reference.dims[:-2]
    if lead != expected or any(da.sizes[d] != reference.sizes[d] for d in lead):
        raise GridError(
            f"{da.name!r} has the leading dimensions {dict(zip(lead, da.shape[:-2], strict=True))}, {reference.name!r} "
            f"{dict(zip(expected, reference.shape[:-2], strict=True))}; expected the same. "
            "Select one date, or expand the other: ds[...].expand_dims(...)"
        )


def _across_cells(bands: Iterable[SceneBand]) -> Iterator[GridError]:
    """Yield a problem for grids that do not share the coarser's pixel edges: no window holds whole pixels of both."""
    first: dict[int, SceneBand] = {}
    places = {(band.factor, band.start): band for band in reversed(list(bands))}
    for band in sorted(places.values(), key=lambda h: h.factor):
        for other in first.values():
            if any((a - b) % other.factor for a, b in zip(band.start, other.start, strict=True)):
                yield GridError(
                    f"the {band.factor * 10} m grid of {band.name!r} does not fall on the {other.factor * 10} m "
                    f"grid of {other.name!r}: they start at {band.start} and {other.start} (10 m pixels). "
                    "Load both on the tile's own grid, without resampling"
                )
                break
        first.setdefault(band.factor, band)


def _read_mtf(da: xr.DataArray, band: str) -> float:
    """Return the MTF of a band at its Nyquist frequency: of a simulated one from its attrs, else of real products."""
    value = da.attrs.get(MTF_ATTR, EFFECTIVE_MTF.get(band, 0.25))
    if not _is_mtf(value):
        raise InputError(
            f"{da.name!r} has {MTF_ATTR}={value!r} in its attrs; expected a number between 0 and 1, as degrade() "
            f'writes it. If it is a native band: del ds["{da.name}"].attrs["{MTF_ATTR}"]'
        )
    return float(value)


def _is_mtf(value: Any) -> bool:
    return isinstance(value, float | int) and not isinstance(value, bool) and 0 < value < 1
