"""Bicubic interpolation as a runner, so that it goes through the same windows, masks and casts as a network."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from xr_s2sr import kernels
from xr_s2sr.interpolation import cubic_taps


class BicubicRunner:
    """Upsamples every band of its one input by an integer factor (Keys' kernel, a = -0.75)."""

    device = "cpu"

    def __init__(self, factor: int) -> None:
        self.factor = factor
        self.taps = cubic_taps(factor)

    def run(self, inputs: dict[str, NDArray[np.float32]]) -> NDArray[np.float32]:
        """Interpolate the bands of the one input."""
        (coarse,) = inputs.values()
        bands, h, w = coarse.shape
        out = np.empty((bands, h * self.factor, w * self.factor), np.float32)
        for band in range(bands):
            kernels.bicubic(coarse[band], self.taps, self.factor, out[band])
        return out
