"""Variables that may be bands under names that we do not know: they would pass for restored, so they are named."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xr_s2sr.bands import resolve
from xr_s2sr.errors import S2SRError, warn
from xr_s2sr.scene.radiometry import validity_in_any_unit
from xr_s2sr.scene.validity import valid

#: Parts of the names of bands, between other words; RED_EDGE tells its number.
_BAND = re.compile(
    r"(?<![a-z])(band[ _-]?\d+a?|b\d{1,2}a?|(?P<edge>(vegetation )?red ?edge|vre|re)[ _-]?(?P<number>\d?)|"
    r"(narrow )?nir|nnir|n2|swir|coastal|aerosol|water vapou?r|cirrus)(?![a-z])"
)
_EDGES = {"1": "B05", "2": "B06", "3": "B07"}
#: Parts of the names of what comes beside bands: classes, masks, probabilities, atmosphere, angles, indices.
_OTHER = re.compile(
    r"scl|class|mask|msk|qa|qual|flag|cloud|cld|snow|snw|prob|shadow|aot|optical|wvp|tci|visual|angle|azimuth|zenith|"
    r"oa |dem|elevation|slope|aspect|height|nd[a-z]{2}i?(?![a-z])|index|count|footprint|contiguity|uncertainty|error"
)
#: More different values than that in a part of an image are no classes.
CLASSES = 25
#: Side of the part that is looked at, in pixels.
PART = 144


def unknown_bands(ds: xr.Dataset, names: Iterable[Hashable]) -> list[str]:
    """Return the variables among `names` that are no band by name, and may be one: by what the name says, or by pixels.

    Pixels in memory say so where they are copies of 20 m or 60 m pixels, and no classes. No other pixel is read.
    """
    return [
        str(name)
        for name in names
        if resolve(name) is None
        and ds[name].ndim >= 2
        and ds[name].dtype.kind in "uif"
        and ds[name].dtype.itemsize > 1
        # GDAL's bands are numbered, and described
        and not _OTHER.search(_plain(f"{name} {ds[name].attrs.get('long_name', '')}"))
        and (sounds_like_a_band(name) or _repeated(ds[name]))
    ]


def sounds_like_a_band(name: Hashable) -> bool:
    """Tell whether a name that is not a band's holds the name of one, and none of what comes beside bands."""
    return bool(_BAND.search(_plain(name))) and not _OTHER.search(_plain(name))


def renaming(names: Iterable[str]) -> str:
    """Return the line that names bands, with the ids that their names suggest, or "B.." where they do not."""
    listed = ", ".join(f'{name!r}: "{_guess(name) or "B.."}"' for name in names)
    return f"ds = ds.rename({{{listed}}})"


def warn_of_unknown(ds: xr.Dataset, result: xr.Dataset, *, stacked: bool) -> None:
    """Name what may be a band and was passed through.

    Parameters
    ----------
    ds : Dataset
        The scene, in native form.
    result : Dataset
    stacked : bool
        True if the scene has its bands in one array.
    """
    if names := unknown_bands(ds, [name for name in result.data_vars if name in ds]):
        line = 'da = da.assign_coords(band=["B02", "B03", ...])' if stacked else renaming(names)
        warn(
            f"passed through as they are, not restored, as their names are not those of bands: {', '.join(names)}. "
            f"Name the bands among them: {line}"
        )


def _plain(name: Hashable) -> str:
    """Return a name in lower case, with blanks between its words."""
    return re.sub(r"[ _.-]+", " ", str(name)).strip().lower()


def _guess(name: str) -> str | None:
    """Return the id of the band that a name seems to mean, or None where it might be several."""
    found = _BAND.search(_plain(name))
    if found is None:
        return None
    if found["edge"]:
        return _EDGES.get(found["number"])
    text = found[0]
    if "nir" in text or text == "n2":
        return "B8A" if re.search("n2|nnir|narrow", _plain(name)) else None
    if text == "swir":
        number = re.search(r"swir ?(16|22)(?!\d)", _plain(name))
        return None if number is None else resolve(f"swir{number[1]}")
    number = re.search(r"\d+a?", text)
    return resolve(text.replace(" ", "_") if number is None else f"b{number[0]}")


def _repeated(da: xr.DataArray) -> bool:
    """Tell whether pixels in memory, in the middle of the image, are copies of larger ones, and no classes."""
    if da.chunks is not None or not da.variable._in_memory:
        return False
    try:
        validity = validity_in_any_unit(da)
    except S2SRError:
        return False
    parts = {dim: slice(max(0, (n - PART) // 2), (n + PART) // 2) for dim, n in zip(da.dims, da.shape, strict=True)}
    leading = dict.fromkeys(da.dims[:-2], 0)
    image = da.isel(leading | {dim: parts[dim] for dim in da.dims[-2:]}).values
    there = valid(image, validity)
    if len(np.unique(image[there])) <= CLASSES:
        return False
    return all(_phases(image if axis else image.T, there if axis else there.T) for axis in (0, 1))


def _phases(image: NDArray[Any], there: NDArray[np.bool_]) -> bool:
    """Tell whether all columns that differ from the one before are an even number of columns apart."""
    edges = (image[:, 1:] != image[:, :-1]) & there[:, 1:] & there[:, :-1]
    return len({*(np.flatnonzero(edges.any(0)) % 2).tolist()}) == 1
