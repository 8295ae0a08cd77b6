"""Pixel values as numbers: in their own unit, as DN, and in dtypes that compiled loops can read and write."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xr_s2sr.scene.radiometry import Radiometry, in_native_order, resolve_radiometry, validity_in_any_unit
from xr_s2sr.scene.validity import Validity, invalid, valid

#: Rows that are looked at at once.
ROWS = 512


def measured(values: Any, radiometry: Radiometry) -> NDArray[np.float64]:
    """Return pixels as floats in their own unit, NaN where they are not valid."""
    pixels = np.asarray(values, np.float64)
    return np.where(valid(values, radiometry.validity), pixels, np.nan)


def dn(values: NDArray[np.float64], radiometry: Radiometry) -> NDArray[np.float64]:
    """Return values in a variable's own unit as reflectance x 10000."""
    return (values * radiometry.scale + radiometry.offset) * 1e4


def blanked(da: xr.DataArray) -> xr.DataArray:
    """Return a band whose invalid pixels all hold its nodata value; itself if they do. Dask arrays are not computed.

    Bands of 10 m are passed through with fill values that nothing declares, such as MAJA's -10000 beside nodata 0.
    """
    validity, blank = validity_in_any_unit(da), resolve_radiometry(da).blank
    if da.chunks is not None:
        blocks = da.data.map_blocks(_blanked, validity, blank, dtype=da.dtype, meta=np.empty((0,) * da.ndim, da.dtype))
        return da.copy(deep=False, data=blocks)
    pixels = _blanked(da.values, validity, blank)
    return da if pixels is da.values else da.copy(deep=False, data=pixels)


def _blanked(pixels: NDArray[Any], validity: Validity, blank: float) -> NDArray[Any]:
    out = pixels
    for first in range(0, len(pixels), ROWS):
        part = pixels[first : first + ROWS]
        told = np.isnan(part) if math.isnan(blank) else part == blank
        gone = invalid(part, validity) & ~told
        if gone.any():
            out = pixels.copy() if out is pixels else out
            out[first : first + ROWS][gone] = blank
    return out


def writable(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the dtype itself, or the one that numba can write in its place."""
    native = in_native_order(dtype)
    return np.dtype(np.float32) if native == np.float16 else native


def settled(array: NDArray[Any], radiometry: Radiometry) -> NDArray[Any]:
    """Cast an output to its variable's own dtype, with nothing in it that the variable cannot be stored with."""
    return radiometry.storable(array.astype(radiometry.dtype, copy=False))


def numba_ready(array: NDArray[Any]) -> NDArray[Any]:
    """Return the array itself, or a copy if numba does not know its type: foreign byte order, half floats, masks."""
    return np.asarray(array).astype(writable(array.dtype), copy=False)
