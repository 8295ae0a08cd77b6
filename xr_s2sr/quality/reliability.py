"""Scores of predicted standard errors: coverage, rank correlation, and predicted against observed RMSE in bins."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from xr_s2sr.errors import InputError

F64: TypeAlias = NDArray[np.float64]

#: What :func:`error_scores` gives: dims, long name and unit.
ERROR_SCORES: dict[str, tuple[tuple[str, ...], str, str]] = {
    "within_1": (("band",), "share of pixels within one standard error", "1"),
    "within_2": (("band",), "share of pixels within two standard errors", "1"),
    "spearman": (("band",), "Spearman's rank correlation of predicted with absolute error", "1"),
    "predicted_rmse": (("band", "bin"), "root mean square of the predicted standard errors", "DN"),
    "observed_rmse": (("band", "bin"), "root mean square error", "DN"),
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


def error_scores(error: F64, predicted: F64 | None, valid: NDArray[np.bool_]) -> dict[str, tuple[Any, ...]]:
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
    dict of str to (dims, ndarray, attributes)
        Variables by the keys of :data:`ERROR_SCORES`.
    """
    unknown = np.full(BINS, np.nan)
    rows: list[tuple[Any, ...]] = [(np.nan, np.nan, np.nan, unknown, unknown)] * len(error)
    if predicted is not None:
        rows = [
            (coverage(e, s, 1), coverage(e, s, 2), rank_correlation(s, np.abs(e)), *reliability_table(e, s))
            for e, s in zip(error[:, valid], predicted[:, valid], strict=True)
        ]
    columns = zip(*rows, strict=True)
    return {
        key: (dims, np.array(column), {"long_name": long_name, "units": unit})
        for (key, (dims, long_name, unit)), column in zip(ERROR_SCORES.items(), columns, strict=True)
    }


def _checked(a: NDArray[Any], b: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    if np.shape(a) != np.shape(b) or not np.size(a):
        raise InputError(f"shapes are {np.shape(a)} and {np.shape(b)}; expected the same, with one pixel or more")
    return a, b
