"""The band table of Sentinel-2's MSI, and the names by which its bands are known."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches

from xr_s2sr.errors import BandError


@dataclass(frozen=True)
class Band:
    """One band of the MultiSpectral Instrument.

    Attributes
    ----------
    id : str
        "B01" ... "B12".
    gsd : int
        Native ground sampling distance, in metres.
    wavelength : float
        Centre, in nanometres (S2A, ESA's spectral response functions 3.1).
    aliases : tuple of str
        Lower-case names in use besides the id: STAC common names, Digital Earth's, Google's.
    """

    id: str
    gsd: int
    wavelength: float
    aliases: tuple[str, ...]

    @property
    def factor(self) -> int:
        """Pixel size over 10 m: 1, 2 or 6."""
        return self.gsd // 10

    @property
    def is_fine(self) -> bool:
        """True for the 10 m bands, which guide the restoration of the others."""
        return self.gsd == 10


_TABLE = (
    Band("B01", 60, 442.7, ("coastal", "coastal_aerosol", "aerosol", "nbart_coastal_aerosol")),
    Band("B02", 10, 492.4, ("blue", "nbart_blue")),
    Band("B03", 10, 559.8, ("green", "nbart_green")),
    Band("B04", 10, 664.6, ("red", "nbart_red")),
    Band("B05", 20, 704.1, ("rededge1", "red_edge_1", "rededge071", "nbart_red_edge_1")),
    Band("B06", 20, 740.5, ("rededge2", "red_edge_2", "rededge075", "nbart_red_edge_2")),
    Band("B07", 20, 782.8, ("rededge3", "red_edge_3", "rededge078", "nbart_red_edge_3")),
    Band("B08", 10, 832.8, ("nir", "nir_1", "nbart_nir_1")),
    Band("B8A", 20, 864.7, ("nir08", "nir_2", "narrow_nir", "nbart_nir_2")),
    Band("B09", 60, 945.1, ("nir09", "water_vapour", "water_vapor")),
    Band("B10", 60, 1373.5, ("cirrus",)),
    Band("B11", 20, 1613.7, ("swir16", "swir_1", "swir1", "nbart_swir_2")),
    Band("B12", 20, 2202.4, ("swir22", "swir_2", "swir2", "swir_3", "nbart_swir_3")),
)

#: Every band, in the order of wavelength.
BANDS: dict[str, Band] = {band.id: band for band in _TABLE}

#: Band ids by native GSD, in the order of wavelength. B10 (cirrus) is a 60 m band without ground signal.
BY_GSD: dict[int, tuple[str, ...]] = {
    gsd: tuple(band.id for band in _TABLE if band.gsd == gsd and band.id != "B10") for gsd in (10, 20, 60)
}

#: Never fed to a network: at 1375 nm the ground is hidden by water vapour.
CIRRUS = "B10"

#: MTF at the native Nyquist frequency, by satellite and band, for ``satellite=``. Sentinel-2A: as in the published
#: code of SupReME (Lanaras et al. 2017, CVPR Workshops) and S2Sharp (Ulfarsson et al. 2019, IEEE TGRS 57). Sentinel-2C:
#: ESA's point spread functions of 2025-11-07, of the instrument, before the resampling of Level-1C (S2C_PSF.zip on
#: sentiwiki.copernicus.eu/web/s2-documents); of the Gaussian as wide as they are, the geometric mean of the MTFs along
#: and across the track. Satellites for which we know no complete table (S2B), and B10, are not listed.
MTF: dict[str, dict[str, float]] = {
    "S2A": {
        "B01": 0.32,
        "B02": 0.26,
        "B03": 0.28,
        "B04": 0.24,
        "B05": 0.38,
        "B06": 0.34,
        "B07": 0.34,
        "B08": 0.26,
        "B8A": 0.33,
        "B09": 0.26,
        "B11": 0.22,
        "B12": 0.23,
    },
    "S2C": {
        "B01": 0.32,
        "B02": 0.33,
        "B03": 0.32,
        "B04": 0.26,
        "B05": 0.38,
        "B06": 0.38,
        "B07": 0.37,
        "B08": 0.22,
        "B8A": 0.35,
        "B09": 0.31,
        "B11": 0.25,
        "B12": 0.25,
    },
}

#: MTF at the native Nyquist frequency where no satellite is named: values in common use for Sentinel-2's instrument.
NOMINAL_MTF: dict[str, float] = {
    "B01": 0.32,
    "B02": 0.30,
    "B03": 0.28,
    "B04": 0.26,
    "B05": 0.34,
    "B06": 0.34,
    "B07": 0.34,
    "B08": 0.25,
    "B8A": 0.33,
    "B09": 0.26,
    "B11": 0.23,
    "B12": 0.24,
}

#: MTF at the native Nyquist frequency of real products, relative to 10 m bands of nominal MTF: the blur that explains
#: native 20 m and 60 m bands best, with resampling and misregistration in it. Measured on real scenes by
#: ``tests/bench/mtf.py``. B01 and B09 lie between what Level-1C (.26 and .26) and Level-2A (.18 and .44) have.
EFFECTIVE_MTF: dict[str, float] = NOMINAL_MTF | {
    "B01": 0.22,
    "B05": 0.27,
    "B06": 0.27,
    "B07": 0.27,
    "B8A": 0.26,
    "B09": 0.33,
    "B11": 0.14,
    "B12": 0.16,
}

_BY_ALIAS = {alias: band.id for band in _TABLE for alias in band.aliases}
_BY_ALIAS |= {alias.replace("nbart", "nbar"): band for alias, band in _BY_ALIAS.items() if alias.startswith("nbart")}
# B2, b02, B02_10m, B8A, b8a-20m, B02_L2A (satpy), "B4, central wavelength 665 nm" (GDAL)
_ID = re.compile(
    r"b0*(?P<number>[1-9]|1[0-2])(?P<a>a?)(?:_l[12][ac])?(?:[ _-]?(?P<gsd>[1-6]0)m)?(?:, central wavelength .*)?$"
)


def resolve(name: object) -> str | None:
    """Return the id of the band that `name` means, or None.

    Examples
    --------
    >>> resolve("b5"), resolve("swir16"), resolve("B4, central wavelength 665 nm"), resolve("SCL")
    ('B05', 'B11', 'B04', None)
    """
    if not isinstance(name, str):
        return None
    text = name.strip().lower()
    if text in _BY_ALIAS:
        return _BY_ALIAS[text]
    match = _ID.match(text)
    if match is None:
        return None
    band = f"B{match['number']}A" if match["a"] else f"B{int(match['number']):02d}"
    return band if band in BANDS else None


def by_convention(names: Iterable[object], fix: str = "") -> dict[str, str]:
    """Return the bands of names that mean another band in another convention, by the names beside them.

    Digital Earth Australia counts the bands of short-wave infrared from two on: swir_2, swir_3. Others have swir_1 and
    swir_2.

    Parameters
    ----------
    names : iterable
        Of all variables, or all labels.
    fix : str, optional
        The line that names the band, for the error; by default that for a variable.

    Raises
    ------
    BandError
        If nothing tells which is meant.

    Examples
    --------
    >>> by_convention(["swir_2", "swir_3"]), by_convention(["swir_1", "swir_2"])
    ({'swir_2': 'B11', 'swir_3': 'B12'}, {'swir_2': 'B12'})
    """
    spelled = {name: name.strip().lower().replace("_", "") for name in names if isinstance(name, str)}
    twos = [name for name, text in spelled.items() if text == "swir2"]
    if not twos:
        return {}
    rest = {name: text for name, text in spelled.items() if name not in twos}
    australian = "swir3" in rest.values() or any(text.startswith("nbar") for text in rest.values())
    told = "_" not in twos[0] or bool({"B11", "B12"} & {resolve(name) for name in rest})
    usual = "swir1" in rest.values() or (told and not australian)
    if australian == usual:
        raise BandError(
            f"{twos[0]!r} is B12 where bands are called swir_1 and swir_2, but B11 where they are called swir_2 and "
            "swir_3 (Digital Earth Australia), and the names beside it do not tell which. Name it by band, B12 or B11: "
            + (fix or f'ds = ds.rename({{{twos[0]!r}: "B12"}})')
        )
    if usual:
        return dict.fromkeys(twos, "B12")
    return dict.fromkeys(twos, "B11") | {name: "B12" for name, text in rest.items() if text == "swir3"}


def said_gsd(name: object) -> int | None:
    """Return the pixel size in a name such as "B01_20m", of which products hold a version; None if it says none."""
    match = _ID.match(name.strip().lower()) if isinstance(name, str) else None
    return None if match is None or match["gsd"] is None else int(match["gsd"])


def native_name(name: object, gsd: int) -> str:
    """Return the name of a band's native version: B01_60m for B01_20m."""
    return str(name) if said_gsd(name) is None else re.sub(r"[1-6](?=0m\s*$)", str(gsd // 10), str(name))


_ERROR = "_uncertainty"


@dataclass(frozen=True)
class Output:
    """One variable of a result: a band, by its id or under a name of the user's, or the standard error of one.

    Examples
    --------
    >>> Output("B05", error=True).name
    'B05_uncertainty'
    >>> Output.of("nir_uncertainty")
    Output(band='nir', error=True)
    """

    band: str
    error: bool = False

    @classmethod
    def of(cls, name: object) -> Output:
        """Return what a variable of this name is."""
        return cls(str(name).removesuffix(_ERROR), str(name).endswith(_ERROR))

    @property
    def name(self) -> str:
        return f"{self.band}{_ERROR}" if self.error else self.band


def uncertainty_of(name: object) -> str:
    """Return the name of the standard error of a band or variable."""
    return Output(str(name), error=True).name


def resolve_requested(names: Iterable[object]) -> list[str]:
    """Return the ids of the bands that were asked for, in that order, without repetition.

    Raises
    ------
    BandError
        For a name that is not a band.
    """
    ids: list[str] = []
    for name in names:
        band = resolve(name)
        if band is None:
            known = [*BANDS, *_BY_ALIAS]
            close = get_close_matches(str(name), known, n=1) or get_close_matches(str(name).lower(), known, n=1)
            hint = (
                f"did you mean {close[0]!r}?"
                if close
                else f'ask for some of {", ".join(BANDS)}, or "swir16" and the like'
            )
            raise BandError(f"{name!r} is not a Sentinel-2 band; {hint}")
        if band not in ids:
            ids.append(band)
    return ids
