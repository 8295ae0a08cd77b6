"""Local regression of B11 and B12, an input of the networks for the 20 m bands, in training."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from xr_s2sr.bands import BY_GSD, EFFECTIVE_MTF, NOMINAL_MTF
from xr_s2sr.local_regression import CELL, CoarseBand, Regression, guide_of
from xr_s2sr.psf import psf_variance
from xr_s2sr.training.data import SCALE

#: Bands that are far from the 10 m bands in the spectrum. What the scene itself says of them, a network cannot know.
REGRESSED_BANDS = ("B11", "B12")


@torch.no_grad()
def regressed(b10: Tensor, b20: Tensor) -> Tensor:
    """Return the regression on the 10 m bands of :data:`REGRESSED_BANDS`.

    Parameters
    ----------
    b10 : Tensor, shape (N, 4, 2 y, 2 x)
    b20 : Tensor, shape (N, 6, y, x)

    Returns
    -------
    Tensor, shape (N, 2, 2 y, 2 x)
        Planes of 0 where a band is one.
    """
    rows, cols = b10.shape[-2:]
    out = torch.zeros(len(b10), len(REGRESSED_BANDS), rows, cols)
    for fine, coarse, planes in zip(b10.cpu().numpy(), b20.cpu().numpy(), out.numpy(), strict=True):
        guides = [guide_of(_whole(x, 2), NOMINAL_MTF[band]) for x, band in zip(fine, BY_GSD[10], strict=True)]
        step = Regression(2, SCALE / 1e4, guides)
        for band, plane in zip(REGRESSED_BANDS, planes, strict=True):
            image = _whole(coarse[BY_GSD[20].index(band)], 1)
            if image.any():
                found = step.restore(CoarseBand(image, EFFECTIVE_MTF[band], psf_variance(EFFECTIVE_MTF[band])))
                plane[:] = found[:rows, :cols]
    return out.to(b10.device)


def _whole(image: NDArray[np.float32], scale: int) -> NDArray[np.float32]:
    """Mirror an image at its end to whole cells of the regression, whose pixels are `scale` times as many."""
    cell = CELL[2] * scale
    return np.ascontiguousarray(np.pad(image, [(0, -n % cell) for n in image.shape], "symmetric"))
