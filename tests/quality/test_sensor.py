"""Blur and noise of the protocol "sensor"."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from xr_s2sr.bands import EFFECTIVE_MTF
from xr_s2sr.errors import InputError
from xr_s2sr.quality import block_mean, blur, degrade
from xr_s2sr.quality.sensor import (
    noise_kept,
    noise_level,
    noise_to_give_back,
    sensor_sigma,
)


@pytest.mark.parametrize("factor", [2, 3, 6])
@pytest.mark.parametrize("mtf", [0.2, 0.26, 0.34])
def test_variances_of_the_blurs_add_up(factor: int, mtf: float) -> None:
    """Native blur, Gaussian and block mean together are the coarse sensor's Gaussian (variances in fine pixels)."""
    native = np.sqrt(-2 * np.log(mtf)) / np.pi
    added = sensor_sigma(factor, mtf) ** 2 + (factor**2 - 1) / 12
    assert np.sqrt(native**2 + added) == pytest.approx(factor * native)


def test_the_values_of_the_20_m_bands_lie_between_paper_and_mtf() -> None:
    assert 0.5 < sensor_sigma(2, 0.34) < sensor_sigma(2, 0.23) < 1.0
    assert sensor_sigma(2, 0.99) == 0.0


@pytest.mark.parametrize("mtf", [0.0, 1.0, -0.2, float("nan")])
def test_an_impossible_mtf_is_refused(mtf: float) -> None:
    with pytest.raises(InputError, match="between 0 and 1"):
        sensor_sigma(2, mtf)


def test_noise_is_measured_where_the_image_is_flat() -> None:
    rng = np.random.default_rng(0)
    image = rng.normal(1000, 12.0, (420, 420))
    image += np.arange(420) * 3.0  # a plane does not count
    image[:, 200:] += rng.normal(0, 300, (420, 220))  # texture does not count either
    # the flattest tenth of pure noise lies below its mean: by less than a quarter
    assert 9.0 < noise_level(image) < 12.0


def test_invalid_pixels_do_not_spread() -> None:
    rng = np.random.default_rng(1)
    image = rng.normal(1000, 12.0, (210, 210))
    whole = noise_level(image)
    image[50:60, 70:90] = np.nan
    assert noise_level(image) == pytest.approx(whole, rel=0.05)
    assert noise_level(np.full((30, 30), np.nan)) == 0.0
    assert noise_level(np.ones((4, 4))) == 0.0


@pytest.mark.parametrize(("factor", "sigma"), [(2, 0.7), (6, 2.4), (2, 0.0)])
def test_noise_given_back_makes_up_for_what_degrading_took(factor: int, sigma: float) -> None:
    rng = np.random.default_rng(2)
    white = rng.normal(0, 10.0, (1200, 1200))
    coarse = block_mean(blur(white, sigma) if sigma else white, factor)
    assert coarse.std() == pytest.approx(10.0 * noise_kept(factor, sigma), rel=0.03)
    back = coarse + rng.normal(0, noise_to_give_back(10.0, factor, sigma), coarse.shape)
    assert back.std() == pytest.approx(10.0, rel=0.03)


@pytest.mark.parametrize("factor", [2, 6])
def test_degrade_is_blur_mean_and_the_sensors_noise(factor: int) -> None:
    rng = np.random.default_rng(3)
    image = rng.normal(1000, 20.0, (1, 240 * factor, 180 * factor))
    sigma = sensor_sigma(factor, EFFECTIVE_MTF["B11"])
    clean = block_mean(blur(image, sigma), factor)
    noise = degrade(image, factor, "sensor", band="B11") - clean
    # S2A's B11 at reflectance 0.1 and a zenith angle of 40 degrees, by hand: 35.38 counts a W, 245.59 W of sun
    counts = 0.1 * 35.38 * 245.59 * np.cos(np.radians(40)) / np.pi
    own = 1000 / counts * 0.65 * np.sqrt(0.668**2 + 2.43e-3 * counts)
    assert own == pytest.approx(3.0, abs=0.05)
    level = noise_to_give_back(own, factor, sigma)
    assert noise.std() == pytest.approx(level, rel=0.02)
    assert abs(noise.mean()) < 0.02 * level
    # white: neighbours know nothing of each other
    assert abs((noise[..., 1:] * noise[..., :-1]).mean()) < 0.02 * level**2


