"""Results at 20 m in the form of a scene on 10 m pixels: names of dims, coordinates, and what was masked."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xr_s2sr.bands import BANDS
from xr_s2sr.scene.averaging import any_of_four
from xr_s2sr.scene.grid import Axis, read_axis
from xr_s2sr.scene.validity import Validity, invalid


def in_given_dims(
    result: xr.Dataset, scene: xr.Dataset, bands: Mapping[Hashable, str], *, corners: bool = False
) -> xr.Dataset:
    """Name the dims of a result as the scene does: those of decimated bands, which it has not, as its 10 m ones.

    Parameters
    ----------
    result : Dataset
    scene : Dataset
        The scene as it was given, rows and columns last.
    bands : mapping of hashable to str
        Ids by the names of its variables.
    corners : bool
        Whether its coordinates are corners, and so those of the result: the upper or left one of each two.
    """
    rows, cols = next(result[name] for name in bands if name in result).dims[-2:]
    if rows in scene.dims:
        return result
    fine = next(scene[name] for name, band in bands.items() if BANDS[band].is_fine)
    names = dict(zip((rows, cols), fine.dims[-2:], strict=True))
    out = result.rename(names)
    for dim, sign in zip(names.values(), (1, -1), strict=True):
        if corners:
            out = out.assign_coords({dim: out[dim] + sign * abs(read_axis(fine, dim).step) / 2})
    return out


def masked_before(given: xr.DataArray, out: xr.DataArray, validity: Validity) -> NDArray[np.bool_]:
    """Tell which pixels of a result hold a pixel that the scene has masked.

    Parameters
    ----------
    given : DataArray, dims (..., y, x)
        A band of the scene, as copies on 10 m or 20 m pixels.
    out : DataArray, dims (..., y, x)
        The same band in the result, on 10 m or 20 m pixels. Where nothing was given, nothing was masked.
    validity : Validity

    Returns
    -------
    ndarray or dask array, of the shape of `out`
    """
    index: dict[Hashable, Any] = {}
    within = []
    coarser = False
    for dim, own in zip(given.dims[-2:], out.dims[-2:], strict=True):
        near = read_axis(given, dim)
        far = read_axis(out, own, near.step if own == dim else 2 * near.step)
        coarser = round(far.step / near.step) == 2
        at, inside = _pixels_below(near, far, 1 + coarser)
        index[dim] = at
        within.append(inside)
    given = given.isel(index)
    look = _any_invalid if coarser else invalid
    if given.chunks is None:
        gone = look(given.values, validity)
    else:
        assert out.chunks is not None  # what was made of dask arrays is one
        lead, spatial = out.chunks[:-2], out.chunks[-2:]
        chunks = (*lead, *(tuple(size * (1 + coarser) for size in sizes) for sizes in spatial))
        meta = np.empty((0,) * given.ndim, bool)
        gone = given.data.rechunk(chunks).map_blocks(look, validity, dtype=bool, chunks=out.chunks, meta=meta)
    rows, cols = within
    return gone if rows.all() and cols.all() else gone & rows[:, np.newaxis] & cols


def _any_invalid(pixels: NDArray[np.generic], validity: Validity) -> NDArray[np.bool_]:
    return any_of_four(invalid(pixels, validity))


def _pixels_below(near: Axis, far: Axis, parts: int) -> tuple[slice | NDArray[np.intp], NDArray[np.bool_]]:
    """Return the given pixel under each part of a pixel of the result, and which of these lie on given pixels.

    Given pixels are finer than those of the result, the same, or coarser: 60 m bands may have been copied to 20 m.
    """
    centres = far.edge + far.step / parts * (np.arange(far.size * parts) + 0.5)
    at = np.floor((centres - near.edge) / near.step).astype(np.intp)
    inside = ((at >= 0) & (at < near.size)).reshape(far.size, parts).all(1)
    if inside.all() and at[-1] - at[0] == len(at) - 1:
        return slice(int(at[0]), int(at[-1]) + 1), inside
    return at.clip(0, near.size - 1), inside
