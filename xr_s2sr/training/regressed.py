"""Local regressions on the 10 m bands, an input of the networks, in training."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from xr_s2sr.bands import BY_GSD, EFFECTIVE_MTF, NOMINAL_MTF
from xr_s2sr.local_regression import CELL, CoarseBand, Regression, guide_of
from xr_s2sr.psf import psf_variance
from xr_s2sr.training.data import SCALE

#: Bands whose regression is an input, by the GSD of what a network restores: those that are far from the 10 m bands in
#: the spectrum. What the scene itself says of them, a network cannot know.
REGRESSED_BANDS = {20: ("B11", "B12"), 60: ("B01", "B09")}


@torch.no_grad()
def regressed(b10: Tensor, coarse: Tensor, gsd: int) -> Tensor:
    """Return the regression on the 10 m bands of :data:`REGRESSED_BANDS`.

    Parameters
    ----------
    b10 : Tensor, shape (N, 4, f y, f x)
    coarse : Tensor, shape (N, bands, y, x)
        All bands of the GSD, whose pixels are f times as large.
    gsd : {20, 60}

    Returns
    -------
    Tensor, shape (N, 2, f y, f x)
        Planes of 0 where a band is one.
    """
    rows, cols = b10.shape[-2:]
    bands, factor = REGRESSED_BANDS[gsd], gsd // 10
    out = torch.zeros(len(b10), len(bands), rows, cols)
    for fine, images, planes in zip(b10.cpu().numpy(), coarse.cpu().numpy(), out.numpy(), strict=True):
        guides = [guide_of(_whole(x, factor, factor), NOMINAL_MTF[b]) for x, b in zip(fine, BY_GSD[10], strict=True)]
        step = Regression(factor, SCALE / 1e4, guides)
        for band, plane in zip(bands, planes, strict=True):
            image = _whole(images[BY_GSD[gsd].index(band)], factor, 1)
            if image.any():
                found = step.restore(CoarseBand(image, EFFECTIVE_MTF[band], psf_variance(EFFECTIVE_MTF[band])))
                plane[:] = found[:rows, :cols]
    return out.to(b10.device)


def _whole(image: NDArray[np.float32], factor: int, scale: int) -> NDArray[np.float32]:
    """Mirror an image at its end to whole cells of the regression, whose pixels are `scale` times as many."""
    cell = CELL[factor] * scale
    return np.ascontiguousarray(np.pad(image, [(0, -n % cell) for n in image.shape], "symmetric"))
