"""Which pixels are valid: one rule, in float32, here for numpy and in :mod:`xr_s2sr.scene.pixel_codes` for numba.

Float32, because the networks compute in it: a nodata value that it cannot hold exactly, such as -9999.9 or 1e20, is
rounded on both sides of the comparison.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from xr_s2sr.scene.radiometry import Radiometry

LARGEST = float(np.finfo(np.float32).max)

#: Reflectance that no pixel has, be it of a mirror or of an overcorrected shadow: undeclared fill values lie beyond.
#: The -9999 of integers is -0.9999.
DARKEST, BRIGHTEST = -0.5, 20.0


class Validity(NamedTuple):
    """Bounds of valid pixels, in the unit of the values.

    Attributes
    ----------
    nodata : float
        This value, in float32, is invalid, as NaN and -inf are.
    low, high : float
        What lies outside of these is invalid, unless it is saturated: physically impossible.
    top : float
        From here on, pixels are saturated.
    """

    nodata: float = math.nan
    low: float = -LARGEST
    high: float = LARGEST
    top: float = math.inf


def possible(
    scale: float, offset: float, nodata: float = math.nan, top: float = math.inf, margin: float = 0.0
) -> Validity:
    """Validity of values that become reflectance by `scale` and `offset`; `margin` widens it, in reflectance."""
    low, high = (DARKEST - margin - offset) / scale, (BRIGHTEST + margin - offset) / scale
    return Validity(nodata, max(low, -LARGEST), min(high, LARGEST), top)


def single(values: Any) -> NDArray[np.float32]:
    """Values in float32; what it cannot hold becomes infinite."""
    with np.errstate(over="ignore"):
        return np.asarray(values).astype(np.float32, copy=False)


def classify(values: Any, validity: Validity) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which pixels are valid, and which are saturated; the others are invalid.

    Parameters
    ----------
    values : array_like
        Any real dtype.
    validity : Validity
    """
    pixels = single(values)
    nodata, low, high, top = single(validity)
    other = pixels != nodata
    saturated = other & (pixels >= top)
    return other & ~saturated & (low <= pixels) & (pixels <= high), saturated


def valid(values: Any, validity: Validity) -> NDArray[np.bool_]:
    """Which pixels are valid."""
    return classify(values, validity)[0]


def invalid(values: Any, validity: Validity) -> NDArray[np.bool_]:
    """Which pixels are invalid; saturated ones are not."""
    kept, saturated = classify(values, validity)
    return ~(kept | saturated)


def measured(values: Any, radiometry: Radiometry) -> NDArray[np.float64]:
    """Pixels as floats in their own unit, NaN where they are not valid."""
    pixels = np.asarray(values, np.float64)
    return np.where(valid(values, radiometry.validity), pixels, np.nan)


def dn(values: NDArray[np.float64], radiometry: Radiometry) -> NDArray[np.float64]:
    """Values in a variable's own unit as reflectance x 10000."""
    return (values * radiometry.scale + radiometry.offset) * 1e4


def writable(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the dtype itself, or the one that numba can write in its place."""
    return np.dtype(np.float32) if dtype == np.float16 else dtype.newbyteorder("=")


def settled(array: NDArray[Any], radiometry: Radiometry) -> NDArray[Any]:
    """Cast an output to its variable's own dtype, with nothing in it that the variable cannot be stored with."""
    return radiometry.storable(array.astype(radiometry.dtype, copy=False))


def numba_ready(array: NDArray[Any]) -> NDArray[Any]:
    """Return the array itself, or a copy if numba does not know its type: foreign byte order, half floats, masks."""
    return np.asarray(array).astype(writable(array.dtype), copy=False)
