"""Codes of valid, invalid and saturated pixels, in compiled loops: the rule of :mod:`xr_s2sr.scene.validity` for numba.

Loops in other modules compile these into themselves; :mod:`xr_s2sr.jit` compiles those again after a change here.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from xr_s2sr.jit import jit

#: Codes of a pixel. SATURATED is invalid for a network but keeps its mark in the result.
VALID, INVALID, SATURATED = 0, 1, 2


@jit
def rounded(validity: Any) -> Any:  # pragma: no cover
    """Return the bounds of valid pixels (nodata, low, high, top) in float32."""
    nodata, low, high, top = validity
    return np.float32(nodata), np.float32(low), np.float32(high), np.float32(top)


@jit
def classify(value: Any, bounds: Any) -> int:  # pragma: no cover
    """Return the code of a pixel, all in float32; :func:`xr_s2sr.scene.validity.classify` is the same in numpy."""
    nodata, low, high, top = bounds
    state = VALID if (low <= value) & (value <= high) else INVALID  # NaN and -inf lie nowhere
    if value >= top:
        state = SATURATED
    if value == nodata:
        state = INVALID
    return state


@jit
def any_invalid(source: Any, validity: Any) -> bool:  # pragma: no cover
    """Tell whether any pixel is not VALID."""
    bounds = rounded(validity)
    for i in range(source.shape[0]):
        line = source[i]
        bad = 0
        for j in range(line.shape[0]):
            bad += classify(np.float32(line[j]), bounds) != VALID
        if bad:
            return True
    return False


@jit
def impossible(source: Any, validity: Any) -> tuple[int, float, float]:  # pragma: no cover
    """Count, smallest and largest of the numbers that are INVALID without being nodata: NaN and inf do not count."""
    bounds = rounded(validity)
    count, smallest, largest = 0, np.inf, -np.inf
    for i in range(source.shape[0]):
        line = source[i]
        for j in range(line.shape[0]):
            value = np.float32(line[j])
            if classify(value, bounds) == INVALID and value != bounds[0] and abs(line[j]) < np.inf:
                count += 1
                smallest, largest = min(smallest, line[j]), max(largest, line[j])
    return count, smallest, largest
