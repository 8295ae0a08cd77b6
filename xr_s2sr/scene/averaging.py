"""Means of 2 x 2 pixels, for results at 20 m: a pixel is valid where its four are. Dask arrays are not computed."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xr_s2sr.scene.fill_values import Undeclared
from xr_s2sr.scene.pixels import numba_ready, settled
from xr_s2sr.scene.radiometry import Radiometry
from xr_s2sr.scene.scene import NativeScene, SceneBand
from xr_s2sr.scene.validity import Validity, classify

#: Rows of means that are worked out at once.
ROWS = 512


def mean_of_four(pixels: NDArray[Any], validity: Validity, radiometry: Radiometry) -> NDArray[Any]:
    """Return the mean of each 2 x 2 pixels, in the dtype of `radiometry`; integers are rounded to the nearest.

    It is invalid where one of the four is; else saturated where one of them is. A valid mean is never the nodata value.

    Parameters
    ----------
    pixels : ndarray, shape (..., 2 rows, 2 cols)
    validity : Validity
        Bounds of valid pixels.
    radiometry : Radiometry
        How the means are stored.

    Returns
    -------
    ndarray, shape (..., rows, cols)
    """
    *lead, rows, cols = pixels.shape
    out = np.empty((*lead, rows // 2, cols // 2), radiometry.dtype)
    for index in np.ndindex(*lead):
        for first in range(0, rows // 2, ROWS):
            part = pixels[index][2 * first : 2 * (first + ROWS)]
            out[index][first : first + ROWS] = _means(part, validity, radiometry)
    return settled(out, radiometry)


def any_of_four(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return True where any of each 2 x 2 pixels is, of shape (..., 2 rows, 2 cols)."""
    one, two, three, four = _quarters(mask)
    out: NDArray[np.bool_] = one | two | three | four
    return out


def mean_of_output(pixels: Any, radiometry: Radiometry) -> Any:
    """Return the means of an output of a model, which says itself which pixels are valid.

    Of standard errors it is that of a mean whose four errors rise and fall together: the largest possible.

    Parameters
    ----------
    pixels : ndarray or dask array, shape (..., 2 rows, 2 cols)
    radiometry : Radiometry
    """
    return _mapped(pixels, Validity(radiometry.blank, top=radiometry.top), radiometry)


def mean_of_band(pixels: Any, band: SceneBand) -> Any:
    """Return the means of a native band, by the offset of each date.

    Parameters
    ----------
    pixels : ndarray or dask array, shape (..., 2 rows, 2 cols)
    band : SceneBand
    """
    if band.dates is None:
        return _mapped(pixels, band.radiometry.validity, band.radiometry)
    parts = []
    for k in range(pixels.shape[band.axis]):
        index = (0,) * band.axis + (k,)
        one = pixels[(slice(None),) * band.axis + (slice(k, k + 1),)]
        parts.append(_mapped(one, band.at(index).validity, band.at(index)))
    dims = tuple(map(str, range(pixels.ndim)))
    joined: xr.Variable = xr.Variable.concat([xr.Variable(dims, part) for part in parts], dims[band.axis])  # type: ignore[no-untyped-call]
    return joined.data.astype(band.radiometry.dtype, copy=False)  # concat would not keep a foreign byte order


def warn_of_fill_values(scene: NativeScene, bands: Iterable[str]) -> None:
    """Warn of fill values that nothing declares in bands in memory that no model reads."""
    undeclared = Undeclared()
    for band in (scene.bands[key] for key in bands):
        if scene[band.id].chunks is None:
            pixels = numba_ready(scene[band.id].values)
            for index in np.ndindex(*pixels.shape[:-2]):
                undeclared.look(pixels[index], band.at(index), band.name, index)
    undeclared.warn()


def even_chunks(sizes: Iterable[int]) -> tuple[int, ...]:
    """Return chunks that end at even places, near those given; their sum, which is even, stays."""
    bounds = dict.fromkeys([0, *(2 * round(stop / 2) for stop in accumulate(sizes))])
    return tuple(stop - start for start, stop in pairwise(bounds))


def in_blocks(pixels: Any, function: Any, *arguments: Any, dtype: Any) -> Any:
    """Map a function that makes one pixel of each 2 x 2 over an array, block by block where it is one of dask's."""
    if isinstance(pixels, np.ndarray) or not hasattr(pixels, "chunks"):
        return function(np.asarray(pixels), *arguments)
    *lead, rows, cols = pixels.chunks
    chunks = (*lead, even_chunks(rows), even_chunks(cols))
    halved = (*lead, *(tuple(size // 2 for size in sizes) for sizes in chunks[-2:]))
    meta = np.empty((0,) * pixels.ndim, dtype)
    return pixels.rechunk(chunks).map_blocks(function, *arguments, dtype=dtype, chunks=halved, meta=meta)


def _mapped(pixels: Any, validity: Validity, radiometry: Radiometry) -> Any:
    return in_blocks(pixels, mean_of_four, validity, radiometry, dtype=radiometry.dtype)


def _means(pixels: NDArray[Any], validity: Validity, radiometry: Radiometry) -> NDArray[Any]:
    valid, saturated = classify(pixels, validity)
    sums = sum(_quarters(np.where(valid, pixels, 0).astype(np.float64)))
    invalid, mark = any_of_four(~(valid | saturated)), any_of_four(saturated)
    if radiometry.integer:
        means = np.rint(sums / 4)
        nodata = radiometry.nodata
        means[means == nodata] += 1 if nodata <= 0 else -1
        top = radiometry.top if math.isfinite(radiometry.top) else 0
        means = np.where(mark, top, means)
        blank = radiometry.blank if math.isfinite(radiometry.blank) else 0
    else:
        means, blank = np.where(mark, math.inf, sums / 4), radiometry.blank
    return np.where(invalid, blank, means).astype(radiometry.dtype)


def _quarters(pixels: NDArray[Any]) -> list[NDArray[Any]]:
    """Return the four pixels of each 2 x 2, as arrays."""
    return [pixels[..., row::2, col::2] for row in (0, 1) for col in (0, 1)]
