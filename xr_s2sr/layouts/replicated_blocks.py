"""Compiled loops for replicated bands: edges between unequal neighbours, and one pixel of each cell. No policy."""

from __future__ import annotations

from typing import Any

import numpy as np

from xr_s2sr.jit import jit
from xr_s2sr.scene.pixel_codes import INVALID, classify, rounded


@jit
def cell_edges(image: Any, validity: Any, rows: Any, cols: Any) -> None:  # pragma: no cover
    """Mark the rows and columns that differ anywhere from the one before; invalid pixels differ from nothing.

    Parameters
    ----------
    image : array, shape (h, w)
    validity : (float, float, float, float)
        See :class:`xr_s2sr.scene.validity.Validity`.
    rows, cols : bool arrays, shapes (h,) and (w,)
        Set to True where there is an edge, else left alone.
    """
    bounds = rounded(validity)
    for i in range(image.shape[0]):
        for j in range(image.shape[1]):
            value = image[i, j]
            if classify(np.float32(value), bounds) == INVALID:
                continue
            if j > 0:
                left = image[i, j - 1]
                if left != value and classify(np.float32(left), bounds) != INVALID:
                    cols[j] = True
            if i > 0:
                above = image[i - 1, j]
                if above != value and classify(np.float32(above), bounds) != INVALID:
                    rows[i] = True


@jit
def decimate(
    image: Any, factor: int, row: int, col: int, validity: Any, out: Any
) -> tuple[int, int]:  # pragma: no cover
    """Take one pixel of each factor x factor cell: the first valid one.

    Parameters
    ----------
    image : array, shape (h, w)
    factor : int
    row, col : int
        Where the first cell starts, in pixels of the image: 0 or less.
    validity : (float, float, float, float)
        See :class:`xr_s2sr.scene.validity.Validity`.
    out : array, shape (h', w')
        The cells, also those of which the image holds a part only; an invalid pixel where none is valid.

    Returns
    -------
    (int, int)
        Valid pixels that differ from their cell's; invalid pixels in cells that hold a valid one.
    """
    h, w = image.shape
    bounds = rounded(validity)
    differing, gaps = 0, 0
    for k in range(out.shape[0]):
        top, bottom = max(0, row + k * factor), min(h, row + (k + 1) * factor)
        for m in range(out.shape[1]):
            left, right = max(0, col + m * factor), min(w, col + (m + 1) * factor)
            taken, valid, invalid = image[top, left], 0, 0
            for i in range(top, bottom):
                for j in range(left, right):
                    value = image[i, j]
                    if classify(np.float32(value), bounds) == INVALID:
                        invalid += 1
                        continue
                    if valid == 0:
                        taken = value
                    valid += 1
                    differing += value != taken
            if valid:
                gaps += invalid
            out[k, m] = taken
    return differing, gaps
