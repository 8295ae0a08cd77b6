"""Pixel values as numbers: in their own unit, as DN, and in dtypes that compiled loops can read and write."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from xr_s2sr.scene.radiometry import Radiometry, in_native_order
from xr_s2sr.scene.validity import valid


def measured(values: Any, radiometry: Radiometry) -> NDArray[np.float64]:
    """Return pixels as floats in their own unit, NaN where they are not valid."""
    pixels = np.asarray(values, np.float64)
    return np.where(valid(values, radiometry.validity), pixels, np.nan)


def dn(values: NDArray[np.float64], radiometry: Radiometry) -> NDArray[np.float64]:
    """Return values in a variable's own unit as reflectance x 10000."""
    return (values * radiometry.scale + radiometry.offset) * 1e4


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
