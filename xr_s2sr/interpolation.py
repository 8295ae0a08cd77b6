"""Weights of bicubic and bilinear resampling: as matrices, as taps of a kernel, and as a convolution for networks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: Parameter of Keys' cubic (1981). -0.75 is what torch, OpenCV and the published baselines use.
CUBIC_A = -0.75


def bicubic(image: NDArray[np.floating], factor: int) -> NDArray[np.float64]:
    """Upsample by plain bicubic interpolation, the reference that every score is compared with.

    Keys' kernel (1981, IEEE Trans. ASSP 29; a = -0.75), pixel areas aligned (half-pixel centres), borders replicated:
    the same numbers as ``torch.nn.functional.interpolate(mode="bicubic", align_corners=False)``.

    Parameters
    ----------
    image : ndarray, shape (..., y, x)
        Any unit.
    factor : int
        Ratio of coarse to fine pixel size.

    Returns
    -------
    ndarray of float64, shape (..., y * factor, x * factor)
    """
    out = np.asarray(image, dtype=np.float64)
    rows = cubic_matrix(out.shape[-2], factor)
    cols = cubic_matrix(out.shape[-1], factor)
    result: NDArray[np.float64] = rows @ out @ cols.T
    return result


def gaussian(sigma: float, reach: float = 4.0) -> NDArray[np.float64]:
    """Return a sampled, normalised Gaussian, cut at `reach` sigma."""
    radius = int(reach * sigma + 0.5)
    x = np.arange(-radius, radius + 1, dtype=np.float64)
    k = np.exp(-0.5 * (x / sigma) ** 2)
    normalised: NDArray[np.float64] = k / k.sum()
    return normalised


def cubic_matrix(n: int, factor: int) -> NDArray[np.float64]:
    """Return the (n * factor, n) matrix of Keys' cubic interpolation with replicated borders."""
    matrix = np.zeros((n * factor, n))
    fine = np.arange(n * factor)
    centre = (fine + 0.5) / factor - 0.5
    left = np.floor(centre).astype(int) - 1
    for tap in range(4):
        distance = np.abs(centre - (left + tap))
        weight = np.where(
            distance <= 1,
            (CUBIC_A + 2) * distance**3 - (CUBIC_A + 3) * distance**2 + 1,
            CUBIC_A * (distance**3 - 5 * distance**2 + 8 * distance - 4),
        )
        np.add.at(matrix, (fine, np.clip(left + tap, 0, n - 1)), weight)
    return matrix


def cubic_taps(factor: int) -> NDArray[np.float32]:
    """Return weights (factor, 5), per phase, of the coarse pixels -2 ... 2 around the one that holds a fine pixel."""
    # row of a matrix that is wide enough for its borders not to matter
    middle = cubic_matrix(7, factor)[3 * factor : 4 * factor, 1:6]
    return middle.astype(np.float32)


def linear_taps(factor: int) -> NDArray[np.float32]:
    """Return weights (factor, 3), per phase, of the coarse pixels -1, 0, 1 around the one that holds a fine pixel."""
    offset = (np.arange(factor) + 0.5) / factor - 0.5  # of the fine pixel's centre, in coarse pixels
    taps: NDArray[np.float32] = np.maximum(0, 1 - np.abs(offset[:, None] - np.arange(-1, 2))).astype(np.float32)
    return taps


def triangle_taps(radius: int) -> NDArray[np.float32]:
    """Return weights (2 * radius + 1,) of a window that falls linearly to both sides; their sum is one."""
    weights = radius + 1.0 - np.abs(np.arange(-radius, radius + 1))
    taps: NDArray[np.float32] = (weights / weights.sum()).astype(np.float32)
    return taps


def bilinear_phases(bands: int, factor: int) -> NDArray[np.float32]:
    """Return weights (bands * factor**2, bands, 3, 3): a convolution, then depth-to-space, upsample bilinearly."""
    taps = linear_taps(factor).astype(np.float64)
    one = np.einsum("ai,bj->abij", taps, taps).reshape(-1, 3, 3)
    weight = np.einsum("bc,pij->bpcij", np.eye(bands), one)
    phases: NDArray[np.float32] = weight.reshape(-1, bands, 3, 3).astype(np.float32)
    return phases
