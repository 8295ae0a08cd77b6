"""Degradation, interpolation and scores, against scipy, torch and loops."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from xr_s2sr import quality


@pytest.mark.parametrize(
    ("factor", "protocol", "sigma"), [(2, "paper", 0.5), (6, "paper", 1 / 6), (2, "mtf", 1.0), (6, "mtf", 3.0)]
)
def test_degrade_is_scipys_gaussian_and_block_means(factor: int, protocol: str, sigma: float) -> None:
    image = np.random.default_rng(0).random((3, 12 * factor, 15 * factor))
    blurred = gaussian_filter(image, (0, sigma, sigma), mode="reflect", truncate=4.0)
    want = np.array([[[blurred[b, i * factor : (i + 1) * factor, j * factor : (j + 1) * factor].mean()
                       for j in range(15)] for i in range(12)] for b in range(3)])  # fmt: skip
    np.testing.assert_allclose(quality.degrade(image, factor, protocol), want, atol=1e-12)


def test_degrade_keeps_the_mean_and_constants() -> None:
    np.testing.assert_allclose(quality.degrade(np.full((2, 24, 24), 7.0), 6, "mtf"), 7.0)


def keys(distance: float, a: float = -0.75) -> float:
    """Keys' cubic convolution kernel (1981), as printed."""
    d = abs(distance)
    if d <= 1:
        return (a + 2) * d**3 - (a + 3) * d**2 + 1
    return a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a if d < 2 else 0.0


@pytest.mark.parametrize("factor", [2, 3, 6])
def test_bicubic_is_keys_kernel_pixel_by_pixel(factor: int) -> None:
    image = np.random.default_rng(0).random((5, 7))
    got = quality.bicubic(image, factor)
    for i in range(5 * factor):
        for j in range(7 * factor):
            at = (i + 0.5) / factor - 0.5, (j + 0.5) / factor - 0.5
            want = sum(
                keys(at[0] - y) * keys(at[1] - x) * image[min(max(y, 0), 4), min(max(x, 0), 6)]
                for y in range(-3, 9)
                for x in range(-3, 11)
            )
            assert got[i, j] == pytest.approx(want, abs=1e-12)


@pytest.mark.parametrize("factor", [2, 3, 6])
def test_bicubic_matches_torch(factor: int) -> None:
    torch = pytest.importorskip("torch", reason="the train extra is not installed")
    image = np.random.default_rng(0).random((1, 2, 9, 11))
    want = torch.nn.functional.interpolate(torch.from_numpy(image), scale_factor=factor, mode="bicubic")
    np.testing.assert_allclose(quality.bicubic(image, factor), want.numpy(), atol=1e-12)


def test_rmse_leaves_the_border_out() -> None:
    truth = np.zeros((2, 40, 40))
    restored = truth.copy()
    restored[:, :12] = 1e6
    restored[1, 20, 20] = 16.0
    np.testing.assert_allclose(quality.rmse(restored, truth), [0.0, 1.0])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: quality.degrade(np.zeros((5, 4)), 2), "5 x 4 pixels does not divide"),
        (lambda: quality.degradation_sigma(1), "factor is 1"),
        (lambda: quality.degradation_sigma(2, "sharp"), "protocol is 'sharp'"),  # type: ignore[arg-type]
        (lambda: quality.rmse(np.zeros((1, 30, 30)), np.zeros((1, 30, 31))), "shapes differ"),
        (lambda: quality.rmse(np.zeros((1, 24, 24)), np.zeros((1, 24, 24))), "leaves nothing inside a border of 12"),
    ],
)
def test_refusals(call: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()  # type: ignore[operator]
