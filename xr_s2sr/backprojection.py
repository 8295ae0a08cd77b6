"""Fixed weights of the back-projection that ends our networks: what a result lacks to be its input again.

A result z of factor f, blurred and averaged to the coarse grid as the sensor does, should be the coarse band b. What
is missing, b - P z, is brought to the fine grid and added (Irani and Peleg 1991, doi:10.1016/1049-9652(91)90045-L). The
blur of P is not known: the residuals of several are weighted, pixel by pixel, by how small they are around it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from xr_s2sr.interpolate import bilinear_phases

#: Number of blurs that are tried.
BLURS = 4
#: Coarse pixels, each way, over which the residuals of the blurs are compared and over which they are sharpened.
AROUND = 1
#: Added to the mean square of a residual, in units of DN / 2000 squared: (0.2 DN)^2.
EPSILON = 1e-8
#: Steps of the iteration that `sharpening` stands for.
STEPS = 3

Float32 = NDArray[np.float32]


def radius(factor: int) -> int:
    """Fine pixels that the widest blur looks beyond a coarse pixel: three sigma."""
    return 3 * factor // 2


def reach(factor: int) -> int:
    """Fine pixels of z, beyond the coarse pixel that holds a fine one, that decide what is added there."""
    # the next coarse pixel for the interpolation, then those of `sharpening` and of the comparison
    return (1 + 2 * AROUND) * factor + radius(factor)


def blurs(factor: int) -> NDArray[np.float64]:
    """Their widths in fine pixels: from that of Lanaras et al. 2018 to that of the sensor's MTF."""
    return np.linspace(1 / factor, factor / 2, BLURS)


def taps(factor: int) -> Float32:
    """Along one axis, blur and mean of `factor` pixels: weights (BLURS, 2 radius + factor) of a strided convolution."""
    at = np.arange(-radius(factor), radius(factor) + 1)
    out = np.zeros((BLURS, 2 * radius(factor) + factor))
    for row, sigma in zip(out, blurs(factor), strict=True):
        kernel = np.exp(-0.5 * (at / sigma) ** 2)
        for first in range(factor):
            row[first : first + kernel.size] += kernel / kernel.sum() / factor
    return out.astype(np.float32)


def blurring(targets: int, factor: int) -> Float32:
    """Weights (targets * BLURS, 1, y, x) of a convolution with the stride `factor`; the bands are groups."""
    planes = [np.outer(row, row) for row in taps(factor)]
    return np.tile(np.stack(planes)[:, None], (targets, 1, 1, 1))


def neighbourhood(targets: int) -> Float32:
    """Weights (targets * BLURS, 1, y, x) of a mean."""
    side = 2 * AROUND + 1
    return np.full((targets * BLURS, 1, side, side), 1 / side**2, np.float32)


def totals(targets: int) -> Float32:
    """Weights (targets * BLURS, BLURS, 1, 1) that sum over the blurs of a band; the bands are groups."""
    return np.ones((targets * BLURS, BLURS, 1, 1), np.float32)


def sharpening(targets: int, factor: int) -> Float32:
    """Weights (targets, targets * BLURS, y, x) that add up the blurs, each sharpened.

    Blurring what was interpolated bilinearly is a convolution M of the coarse grid. STEPS steps of z + up(b - P z)
    add the first residual convolved with 1 + (1 - M) + (1 - M)^2 + ...: as one convolution, cut off and normalised.
    """
    side, middle = 15, 7
    one = np.zeros((side, side))
    one[middle, middle] = 1
    # bilinear upsampling of a single coarse pixel, along one axis
    phases = bilinear_phases(1, factor).reshape(factor, factor, 3, 3).sum(axis=(1, 3))
    bump = np.zeros(side * factor)
    for tap in range(3):  # the pixel itself, seen from the one before, at, and after it
        first = (middle + 1 - tap) * factor
        bump[first : first + factor] = phases[:, tap] / factor
    out = np.zeros((targets, targets, BLURS, 2 * AROUND + 1, 2 * AROUND + 1))
    keep = slice(middle - AROUND, middle + AROUND + 1)
    for blur, row in enumerate(taps(factor).astype(np.float64)):
        padded = np.pad(bump, radius(factor))
        line = np.array([row @ padded[i * factor : i * factor + row.size] for i in range(side)])
        m = np.fft.fft2(np.fft.ifftshift(np.outer(line, line))).real
        inverse = sum((1 - m) ** step for step in range(STEPS))
        kernel = np.fft.fftshift(np.fft.ifft2(inverse).real)[keep, keep]
        for band in range(targets):
            out[band, band, blur] = kernel / kernel.sum()
    return out.reshape(targets, targets * BLURS, *out.shape[-2:]).astype(np.float32)
