"""Scores of predicted standard errors: coverage, rank correlation, and predicted against observed RMSE in bins."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from xr_s2sr.errors import InputError

F64: TypeAlias = NDArray[np.float64]

#: What :func:`error_scores` gives: its long name, unit, and whether it has a value for each bin.
ERROR_SCORES: dict[str, tuple[str, str, bool]] = {
    "within_1": ("share of pixels within one standard error", "1", False),
    "within_2": ("share of pixels within two standard errors", "1", False),
    "spearman": ("Spearman's rank correlation of predicted with absolute error", "1", False),
    "predicted_rmse": ("root mean square of the predicted standard errors", "DN", True),
    "observed_rmse": ("root mean square error", "DN", True),
}

#: Bins of a reliability table, of equal numbers of pixels.
BINS = 10


def coverage(error: NDArray[Any], predicted: NDArray[Any], times: float = 1.0) -> float:
    """Share of pixels whose error is within `times` predicted standard errors.

    Parameters
    ----------
    error, predicted : ndarray
        Of one shape and unit.
    times : float

    Returns
    -------
    float
        For Gaussian errors 0.683 within one, 0.954 within two.
    """
    return float((np.abs(_checked(error, predicted)[0]) <= times * predicted).mean())


def rank_correlation(a: NDArray[Any], b: NDArray[Any]) -> float:
    """Spearman's rank correlation; equal values share the mean of their ranks.

    Parameters
    ----------
    a, b : ndarray
        Of one shape.

    Returns
    -------
    float
        From -1 to 1; NaN where one of them is constant.
    """
    ranks = [pd.Series(np.ravel(x)).rank().to_numpy() for x in _checked(a, b)]
    x, y = (r - r.mean() for r in ranks)
    norm = np.sqrt((x @ x) * (y @ y))
    return float(x @ y / norm) if norm > 0 else float("nan")


def reliability_table(error: NDArray[Any], predicted: NDArray[Any], bins: int = BINS) -> tuple[F64, F64]:
    """Predicted and observed RMSE of the pixels in bins of the predicted standard error.

    Parameters
    ----------
    error, predicted : ndarray
        Of one shape and unit.
    bins : int
        Each holds as many pixels as the others, to one; in ascending order of `predicted`.

    Returns
    -------
    predicted, observed : ndarray of float64, shape (bins,)
        Root mean squares over the pixels of each bin; NaN in bins without a pixel.
    """
    e, s = (np.ravel(x).astype(np.float64) for x in _checked(error, predicted))
    order = np.argsort(s, kind="stable")
    parts = np.array_split(order, bins)
    out = np.full((2, bins), np.nan)
    for k, part in enumerate(parts):
        if part.size:
            out[:, k] = [np.sqrt((x[part] ** 2).mean()) for x in (s, e)]
    return out[0], out[1]


def error_scores(error: F64, predicted: F64 | None, valid: NDArray[np.bool_]) -> dict[str, F64]:
    """Scores of predicted standard errors, by band.

    Parameters
    ----------
    error : ndarray, shape (bands, y, x)
    predicted : ndarray of the same shape and unit, optional
        Without it, all scores are NaN.
    valid : ndarray of bool, shape (y, x)
        Pixels that count.

    Returns
    -------
    dict of str to ndarray
        By the keys of :data:`ERROR_SCORES`: (bands,) or (bands, :data:`BINS`).
    """
    n = len(error)
    if predicted is None:
        return {key: np.full((n, BINS) if binned else n, np.nan) for key, (_, _, binned) in ERROR_SCORES.items()}
    rows = []
    for e, s in zip(error[:, valid], predicted[:, valid], strict=True):
        one, two = (coverage(e, s, times) for times in (1, 2))
        rows.append((one, two, rank_correlation(s, np.abs(e)), *reliability_table(e, s)))
    return {key: np.array(column) for key, column in zip(ERROR_SCORES, zip(*rows, strict=True), strict=True)}


def _checked(a: NDArray[Any], b: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    if np.shape(a) != np.shape(b) or not np.size(a):
        raise InputError(f"shapes are {np.shape(a)} and {np.shape(b)}; expected the same, with one pixel or more")
    return a, b
