"""The protocol "sensor": a degraded scene with the blur and the noise, relative to its pixels, of a real one.

Wald's protocol as it is usually followed makes a scene that is cleaner than the sensor's: averaging takes noise away,
and the native band's own blur is forgotten. Here the degraded band gets the MTF of the native one at its own Nyquist
frequency, and the noise that degrading took is given back, as ESA's noise model (:mod:`xr_s2sr.quality.noise`) has it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from xr_s2sr.errors import InputError
from xr_s2sr.interpolation import gaussian
from xr_s2sr.quality.noise import SUN_ZENITH, noise_variance

#: Side of the windows in which noise is measured, and the share of them, the flattest, that count.
WINDOW, FLATTEST = 7, 0.1
#: Second differences along both axes: free of planes, and white noise keeps its variance.
_DIFFERENCES = np.array([1.0, -2.0, 1.0]) / np.sqrt(6.0)

F64 = NDArray[np.float64]


def sensor_sigma(factor: int, mtf: float) -> float:
    """Return the width of the Gaussian that makes a degraded band as blurred, relative to its pixel, as the native one.

    Parameters
    ----------
    factor : int
        Ratio of coarse to fine ground sampling distance.
    mtf : float
        MTF at the native Nyquist frequency, between 0 and 1.

    Returns
    -------
    float
        Standard deviation in fine pixels, 0 where the mean of factor x factor pixels blurs enough.

    Raises
    ------
    InputError
        If `mtf` is not between 0 and 1.

    Notes
    -----
    A Gaussian of MTF M at the coarse Nyquist frequency has the width ``s = factor * sqrt(-2 ln M) / pi``. The native
    band has ``s / factor`` of it already, and the block mean adds ``(factor**2 - 1) / 12`` to the variance:
    ``sigma**2 = s**2 (1 - 1 / factor**2) - (factor**2 - 1) / 12``.
    """
    if not 0 < mtf < 1:
        raise InputError(f"mtf is {mtf}; expected a number between 0 and 1, such as 0.3")
    whole = factor * np.sqrt(-2 * np.log(mtf)) / np.pi
    return float(np.sqrt(max(0.0, whole**2 * (1 - 1 / factor**2) - (factor**2 - 1) / 12)))


def noise_level(image: NDArray[np.floating]) -> float:
    """Estimate the standard deviation of a band's noise, from the flattest tenth of the band.

    Parameters
    ----------
    image : ndarray, shape (y, x)
        Any unit; NaN where invalid.

    Returns
    -------
    float
        In the unit of the image; 0 where no window of 7 x 7 pixels is valid. It holds what fine texture the flattest
        places have beside true noise.

    Notes
    -----
    The root mean square of [[1, -2, 1], [-2, 4, -2], [1, -2, 1]] / 6 (Immerkaer 1996, CVIU 64) over windows of 7 x 7
    pixels; the mean of the squares over the tenth of the windows where it is least.
    """
    second = np.asarray(image, np.float64)
    for axis in (0, 1):
        a, b, c = (np.take(second, range(k, second.shape[axis] - 2 + k), axis=axis) for k in range(3))
        second = _DIFFERENCES[0] * a + _DIFFERENCES[1] * b + _DIFFERENCES[2] * c
    h, w = (n // WINDOW for n in second.shape)
    if not h * w:
        return 0.0
    squares = second[: h * WINDOW, : w * WINDOW].reshape(h, WINDOW, w, WINDOW) ** 2
    energy = squares.mean(axis=(1, 3)).ravel()
    energy = np.sort(energy[np.isfinite(energy)])
    if not energy.size:
        return 0.0
    return float(np.sqrt(energy[: max(1, round(FLATTEST * energy.size))].mean()))


def noise_kept(factor: int, sigma: float) -> float:
    """Return the share of white noise's standard deviation that blur and block mean leave.

    Parameters
    ----------
    factor : int
    sigma : float
        Width of the Gaussian in fine pixels.

    Returns
    -------
    float
        Between 0 and 1 / factor.

    Notes
    -----
    Gaussian and block mean, convolved, are separable weights. White noise keeps the root of the sum of their squares,
    which for both axes together is the sum of squares of the weights of one.
    """
    kernel = gaussian(sigma) if sigma > 0 else np.ones(1)
    return float((np.convolve(kernel, np.full(factor, 1 / factor)) ** 2).sum())


def noise_to_give_back(level: float, factor: int, sigma: float) -> float:
    """Return the standard deviation of the noise that makes a degraded band as noisy as the native one.

    Parameters
    ----------
    level : float
        Standard deviation of the native band's noise, in any unit: see :func:`noise_level`.
    factor : int
        Ratio of coarse to fine ground sampling distance.
    sigma : float
        Width of the Gaussian in fine pixels.

    Returns
    -------
    float
        In the unit of `level`: ``level * sqrt(1 - noise_kept(factor, sigma)**2)``.
    """
    return level * float(np.sqrt(1 - noise_kept(factor, sigma) ** 2))


def noise_given_back(
    coarse: F64,
    factor: int,
    sigma: float,
    band: str,
    *,
    scale: float = 1e-4,
    offset: float = 0.0,
    satellite: str = "S2A",
    sun_zenith: float = SUN_ZENITH,
) -> F64:
    """Draw noise to add to a degraded band, so that it is as noisy as the band was.

    Parameters
    ----------
    coarse : ndarray, shape (..., y, x)
        The degraded band. NaN where invalid.
    factor : int
    sigma : float
        Width of the Gaussian that the band was blurred by, in fine pixels.
    band : str
        Its id. It seeds the noise together with `factor` and the size, so that results repeat, for a date on its own
        as for a date in a cube.
    scale, offset : float
        Reflectance is ``coarse * scale + offset``.
    satellite, sun_zenith
        See :func:`xr_s2sr.quality.noise.noise_variance`.

    Returns
    -------
    ndarray of float64, shape (..., y, x)
        White and Gaussian, in the unit of `coarse`: :func:`noise_to_give_back` of the sensor's noise at each pixel's
        own reflectance.
    """
    white = np.random.default_rng([*band.encode(), factor, *coarse.shape[-2:]]).standard_normal(coarse.shape[-2:])
    level = noise_variance(band, satellite, sun_zenith).sigma(1e4 * (coarse * scale + offset)) * 1e-4 / scale
    return noise_to_give_back(1.0, factor, sigma) * level * white
