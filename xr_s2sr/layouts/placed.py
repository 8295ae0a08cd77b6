"""Pixels without coordinates, whose place attributes tell: GeoZarr's ``spatial:transform``, ``proj:transform``."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import xarray as xr
from affine import Affine

from xr_s2sr.scene.corners import affine

#: What attributes tell of pixels' places, after their prefix.
_PREFIXES = ("spatial", "proj")


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
    for prefix in _PREFIXES:
        transform = affine(attrs.get(f"{prefix}:transform"))
        shape = attrs.get(f"{prefix}:shape")
        known = (shape is None and prefix == "spatial") or _equal(shape, da.shape[-2:])
        if transform is None or not known or attrs.get("spatial:transform_type", "affine") != "affine":
            continue
        if not _equal(attrs.get("spatial:dimensions", [rows, cols]), (rows, cols)):
            continue
        half = 0.0 if attrs.get("spatial:registration") == "node" else 0.5
        return {dim: xr.Variable((dim,), at) for dim, at in zip((rows, cols), _axes(transform, da, half), strict=True)}
    return {}


def _axes(transform: Affine, da: xr.DataArray, half: float) -> tuple[Any, Any]:
    y, x = (np.arange(size) + half for size in da.shape[-2:])
    return transform.f + transform.e * y, transform.c + transform.a * x


def _equal(told: Any, actual: tuple[Any, ...]) -> bool:
    return isinstance(told, list | tuple | np.ndarray) and [*told][-2:] == [*actual]
