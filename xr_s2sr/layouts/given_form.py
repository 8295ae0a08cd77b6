"""The way back: a result gets the dims, the orientation, the masks and the names of the scene as it was given."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xr_s2sr.bands import BANDS, uncertainty_of
from xr_s2sr.errors import warn
from xr_s2sr.scene.crs import mirror_transform
from xr_s2sr.scene.grid import Axis, read_axis
from xr_s2sr.scene.names import BAND, Names
from xr_s2sr.scene.pixels import any_of_blocks
from xr_s2sr.scene.radiometry import resolve_radiometry, validity_in_any_unit
from xr_s2sr.scene.validity import Validity, invalid

ROWS = re.compile(r"(y|lat|latitude|northing)(_.*)?", re.IGNORECASE)
COLS = re.compile(r"(x|lon|longitude|easting)(_.*)?", re.IGNORECASE)


@dataclass(frozen=True)
class GivenForm:
    """Form of a Dataset as it was given; called with a result, it brings that into it.

    Attributes
    ----------
    scene : Dataset
        As it was given, but north up, rows and columns last, and bands under names that are theirs.
    names : Names
        What its variables are, and were called.
    gaps : collection of str
        Copies of larger pixels that may be masked within these.
    corners : bool
        Whether coordinates are corners, and so those of the result: the upper or left one of each two.
    turned : collection of hashable
        Dims that ran the other way.
    transposed : mapping of hashable to tuple of hashable
        Dims of the bands that had rows and columns elsewhere.
    """

    scene: xr.Dataset
    names: Names
    gaps: Collection[str]
    corners: bool
    turned: Collection[Hashable]
    transposed: Mapping[Hashable, tuple[Hashable, ...]]

    def __call__(self, result: xr.Dataset) -> xr.Dataset:
        """Return a result in the form of the scene."""
        result = turned_back(self._in_given_dims(self._masked(result)), self.turned, self.names.bands)
        for name, dims in self.transposed.items():
            for own in (name, uncertainty_of(name)):
                if own in result:
                    result[own] = result[own].transpose(*_like(dims, result[own].dims))
        return with_given_names(result, self.names)

    def _masked(self, result: xr.Dataset) -> xr.Dataset:
        """Mask again what was masked on 10 m pixels before (a polygon, a cloud mask), within native pixels.

        A pixel of a result at 20 m is masked where one of its four was.
        """
        for name in (name for name in self.gaps if name in result):
            given = self.scene[name]
            gone = _masked_before(given, result[name], validity_in_any_unit(given))
            for own in (own for own in (name, uncertainty_of(name)) if own in result):
                out = result[own]
                blank = np.asarray(resolve_radiometry(given if own == name else out).blank).astype(out.dtype)
                pixels = np.where(gone, blank, out.data)
                result[own] = out.copy(deep=False, data=pixels.astype(out.dtype, copy=False))  # in its byte order
        return result

    def _in_given_dims(self, result: xr.Dataset) -> xr.Dataset:
        """Name the dims of a result as the scene does: those of decimated bands, which it has not, as its 10 m ones."""
        rows, cols = next(result[name] for name in self.names.bands if name in result).dims[-2:]
        if rows in self.scene.dims:
            return result
        fine = next(self.scene[name] for name, band in self.names.bands.items() if BANDS[band].is_fine)
        names = dict(zip((rows, cols), fine.dims[-2:], strict=True))
        out = result.rename(names)
        for dim, sign in zip(names.values(), (1, -1), strict=True):
            if self.corners:
                out = out.assign_coords({dim: out[dim] + sign * abs(read_axis(fine, dim).step) / 2})
        return out


def with_given_names(result: xr.Dataset, names: Names) -> xr.Dataset:
    """Return bands under the names that they were given; where these mean others elsewhere, an attribute says which."""
    result = _renamed(result, {band: name for name, band in names.renamed.items() if band in result})
    told = {name: band for name, band in names.by_neighbours.items() if name in result}
    return result.assign({name: result[name].assign_attrs({BAND: band}) for name, band in told.items()})


def turned_back(result: xr.Dataset, turned: Collection[Hashable], bands: Iterable[Hashable]) -> xr.Dataset:
    """Turn over a result of these bands; its grid mappings keep telling where its first pixel lies."""
    dims = [dim for dim in result.dims if dim in turned]
    if not dims:
        return result
    rows, cols = next(result[name].dims[-2:] for name in bands if name in result)
    flips = rows in dims, cols in dims
    return mirror_transform(reverse(result, dims), *flips, shape=(result.sizes[rows], result.sizes[cols]))


def reverse(ds: xr.Dataset, dims: Collection[Hashable]) -> xr.Dataset:
    """Return a Dataset with some dims running the other way."""
    return ds.isel(dict.fromkeys(dims, slice(None, None, -1)))


def put_back(ds: xr.Dataset, name: Hashable, back: Callable[[xr.Dataset], Any], result: xr.Dataset) -> xr.Dataset:
    """Return a Dataset with its one stacked variable restored."""
    restored = back(result)
    gone = {dim for dim in restored.dims if restored.sizes[dim] != ds.sizes[dim]}
    others = [key for key, variable in ds.variables.items() if gone & {*variable.dims}]
    if lost := [str(key) for key in others if key in ds.data_vars and key != name]:
        warn(f"left out, as they do not lie on the pixels of the result: {', '.join(lost)}")
    return ds.drop_vars({name, *others}).assign({name: restored})


def _renamed(result: xr.Dataset, names: Mapping[str, Hashable]) -> xr.Dataset:
    """Rename bands, and the standard errors that belong to them."""
    errors = {uncertainty_of(band): uncertainty_of(name) for band, name in names.items()}
    for band in names:
        attrs = result[band].attrs
        if "ancillary_variables" in attrs:
            listed = str(attrs["ancillary_variables"]).split()
            attrs["ancillary_variables"] = " ".join(errors.get(name, name) for name in listed)
    return result.rename({**names, **{old: new for old, new in errors.items() if old in result}})


def _like(dims: tuple[Hashable, ...], result: tuple[Hashable, ...]) -> list[Hashable]:
    """Return the result's dims in the order of the input's, whose rows and columns may have other names."""
    *_, rows, cols = result
    return [rows if ROWS.fullmatch(str(dim)) else cols if COLS.fullmatch(str(dim)) else dim for dim in dims]


def _masked_before(given: xr.DataArray, out: xr.DataArray, validity: Validity) -> NDArray[np.bool_]:
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
    return any_of_blocks(invalid(pixels, validity), 2)


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
