"""Degradation of random patches: blur and block mean, each band of each patch with a width of its own."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


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
    """Blur and block mean along one axis, as weights (len(sigma), 2 margin + factor) of one strided convolution."""
    r = margin(factor)
    at = torch.arange(-r, r + 1, dtype=torch.float32)
    k = torch.exp(-0.5 * (at / sigma.reshape(-1, 1)) ** 2)
    k = k / k.sum(dim=1, keepdim=True)
    box = torch.zeros(len(k), factor, 2 * r + factor)
    for shift in range(factor):
        box[:, shift, shift : shift + 2 * r + 1] = k
    return box.mean(dim=1)


def noise_taken(factor: int, sigma: Tensor) -> Tensor:
    """Share of white noise's standard deviation that a degradation takes, in the shape of sigma."""
    kept = (degradation_taps(factor, sigma.reshape(-1)) ** 2).sum(dim=1)
    return (1 - kept**2).clamp(min=0).sqrt().reshape(sigma.shape)


def margin(factor: int) -> int:
    """Fine pixels that a patch needs around it to be degraded by `factor`: three to four sigma."""
    return 2 * factor
