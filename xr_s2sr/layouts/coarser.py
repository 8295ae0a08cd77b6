"""Results at 20 m in the form of a scene on 10 m pixels: names of dims, coordinates, and what was masked."""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xr_s2sr.bands import BANDS, resolve
from xr_s2sr.scene.averaging import any_of_four
from xr_s2sr.scene.grid import read_axis
from xr_s2sr.scene.validity import Validity, invalid


def in_given_dims(result: xr.Dataset, scene: xr.Dataset, *, corners: bool = False) -> xr.Dataset:
    """Name the dims of a result as the scene does: those of decimated bands, which it has not, as its 10 m ones.

    Parameters
    ----------
    result : Dataset
    scene : Dataset
        The scene as it was given, rows and columns last.
    corners : bool
        Whether its coordinates are corners, and so those of the result: the upper or left one of each two.
    """
    rows, cols = next(iter(result.data_vars.values())).dims[-2:]
    if rows in scene.dims:
        return result
    fine = next(da for name, da in scene.data_vars.items() if (band := resolve(name)) and BANDS[band].is_fine)
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
        A band of the scene on its 10 m pixels.
    out : DataArray, dims (..., y, x)
        The same band in the result, on these or on 2 x 2 of them each.
    validity : Validity

    Returns
    -------
    ndarray or dask array, of the shape of `out`
    """
    coarser = out.dims[-2:] != given.dims[-2:]
    if coarser:
        given = given.isel(_pixels_below(given, out))
    else:
        given = given.sel({dim: out[dim] for dim in out.dims[-2:] if out.sizes[dim] != given.sizes[dim]})
    look = _any_invalid if coarser else invalid
    if given.chunks is None:
        return look(given.values, validity)
    assert out.chunks is not None  # what was made of dask arrays is one
    lead, spatial = out.chunks[:-2], out.chunks[-2:]
    chunks = (*lead, *(tuple(size * (1 + coarser) for size in sizes) for sizes in spatial))
    meta = np.empty((0,) * given.ndim, bool)
    blocks: NDArray[np.bool_] = given.data.rechunk(chunks).map_blocks(
        look, validity, dtype=bool, chunks=out.chunks, meta=meta
    )
    return blocks


def _any_invalid(pixels: NDArray[np.generic], validity: Validity) -> NDArray[np.bool_]:
    return any_of_four(invalid(pixels, validity))


def _pixels_below(given: xr.DataArray, out: xr.DataArray) -> dict[Hashable, slice]:
    """Return the pixels of the finer grid that those of the coarser one cover."""
    index: dict[Hashable, slice] = {}
    for dim, own in zip(given.dims[-2:], out.dims[-2:], strict=True):
        near = read_axis(given, dim)
        far = read_axis(out, own, 2 * near.step)
        start = round((far.edge - near.edge) / near.step)
        index[dim] = slice(start, start + 2 * far.size)
    return index
