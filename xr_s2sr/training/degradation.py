"""Degradation of random patches: blur, block mean and noise, each band of each patch with a width of its own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from xr_s2sr.bands import BANDS, EFFECTIVE_MTF
from xr_s2sr.quality.noise import noise_variance
from xr_s2sr.quality.sensor import sensor_sigma


def degrade_patches(x: Tensor, factor: int, sigma: Tensor, shift: Tensor) -> Tensor:
    """Blur each band of each patch with its own Gaussian, then average factor x factor blocks.

    Parameters
    ----------
    x : Tensor, shape (N, C, y, x)
        Fine square patches with a margin of ``margin(factor)`` pixels on each side.
    factor : int
    sigma : Tensor, shape (N, C)
        In fine pixels.
    shift : Tensor, shape (2, N, C)
        By which each band is moved down and to the right, in fine pixels.

    Returns
    -------
    Tensor, shape (N, C, (y - 2 margin) / factor, (x - 2 margin) / factor)
    """
    side = x.shape[-1]
    rows = (side - 2 * margin(factor)) // factor

    def matrix(shift: Tensor) -> Tensor:
        taps = degradation_taps(factor, sigma.reshape(-1), shift.reshape(-1))
        # a row of the matrix is the taps, each row `factor` further to the right: one long row, cut a little earlier
        wide = F.pad(taps, (0, side + factor - taps.shape[1])).repeat(1, rows)[:, : rows * side]
        return wide.reshape(*sigma.shape, rows, side)

    return matrix(shift[0]) @ x @ matrix(shift[1]).transpose(2, 3)


def degradation_taps(factor: int, sigma: Tensor, shift: Tensor | None = None) -> Tensor:
    """Return blur and block mean along one axis as weights (len(sigma), 2 margin + factor) of a strided convolution."""
    r = margin(factor)
    at = torch.arange(-r, r + 1, dtype=torch.float32, device=sigma.device)
    if shift is not None:
        at = at + shift.reshape(-1, 1)
    k = torch.exp(-0.5 * (at / sigma.reshape(-1, 1)) ** 2)
    k = k / k.sum(dim=1, keepdim=True)
    return torch.stack([F.pad(k, (phase, factor - 1 - phase)) for phase in range(factor)], dim=1).mean(dim=1)


def noise_taken(factor: int, sigma: Tensor) -> Tensor:
    """Return the share of white noise's standard deviation that a degradation takes, in the shape of sigma."""
    kept = (degradation_taps(factor, sigma.reshape(-1)) ** 2).sum(dim=1)
    return (1 - kept**2).clamp(min=0).sqrt().reshape(sigma.shape)


def margin(factor: int) -> int:
    """Return the fine pixels that a patch needs around it to be degraded by `factor`: three to four sigma."""
    return 2 * factor


def simulated(
    groups: Sequence[Tensor],
    bands: Sequence[Sequence[str]],
    factor: int,
    is_sensor: Tensor,
    generator: torch.Generator,
) -> list[Tensor]:
    """Degrade patches: some as the sensor would see them with larger pixels, the others as is usual.

    Parameters
    ----------
    groups : sequence of Tensor, each (N, bands, y, x)
        Fine patches of each resolution, in DN, with a margin of ``margin(factor)`` own pixels on each side.
    bands : sequence of sequences of str
        Ids of the bands of each group.
    factor : int
    is_sensor : Tensor, bool, (N, 1)
        Patches with the sensor's blur, and with the noise (:mod:`xr_s2sr.quality.noise`) that averaging took away.
    generator : torch.Generator
        On the device of the patches.

    Returns
    -------
    list of Tensor, each (N, bands, (y - 2 margin) / factor, (x - 2 margin) / factor)
    """
    n, names = len(groups[0]), [band for group in bands for band in group]
    usual, sensor = usual_sigmas(generator, n, len(names), factor), sensor_sigmas(generator, n, names, factor)
    sigma = torch.where(is_sensor, sensor, usual)
    # satellites, the height of the sun and Level-2A's atmosphere change the noise
    times = torch.exp(0.3 * normal(generator, n, 1))
    moved = shifts(generator, n, names) * is_sensor * factor
    sizes, out = [len(group) for group in bands], []
    parts = zip(groups, bands, torch.split(sigma, sizes, dim=1), torch.split(moved, sizes, dim=2), strict=True)
    for x, group, own, shift in parts:
        coarse = degrade_patches(x, factor, own, shift)
        base, slope = (constants(own, x.device)[:, None, None] for own in zip(*map(noise_variance, group), strict=True))
        level = (base + slope * coarse.clamp(min=0)).sqrt()
        lost_noise = level * (noise_taken(factor, own) * times * is_sensor)[:, :, None, None]
        out.append(coarse + normal(generator, *coarse.shape) * lost_noise)
    return out


def usual_sigmas(generator: torch.Generator, n: int, bands: int, factor: int) -> Tensor:
    """Draw blur widths (n, bands) in fine pixels, between those of the protocols "paper" and "mtf"."""
    paper, mtf = 1.0 / factor, factor / 2.0
    kind = uniform(generator, n, 1)
    between = paper + (1.15 * mtf - paper) * uniform(generator, n, 1)
    base = torch.where(kind < 0.4, paper, torch.where(kind < 0.75, mtf, between))
    # real bands differ in sharpness; the protocols' do not
    spread = 0.08 * (kind >= 0.75) * normal(generator, n, bands)
    return (base * torch.exp(spread)).clamp(paper, 1.3 * mtf)


def sensor_sigmas(generator: torch.Generator, n: int, bands: Sequence[str], factor: int) -> Tensor:
    """Draw blur widths (n, bands) in fine pixels: about the sensor's, relative to the pixel."""
    widths = [sensor_sigma(factor, EFFECTIVE_MTF[band]) for band in bands]
    spread = 0.12 * normal(generator, n, 1) + 0.05 * normal(generator, n, len(bands))
    return torch.exp(spread) * constants(widths, spread.device)


def shifts(generator: torch.Generator, n: int, bands: Sequence[str]) -> Tensor:
    """Draw how far bands are off (2, n, bands), in their own pixels: each a little, SWIR and 60 m bands further.

    Measured in products: 0.01 to 0.02 pixels between VNIR bands, about 0.1 for B11 and B12.
    """
    spread = [0.02 if BANDS[band].gsd < 60 and band not in ("B11", "B12") else 0.07 for band in bands]
    drawn = [normal(generator, 2, n) * width for width in spread]
    return torch.stack(drawn, dim=2)


def uniform(generator: torch.Generator, *shape: int) -> Tensor:
    """Draw numbers from 0 to 1, on the generator's device."""
    return torch.rand(shape, generator=generator, device=generator.device)


def normal(generator: torch.Generator, *shape: int) -> Tensor:
    """Draw normally distributed numbers, on the generator's device."""
    return torch.randn(shape, generator=generator, device=generator.device)


def constants(values: Iterable[float], device: torch.device) -> Tensor:
    """Return numbers as a Tensor that is made on its device: recorded steps cannot copy one from the CPU."""
    return torch.stack([torch.full((), value, device=device) for value in values])


def seeded(*seed: int, device: str | torch.device = "cpu") -> torch.Generator:
    """Return a generator of random numbers on a device."""
    (state,) = np.random.SeedSequence(seed).generate_state(1, np.uint64)
    return torch.Generator(device).manual_seed(int(state >> np.uint64(1)))
