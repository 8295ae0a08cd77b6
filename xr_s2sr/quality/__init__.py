"""Degradation, interpolation and metrics on numpy arrays: the public names of Wald's protocol without xarray.

Each lives in a module of its own: :mod:`xr_s2sr.quality.degradation`, :mod:`xr_s2sr.interpolation`,
:mod:`xr_s2sr.quality.metrics` and :mod:`xr_s2sr.quality.sensor`. Images have the shape (..., y, x).
"""

from __future__ import annotations

from xr_s2sr.interpolation import CUBIC_A, bicubic, cubic_matrix
from xr_s2sr.interpolation import gaussian as gaussian_kernel
from xr_s2sr.quality.degradation import PROTOCOLS, Protocol, block_mean, blur, degradation_sigma, degrade
from xr_s2sr.quality.metrics import METRICS, SCORE_BORDER, Metric, ergas, rmse, sam, sre, uiq

#: The public names; nothing else here is public.
__all__ = [
    "CUBIC_A",
    "METRICS",
    "PROTOCOLS",
    "SCORE_BORDER",
    "Metric",
    "Protocol",
    "bicubic",
    "block_mean",
    "blur",
    "cubic_matrix",
    "degradation_sigma",
    "degrade",
    "ergas",
    "gaussian_kernel",
    "rmse",
    "sam",
    "sre",
    "uiq",
]
