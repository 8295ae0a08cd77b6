"""Inspect a Dataset without reading pixels: bands, grids, radiometry, and everything that is wrong with them.

Problems are collected instead of raised. ``upsample`` then raises the first problem, ``validate`` shows all.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import xarray as xr

from xr_s2sr.bands import BANDS, BY_GSD, CIRRUS, Band, by_convention, resolve, said_gsd
from xr_s2sr.errors import BandError, GridError, RadiometryError, S2SRError
from xr_s2sr.scene.band import SceneBand
from xr_s2sr.scene.blur import read_mtf
from xr_s2sr.scene.crs import check_tile, crs_of_bands
from xr_s2sr.scene.grid import Grid, degraded_by, read_grid
from xr_s2sr.scene.nesting import nest
from xr_s2sr.scene.offsets import offset_argument, radiometric_state
from xr_s2sr.scene.radiometry import Units, units_argument

Dims: TypeAlias = tuple[Hashable, ...]
#: A grid, and the start of its first pixel on the 10 m grid.
Place: TypeAlias = tuple[Grid, tuple[int, int]]

CIRRUS_NOTE = "B10 (cirrus) carries no ground signal: left out unless asked for by name, then bicubic"
RADIOMETRY_NOTE = "radiometry"

#: Attribute, or coordinate along the bands, of a result that says which band is meant where its name does not.
BAND = "s2sr_band"


@dataclass
class SceneInfo:
    """Findings about one Dataset.

    Attributes
    ----------
    variables : dict of str to str
        Band id to variable name, in the order of wavelength.
    bands : dict of str to SceneBand
        The bands without a problem.
    reference : str or None
        Id of the 10 m band whose coordinates the result takes.
    crs : str or None
    problems : list of S2SRError
        Reasons why bands cannot be used.
    notes : list of str
        Assumptions, and variables that will be left out.
    left_out : list of str
        Bands that cannot be restored beside others that can, with the reason.
    """

    variables: dict[str, str] = field(default_factory=dict)
    bands: dict[str, SceneBand] = field(default_factory=dict)
    reference: str | None = None
    crs: str | None = None
    problems: list[S2SRError] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    @property
    def fine(self) -> SceneBand:
        """The 10 m band whose coordinates the result takes."""
        return self.bands[self.reference or ""]

    @property
    def grid(self) -> Grid:
        """The 10 m grid."""
        return self.fine.grid

    @contextmanager
    def collecting(self) -> Iterator[None]:
        """Collect an error of this package instead of raising it."""
        try:
            yield
        except S2SRError as problem:
            self.problems.append(problem)

    def part(self, names: Collection[Hashable]) -> SceneInfo | None:
        """Return the same for these variables only, or None if the Dataset must be read again for that.

        It must be where there are problems, since a problem that bands share is reported for the first of them.
        """
        if self.problems or self.reference is None or self.variables[self.reference] not in names:
            return None
        variables = {band: name for band, name in self.variables.items() if name in names}
        bands = {key: band for key, band in self.bands.items() if key in variables}
        notes = [note for note in self.notes if not note.startswith(RADIOMETRY_NOTE)]
        if CIRRUS not in variables:
            notes = [note for note in notes if note != CIRRUS_NOTE]
        notes += _radiometry_notes(bands.values())
        return replace(self, variables=variables, bands=bands, problems=[], notes=notes, left_out=[])

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
        """Raise the first problem, and say how many more there are."""
        if not self.problems:
            return
        first, more = self.problems[0], len(self.problems) - 1
        if more:
            first = type(first)(f"{first} (and {more} more: see ds.s2sr.validate())")
        raise first


def scene_info(ds: xr.Dataset, units: Any, offset: Any, known: SceneInfo | None = None) -> SceneInfo:
    """Inspect a Dataset after checking the arguments that say what its pixel values are.

    `known` describes a Dataset that has these variables and more; nothing that it says is read again.
    """
    part = None if known is None else known.part(ds.data_vars)
    if part is not None:
        return part
    return inspect_scene(ds, units_argument(units), offset_argument(offset))


def conventional(ds: xr.Dataset) -> dict[Hashable, str]:
    """Return the bands of variables whose names mean another band elsewhere; of results, as `upsample` wrote it down.

    Raises
    ------
    BandError
        If nothing tells which convention is meant.
    """
    known: dict[Hashable, str] = {
        name: da.attrs[BAND] for name, da in ds.data_vars.items() if da.attrs.get(BAND) in BANDS
    }
    return known | dict(by_convention(name for name in ds.data_vars if name not in known).items())


def find_bands(ds: xr.Dataset, info: SceneInfo) -> None:
    """Resolve the names of all data variables."""
    variables: dict[str, str] = {}
    told: dict[Hashable, str] = {}
    with info.collecting():
        told = conventional(ds)
    for name in ds.data_vars:
        band = told.get(name) or resolve(name)
        if band is None:
            continue
        if band in variables:
            other = variables[band]
            # of B01_20m and B01_60m, one is native
            less = other if said_gsd(other) not in (None, BANDS[band].gsd) else name
            info.problems.append(
                BandError(f"both {other!r} and {name!r} are band {band}. Keep one: ds = ds.drop_vars({less!r})")
            )
            continue
        variables[band] = str(name)
    info.variables = {band: variables[band] for band in BANDS if band in variables}
    if not variables:
        names = ", ".join(repr(name) for name in list(ds.data_vars)[:6]) or "none"
        first = next((name for name in ds.data_vars if not isinstance(name, str)), "my_red")
        fix = f'ds = ds.rename({{{first!r}: "B04", ...}})'
        if isinstance(ds.attrs.get("long_name"), tuple | list):  # of an array whose bands were numbered
            fix = "they are named by the array: ds = xr_s2sr.combine(da), in the place of da.to_dataset"
        info.problems.append(BandError(f"no Sentinel-2 band among the variables ({names}). Name them by band: {fix}"))


def inspect_scene(ds: xr.Dataset, units: Units | None = None, offset: float | xr.DataArray | None = None) -> SceneInfo:
    """Look at names, coordinates and metadata; no pixel is read.

    Parameters
    ----------
    ds : Dataset
    units, offset
        As in :func:`xr_s2sr.upsample`.

    Returns
    -------
    SceneInfo
    """
    result = SceneInfo()
    find_bands(ds, result)
    finest_first = sorted(result.variables, key=lambda band: BANDS[band].gsd)
    crs = crs_of_bands(ds, [result.variables[band] for band in finest_first])
    result.crs = None if crs is None else crs.to_string()
    if CIRRUS in result.variables:
        result.notes.append(CIRRUS_NOTE)
    fine = [band for band in BY_GSD[10] if band in result.variables]
    if not fine:
        if result.variables:
            result.problems.append(
                BandError(
                    f"missing {', '.join(BY_GSD[10])}, the 10 m bands that guide every restoration (found: "
                    f"{', '.join(result.variables)}). Load them too, or name the variables by band"
                )
            )
        return result
    # by GSD and dims, since what shares those shares its place, and its problem: reported once
    places: dict[tuple[int, Dims], Place | None] = {}
    grid: Grid | None = None
    degraded = 1
    for band in fine:
        da = ds[result.variables[band]]
        if (10, da.dims[-2:]) in places:
            continue
        places[10, da.dims[-2:]] = None
        with result.collecting():
            degraded = degraded_by(da)
            grid = read_grid(da, 10, degraded=degraded)
            places[10, da.dims[-2:]] = grid, (0, 0)
            result.reference = band
            break
    if grid is None or result.reference is None:
        return result
    reference = ds[result.variables[result.reference]]
    if degraded > 1:
        result.notes.append(f"a simulated scene, degraded by {degraded}: its pixels are {degraded} times larger")
    dims = list(dict.fromkeys(dim for name in result.variables.values() for dim in ds[name].dims[-2:]))
    for band, name in result.variables.items():
        da, gsd = ds[name], BANDS[band].gsd
        key = gsd, da.dims[-2:]
        if key not in places:
            places[key] = None
            with result.collecting():
                own = read_grid(da, gsd, like=grid, degraded=degraded)
                check_tile(own, gsd, crs, name)
                places[key] = own, nest(grid, own, BANDS[band].factor, (str(reference.name), name), dims)
        place = places[key]
        if place is None:
            continue
        with result.collecting():
            _check_dims(da, reference, BANDS[band])
            radiometry, dates = radiometric_state(da, units, offset)
            axis = 0 if dates is None else da.dims.index(dates.dim)
            result.bands[band] = SceneBand(band, name, *place, radiometry, dates, axis, read_mtf(da, band))
    _check_cells(result)
    result.notes += _radiometry_notes(result.bands.values())
    return result


def _radiometry_notes(bands: Iterable[SceneBand]) -> list[str]:
    """Say where scale, offset and nodata come from, once for all bands that share it."""
    by_source: dict[str, list[str]] = {}
    for band in bands:
        by_source.setdefault(band.radiometry.source, []).append(band.id)
    several = len(by_source) > 1
    return [
        f"{RADIOMETRY_NOTE} of {', '.join(ids)}: {source}" if several else f"{RADIOMETRY_NOTE}: {source}"
        for source, ids in by_source.items()
    ]


def _check_dims(da: xr.DataArray, reference: xr.DataArray, band: Band) -> None:
    """Refuse 10 m bands with dims of their own, and bands with other leading dims."""
    if band.is_fine and da.dims[-2:] != reference.dims[-2:]:
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


def _check_cells(info: SceneInfo) -> None:
    """Collect a problem for grids that do not share the coarser's pixel edges: no window holds whole pixels of both."""
    first: dict[int, SceneBand] = {}
    places = {(band.factor, band.start): band for band in reversed(info.bands.values())}
    for band in sorted(places.values(), key=lambda h: h.factor):
        for other in first.values():
            if any((a - b) % other.factor for a, b in zip(band.start, other.start, strict=True)):
                info.problems.append(
                    GridError(
                        f"the {band.factor * 10} m grid of {band.name!r} does not fall on the {other.factor * 10} m "
                        f"grid of {other.name!r}: they start at {band.start} and {other.start} (10 m pixels). "
                        "Load both on the tile's own grid, without resampling"
                    )
                )
                break
        first.setdefault(band.factor, band)
