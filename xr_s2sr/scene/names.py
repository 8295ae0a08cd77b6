"""Names of variables, read once: the bands that they mean, by themselves, by a description, or beside each other."""

from __future__ import annotations

import re
from collections.abc import Collection, Hashable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace

import xarray as xr

from xr_s2sr.bands import BANDS, by_convention, resolve, resolve_requested, said_gsd
from xr_s2sr.errors import BandError, GridError
from xr_s2sr.scene.grid import DEGRADED_BY, loading, read_axis, spatial_dims

#: Attribute, or coordinate along the bands, of a result that says which band is meant where its name does not.
BAND = "s2sr_band"
#: What rioxarray (band_as_variable=True) and GDAL call variables whose band a description tells.
_NUMBERED = re.compile(r"band_?\d+", re.IGNORECASE)


@dataclass(frozen=True)
class Names:
    """Bands and other variables of a Dataset, by the names that they have after those in `renamed` were changed.

    Attributes
    ----------
    bands : mapping of hashable to str
        Variable name to band id, in the order of the Dataset.
    ancillary : tuple of hashable
        Those that are not bands.
    renamed : mapping of hashable to str
        New names of variables whose band follows from more than their name.
    by_neighbours : mapping of hashable to str
        Bands of variables whose names mean another band elsewhere, by the names beside them, or as a result says.
    repeated : tuple of (str, BandError)
        Bands that come again, under another name.
    missing : BandError or None
        What is to be said if there is no band.
    beside : tuple of hashable
        The names of all bands, by which others are understood.
    """

    bands: Mapping[Hashable, str] = field(default_factory=dict)
    ancillary: tuple[Hashable, ...] = ()
    renamed: Mapping[Hashable, str] = field(default_factory=dict)
    by_neighbours: Mapping[Hashable, str] = field(default_factory=dict)
    repeated: tuple[tuple[str, BandError], ...] = ()
    missing: BandError | None = None
    beside: tuple[Hashable, ...] = ()

    @property
    def variables(self) -> dict[str, str]:
        """Band id to variable name, in the order of wavelength."""
        named = {band: str(name) for name, band in self.bands.items()}
        return {band: named[band] for band in BANDS if band in named}

    @property
    def problems(self) -> list[BandError]:
        """Reasons why bands cannot be used."""
        none = [self.missing] if self.missing and not self.bands else []
        return [*(error for _, error in self.repeated), *none]

    @property
    def explained(self) -> dict[Hashable, str]:
        """Bands of variables whose own names do not tell them, by these."""
        return {**self.renamed, **self.by_neighbours}

    def ids(self, asked: Iterable[object]) -> list[str]:
        """Return the ids of the bands that a user names, as they are meant in this Dataset, without repetition.

        Raises
        ------
        BandError
            For a name that is not a band.
        """
        asked = list(asked)
        meant: dict[str, str] = {}
        with suppress(BandError):  # what nothing tells is no convention's
            meant = by_convention([*self.beside, *asked])
        plain = {_plain(name): band for name, band in (*meant.items(), *self.explained.items())}
        return resolve_requested(plain.get(_plain(name), name) for name in asked)

    def only(self, bands: Collection[str]) -> Names:
        """Return the names without those of other bands."""
        kept = {name: band for name, band in self.bands.items() if band in bands}
        return replace(self, bands=kept, repeated=tuple(one for one in self.repeated if one[0] in bands))


def _plain(name: object) -> str:
    """Return a name as names are compared."""
    return str(name).strip().lower()


def read_names(ds: xr.Dataset) -> Names:
    """Tell what the variables of a Dataset are.

    A band follows from the name itself, from the ``long_name`` or ``description`` of variables such as "band_1", from
    the convention of the names beside it, or from what `upsample` wrote down.

    Raises
    ------
    BandError
        If two variables whose names do not tell are the same band, or nothing tells which convention is meant.
    """
    known: dict[Hashable, str] = {
        name: da.attrs[BAND] for name, da in ds.data_vars.items() if da.attrs.get(BAND) in BANDS
    }
    known |= dict(by_convention(name for name in ds.data_vars if name not in known).items())
    renamed = _renamed(ds, known)
    variables: dict[str, Hashable] = {}
    ancillary: list[Hashable] = []
    repeated: list[tuple[str, BandError]] = []
    for given in ds.data_vars:
        name = renamed.get(given, given)
        band = resolve(name)
        if band is None:
            ancillary.append(name)
        elif band in variables:
            other = variables[band]
            # of B01_20m and B01_60m, one is native
            less = other if said_gsd(other) not in (None, BANDS[band].gsd) else name
            line = f"ds = ds.drop_vars({less!r})"
            repeated.append((band, BandError(f"both {other!r} and {name!r} are band {band}. Keep one: {line}")))
        else:
            variables[band] = name
    bands = {name: band for band, name in variables.items()}
    return Names(bands, tuple(ancillary), renamed, known, tuple(repeated), _no_band(ds), tuple(bands))


def _renamed(ds: xr.Dataset, known: Mapping[Hashable, str]) -> dict[Hashable, str]:
    """Return new names for the variables whose own do not tell their band, of which some are known."""
    renamed: dict[Hashable, str] = {name: band for name, band in known.items() if resolve(name) != band}
    for name, variable in ds.data_vars.items():
        if _NUMBERED.fullmatch(str(name)):
            band = resolve(variable.attrs.get("long_name")) or resolve(variable.attrs.get("description"))
            if band is not None:
                renamed[name] = band
    for name, band in renamed.items():
        twin = band if band in ds else next((other for other, own in renamed.items() if own == band), name)
        if twin != name:
            raise BandError(f"both {twin!r} and {name!r} are band {band}. Keep one: ds = ds.drop_vars({name!r})")
    return renamed


def _no_band(ds: xr.Dataset) -> BandError:
    """Return the error for a Dataset without any band."""
    names = ", ".join(repr(name) for name in list(ds.data_vars)[:6]) or "none"
    first = next((name for name in ds.data_vars if not isinstance(name, str)), "my_red")
    fix = f'ds = ds.rename({{{first!r}: "B04", ...}})'
    if isinstance(ds.attrs.get("long_name"), tuple | list):  # of an array whose bands were numbered
        fix = "they are named by the array: ds = xr_s2sr.combine(da), in the place of da.to_dataset"
    return BandError(f"no Sentinel-2 band among the variables ({names}). Name them by band: {fix}")


def check_versions(ds: xr.Dataset) -> None:
    """Refuse versions of a band that products hold at other pixel sizes, such as B01_20m, loaded at another size again.

    Raises
    ------
    GridError
    """
    for name, da in ds.data_vars.items():
        band, said = resolve(name), said_gsd(name)
        if band is None or said in (None, BANDS[band].gsd) or DEGRADED_BY in da.attrs or "s2sr_model" in da.attrs:
            continue
        try:
            spacing = round(abs(read_axis(da, spatial_dims(da)[1], float(BANDS[band].gsd)).step))
        except GridError:
            continue  # read_scene says so
        if spacing != said:
            gsd = BANDS[band].gsd
            raise GridError(
                f"{name!r} is the {said} m version of {band} by its name, which was resampled from {gsd} m, but lies "
                f"on {spacing} m pixels; expected the native one. Load that: {loading(gsd, str(name))}. If only "
                f'the name is wrong: ds = ds.rename({{{name!r}: "{band}"}})'
            )
