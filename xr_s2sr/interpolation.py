"""Interpolation: bicubic as a runner, so that it goes through the same windows, masks and casts as a network, and
bilinear as the weights of a convolution, so that it runs inside of a network."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from xr_s2sr.quality import cubic_matrix


def cubic_taps(factor: int) -> NDArray[np.float32]:
    """Weights (factor, 5) of the coarse pixels -2 ... 2 around the one that holds a fine pixel, per phase."""
    # row of a matrix that is wide enough for its borders not to matter
    middle = cubic_matrix(7, factor)[3 * factor : 4 * factor, 1:6]
    return middle.astype(np.float32)


def bilinear_phases(bands: int, factor: int) -> NDArray[np.float32]:
    """Weights (bands * factor**2, bands, 3, 3) with which a convolution and depth-to-space upsample bilinearly."""
    taps = np.zeros((factor, 3))
    for phase in range(factor):
        offset = (phase + 0.5) / factor - 0.5  # of the fine pixel's centre, in coarse pixels
        for tap in (-1, 0, 1):
            taps[phase, tap + 1] = max(0.0, 1.0 - abs(offset - tap))
    one = np.einsum("ai,bj->abij", taps, taps).reshape(factor * factor, 3, 3)
    weight = np.zeros((bands, factor * factor, bands, 3, 3), dtype=np.float32)
    for band in range(bands):
        weight[band, :, band] = one
    return weight.reshape(bands * factor * factor, bands, 3, 3)


class BicubicRunner:
    """Upsamples every band of its one input by an integer factor (Keys' kernel, a = -0.75)."""

    device = "cpu"

    def __init__(self, factor: int) -> None:
        self.factor = factor
        self.taps = cubic_taps(factor)

    def run(self, inputs: dict[str, NDArray[np.float32]]) -> NDArray[np.float32]:
        from xr_s2sr import kernels

        (coarse,) = inputs.values()
        bands, h, w = coarse.shape
        out = np.empty((bands, h * self.factor, w * self.factor), np.float32)
        for band in range(bands):
            kernels.bicubic(coarse[band], self.taps, self.factor, out[band])
        return out
