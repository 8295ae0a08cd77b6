"""Pixels: as numbers in their own unit, as DN, in dtypes that compiled loops can read and write; and means of 2 x 2.

Means are for results at 20 m: a pixel is valid where its four are. Dask arrays are not computed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xr_s2sr.scene.radiometry import Radiometry, in_native_order, resolve_radiometry, validity_in_any_unit
from xr_s2sr.scene.scene import NativeScene, SceneBand
from xr_s2sr.scene.validity import Validity, classify, invalid, valid
from xr_s2sr.spans import Extent

#: Rows that are looked at at once.
ROWS = 512


def measured(values: Any, radiometry: Radiometry) -> NDArray[np.float64]:
    """Return pixels as floats in their own unit, NaN where they are not valid."""
    pixels = np.asarray(values, np.float64)
    return np.where(valid(values, radiometry.validity), pixels, np.nan)


def measured_in(scene: NativeScene, band: str, covered: Extent) -> NDArray[np.float64]:
    """Return a band's pixels in an extent of whole ones, in its own unit and NaN where invalid, shape (..., y, x)."""
    own = scene.bands[band]
    return measured(scene[band].variable[(..., *own.below(covered))].values, own.radiometry)


def middle(da: xr.DataArray, side: int) -> xr.DataArray:
    """Return the middle of an image, of at most so many rows and columns."""
    first = {dim: (da.sizes[dim] - side) // 2 for dim in da.dims[-2:]}
    return da.isel({dim: slice(max(0, at), at + side) for dim, at in first.items()})


def dn(values: NDArray[np.float64], radiometry: Radiometry) -> NDArray[np.float64]:
    """Return values in a variable's own unit as reflectance x 10000."""
    return (values * radiometry.scale + radiometry.offset) * 1e4


def blanked(da: xr.DataArray) -> xr.DataArray:
    """Return a band whose invalid pixels all hold its nodata value; itself if they do. Dask arrays are not computed.

    Bands of 10 m are passed through with fill values that nothing declares, such as MAJA's -10000 beside nodata 0.
    """
    validity, blank = validity_in_any_unit(da), resolve_radiometry(da).blank
    if da.chunks is not None:
        blocks = da.data.map_blocks(_blanked, validity, blank, dtype=da.dtype, meta=np.empty((0,) * da.ndim, da.dtype))
        return da.copy(deep=False, data=blocks)
    pixels = _blanked(da.values, validity, blank)
    return da if pixels is da.values else da.copy(deep=False, data=pixels)


def _blanked(pixels: NDArray[Any], validity: Validity, blank: float) -> NDArray[Any]:
    out = pixels
    for first in range(0, len(pixels), ROWS):
        part = pixels[first : first + ROWS]
        told = np.isnan(part) if math.isnan(blank) else part == blank
        gone = invalid(part, validity) & ~told
        if gone.any():
            out = pixels.copy() if out is pixels else out
            out[first : first + ROWS][gone] = blank
    return out


def writable(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the dtype itself, or the one that numba can write in its place."""
    native = in_native_order(dtype)
    return np.dtype(np.float32) if native == np.float16 else native


def settled(array: NDArray[Any], radiometry: Radiometry) -> NDArray[Any]:
    """Cast an output to its variable's own dtype, with nothing in it that the variable cannot be stored with."""
    return radiometry.storable(array.astype(radiometry.dtype, copy=False))


def numba_ready(array: NDArray[Any]) -> NDArray[Any]:
    """Return the array itself, or a copy if numba does not know its type: foreign byte order, half floats, masks."""
    return np.asarray(array).astype(writable(array.dtype), copy=False)


def mean_of_four(pixels: Any, validity: Validity, radiometry: Radiometry) -> Any:
    """Return the mean of each 2 x 2 pixels, in the dtype of `radiometry`; integers are rounded to the nearest.

    It is invalid where one of the four is; else saturated where one of them is. A valid mean is never the nodata value.

    Parameters
    ----------
    pixels : ndarray or dask array, shape (..., 2 rows, 2 cols)
    validity : Validity
        Bounds of valid pixels.
    radiometry : Radiometry
        How the means are stored.

    Returns
    -------
    ndarray or dask array, shape (..., rows, cols)
    """
    if not isinstance(pixels, np.ndarray) and hasattr(pixels, "chunks"):
        *lead, _, _ = pixels.chunks
        rows, cols = (_halves(sizes) for sizes in pixels.chunks[-2:])
        even = pixels.rechunk((*lead, *(tuple(2 * size for size in sizes) for sizes in (rows, cols))))
        about = {"dtype": radiometry.dtype, "meta": np.empty((0,) * pixels.ndim, radiometry.dtype)}
        return even.map_blocks(mean_of_four, validity, radiometry, chunks=(*lead, rows, cols), **about)
    pixels = np.asarray(pixels)
    *lead, n, m = pixels.shape
    out = np.empty((*lead, n // 2, m // 2), radiometry.dtype)
    for index in np.ndindex(*lead):
        for first in range(0, n // 2, ROWS):
            part = pixels[index][2 * first : 2 * (first + ROWS)]
            out[index][first : first + ROWS] = _means(part, validity, radiometry)
    return settled(out, radiometry)


def mean_of_output(pixels: Any, radiometry: Radiometry) -> Any:
    """Return the means of an output of a model, which says itself which pixels are valid.

    Of standard errors it is that of a mean whose four errors rise and fall together: the largest possible.
    """
    return mean_of_four(pixels, Validity(radiometry.blank, top=radiometry.top), radiometry)


def mean_of_band(pixels: Any, band: SceneBand) -> Any:
    """Return the means of a native band, by the offset of each date."""
    if band.dates is None:
        return mean_of_four(pixels, band.radiometry.validity, band.radiometry)
    dims = tuple(map(str, range(pixels.ndim)))
    parts: list[xr.Variable] = []
    for k in range(pixels.shape[band.axis]):
        radiometry = band.at((0,) * band.axis + (k,))
        one = pixels[(slice(None),) * band.axis + (slice(k, k + 1),)]
        parts.append(xr.Variable(dims, mean_of_four(one, radiometry.validity, radiometry)))
    joined: xr.Variable = xr.Variable.concat(parts, dims[band.axis])  # type: ignore[no-untyped-call]
    return joined.data.astype(band.radiometry.dtype, copy=False)  # concat would not keep a foreign byte order


def any_of_blocks(mask: NDArray[np.bool_], side: int) -> NDArray[np.bool_]:
    """Return which square blocks of pixels hold one that is set, of a mask (..., y, x) of whole blocks."""
    rows = mask[..., ::side, :].copy()
    for k in range(1, side):
        rows |= mask[..., k::side, :]
    out = rows[..., ::side].copy()
    for k in range(1, side):
        out |= rows[..., k::side]
    return out


def _halves(sizes: Iterable[int]) -> tuple[int, ...]:
    """Return chunks of means over pixels in chunks of these sizes, of which the sum is even."""
    bounds = dict.fromkeys([0, *(round(stop / 2) for stop in accumulate(sizes))])
    return tuple(stop - start for start, stop in pairwise(bounds))


def _means(pixels: NDArray[Any], validity: Validity, radiometry: Radiometry) -> NDArray[Any]:
    good, saturated = classify(pixels, validity)
    counted = np.where(good, pixels, 0).astype(np.float64)
    sums = sum(counted[..., row::2, col::2] for row in (0, 1) for col in (0, 1))
    gone, mark = any_of_blocks(~(good | saturated), 2), any_of_blocks(saturated, 2)
    top, blank = math.inf, radiometry.blank
    means = np.asarray(sums / 4)
    if radiometry.integer:
        np.rint(means, out=means)
        means[means == radiometry.nodata] += 1 if radiometry.nodata <= 0 else -1
        top, blank = (value if math.isfinite(value) else 0 for value in (radiometry.top, blank))
    return np.where(gone, blank, np.where(mark, top, means)).astype(radiometry.dtype)
