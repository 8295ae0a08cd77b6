"""Blur and noise of the protocol "sensor"."""

from __future__ import annotations

import numpy as np
import pytest

from xr_s2sr.errors import InputError
from xr_s2sr.quality import block_mean, blur
from xr_s2sr.sensor import noise_kept, noise_level, noise_to_give_back, sensor_sigma


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
