"""The back-projection that ends our networks, against numpy and scipy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from xr_s2sr.models import back_projection
from xr_s2sr.quality import degrade

torch = pytest.importorskip("torch", reason="needs the extra 'train'")
networks = pytest.importorskip("xr_s2sr.training.networks")

FACTORS = (2, 6)


def smooth(bands: int, size: int, sigma: float) -> np.ndarray:
    """Random images without much detail."""
    rng = np.random.default_rng(bands)
    images = ndimage.gaussian_filter(rng.random((bands, size, size)), (0, sigma, sigma), mode="nearest")
    return images / images.std(axis=(1, 2), keepdims=True) * 0.2 + 1


def project(z: np.ndarray, coarse: np.ndarray, factor: int) -> np.ndarray:
    """What the network's last layer makes of both."""
    layer = networks.BackProjection(len(z), factor)
    arrays = (torch.from_numpy(array.astype(np.float32))[None] for array in (z, coarse))
    return layer(*arrays)[0].numpy().astype(np.float64)


def twin(z: np.ndarray, coarse: np.ndarray, factor: int) -> np.ndarray:
    """The same by scipy: blurs, block means, weights, interpolation."""

    def sensor(image: np.ndarray, sigma: float) -> np.ndarray:
        r = 3 * factor // 2
        blurred = ndimage.gaussian_filter(image, sigma, mode="nearest", radius=r)
        return blurred.reshape(image.shape[0] // factor, factor, -1, factor).mean(axis=(1, 3))

    def up(image: np.ndarray) -> np.ndarray:
        return ndimage.zoom(image, factor, order=1, mode="nearest", grid_mode=True)

    out = z.copy()
    for band, (image, low) in enumerate(zip(z, coarse, strict=True)):
        sigmas = np.linspace(1 / factor, factor / 2, 4)
        residuals = np.stack([low - sensor(image, sigma) for sigma in sigmas])
        energy = ndimage.uniform_filter(residuals**2, (0, 3, 3), mode="nearest") + 1e-8
        shared = residuals / energy**2 / (energy**-2).sum(axis=0)
        out[band] += up(shared.sum(axis=0))
    return out


@pytest.mark.parametrize("factor", FACTORS)
def test_blurs_are_those_of_the_degradations(factor: int) -> None:
    """The first is the paper's, the last the sensor's, as evaluate() degrades with them."""
    z = smooth(2, 20 * factor, factor / 2)
    layer = networks.BackProjection(2, factor)
    low = layer.blurred(torch.from_numpy(z.astype(np.float32))[None])[0].numpy().reshape(2, 4, 20, 20)
    inner = np.s_[:, 3:-3, 3:-3]  # the two pad differently
    np.testing.assert_allclose(low[:, 0][inner], degrade(z, factor, "paper")[inner], atol=2e-3)
    np.testing.assert_allclose(low[:, -1][inner], degrade(z, factor, "mtf")[inner], atol=2e-3)


@pytest.mark.parametrize("factor", FACTORS)
def test_it_does_what_scipy_does(factor: int) -> None:
    z = smooth(2, 16 * factor, factor)
    coarse = degrade(z + 0.3 * smooth(2, 16 * factor, 3 * factor) - 0.3, factor, "mtf")
    found, expected = project(z, coarse, factor), twin(z, coarse, factor)
    assert np.abs(expected - z).max() > 0.1
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize("protocol", ["paper", "mtf"])
def test_a_perfect_result_stays(factor: int, protocol: str) -> None:
    """Whatever the blur was: the residual of the right one is nil, and it gets all the weight."""
    z = smooth(3, 18 * factor, 0.4 * factor)
    found = project(z, degrade(z, factor, protocol), factor)
    inner = np.s_[:, 4 * factor : -4 * factor, 4 * factor : -4 * factor]
    # 2 % of the spread: the Gaussians are cut off at different distances
    assert np.abs(found - z)[inner].max() < 4e-3


@pytest.mark.parametrize("factor", FACTORS)
def test_a_wrong_level_is_put_right(factor: int) -> None:
    z = smooth(2, 20 * factor, 3 * factor)
    found = project(z + 0.05, degrade(z, factor, "paper"), factor)
    inner = np.s_[:, 4 * factor : -4 * factor, 4 * factor : -4 * factor]
    assert np.abs(found - z)[inner].max() < 0.005


def test_weights_keep_a_constant() -> None:
    for factor in FACTORS:
        np.testing.assert_allclose(back_projection.taps(factor).sum(axis=1), 1, rtol=1e-6)
