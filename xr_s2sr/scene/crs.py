"""Coordinate reference systems: read from wherever a library keeps them, written as rioxarray does.

The only room with rioxarray, besides the tutorial.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np
import rioxarray  # noqa: F401  (registers .rio)
import xarray as xr
from affine import Affine
from pyproj.exceptions import CRSError as ProjError
from rasterio.errors import CRSError
from rioxarray.crs import crs_from_user_input

from xr_s2sr.errors import GridError
from xr_s2sr.scene.grid import TOLERANCE, Grid

#: Raised for an attribute called "crs" or "epsg" that does not hold one.
_NO_CRS = CRSError, ProjError, ValueError, TypeError  # the last two by arrays and the like


def read_crs(obj: xr.Dataset | xr.DataArray) -> Any:
    """Return the CRS as rioxarray sees it, or of an index, an attribute or a scalar coordinate; else None."""
    with suppress(*_NO_CRS):
        if obj.rio.crs is not None:
            return obj.rio.crs
    candidates = [getattr(index, "crs", None) for index in obj.xindexes.values()]  # xproj, rasterix
    candidates.append(getattr(obj.attrs.get("area"), "crs", None))  # satpy
    for key in ("proj:epsg", "proj:code", "epsg", "crs"):  # EOPF and stackstac, cubo, xee
        candidates.append(obj.attrs.get(key))
        if key in obj.coords and obj.coords[key].ndim == 0:
            candidates.append(obj.coords[key].item())
    for candidate in candidates:
        value = candidate.item() if isinstance(candidate, np.ndarray) and candidate.size == 1 else candidate
        if value is not None and not isinstance(value, np.ndarray) and value != "":
            with suppress(*_NO_CRS):
                return crs_from_user_input(value)
    return None


def write_crs(ds: xr.Dataset, crs: Any) -> xr.Dataset:
    """Give a Dataset, and each of its bands, a CRS in the way of rioxarray."""
    out: xr.Dataset = ds.rio.write_crs(crs)
    for variable in out.data_vars.values():
        variable.encoding["grid_mapping"] = "spatial_ref"  # rioxarray would mark only what lies on (y, x)
    return out


def tile_origin(crs: Any) -> tuple[float, float] | None:
    """Return the y and x from which the 60 m pixels of all tiles in a CRS count; None if it is not a UTM zone.

    In the south that is the false northing, 10 000 km, which is not a multiple of 60 m.
    """
    code = None if crs is None else crs.to_epsg()
    if code is None or not 1 <= code % 100 <= 60 or code // 100 not in (326, 327):
        return None
    return (0.0 if code // 100 == 326 else 1e7), 0.0


def check_tile(grid: Grid, gsd: int, crs: Any, name: str) -> None:
    """Refuse 60 m pixels of the southern hemisphere that were snapped to multiples of 60 m.

    Raises
    ------
    GridError
        If pixel edges lie on multiples of 60 m, where the tile's own do not.
    """
    origin = tile_origin(crs)
    if gsd != 60 or abs(grid.gsd - 60) > 60 * TOLERANCE or origin is None or origin[0] == 0:
        return
    if abs(grid.y.edge / 60 - round(grid.y.edge / 60)) <= TOLERANCE:
        raise GridError(
            f"the 60 m grid of {name!r} starts at y = {grid.y.edge:.0f}, a multiple of 60 m; expected Sentinel-2's own "
            f"pixels, which in {crs.to_string()} count from y = 10 000 000 and lie 20 m apart from those: the band was "
            "resampled. Load it on its own grid: odc.stac.load(items, resolution=60, "
            "anchor=odc.geo.yx_(40 / 60, 0), ...)"
        )


def georeference(ds: xr.Dataset, transform: Affine) -> xr.Dataset:
    """Give each grid mapping the GeoTransform of the result, where there is a grid mapping.

    By hand, since ``rio.write_transform`` copies all pixels.
    """
    mappings = {
        v.encoding.get("grid_mapping", v.attrs.get("grid_mapping", "spatial_ref")) for v in ds.data_vars.values()
    }
    text = " ".join(str(number) for number in transform.to_gdal())
    out = ds.copy()
    for name in mappings & set(ds.coords):
        out[name].attrs["GeoTransform"] = text  # in place of a copy: assign_coords would drop xproj's index
    return out
