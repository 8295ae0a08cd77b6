"""Coordinate reference systems: read from wherever a library keeps them, written as rioxarray does.

The only room with rioxarray, besides the tutorial. What a file says of its CRS is never handed to GDAL as it is: GDAL
takes any text for a name of a file or an address, and opens that.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

import numpy as np
import pyproj
import rioxarray  # noqa: F401  (registers .rio)
import xarray as xr
from affine import Affine
from pyproj.exceptions import CRSError as ProjError
from rasterio.crs import CRS
from rasterio.errors import CRSError
from rioxarray.crs import crs_from_user_input

from xr_s2sr.errors import GridError
from xr_s2sr.scene.grid import TOLERANCE, Grid

#: Raised for an attribute called "crs" or "epsg" that does not hold one.
_NO_CRS = CRSError, ProjError, ValueError, TypeError, KeyError, AttributeError, RecursionError

#: Attributes and scalar coordinates that hold a CRS: EOPF and stackstac, GeoZarr, cubo, xee.
KEYS = ("proj:epsg", "proj:code", "proj:wkt2", "proj:projjson", "epsg", "crs")
#: Names of grid mappings that no variable needs to tell: rioxarray's and GDAL's.
_MAPPINGS = ("spatial_ref", "crs")
_MAPPING_ATTRS = {"spatial_ref", "crs_wkt", "grid_mapping_name", "GeoTransform"}

_EPSG = re.compile(
    r"(?:EPSG::?|\+init=epsg:|urn:ogc:def:crs:EPSG:[\d.]*:|https?://www\.opengis\.net/def/crs/EPSG/[\d.]+/)?"
    r"(\d{4,6})(?:\.0)?",
    re.IGNORECASE | re.ASCII,
)
_UTM = re.compile(r"WGS ?84 / UTM zone (\d\d?)([NS])", re.IGNORECASE | re.ASCII)
_AUTHORITY = re.compile(r"([A-Z]\w*):(\w+)", re.IGNORECASE | re.ASCII)
_WKT = re.compile(r"[A-Z]+_?CR?S\s*[\[(]", re.IGNORECASE)
_PROJ = re.compile(r"\+proj=[^/\\:]*", re.IGNORECASE)
#: Parts of a WKT that lead out of it: addresses, files of a datum shift.
_OUTSIDE = re.compile(r"://|/vsi|\\|init=|(?:EXTENSION|PARAMETERFILE|GRIDS).*/", re.IGNORECASE | re.DOTALL)
#: A CRS takes a few thousand characters.
_LONGEST = 2**16


def read_crs(obj: xr.Dataset | xr.DataArray) -> Any:
    """Return the CRS of the grid mapping, or of an index, an attribute or a scalar coordinate; else None."""
    for _, value in _told(obj):
        crs = parse_crs(value)
        if crs is not None:
            return crs
    return None


def crs_of_bands(ds: xr.Dataset, names: Iterable[Hashable]) -> Any:
    """Return the CRS of a Dataset, as the first of these variables that has one tells, or the Dataset itself."""
    bands = (read_crs(ds[name]) for name in names)
    return next((crs for crs in bands if crs is not None), None) or read_crs(ds)


def mapped_crs(obj: xr.Dataset | xr.DataArray) -> Any:
    """Return the CRS of the grid mapping alone, where other programs look for it; else None."""
    told = (parse_crs(value) for name in mappings(obj) for value in _of_mapping(obj.coords[name].attrs))
    return next((crs for crs in told if crs is not None), None)


def crs_refused(obj: xr.Dataset | xr.DataArray) -> list[str]:
    """Return what is in the place of a CRS and is none, for messages."""
    values = ((where, value) for where, value in _told(obj) if parse_crs(value) is None)
    return list(dict.fromkeys(f"{where} = {value!r:.60}" for where, value in values if isinstance(value, str | float)))


def _told(obj: xr.Dataset | xr.DataArray) -> Iterator[tuple[str, Any]]:
    """Yield all that may be a CRS, and where it is."""
    for name in mappings(obj):
        yield from ((f"the attrs of {name!r}", value) for value in _of_mapping(obj.coords[name].attrs))
    for name, index in obj.xindexes.items():  # xproj, rasterix
        yield f"the index {name!r}", getattr(index, "crs", None)
    yield "the area", getattr(obj.attrs.get("area"), "crs", None)  # satpy
    for key in KEYS:
        yield f"attrs[{key!r}]", obj.attrs.get(key)
        if key in obj.coords and obj.coords[key].ndim == 0:
            yield f"the coordinate {key!r}", obj.coords[key].item()


def _of_mapping(attrs: Mapping[Any, Any]) -> Iterator[Any]:
    """Yield what the attributes of a grid mapping say: as text, else by the parameters of the CF conventions."""
    yield from (attrs[key] for key in ("spatial_ref", "crs_wkt") if key in attrs)
    if "grid_mapping_name" in attrs:
        own = {key: value for key, value in attrs.items() if key not in ("spatial_ref", "crs_wkt")}
        if not any(isinstance(value, str) and _OUTSIDE.search(value) for value in own.values()):
            with suppress(*_NO_CRS):
                yield pyproj.CRS.from_cf(own).to_wkt()


def parse_crs(value: Any) -> Any:
    """Return the CRS that an object, a number, a text or PROJJSON gives; None if it is none, or leads elsewhere."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.item() if value.size == 1 else None
    if isinstance(value, bytes):
        value = value.decode("ascii", "replace")
    with suppress(*_NO_CRS):
        if isinstance(value, str):
            return _of_text(value.strip())
        if isinstance(value, int | float) and not isinstance(value, bool):
            return _of_text(str(value))
        if isinstance(value, dict):
            text = " ".join(f"+{key}" if part is True else f"+{key}={part}" for key, part in value.items())
            return _of_text(pyproj.CRS.from_json_dict(value).to_wkt() if "type" in value else text)
        if hasattr(value, "to_wkt") or hasattr(value, "wkt"):  # an object of pyproj, rasterio or odc
            return crs_from_user_input(value)
    return None


