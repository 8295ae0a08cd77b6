"""Degradation after Wald's protocol: Gaussian blur, block mean and noise, on arrays of shape (..., y, x)."""

from __future__ import annotations

import math
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from xr_s2sr.bands import EFFECTIVE_MTF
from xr_s2sr.errors import InputError
from xr_s2sr.interpolation import gaussian
from xr_s2sr.quality.sensor import noise_given_back, sensor_sigma

Protocol: TypeAlias = Literal["sensor", "paper", "mtf"]
PROTOCOLS: tuple[Protocol, ...] = ("sensor", "paper", "mtf")


def degradation_sigma(factor: int, protocol: Protocol = "paper", mtf: float | None = None) -> float:
    """Return the width of the Gaussian that stands for the sensor when an image is degraded.

    Parameters
    ----------
    factor : int
        Ratio of coarse to fine ground sampling distance (2 or 6 for Sentinel-2).
    protocol : {"sensor", "paper", "mtf"}
        ``"sensor"``: what the sensor's blur at the coarse pixel needs beyond the blur that the native band has
        already and the block mean, see :func:`xr_s2sr.quality.sensor.sensor_sigma`. ``"paper"``: 1/factor fine pixels
        (Lanaras et al. 2018, section 3.2). ``"mtf"``: factor/2 fine pixels; with
        sigma = factor * sqrt(-2 ln MTF) / pi the Gaussian alone has an MTF of 0.29 at the coarse Nyquist frequency,
        0.19 to 0.21 with the block mean: ESA publishes 0.2 to 0.38 for MSI.
    mtf : float, optional
        For ``"sensor"`` and ``"mtf"``: the MTF at the coarse Nyquist frequency, between 0 and 1, such as a value of
        :data:`xr_s2sr.bands.MTF`; instead of the nominal 0.29.

    Returns
    -------
    float
        Standard deviation, in fine pixels; 0 where the block mean blurs enough.

    Raises
    ------
    InputError
        For a factor below 2, an unknown protocol, or an MTF that is not between 0 and 1 (also a ValueError).
    """
    if factor < 2:
        raise InputError(f"factor is {factor}; degrading needs 2 or more (Sentinel-2: 2 or 6)")
    if protocol == "paper":
        return 1.0 / factor
    if protocol not in PROTOCOLS:
        raise InputError(f'protocol is {protocol!r}; choose "sensor", "paper" or "mtf"')
    if protocol == "sensor":
        return sensor_sigma(factor, math.exp(-(math.pi**2) / 8) if mtf is None else mtf)
    if mtf is None:
        return factor / 2.0
    if not 0 < mtf < 1:
        raise InputError(f"mtf is {mtf}; expected a number between 0 and 1, such as 0.3")
    return float(factor * np.sqrt(-2 * np.log(mtf)) / np.pi)


def blur(image: NDArray[np.floating], sigma: float) -> NDArray[np.float64]:
    """Blur by a Gaussian along the last two axes, borders mirrored ('symmetric'); `sigma` in pixels."""
    k = gaussian(sigma)
    r = len(k) // 2
    out = np.asarray(image, dtype=np.float64)
    for axis in (-2, -1):
        n = out.shape[axis]
        pad = [(0, 0)] * out.ndim
        pad[axis] = (r, r)
        padded = np.pad(out, pad, mode="symmetric")
        out = np.zeros_like(out)
        for i, weight in enumerate(k):
            out += weight * (padded[..., i : i + n, :] if axis == -2 else padded[..., i : i + n])
    return out


def block_mean(image: NDArray[np.floating], factor: int) -> NDArray[np.float64]:
    """Average factor x factor blocks of the last two axes, which must divide evenly."""
    *lead, h, w = image.shape
    if h % factor or w % factor:
        raise InputError(f"image of {h} x {w} pixels does not divide into blocks of {factor} x {factor}")
    blocks = np.asarray(image, dtype=np.float64).reshape(*lead, h // factor, factor, w // factor, factor)
    mean: NDArray[np.float64] = blocks.mean(axis=(-3, -1))
    return mean


def degrade(
    image: NDArray[np.floating],
    factor: int,
    protocol: Protocol = "paper",
    *,
    sigma: float | None = None,
    band: str | None = None,
    noise: bool = True,
    scale: float = 1e-4,
    offset: float = 0.0,
    satellite: str = "S2A",
) -> NDArray[np.float64]:
    """Simulate a sensor of `factor` times the pixel size (Wald's protocol).

    Parameters
    ----------
    image : ndarray, shape (..., y, x)
        y and x must be multiples of `factor`. NaN where invalid.
    factor : int
        Ratio of coarse to fine pixel size.
    protocol : {"sensor", "paper", "mtf"}
        Gives the Gaussian's width, see :func:`degradation_sigma`. With ``"sensor"`` the noise that degrading took is
        given back, see :func:`xr_s2sr.quality.sensor.noise_given_back`.
    sigma : float, optional
        Overrides the width, in fine pixels.
    band : str, optional
        Id of the band, for ``"sensor"``, which needs it for its noise: also its MTF
        (:data:`xr_s2sr.bands.EFFECTIVE_MTF`).
    noise : bool
        False leaves the noise of ``"sensor"`` out.
    scale, offset : float
        Reflectance is ``image * scale + offset``, of which the noise depends; by default the image is in DN.
    satellite : {"S2A", "S2B", "S2C"}
        Whose noise.

    Returns
    -------
    ndarray of float64, shape (..., y/factor, x/factor)
        Gaussian blur, the mean of each factor x factor block, and the noise.

    Raises
    ------
    InputError
        If the shape does not divide, factor, protocol or band are unknown, or the band is missing (also a ValueError).
    """
    if band is not None and band not in EFFECTIVE_MTF:
        raise InputError(f"band is {band!r}; expected one of {', '.join(EFFECTIVE_MTF)}")
    noisy = protocol == "sensor" and noise
    if noisy and band is None:
        raise InputError(
            'protocol "sensor" adds the noise of a band; say which: band="B05". Or leave it out: noise=False'
        )
    if sigma is None:
        sigma = degradation_sigma(factor, protocol, EFFECTIVE_MTF[band] if band and protocol == "sensor" else None)
    coarse = block_mean(blur(image, sigma) if sigma > 0 else image, factor)
    if not noisy or band is None:
        return coarse
    added = noise_given_back(coarse, factor, sigma, band, scale=scale, offset=offset, satellite=satellite)
    return coarse + added
