"""Degradation of random patches: blur, block mean and noise, each band of each patch with a width of its own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from xr_s2sr.quality.sensor import NOISE_FACTOR, NOMINAL_MTF, sensor_sigma


def degrade_patches(x: Tensor, factor: int, sigma: Tensor) -> Tensor:
    """Blur each band of each patch with its own Gaussian, then average factor x factor blocks.

    Parameters
    ----------
    x : Tensor, shape (N, C, y, x)
        Fine patches with a margin of ``margin(factor)`` pixels on each side.
    factor : int
    sigma : Tensor, shape (N, C)
        In fine pixels.

    Returns
    -------
    Tensor, shape (N, C, (y - 2 margin) / factor, (x - 2 margin) / factor)
    """
    n, c, h, w = x.shape
    taps = degradation_taps(factor, sigma.reshape(-1))
    flat = x.reshape(1, n * c, h, w)
    flat = F.conv2d(flat, taps[:, None, :, None], stride=(factor, 1), groups=n * c)
    flat = F.conv2d(flat, taps[:, None, None, :], stride=(1, factor), groups=n * c)
    return flat.reshape(n, c, flat.shape[-2], flat.shape[-1])


def degradation_taps(factor: int, sigma: Tensor) -> Tensor:
    """Return blur and block mean along one axis as weights (len(sigma), 2 margin + factor) of a strided convolution."""
    r = margin(factor)
    at = torch.arange(-r, r + 1, dtype=torch.float32)
    k = torch.exp(-0.5 * (at / sigma.reshape(-1, 1)) ** 2)
    k = k / k.sum(dim=1, keepdim=True)
    box = torch.zeros(len(k), factor, 2 * r + factor)
    for shift in range(factor):
        box[:, shift, shift : shift + 2 * r + 1] = k
    return box.mean(dim=1)


def noise_taken(factor: int, sigma: Tensor) -> Tensor:
    """Return the share of white noise's standard deviation that a degradation takes, in the shape of sigma."""
    kept = (degradation_taps(factor, sigma.reshape(-1)) ** 2).sum(dim=1)
    return (1 - kept**2).clamp(min=0).sqrt().reshape(sigma.shape)


def margin(factor: int) -> int:
    """Return the fine pixels that a patch needs around it to be degraded by `factor`: three to four sigma."""
    return 2 * factor


def simulated(
    groups: Sequence[Tensor],
    levels: Sequence[Tensor],
    bands: Sequence[Sequence[str]],
    factor: int,
    like: Tensor,
    rng: np.random.Generator,
) -> list[Tensor]:
    """Degrade patches: some as the sensor would see them with larger pixels, the others as is usual.

    Parameters
    ----------
    groups : sequence of Tensor, each (N, bands, y, x)
        Fine patches of each resolution, in DN, with a margin of ``margin(factor)`` own pixels on each side.
    levels : sequence of Tensor, each (N, bands)
        Noise of their scenes in DN (:func:`xr_s2sr.quality.sensor.noise_level`).
    bands : sequence of sequences of str
        Ids of the bands of each group.
    factor : int
    like : Tensor, bool, (N, 1)
        Patches with the sensor's blur and its noise given back, each drawn around it: see :func:`sensor_like`.
    rng : numpy Generator

    Returns
    -------
    list of Tensor, each (N, bands, (y - 2 margin) / factor, (x - 2 margin) / factor)
    """
    n, names = len(groups[0]), [band for group in bands for band in group]
    sigma = torch.where(like, sensor_sigmas(rng, n, names, factor), usual_sigmas(rng, n, len(names), factor))
    times = torch.from_numpy(NOISE_FACTOR * np.exp(0.3 * rng.standard_normal((n, 1))).astype(np.float32))
    out = []
    for x, level, own in zip(groups, levels, torch.split(sigma, [len(group) for group in bands], dim=1), strict=True):
        coarse = degrade_patches(x, factor, own)
        given_back = level * noise_taken(factor, own) * times * like
        noise = torch.randn(coarse.shape, generator=torch_generator(rng))
        out.append(coarse + noise * given_back[:, :, None, None])
    return out


def sensor_like(rng: np.random.Generator, n: int, share: float) -> Tensor:
    """Choose the patches that are degraded as the sensor would see them, (n, 1)."""
    return torch.from_numpy(rng.random(n) < share)[:, None]


def usual_sigmas(rng: np.random.Generator, n: int, bands: int, factor: int) -> Tensor:
    """Draw blur widths (n, bands) in fine pixels, between those of the protocols "paper" and "mtf"."""
    paper, mtf = 1.0 / factor, factor / 2.0
    kind = rng.random(n)
    base = np.where(kind < 0.4, paper, np.where(kind < 0.75, mtf, rng.uniform(paper, 1.15 * mtf, n)))
    # real bands differ in sharpness; the protocols' do not
    spread = np.where(kind < 0.75, 0.0, 0.08)[:, None] * rng.standard_normal((n, bands))
    sigma = np.clip(base[:, None] * np.exp(spread), paper, 1.3 * mtf)
    return torch.from_numpy(sigma.astype(np.float32))


def sensor_sigmas(rng: np.random.Generator, n: int, bands: Sequence[str], factor: int) -> Tensor:
    """Draw blur widths (n, bands) in fine pixels: about the sensor's, relative to the pixel."""
    nominal = np.array([sensor_sigma(factor, NOMINAL_MTF[band]) for band in bands])
    spread = 0.12 * rng.standard_normal((n, 1)) + 0.05 * rng.standard_normal((n, len(bands)))
    return torch.from_numpy((nominal * np.exp(spread)).astype(np.float32))


def torch_generator(rng: np.random.Generator) -> torch.Generator:
    """Return a torch generator that is seeded by a numpy one."""
    return torch.Generator().manual_seed(int(rng.integers(2**31)))