def _of_text(text: str) -> Any:
    """Return the CRS of a code, of a WKT, of PROJ's parameters or of PROJJSON; nothing else is taken."""
    if code := _EPSG.fullmatch(text):
        return CRS.from_epsg(int(code[1]))
    if zone := _UTM.fullmatch(text):
        return CRS.from_epsg((32600 if zone[2] in "Nn" else 32700) + int(zone[1]))
    if known := _AUTHORITY.fullmatch(text):
        return CRS.from_wkt(pyproj.CRS.from_authority(known[1], known[2]).to_wkt())
    if len(text) > _LONGEST:
        return None
    if _PROJ.fullmatch(text) and "init=" not in text:
        return CRS.from_wkt(pyproj.CRS.from_proj4(text).to_wkt())
    if text.startswith("{"):
        text = pyproj.CRS.from_json(text).to_wkt()
    return CRS.from_wkt(text) if _WKT.match(text) and not _OUTSIDE.search(text) else None


def mappings(obj: xr.Dataset | xr.DataArray) -> list[str]:
    """Return the names of the coordinates that are grid mappings: those that variables name, else the usual ones."""
    return [name for name in _mapping_names(obj) if name in obj.coords]


def _mapping_names(obj: xr.Dataset | xr.DataArray) -> list[str]:
    variables = [obj, *obj.data_vars.values()] if isinstance(obj, xr.Dataset) else [obj]
    named = [v.encoding.get("grid_mapping", v.attrs.get("grid_mapping")) for v in variables]
    # CF's long form names the coordinates too: "crs: x y"
    names = [name.partition(":")[0].strip() for name in named if isinstance(name, str)]
    known = obj.variables if isinstance(obj, xr.Dataset) else obj.coords
    usual = [name for name in _MAPPINGS if name in known and _MAPPING_ATTRS & {*known[name].attrs}]
    return list(dict.fromkeys([*names, *usual]))


def with_mapping(ds: xr.Dataset) -> xr.Dataset:
    """Make the grid mapping a coordinate, as ``decode_coords="all"`` does, so that bands take it along."""
    variables = [name for name in _mapping_names(ds) if name in ds.data_vars and not ds[name].dims]
    return ds.set_coords(variables) if variables else ds


def write_crs(ds: xr.Dataset, crs: Any) -> xr.Dataset:
    """Give a Dataset, and each of its bands, a CRS in the way of rioxarray."""
    out = ds.assign_coords(spatial_ref=mapping_variable(crs))
    for variable in out.data_vars.values():  # rioxarray would mark only what lies on (y, x), and read the CRS first
        variable.attrs.pop("grid_mapping", None)
        variable.encoding["grid_mapping"] = "spatial_ref"
    return out


def tile_origin(crs: Any) -> tuple[float, float] | None:
    """Return the y and x from which the 60 m pixels of all tiles in a CRS count; None if it is not a UTM zone.

    In the south that is the false northing, 10 000 km, which is not a multiple of 60 m.
    """
    code = None if crs is None else crs.to_epsg()
    if code is None or not 1 <= code % 100 <= 60 or code // 100 not in (326, 327):
        return None
    return (0.0 if code // 100 == 326 else 1e7), 0.0


def is_utm(crs: Any) -> bool:
    """Tell whether a CRS is that of a UTM zone, by its code or by its name."""
    return tile_origin(crs) is not None or "UTM" in crs.to_wkt()


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


def check_one_crs(result: xr.DataArray, native: xr.DataArray, what: str) -> None:
    """Refuse a band of a result that was reprojected; `what` was to be done before."""
    crs = [read_crs(da) for da in (result, native)]
    if None not in crs and crs[0] != crs[1]:
        raise GridError(
            f"{result.name!r} is in {crs[0]} in the result and in {crs[1]} in the scene; expected one CRS. {what} "
            "before reprojecting"
        )


def mapping_variable(crs: Any) -> xr.Variable:
    """Return a grid mapping variable for a CRS, or for none."""
    mapping: xr.Variable = xr.Dataset(coords={"spatial_ref": 0}).spatial_ref.variable
    return mapping if crs is None else xr.Dataset().rio.write_crs(crs)["spatial_ref"].variable


def geotransform(transform: Affine) -> str:
    """Return the text in which a grid mapping keeps a transform, in GDAL's order."""
    return " ".join(str(number) for number in transform.to_gdal())


def georeference(ds: xr.Dataset, transform: Affine) -> xr.Dataset:
    """Give each grid mapping the GeoTransform of the result, where there is a grid mapping.

    By hand, since ``rio.write_transform`` copies all pixels.
    """
    out = ds.copy()
    for name in mappings(out):  # in place of a copy: assign_coords would drop xproj's index
        out[name].attrs["GeoTransform"] = geotransform(transform)
    return out


def mirror_transform(ds: xr.Dataset, rows: bool, cols: bool, shape: tuple[int, int]) -> xr.Dataset:
    """Adapt the GeoTransform of :func:`georeference` to rows, columns or both in reverse order."""
    for name in sorted(mappings(ds))[:1]:  # all have the same
        left, dx, _, top, _, dy = map(float, ds[name].attrs["GeoTransform"].split())
        x = (-dx, left + dx * shape[1]) if cols else (dx, left)
        y = (-dy, top + dy * shape[0]) if rows else (dy, top)
        ds = georeference(ds, Affine(x[0], 0.0, x[1], 0.0, y[0], y[1]))
    return ds
