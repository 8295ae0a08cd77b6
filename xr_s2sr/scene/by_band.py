"""Metadata that a stack gives band by band, as rioxarray has it where the bands of a file differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from xr_s2sr.bands import resolve
from xr_s2sr.errors import RadiometryError

#: What is told of all bands, and the name under which one band has it.
BY_BAND = {"scales": "scale_factor", "offsets": "add_offset", "nodatavals": "_FillValue"}
#: Names of one band under which a stack may tell it of all.
_OWN = ("scale_factor", "add_offset", "scale", "offset", "_FillValue", "nodata", "missing_value", "units")
_SCALES = {"scales", "offsets", "scale_factor", "add_offset", "scale", "offset"}
_SHARED = {"scales", "offsets", "scale_factor", "add_offset"}
_OFFSETS = ("offsets", "add_offset", "offset")


def of_one(metadata: Mapping[Any, Any], k: int, size: int) -> dict[Any, Any]:
    """Return the attrs or the encoding of one of `size` bands."""
    own = {key: value for key, value in metadata.items() if not _by_band(key, value, size)}
    for key, value in metadata.items():
        name = BY_BAND.get(key, key)
        if _by_band(key, value, size) and value[k] is not None and not (key == "nodatavals" and name in own):
            own[name] = value[k]
    return own


def of_some(metadata: Mapping[Any, Any], kept: Sequence[int], errors: Sequence[int], size: int) -> dict[Any, Any]:
    """Return those of some of `size` bands, then of the standard errors of some, which have no offset."""
    out = dict(metadata)
    for key, values in metadata.items():
        if _by_band(key, values, size):
            some = [*(values[k] for k in kept), *(0.0 if key in _OFFSETS else values[k] for k in errors)]
            out[key] = np.array(some) if isinstance(values, np.ndarray) else type(values)(some)
    return out


def _by_band(key: Any, value: Any, size: int | None = None) -> bool:
    several = isinstance(value, tuple | list | np.ndarray) and size in (None, np.size(value))
    return several and (key in BY_BAND or (key in _OWN and np.size(value) > 1))


def told_apart(ds: xr.Dataset) -> xr.Dataset:
    """Give bands that were taken out of a stack, as by ``da.to_dataset("band")``, what is told of them alone.

    That leaves the attributes of the stack to the Dataset, and its encoding to each band.

    Raises
    ------
    RadiometryError
        If the bands of the stack differ, and nothing tells which of them this is.
    """
    for name, da in ds.data_vars.items():
        band, known = resolve(name), {*da.attrs, *da.encoding}
        if band is None:
            continue
        shared = {} if known & _SCALES else {key: value for key, value in ds.attrs.items() if key in _SHARED}
        told = {key: value for key, value in {**da.encoding, **da.attrs, **shared}.items() if _by_band(key, value)}
        if not shared and not told:
            continue
        titles = da.attrs.get("long_name", ds.attrs.get("long_name"))
        bands = [resolve(title) for title in titles] if isinstance(titles, tuple | list) else []
        own = da.copy(deep=False)
        own.attrs = {**own.attrs, **shared}
        for key, value in told.items():
            k = bands.index(band) if band in bands and len(bands) == np.size(value) else None
            if k is None and len({*map(str, value)}) > 1:
                raise RadiometryError(
                    f"{name!r} has {key}={value!r}, which is of several bands; expected its own. Open the file with a "
                    "variable for each band: rioxarray.open_rasterio(path, band_as_variable=True)"
                )
            own.attrs, own.encoding = (of_one(one, k or 0, np.size(value)) for one in (own.attrs, own.encoding))
        ds = ds.assign({name: own})
    return ds
