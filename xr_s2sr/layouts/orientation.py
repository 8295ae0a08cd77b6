"""One orientation: rows from north to south, columns from west to east, whichever way a scene holds them.

A network gives other numbers for a mirrored image, and so do sums in another order. Every scene is therefore worked on
as Sentinel-2's own products are stored, and the result is turned back.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable
from contextlib import suppress

import xarray as xr

from xr_s2sr.errors import S2SRError
from xr_s2sr.scene.crs import mirror_transform
from xr_s2sr.scene.grid import read_axis, spatial_dims

#: Signs of the steps along rows and columns.
SIGNS = -1.0, 1.0


def north_up(ds: xr.Dataset, bands: Iterable[Hashable]) -> tuple[xr.Dataset, frozenset[Hashable]]:
    """Turn over the dims along which the pixels of these bands run to the north or to the west; also return them."""
    turned: set[Hashable] = set()
    seen: set[tuple[Hashable, ...]] = set()
    for da in (ds[name] for name in bands):
        if da.dims[-2:] in seen:
            continue
        seen.add(da.dims[-2:])
        with suppress(S2SRError):  # read_scene says so
            for dim, sign in zip(spatial_dims(da), SIGNS, strict=True):
                if read_axis(da, dim, sign).step * sign < 0:
                    turned.add(dim)
    return (_over(ds, turned) if turned else ds), frozenset(turned)


def turned_back(result: xr.Dataset, turned: Collection[Hashable], bands: Iterable[Hashable]) -> xr.Dataset:
    """Turn over a result of these bands; its grid mappings keep telling where its first pixel lies."""
    dims = [dim for dim in result.dims if dim in turned]
    if not dims:
        return result
    rows, cols = next(result[name].dims[-2:] for name in bands if name in result)
    flips = rows in dims, cols in dims
    return mirror_transform(_over(result, dims), *flips, shape=(result.sizes[rows], result.sizes[cols]))


def _over(ds: xr.Dataset, dims: Collection[Hashable]) -> xr.Dataset:
    return ds.isel(dict.fromkeys(dims, slice(None, None, -1)))
