"""Metrics of a restored image against its truth, on arrays of shape (bands, y, x), in DN (reflectance x 10000).

Public as ``xr_s2sr.quality.rmse`` and so on; :data:`METRICS` is the list that tables are made from. In all of them,
`border` pixels at each side are left out, and where `valid`, an array of bool of shape (y, x), is given, so is every
pixel at which it is False.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from xr_s2sr.errors import InputError

Image: TypeAlias = NDArray[Any]
F64: TypeAlias = NDArray[np.float64]
Mask: TypeAlias = NDArray[np.bool_]

#: Fine pixels left out of every score at each border, for every method alike.
SCORE_BORDER = 12

#: Side of the sliding windows of :func:`uiq`, that of Wang and Bovik.
UIQ_WINDOW = 8


def rmse(restored: Image, truth: Image, border: int = SCORE_BORDER, valid: Mask | None = None) -> F64:
    """Return the root mean square error per band, in the unit of the images.

    Parameters
    ----------
    restored, truth : ndarray, shape (bands, y, x)
    border : int
        Pixels left out at each side.
    valid : ndarray of bool, shape (y, x), optional
        Pixels that count; by default all.

    Returns
    -------
    ndarray of float64, shape (bands,)

    Raises
    ------
    InputError
        If the shapes differ or no pixel counts (also a ValueError).
    """
    a, b = _compared(restored, truth, border, valid)
    return _root_mean_square(a - b)


def sre(restored: Image, truth: Image, border: int = SCORE_BORDER, valid: Mask | None = None) -> F64:
    """Return the signal to reconstruction error per band, in dB: 10 log10(mean(truth)^2 / MSE).

    As Lanaras et al. 2018 (arXiv:1803.04271, section 4) define it; infinite where nothing differs.

    Parameters
    ----------
    restored, truth, border, valid
        As for :func:`rmse`. The truth's zero must be that of reflectance.

    Returns
    -------
    ndarray of float64, shape (bands,)

    Raises
    ------
    InputError
        As :func:`rmse` does.
    """
    a, b = _compared(restored, truth, border, valid)
    with np.errstate(divide="ignore"):
        ratio: F64 = 20 * np.log10(np.abs(b.mean(-1)) / _root_mean_square(a - b))
    return ratio


def sam(restored: Image, truth: Image, border: int = SCORE_BORDER, valid: Mask | None = None) -> float:
    """Return the spectral angle between restored and true pixels, mean over the pixels, in degrees.

    Kruse et al. 1993 (Remote Sensing of Environment 44). Pixels that are zero in all bands have no angle and are
    left out. NaN for a single band, which has no spectrum.

    Parameters
    ----------
    restored, truth, border, valid
        As for :func:`rmse`. Zero must be that of reflectance.

    Returns
    -------
    float

    Raises
    ------
    InputError
        As :func:`rmse` does.
    """
    a, b = _compared(restored, truth, border, valid)
    if len(a) < 2:
        return float("nan")
    sizes = np.linalg.norm(a, axis=0), np.linalg.norm(b, axis=0)
    there = (sizes[0] > 0) & (sizes[1] > 0)
    if not there.any():
        return float("nan")
    u, v = a[:, there] / sizes[0][there], b[:, there] / sizes[1][there]
    # Kahan's form of the angle between unit vectors; arccos(u v) would lose small ones
    angles = 2 * np.arctan2(np.linalg.norm(u - v, axis=0), np.linalg.norm(u + v, axis=0))
    return float(np.degrees(angles).mean())


def ergas(restored: Image, truth: Image, factor: int, border: int = SCORE_BORDER, valid: Mask | None = None) -> float:
    """Return the relative global error: 100 / factor * sqrt(mean over bands of (RMSE / mean(truth))^2).

    Wald 2000 ("Quality of high resolution synthesised images: is there a simple criterion?").

    Parameters
    ----------
    restored, truth, border, valid
        As for :func:`rmse`. The truth's zero must be that of reflectance.
    factor : int
        Ratio of coarse to fine pixel size.

    Returns
    -------
    float
        Without unit, 0 where nothing differs.

    Raises
    ------
    InputError
        As :func:`rmse` does.
    """
    a, b = _compared(restored, truth, border, valid)
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = _root_mean_square(a - b) / b.mean(-1)
    return float(100 / factor * np.sqrt((relative**2).mean()))


def uiq(
    restored: Image,
    truth: Image,
    border: int = SCORE_BORDER,
    valid: Mask | None = None,
    *,
    window: int = UIQ_WINDOW,
) -> F64:
    """Return the universal image quality index per band, from -1 to 1 (equal).

    Q = 4 cov(a, b) mean(a) mean(b) / ((var(a) + var(b)) (mean(a)^2 + mean(b)^2)) in windows of 8 x 8 pixels that
    slide by one pixel; the mean over all windows that hold counting pixels only. Where both are constant, what
    is left is 2 mean(a) mean(b) / (mean(a)^2 + mean(b)^2). Wang and Bovik 2002 (IEEE Signal Processing Letters 9).

    Parameters
    ----------
    restored, truth, border, valid
        As for :func:`rmse`. Zero must be that of reflectance.
    window : int
        Side of the windows.

    Returns
    -------
    ndarray of float64, shape (bands,)
        NaN if no whole window is left.

    Raises
    ------
    InputError
        As :func:`rmse` does.
    """
    inside = _inside(restored, truth, border, valid)
    whole = _box(inside.astype(np.float64), window) == window**2
    result = np.full(len(truth), np.nan)
    if whole.any():
        for band, (a, b) in enumerate(zip(restored, truth, strict=True)):
            result[band] = _quality(_filled(a, inside), _filled(b, inside), window)[whole].mean()
    return result


@dataclass(frozen=True)
class Metric:
    """A metric, and how a table shows it.

    Attributes
    ----------
    name : str
        In the Dataset of scores.
    function : callable
        Called as ``function(restored, truth, border=..., valid=...)``, with the arguments of :func:`rmse`.
    dim : {"band", "gsd"}
        "band" for one value per band, shape (bands,); "gsd" for one value of all bands of a resolution together.
    long_name, unit : str
        Attributes of the scores.
    heading : str
        Of the table's columns; by default the name.
    format : str
        Format specification of a value.
    relative : bool
        True where `function` also takes the ratio of pixel sizes, as ``factor=``.
    """

    name: str
    function: Callable[..., Any]
    dim: Literal["band", "gsd"] = "band"
    long_name: str = ""
    unit: str = "1"
    heading: str = ""
    format: str = ".3g"
    relative: bool = False

    def score(
        self, restored: Image, truth: Image, factor: int, border: int = SCORE_BORDER, valid: Mask | None = None
    ) -> F64:
        """Return the metric with shape (bands,), or () where it is of a resolution; arguments as for :func:`ergas`.

        Raises
        ------
        InputError
            If the function gives another shape.
        """
        more = {"factor": factor} if self.relative else {}
        values = np.asarray(self.function(restored, truth, border=border, valid=valid, **more), np.float64)
        wanted = truth.shape[:1] if self.dim == "band" else ()
        if values.shape != wanted:
            raise InputError(
                f"the metric {self.name!r} gave shape {values.shape} for {len(truth)} bands; expected {wanted}: one "
                'value per band, or, with dim="gsd", one number'
            )
        return values


#: All metrics of :func:`xr_s2sr.evaluate`, in the order of its table.
METRICS: tuple[Metric, ...] = (
    Metric("rmse", rmse, "band", "root mean square error", "DN", "RMSE [DN]", ".1f"),
    Metric("sre", sre, "band", "signal to reconstruction error", "dB", "SRE [dB]", ".2f"),
    Metric("uiq", uiq, "band", "universal image quality index", "1", "UIQ", ".3f"),
    Metric("sam", sam, "gsd", "spectral angle", "degree", "SAM [deg]", ".2f"),
    Metric("ergas", ergas, "gsd", "relative global error", "1", "ERGAS", ".2f", relative=True),
)


def _inside(restored: Image, truth: Image, border: int, valid: Mask | None) -> Mask:
    """Return the pixels that count, shape (y, x)."""
    if restored.shape != truth.shape:
        raise InputError(f"shapes differ: restored {restored.shape}, truth {truth.shape}; expected the same grid")
    h, w = truth.shape[-2:]
    if min(h, w) <= 2 * border:
        raise InputError(
            f"an image of {h} x {w} leaves nothing inside a border of {border}; expected more than {2 * border} pixels"
        )
    inside = np.zeros((h, w), bool)
    inside[border : h - border, border : w - border] = True
    if valid is not None:
        if valid.shape != (h, w):
            raise InputError(f"shapes differ: valid {valid.shape}, truth {truth.shape}; expected valid of {(h, w)}")
        inside &= valid
    if not inside.any():
        raise InputError(f"no pixel of {h} x {w} counts; expected some that are valid inside a border of {border}")
    return inside


def _compared(restored: Image, truth: Image, border: int, valid: Mask | None) -> tuple[F64, F64]:
    """Return the values that count, each of shape (bands, pixels)."""
    inside = _inside(restored, truth, border, valid)
    return np.asarray(restored[..., inside], np.float64), np.asarray(truth[..., inside], np.float64)


def _root_mean_square(error: F64) -> F64:
    root: F64 = np.sqrt((error**2).mean(-1))
    return root


def _filled(image: Image, inside: Mask) -> F64:
    """Set what does not count to 0, so that no NaN gets into a sum."""
    return np.where(inside, np.asarray(image, np.float64), 0.0)


def _box(image: F64, window: int) -> F64:
    """Return the sums over all windows, shape (y - window + 1, x - window + 1); plain sums, that nothing cancels."""
    for axis in (-2, -1):
        n = max(0, image.shape[axis] - window + 1)
        total = np.take(image, range(n), axis)
        for i in range(1, window):
            total += np.take(image, range(i, i + n), axis)
        image = total
    return image


def _quality(a: F64, b: F64, window: int) -> F64:
    """Return Q in every window."""
    n = window**2
    # variances about a common level: what is subtracted before squaring cannot cancel afterwards
    level = (a.mean() + b.mean()) / 2
    c, d = a - level, b - level
    mean_c, mean_d = _box(c, window) / n, _box(d, window) / n
    cov = _box(c * d, window) / n - mean_c * mean_d
    var = (_box(c * c, window) + _box(d * d, window)) / n - mean_c**2 - mean_d**2
    mean_a, mean_b = mean_c + level, mean_d + level
    squares = mean_a**2 + mean_b**2
    flat = var <= 1e-12 * np.maximum(squares, 1e-300)
    with np.errstate(divide="ignore", invalid="ignore"):
        luminance = np.where(squares > 0, 2 * mean_a * mean_b / squares, 1.0)
        return np.where(flat, luminance, luminance * 2 * cov / np.where(flat, 1.0, var))
