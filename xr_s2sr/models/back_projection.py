"""Fixed weights of the back-projection that ends our networks: it adds what a result lacks to be its input again.

A result z of factor f, blurred and averaged to the coarse grid as the sensor does, should be the coarse band b. What
is missing, b - P z, is brought to the fine grid and added (Irani and Peleg 1991, doi:10.1016/1049-9652(91)90045-L). The
blur of P is not known: residuals of several are weighted, pixel by pixel, by how small they are around it. Repeating
the step, as Irani and Peleg do, brings z closer to b, but sharpens b's noise as well.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: Number of blurs that are tried.
BLUR_COUNT = 4
#: Coarse pixels, each way, over which the residuals of the blurs are compared.
AROUND = 1
#: Added to the mean square of a residual, in units of DN / 2000 squared: (0.2 DN)^2.
EPSILON = 1e-8

Float32 = NDArray[np.float32]


def radius(factor: int) -> int:
    """Return the fine pixels that the widest blur sees beyond a coarse pixel: three sigma."""
    return 3 * factor // 2


def reach(factor: int) -> int:
    """Return the reach: fine pixels of z beyond the coarse pixel of a fine one that decide what is added there."""
    # the next coarse pixel for the interpolation, then those of the comparison
    return (1 + AROUND) * factor + radius(factor)


def blurs(factor: int) -> NDArray[np.float64]:
    """Return sigma of the blurs in fine pixels: from that of Lanaras et al. 2018 to that of the sensor's MTF."""
    return np.linspace(1 / factor, factor / 2, BLUR_COUNT)


def taps(factor: int) -> Float32:
    """Return weights (BLUR_COUNT, 2 radius + factor) of a strided convolution: blur and mean of `factor` pixels."""
    at = np.arange(-radius(factor), radius(factor) + 1)
    kernels = [np.exp(-0.5 * (at / sigma) ** 2) for sigma in blurs(factor)]
    mean = np.full(factor, 1 / factor)
    return np.stack([np.convolve(kernel / kernel.sum(), mean) for kernel in kernels]).astype(np.float32)


def blurring(targets: int, factor: int) -> Float32:
    """Return weights (targets * BLUR_COUNT, 1, y, x) of a convolution, stride `factor`; the bands are groups."""
    planes = [np.outer(row, row) for row in taps(factor)]
    return np.tile(np.stack(planes)[:, None], (targets, 1, 1, 1))


def neighbourhood(targets: int) -> Float32:
    """Return weights (targets * BLUR_COUNT, 1, y, x) of a mean."""
    side = 2 * AROUND + 1
    return np.full((targets * BLUR_COUNT, 1, side, side), 1 / side**2, np.float32)


def sums(targets: int) -> Float32:
    """Return weights (targets, BLUR_COUNT, 1, 1) that add up the blurs of a band; the bands are groups."""
    return np.ones((targets, BLUR_COUNT, 1, 1), np.float32)
