"""Blur of the sensor: its modulation transfer function as a Gaussian, and the weights that blur as it does.

A Gaussian with the variance v, in squared pixels, has the MTF ``exp(-pi**2 v / 2)`` at the Nyquist frequency of these
pixels.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from xr_s2sr.interpolation import gaussian


def psf_variance(mtf: float) -> float:
    """Return the variance of the Gaussian of an MTF at the Nyquist frequency, in squared pixels of the band."""
    return -2 * math.log(mtf) / math.pi**2


def mtf_of(variance: float) -> float:
    """Return the MTF at the Nyquist frequency of a Gaussian, its variance in squared pixels of the band."""
    return math.exp(-(math.pi**2) * variance / 2)


def block_variance(factor: int) -> float:
    """Return the variance of the mean of `factor` pixels in a row, in squared pixels."""
    return (factor**2 - 1) / 12


def degraded_mtf(mtf: float, sigma: float, factor: int) -> float:
    """Return the MTF, at the Nyquist frequency of the larger pixels, of a band that was blurred and averaged.

    Parameters
    ----------
    mtf : float
        Of the band before.
    sigma : float
        Width of the Gaussian that blurred it, in its own pixels.
    factor : int
        Ratio of the larger pixels to its own.
    """
    return mtf_of((psf_variance(mtf) + sigma**2 + block_variance(factor)) / factor**2)


def sigma_between(factor: int, mtf: float, fine: float) -> float:
    """Return the width of the Gaussian by which a fine band, before it is averaged, is blurred as the coarse one is.

    Parameters
    ----------
    factor : int
        Pixel size of the coarse band over that of the fine one.
    mtf, fine : float
        Of the coarse and of the fine band, each at the Nyquist frequency of its own pixels.

    Returns
    -------
    float
        In fine pixels; 0 where the mean blurs enough.
    """
    return math.sqrt(max(0.0, factor**2 * psf_variance(mtf) - psf_variance(fine) - block_variance(factor)))


def observation_taps(factor: int, variance: float) -> NDArray[np.float32]:
    """Return weights that blur fine pixels and average `factor` of them, along one axis.

    Parameters
    ----------
    factor : int
    variance : float
        Of the blur, the mean included, in squared fine pixels. Where the mean alone blurs as much, nothing is added.

    Returns
    -------
    ndarray of float32, shape (factor + 2 n,)
        For the fine pixels from n before a coarse one to n after it; n is three standard deviations.
    """
    added = variance - block_variance(factor)
    kernel = gaussian(math.sqrt(added), 3.0) if added > 1e-3 else np.ones(1)
    taps: NDArray[np.float32] = np.convolve(kernel, np.full(factor, 1 / factor)).astype(np.float32)
    return taps