def test_noise_repeats_follows_the_unit_and_differs_between_bands() -> None:
    image = np.random.default_rng(4).normal(1000, 20.0, (2, 60, 60))
    got = degrade(image, 2, "sensor", band="B05")
    np.testing.assert_array_equal(got, degrade(image, 2, "sensor", band="B05"))
    np.testing.assert_array_equal(got[1], degrade(image[1], 2, "sensor", band="B05"))
    in_reflectance = degrade(image * 1e-4, 2, "sensor", band="B05", scale=1.0)
    np.testing.assert_allclose(in_reflectance, got * 1e-4)
    np.testing.assert_allclose(degrade(image + 1000, 2, "sensor", band="B05", offset=-0.1), got + 1000)
    clean = block_mean(blur(image, sensor_sigma(2, EFFECTIVE_MTF["B05"])), 2)  # B06 has the same MTF
    noise = [degrade(image, 2, "sensor", band=band)[0] - clean[0] for band in ("B05", "B06")]
    assert abs(np.corrcoef(noise[0].ravel(), noise[1].ravel())[0, 1]) < 0.1
    with pytest.raises(InputError, match="band is 'B5'; expected one of B01"):
        degrade(image, 2, "sensor", band="B5")
    with pytest.raises(InputError, match='say which: band="B05"'):
        degrade(image, 2, "sensor")
    np.testing.assert_array_equal(
        degrade(image, 2, "sensor", band="B05", noise=False), block_mean(blur(image, sensor_sigma(2, 0.27)), 2)
    )


def spectrum(image: np.ndarray) -> np.ndarray:
    """Mean power of the waves in eight rings up to the Nyquist frequency."""
    n = image.shape[0]
    power = np.abs(np.fft.fft2(image - image.mean())) ** 2 / image.size
    radius = np.hypot(*np.meshgrid(np.fft.fftfreq(n), np.fft.fftfreq(n)))
    edges = np.linspace(1 / 16, 0.5, 9)
    return np.array([power[(radius > a) & (radius <= b)].mean() for a, b in pairwise(edges)])


@pytest.mark.parametrize("mtf", [0.23, 0.34])
def test_a_degraded_band_has_the_spectrum_of_a_native_one(mtf: float) -> None:
    """A landscape that looks the same at all scales, seen by the sensor: degraded by 2, it looks as it did."""
    n, step, noise = 512, 3, 4.0  # pixels, points of the landscape a pixel, DN
    rng = np.random.default_rng(5)
    side = n * step
    f = np.hypot(*np.meshgrid(np.fft.fftfreq(side), np.fft.fftfreq(side)))
    f[0, 0] = 1.0
    waves = np.fft.fft2(rng.normal(0, 100.0, (side, side))) / (f * side)  # equal power in each octave
    seen = waves * np.exp(-2 * (np.pi * f * step * np.sqrt(-2 * np.log(mtf)) / np.pi) ** 2)
    native = np.fft.ifft2(seen).real[::step, ::step]
    native = native * 100 / native.std() + rng.normal(0, noise, (n, n))
    sigma = sensor_sigma(2, mtf)
    coarse = degrade(native, 2, sigma=sigma)
    # here the noise is known, so that the estimate's factor is left out
    coarse = coarse + rng.normal(0, noise_to_give_back(noise, 2, sigma), coarse.shape)
    ratio = spectrum(coarse) / spectrum(native)
    np.testing.assert_allclose(ratio, 1.0, atol=0.15)
    # neither of the usual degradations does that: the one is too sharp, the other too soft
    assert spectrum(degrade(native, 2, "paper"))[5] > 1.2 * spectrum(native)[5]
    assert spectrum(degrade(native, 2, "mtf"))[5] < 0.8 * spectrum(native)[5]
