"""Bands that are off are found and moved back: the loops against numpy twins, and landscapes that were moved."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import fourier_shift, gaussian_filter

from xr_s2sr import regression
from xr_s2sr.bands import EFFECTIVE_MTF
from xr_s2sr.inference.registration import DERIVATIVE, LONGEST_SHIFT, SHORTEST_SHIFT, look, reach, registered
from xr_s2sr.inference.window_pixels import WindowPixels
from xr_s2sr.psf import observation_taps, psf_variance
from xr_s2sr.spans import Span

RNG = np.random.default_rng(0)


def smooth(*shape: int, width: float = 2.0) -> np.ndarray:
    """Return random images, periodic and without detail that their pixels could not hold."""
    field = gaussian_filter(RNG.normal(0, 1, shape), (0,) * (len(shape) - 2) + (width, width), mode="wrap")
    return np.asarray(0.3 + 0.05 * field / field.std(), np.float32)


@pytest.mark.parametrize("axis", [0, 1])
def test_derivatives_of_waves(axis: int) -> None:
    at = np.arange(40, dtype=np.float32)
    wave, rate = np.sin(2 * np.pi * at / 6), 2 * np.pi / 6  # three pixels from crest to trough
    image = np.broadcast_to(wave[:, None] if axis == 0 else wave, (40, 40)).astype(np.float32)
    got = np.empty_like(image)
    regression.derivative(image, axis, DERIVATIVE, got)
    expected = rate * np.cos(2 * np.pi * at / 6)
    line = got[:, 7] if axis == 0 else got[7]
    np.testing.assert_allclose(line[3:-3], expected[3:-3], atol=0.02 * rate)
    assert abs(line[12] / expected[12] - 1) < 0.02  # the plain central difference is 17 % off


def test_resampling_moves_by_fractions_of_a_pixel() -> None:
    image = smooth(48, 40)
    down, right = 0.3, -0.6
    expected = np.fft.ifft2(fourier_shift(np.fft.fft2(image.astype(float)), (-down, -right))).real
    got = np.empty_like(image)
    regression.resample(image, np.full_like(image, down), np.full_like(image, right), got)
    np.testing.assert_allclose(got[4:-4, 4:-4], expected[4:-4, 4:-4], atol=2e-3)  # of a scene whose deviation is 0.05
    regression.resample(image, np.zeros_like(image), np.zeros_like(image), got)
    np.testing.assert_array_equal(got, image)


def test_what_guides_leave_of_slopes_and_band() -> None:
    """The equations are those of the residuals of ridge regressions on the guides."""
    count, cells = 3, (2, 4)
    mask = (RNG.random((12, 24)) > 0.2).astype(np.float32)
    regressors = RNG.normal(0, 1, (count + 2, 12, 24)).astype(np.float32) * mask
    y = RNG.normal(0, 1, (12, 24)).astype(np.float32) * mask
    sums = np.empty(((count + 3) * (count + 4) // 2 + 1, *cells), np.float32)
    regression.moments(y, regressors, mask, 6, sums)
    got = np.empty((5, *cells), np.float32)
    regression.unexplained(sums, count, 0.0, 1e-6, 0.5, got)
    for i, j in np.ndindex(*cells):
        part = slice(6 * i, 6 * i + 6), slice(6 * j, 6 * j + 6)
        x = np.concatenate([regressors[:, *part].reshape(count + 2, -1), y[part].reshape(1, -1)]).astype(float)
        left = x[count:] - np.linalg.lstsq(x[:count].T, x[count:].T, rcond=None)[0].T @ x[:count]
        products = left @ left.T
        trust = 1 / (products[2, 2] / mask[part].sum() + 0.5)
        expected = trust * np.array([products[0, 0], products[1, 0], products[1, 1], products[2, 0], products[2, 1]])
        np.testing.assert_allclose(got[:, i, j], expected, rtol=1e-3, atol=1e-3)


def test_short_shifts_are_none_and_long_ones_are_cut() -> None:
    given = np.array([[0.1, 0.0], [0.15, 0.13], [0.3, 0.4], [2.0, 0.0], [0.0, 0.0]], np.float32)
    # of slopes that are uncorrelated and of power 4, with products that lead to the shifts above
    equations = np.zeros((5, 1, len(given)), np.float32)
    equations[0], equations[2] = 4, 4
    equations[3, 0], equations[4, 0] = -4 * given[:, 0], -4 * given[:, 1]
    equations[:, 0, -1] = 0  # nothing is known
    got = np.empty((2, 1, len(given)), np.float32)
    regression.displacements(equations, 0.2, 0.75, got)
    kept = 1 - 0.2**2 / 0.5**2
    expected = np.array([[0, 0], [0, 0], [0.3 * kept, 0.4 * kept], [0.75, 0], [0, 0]])
    np.testing.assert_allclose(got[:, 0].T, expected, atol=3e-3)


# -- landscapes -----------------------------------------------------------------------------------------------


def scene(size: int = 180, moved: float = 0.0, band: str = "B05") -> WindowPixels:
    """Return 10 m bands and a coarse band that is a mixture of them, moved by so many pixels of 10 m both ways."""
    factor = {"B05": 2, "B09": 6}[band]
    rng = np.random.default_rng(7)
    noise = rng.normal(0, 1, (4, 360, 360))
    scales = [gaussian_filter(noise, (0, width, width)) for width in (1.0, 8.0)]  # texture, and fields
    fields = sum(one / one.std() for one in scales)[:, :size, :size]
    fields = np.asarray(0.3 + 0.05 * fields, np.float32)
    variance = factor**2 * psf_variance(EFFECTIVE_MTF[band]) - psf_variance(0.3)
    mixture = 0.5 * fields[0] + 0.8 * fields[2] - 0.4 * fields[3]
    if moved:
        mixture = np.fft.ifft2(fourier_shift(np.fft.fft2(mixture), (moved, moved))).real
    coarse = np.empty((size // factor, size // factor), np.float32)
    regression.observe(mixture.astype(np.float32), observation_taps(factor, variance), factor, coarse)
    images = dict(zip(("B02", "B03", "B04", "B08"), fields, strict=True)) | {band: coarse}
    own = {name: (Span(0, image.shape[0]), Span(0, image.shape[1])) for name, image in images.items()}
    mtf = dict.fromkeys(images, 0.3) | {band: EFFECTIVE_MTF[band]}
    return WindowPixels(images, {}, mtf, 1.0, (Span(0, size), Span(0, size)), own)


def off(one: np.ndarray, other: np.ndarray) -> float:
    inner = slice(len(one) // 6, -(len(one) // 6))
    return float(np.sqrt(((one - other)[inner, inner].astype(float) ** 2).mean()))


@pytest.mark.parametrize(("band", "moved", "left"), [("B05", 0.5, 0.4), ("B05", -1.0, 0.4), ("B09", 1.5, 0.6)])
def test_a_moved_band_is_moved_back(band: str, moved: float, left: float) -> None:
    """By most of the way: a part of it, the more the shorter it is, is left to be on the safe side."""
    pixels, straight = scene(moved=moved, band=band), scene(band=band).images[band]
    before = off(pixels.images[band], straight)
    after = off(registered(pixels).images[band], straight)
    assert after < left * before
    for fine in pixels.fine:
        assert registered(pixels).images[fine] is pixels.images[fine]


@pytest.mark.parametrize(("band", "moved"), [("B05", 0.0), ("B05", 0.15), ("B09", 0.0), ("B09", 0.05)])
def test_what_is_within_the_specification_is_left_as_it_is(band: str, moved: float) -> None:
    assert np.hypot(moved, moved) < SHORTEST_SHIFT
    pixels = scene(moved=moved, band=band)
    inner = slice(None) if band == "B05" else slice(5, -5)  # next to an edge few pixels of 60 m decide
    np.testing.assert_array_equal(registered(pixels).images[band][inner, inner], pixels.images[band][inner, inner])
    if band == "B05":
        assert registered(pixels).images[band] is pixels.images[band]


def test_no_shift_is_longer_than_the_most() -> None:
    pixels = scene(moved=6.0)
    before, after = pixels.images["B05"], registered(pixels).images["B05"]
    back = np.fft.ifft2(fourier_shift(np.fft.fft2(before.astype(float)), (-LONGEST_SHIFT, -LONGEST_SHIFT))).real
    # whatever is found, no pixel takes what lies farther away than its neighbours
    assert after.max() <= before.max() * 1.3
    assert off(after, before) <= 1.5 * off(back, before)


def test_without_10_m_bands_nothing_is_known() -> None:
    pixels = scene(moved=1.0)
    alone = WindowPixels({"B05": pixels.images["B05"]}, {}, pixels.mtf, 1.0, pixels.extent, pixels.own)
    assert registered(alone) is alone


def test_invalid_and_mirrored_pixels_tell_nothing() -> None:
    pixels = scene(moved=0.6)
    expected = registered(pixels).images["B05"]
    image = pixels.images["B05"].copy()
    invalid = np.zeros(image.shape, bool)
    invalid[40:44, 30:50] = True
    image[invalid] = 0.1
    holes = WindowPixels(pixels.images | {"B05": image}, {"B05": invalid}, pixels.mtf, 1.0, pixels.extent, pixels.own)
    away = np.ones(image.shape, bool)
    away[36:48, 26:54] = False
    got = registered(holes).images["B05"]
    assert np.abs(got - expected)[away].max() < 0.1 * np.abs(expected - pixels.images["B05"]).max()
    # a mirrored scene is moved the other way: half of it tells the opposite, unless it is known to be mirrored
    mirrored = {name: np.concatenate([own[::-1], own]) for name, own in pixels.images.items()}
    rows = {name: (Span(len(own), 2 * len(own)), Span(0, own.shape[1])) for name, own in pixels.images.items()}
    n, twice = len(image), (Span(0, 2 * len(pixels.images["B02"])), pixels.extent[1])
    told = registered(WindowPixels(mirrored, {}, pixels.mtf, 1.0, twice, rows)).images["B05"][n:]
    everywhere = {name: (Span(0, len(own)), Span(0, own.shape[1])) for name, own in mirrored.items()}
    untold = registered(WindowPixels(mirrored, {}, pixels.mtf, 1.0, twice, everywhere)).images["B05"][n:]
    straight = scene().images["B05"]
    assert off(told[:12], straight[:12]) < 0.7 * off(untold[:12], straight[:12])


@pytest.mark.parametrize("band", ["B05", "B09"])
def test_nothing_beyond_its_reach_matters(band: str) -> None:
    pixels = scene(300, 0.8, band)
    factor = {"B05": 2, "B09": 6}[band]
    far, at = reach(factor), 150
    assert far < at - 6
    whole = registered(pixels).images[band]
    changed = {name: image.copy() for name, image in pixels.images.items()}
    for name, image in changed.items():
        image[: (at - far) // (factor if name == band else 1)] += 0.2 * RNG.random(image.shape[1], np.float32)
    again = registered(WindowPixels(changed, {}, pixels.mtf, 1.0, pixels.extent, pixels.own)).images[band]
    np.testing.assert_array_equal(whole[at // factor :], again[at // factor :])
    assert not np.array_equal(whole[: (at - far) // factor], again[: (at - far) // factor])


def test_the_farthest_look_counts() -> None:
    assert look([1, 1]) == 0
    assert look([1, 2, 6]) == reach(6) > reach(2) == look([1, 2])
