"""Valid pixels: one rule, in float32, here for numpy and in :mod:`xr_s2sr.kernels` for numba.

Float32, because the networks compute in it: a nodata value that it cannot hold exactly, such as -9999.9 or 1e20, is
rounded on both sides of the comparison.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

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
    """Return the bounds of values that `scale` and `offset` make reflectance; `margin` (reflectance) widens them."""
    low, high = (DARKEST - margin - offset) / scale, (BRIGHTEST + margin - offset) / scale
    return Validity(nodata, max(low, -LARGEST), min(high, LARGEST), top)


def single(values: Any) -> NDArray[np.float32]:
    """Return values in float32; what it cannot hold becomes infinite."""
    with np.errstate(over="ignore"):
        return np.asarray(values).astype(np.float32, copy=False)


def classify(values: Any, validity: Validity) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return the masks of valid and of saturated pixels; the others are invalid.

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
    """Return the mask of valid pixels."""
    return classify(values, validity)[0]


def invalid(values: Any, validity: Validity) -> NDArray[np.bool_]:
    """Return the mask of invalid pixels, to which saturated ones do not belong."""
    kept, saturated = classify(values, validity)
    return ~(kept | saturated)
