"""The rule of valid pixels once more, written with plain numpy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from xr_s2sr.kernels import INVALID, SATURATED, VALID
from xr_s2sr.scene.validity import Validity

DTYPES = ("uint8", "uint16", "int16", "int32", "float32", "float64")
Float32 = NDArray[np.float32]
Codes = NDArray[np.uint8]


def twin_codes(values: Float32, validity: Validity) -> Codes:
    with np.errstate(over="ignore"):
        missing = np.isnan(values) | np.isneginf(values) | (values == np.float32(validity.nodata))
    saturated = np.isposinf(values) | (values >= validity.top)
    impossible = (values < np.float32(validity.low)) | (values > np.float32(validity.high))
    return np.select([missing, saturated, impossible], [INVALID, SATURATED, INVALID], VALID).astype(np.uint8)
