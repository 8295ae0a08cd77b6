"""Places of pixels that coordinates do not tell: none, or upper left corners, as stackstac gives them by default.

Attributes tell of pixels without coordinates (GeoZarr's ``spatial:transform``, ``proj:transform``). A result on corners
keeps its coordinates; the GeoTransform of its grid mapping says where its pixels lie.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from contextlib import suppress
from typing import Any, TypeVar

import numpy as np
import xarray as xr
from affine import Affine

from xr_s2sr.scene.crs import geotransform, mapping_variable, mappings, read_crs
from xr_s2sr.scene.grid import TOLERANCE, corner_edge, outer_edge, read_axis, spatial_dims

Form = TypeVar("Form", xr.Dataset, xr.DataArray)

#: Attributes that hold a transform, in the order of affine: stackstac's, GeoZarr's, EOPF's.
TRANSFORMS = ("transform", "spatial:transform", "proj:transform")


def transforms(obj: xr.Dataset | xr.DataArray) -> Iterator[Affine]:
    """Yield what attributes and grid mapping tell of the pixels' place, without rotated ones and what is none."""
    told = [obj.attrs[key] for key in TRANSFORMS if key in obj.attrs]
    for name in mappings(obj):
        text = str(obj.coords[name].attrs.get("GeoTransform", "")).split()
        if len(text) == 6:  # GDAL's order
            told.append([text[k] for k in (1, 2, 0, 4, 5, 3)])
    yield from (transform for transform in map(affine, told) if transform is not None)


def affine(value: Any) -> Affine | None:
    """Return the transform that six numbers in the order of affine make; None if they do not, or rotate."""
    with suppress(ValueError, TypeError, KeyError, OverflowError):
        numbers = [float(number) for number in value[:6]]
        if len(numbers) == 6 and np.isfinite(numbers).all() and numbers[0] and numbers[4]:
            transform = Affine(*numbers)
            return transform if transform.b == 0 == transform.d else None
    return None


def told_corners(da: xr.DataArray) -> bool | None:
    """Tell whether a transform makes the coordinates corners of its pixels, and not centres; None if none tells.

    Only the part of a pixel between them counts: the transform may be that of a larger scene.
    """
    dims = spatial_dims(da)
    if any(dim not in da.coords for dim in dims):
        return None
    for transform in transforms(da):
        apart = []
        for dim, step, edge in zip(dims, (transform.e, transform.a), (transform.f, transform.c), strict=True):
            axis = read_axis(da, dim, step)
            if abs(abs(axis.step) - abs(step)) <= TOLERANCE * abs(step):
                apart.append(abs((place := (axis.first - edge) / step) - round(place)))
        if len(apart) == 2 and max(apart) <= TOLERANCE:
            return True
        if len(apart) == 2 and min(apart) >= 0.5 - TOLERANCE:
            return False
    return None


def are_corners(da: xr.DataArray) -> bool:
    """Tell whether the coordinates of a 10 m band are upper left corners: by a transform, else by the tiling grid."""
    told = told_corners(da)
    if told is not None:
        return told
    axes = [read_axis(da, dim, 10.0) for dim in spatial_dims(da)]
    return all(outer_edge(axis, rows=k == 0) != axis.edge for k, axis in enumerate(axes))


def centred(da: xr.DataArray) -> dict[Hashable, xr.Variable]:
    """Return the pixel centres of an array by dimension where its coordinates are corners; else nothing."""
    if not told_corners(da):
        return {}
    dims, transform = spatial_dims(da), next(transforms(da))
    shifts = {dims[0]: -abs(transform.e) / 2, dims[1]: abs(transform.a) / 2}
    return {dim: xr.Variable((dim,), da[dim].values + shift, da[dim].attrs) for dim, shift in shifts.items()}


def tell_corners(result: Form, dims: tuple[Hashable, Hashable]) -> Form:
    """Say in the grid mapping of a result where its pixels lie whose coordinates, along `dims`, are corners."""
    if any(result.sizes[dim] < 2 for dim in dims):
        return result
    y, x = (read_axis(result[dim], dim) for dim in dims)
    transform = Affine(x.step, 0.0, corner_edge(x, rows=False), 0.0, y.step, corner_edge(y, rows=True))
    out = result.copy(deep=False)
    if not mappings(out):
        out = out.assign_coords(spatial_ref=mapping_variable(read_crs(out)))
        _name_mapping(out, dims)
    for name in mappings(out):
        out[name].attrs["GeoTransform"] = geotransform(transform)
    return out


def _name_mapping(obj: xr.Dataset | xr.DataArray, dims: tuple[Hashable, Hashable]) -> None:
    for da in [obj] if isinstance(obj, xr.DataArray) else obj.data_vars.values():
        if {*dims} <= {*da.dims} and "grid_mapping" not in da.attrs:
            da.encoding["grid_mapping"] = "spatial_ref"


def placed(ds: xr.Dataset) -> xr.Dataset:
    """Give the variables that have no coordinates along rows and columns those that attributes tell."""
    coords: dict[Hashable, xr.Variable] = {}
    for da in ds.data_vars.values():
        if da.ndim >= 2 and not {*da.dims[-2:]} & {*ds.coords, *coords}:
            coords |= _centres(da, {**ds.attrs, **da.attrs})
    return ds.assign_coords(coords) if coords else ds


def level_attrs(name: str, own: Mapping[Any, Any], above: Mapping[Any, Any]) -> dict[Any, Any]:
    """Return the attributes of one level of a GeoZarr, with what those of the group above tell of it."""
    scales = above.get("multiscales")
    layout = scales.get("layout") if isinstance(scales, dict) else None
    levels = [level for level in layout if isinstance(level, dict)] if isinstance(layout, list) else []
    told = next((level for level in levels if str(level.get("asset", "")).strip("/") == name), {})
    shared = {key: above[key] for key in above if str(key).startswith("proj:") and not str(key).endswith("bbox")}
    return {**shared, **{key: told[key] for key in told if str(key).startswith("spatial:")}, **own}


def _centres(da: xr.DataArray, attrs: Mapping[Any, Any]) -> dict[Hashable, xr.Variable]:
    """Return the pixel centres of an array; nothing where the attributes tell of other pixels, or too little."""
    rows, cols = da.dims[-2:]
    for prefix in ("spatial", "proj"):
        transform = affine(attrs.get(f"{prefix}:transform"))
        shape = attrs.get(f"{prefix}:shape")
        known = (shape is None and prefix == "spatial") or _equal(shape, da.shape[-2:])
        if transform is None or not known or attrs.get("spatial:transform_type", "affine") != "affine":
            continue
        if not _equal(attrs.get("spatial:dimensions", [rows, cols]), (rows, cols)):
            continue
        half = 0.0 if attrs.get("spatial:registration") == "node" else 0.5
        y, x = (np.arange(size) + half for size in da.shape[-2:])
        places = {rows: transform.f + transform.e * y, cols: transform.c + transform.a * x}
        return {dim: xr.Variable((dim,), at) for dim, at in places.items()}
    return {}


def _equal(told: Any, actual: tuple[Any, ...]) -> bool:
    return isinstance(told, list | tuple | np.ndarray) and [*told][-2:] == [*actual]
