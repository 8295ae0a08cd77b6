"""The loops of the adaptive step against numpy twins, and the step against landscapes whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import convolve1d, gaussian_filter

from xr_s2sr import local_regression, regression
from xr_s2sr.interpolation import bicubic, linear_taps
from xr_s2sr.local_regression import CoarseBand, Guide, Regression
from xr_s2sr.psf import mtf_of, observation_taps, psf_variance

RNG = np.random.default_rng(0)


def images(*shape: int) -> np.ndarray:
    return RNG.normal(0.5, 0.2, shape).astype(np.float32)


@pytest.mark.parametrize(("factor", "variance"), [(2, 0.9), (6, 9.0), (2, 0.0)])
def test_observing_is_blur_and_block_mean(factor: int, variance: float) -> None:
    image = images(20 * factor, 16 * factor)
    taps = observation_taps(factor, variance)
    got = np.empty((20, 16), np.float32)
    regression.observe(image, taps, factor, got)
    assert taps.sum() == pytest.approx(1)
    # the variance of the weights is that asked for, as far as the mean allows
    at = np.arange(len(taps)) - (len(taps) - 1) / 2
    assert (taps * at**2).sum() == pytest.approx(max(variance, (factor**2 - 1) / 12), rel=0.04)
    padded = np.pad(image.astype(float), (len(taps) - factor) // 2, mode="edge")
    for _ in range(2):
        rows = [padded[k : len(padded) - len(taps) + 1 + k : factor] for k in range(len(taps))]
        padded = sum(weight * row for weight, row in zip(taps.astype(float), rows, strict=True)).T
    np.testing.assert_allclose(got, padded, rtol=1e-5)


def test_smoothing_and_high_pass() -> None:
    image, taps = images(9, 12), np.array([0.1, 0.2, 0.4, 0.2, 0.1], np.float32)
    mask = (RNG.random((9, 12)) > 0.2).astype(np.float32)
    smoothed = image.astype(float)
    for axis in (0, 1):
        smoothed = convolve1d(smoothed, taps[::-1].astype(float), axis, mode="nearest")
    got = np.empty_like(image)
    regression.smooth(image, taps, got)
    np.testing.assert_allclose(got, smoothed, rtol=1e-5)
    regression.high_pass(image, taps, mask, got)
    np.testing.assert_allclose(got, mask * (image - smoothed), atol=1e-6)


@pytest.mark.parametrize(("count", "cell"), [(1, 3), (5, 3), (7, 1), (13, 1)])
def test_weights_are_those_of_ridge_regressions(count: int, cell: int) -> None:
    shape = 6 * cell, 5 * cell
    mask = (RNG.random(shape) > 0.3).astype(np.float32)
    guides, y = images(count, *shape) * mask, images(*shape) * mask
    sums = np.empty((count * (count + 1) // 2 + count + 2, 6, 5), np.float32)
    regression.moments(y, guides, mask, cell, sums)
    ridge, floor = 0.05, 0.01
    weights, misfit = np.empty((count, 6, 5), np.float32), np.empty((6, 5), np.float32)
    regression.solve(sums.copy(), count, ridge, floor, 0.0, weights, misfit)
    mean, same = np.empty_like(weights), np.empty_like(misfit)
    regression.solve(sums.copy(), count, ridge, floor, 0.25, mean, same)
    np.testing.assert_array_equal(same, misfit)
    for i, j in np.ndindex(6, 5):
        part = slice(i * cell, (i + 1) * cell), slice(j * cell, (j + 1) * cell)
        x, target = guides[:, *part].reshape(count, -1).astype(float), y[part].ravel().astype(float)
        number = mask[part].sum()
        if number == 0:
            assert misfit[i, j] == 0
            assert not weights[:, i, j].any()
            continue
        normal = x @ x.T
        normal += (ridge * np.trace(normal) / count + floor * number) * np.eye(count)
        expected = np.linalg.solve(normal, x @ target)
        np.testing.assert_allclose(weights[:, i, j], expected, rtol=1e-3, atol=1e-4)
        fewer = np.append(np.linalg.solve(normal[:-1, :-1], x[:-1] @ target), 0)
        np.testing.assert_allclose(mean[:, i, j], 0.75 * expected + 0.25 * fewer, rtol=1e-3, atol=1e-4)
        left = ((target - expected @ x) ** 2).sum() / number
        # of a ridge regression, what is left is less than the quadratic form says by the penalty twice
        assert misfit[i, j] == pytest.approx(left, rel=1e-3, abs=1e-5)


def test_detail_is_the_guide_times_interpolated_weights() -> None:
    weights, guide = images(4, 5), images(24, 30)
    out = images(24, 30)
    before = out.copy()
    regression.add_detail(weights, guide, linear_taps(6), 6, out)
    centres = (np.arange(30) + 0.5) / 6 - 0.5
    rows = np.stack([np.interp(centres[:24], np.arange(4), column) for column in weights.T.astype(float)], axis=1)
    fine = np.stack([np.interp(centres, np.arange(5), row) for row in rows])
    np.testing.assert_allclose(out - before, fine * guide, atol=1e-5)


# -- the step -------------------------------------------------------------------------------------------------


#: Variance of the blur of landscapes, in squared pixels: that of 10 m bands.
BLUR = psf_variance(0.3)


def landscape(factor: int, n: int = 20) -> tuple[list[Guide], np.ndarray]:
    """Three guides of the sharpness of 10 m bands, and a band that is a mixture of them."""
    size = 6 * n if factor == 6 else 2 * 3 * n
    fields = [gaussian_filter(RNG.normal(0, 1, (size, size)), np.sqrt(BLUR), mode="reflect") for _ in range(3)]
    fields = [np.asarray(0.5 + 0.1 * f / f.std(), np.float32) for f in fields]
    truth = 0.7 * fields[0] - 0.4 * fields[1] + 0.9 * fields[2] + 0.1
    return [Guide(f, BLUR) for f in fields], truth


def seen(truth: np.ndarray, factor: int, mtf: float, own: float) -> np.ndarray:
    out = np.empty([n // factor for n in truth.shape], np.float32)
    taps = observation_taps(factor, factor**2 * psf_variance(mtf) - own)
    regression.observe(truth.astype(np.float32), taps, factor, out)
    return out


def error(image: np.ndarray, truth: np.ndarray, border: int = 36) -> float:
    inner = slice(border, -border)
    return float(np.sqrt(((image - truth)[inner, inner] ** 2).mean()))


@pytest.mark.parametrize("factor", [2, 6])
def test_a_mixture_of_the_guides_is_found(factor: int) -> None:
    guides, truth = landscape(factor, 30)
    y = seen(truth, factor, 0.3, BLUR)
    got = Regression(factor, 0.2, guides).restore(CoarseBand(y, 0.3, BLUR))
    assert error(got, truth) < 0.1 * error(bicubic(y, factor), truth)


def test_the_gain_of_a_networks_result_is_put_right() -> None:
    _, truth = landscape(2)
    y = seen(truth, 2, 0.3, BLUR)
    weak = (truth.mean() + 0.6 * (truth - truth.mean())).astype(np.float32)
    got = Regression(2, 0.2, ()).restore(CoarseBand(y, 0.3, BLUR, weak))
    assert error(got, truth) < 0.2 * error(weak, truth)


@pytest.mark.parametrize("factor", [2, 6])
def test_the_result_seen_by_the_sensor_is_the_band_again(factor: int) -> None:
    """What no guide explains is given back too, where the band has it: here the bands are off by a pixel of 10 m."""
    guides, truth = landscape(factor, 30)
    _, unseen = landscape(factor, 30)
    y = seen(np.roll(truth, 1, axis=1) + 0.5 * (unseen - unseen.mean()), factor, 0.3, BLUR)
    lost = {}
    for name, image in (
        ("bicubic", bicubic(y, factor)),
        ("step", Regression(factor, 0.2, guides).restore(CoarseBand(y, 0.3, BLUR))),
    ):
        lost[name] = error(seen(image, factor, 0.3, BLUR), y, 36 // factor)
    assert lost["step"] < 0.55 * lost["bicubic"]


def test_a_blur_that_is_not_the_assumed_one_is_borne() -> None:
    """Among the trials, that which explains the band decides."""
    guides, truth = landscape(2)
    errors = []
    for trials in (local_regression.TRIALS, {2: (1.0,)}):
        y = seen(truth, 2, 0.24, BLUR)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(local_regression, "TRIALS", trials)
            errors.append(error(Regression(2, 0.2, guides).restore(CoarseBand(y, 0.3, BLUR)), truth))
    assert errors[0] < 0.8 * errors[1]


def test_invalid_pixels_weigh_nothing() -> None:
    guides, truth = landscape(2)
    y = seen(truth, 2, 0.3, BLUR)
    valid = np.ones(y.shape, bool)
    valid[20:24, 28:33] = False
    results = []
    for value in (0.5, 40.0):
        spoilt = np.where(valid, y, np.float32(value))
        results.append(Regression(2, 0.2, guides).restore(CoarseBand(spoilt, 0.3, BLUR, valid=valid)))
    away = np.ones(truth.shape, bool)
    reach = 2 * 7  # cubic interpolation twice, and the blur between
    away[2 * 20 - reach : 2 * 24 + reach, 2 * 28 - reach : 2 * 33 + reach] = False
    np.testing.assert_array_equal(results[0][away], results[1][away])


def test_where_too_few_are_valid_the_networks_result_stands() -> None:
    guides, truth = landscape(2)
    y, network = seen(truth, 2, 0.3, BLUR), images(*truth.shape)
    nothing = np.zeros(y.shape, bool)
    got = Regression(2, 0.2, guides, nothing).restore(CoarseBand(y, 0.3, BLUR, network))
    np.testing.assert_array_equal(got, network)
    half = np.ones(y.shape, bool)
    half[:, :30] = False
    got = Regression(2, 0.2, guides, half).restore(CoarseBand(y, 0.3, BLUR, network))
    whole = Regression(2, 0.2, guides).restore(CoarseBand(y, 0.3, BLUR, network))
    np.testing.assert_array_equal(got[:, :36], network[:, :36])
    assert not np.array_equal(got[:, 66:], network[:, 66:])
    np.testing.assert_array_equal(got[:, 96:], whole[:, 96:])


@pytest.mark.parametrize("factor", [2, 6])
def test_nothing_beyond_its_reach_matters(factor: int) -> None:
    guides, truth = landscape(factor, 40)
    y = seen(truth, factor, 0.3, BLUR)
    far = local_regression.reach(factor, [0.3])
    assert far < truth.shape[0] // 2 - 6
    at = truth.shape[0] // 2 // 6 * 6
    whole = Regression(factor, 0.2, guides).restore(CoarseBand(y, 0.3, BLUR))
    for guide in guides:
        guide.image[: at - far] += 7
    y[: (at - far) // factor] -= 3
    again = Regression(factor, 0.2, guides).restore(CoarseBand(y, 0.3, BLUR))
    np.testing.assert_array_equal(whole[at:], again[at:])
    assert not np.array_equal(whole[: at - far], again[: at - far])


def test_mtf_and_variance_are_inverse() -> None:
    assert mtf_of(psf_variance(0.27)) == pytest.approx(0.27)
    # a Gaussian of half a pixel lets exp(-pi^2 / 8) through at Nyquist
    assert psf_variance(np.exp(-(np.pi**2) / 8)) == pytest.approx(0.25)
