"""EOPF products as DataTrees, in the structure of ESA's samples."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from holders import transform
from scenes import FINE, GSD, RED_EDGE, SIXTY, coarsened

#: Bands that a Level-2A product repeats at coarser pixels.
REPEATED = {20: ("B01", "B02", "B03", "B04"), 60: ("B02", "B03", "B04", *RED_EDGE)}


def group(bands: dict[str, xr.DataArray], gsd: int) -> xr.Dataset:
    """A node of one resolution: names in lower case, whole numbers for coordinates, the CRS in attributes only."""
    first = next(iter(bands.values()))
    y, x = (first[dim].values.astype(np.int64) for dim in first.dims)
    t = transform(first)
    attrs = {
        "proj:epsg": first.rio.crs.to_epsg(),
        "proj:shape": list(first.shape),
        "proj:transform": list(t)[:6],
        "units": "digital_counts",
    }
    coords = {"y": ("y", y), "x": ("x", x)}
    return xr.Dataset(
        {name.lower(): (("y", "x"), da.values, {**attrs, "long_name": f"BOA {gsd}m"}) for name, da in bands.items()},
        coords,
    )


def product(ds: xr.Dataset) -> xr.DataTree:
    """Reflectance at three resolutions, with the masks whose variables have bands' names too."""
    repeated = {
        gsd: {
            band: xr.DataArray(
                coarsened(ds[band].values, gsd // GSD[band]).astype("uint16"), ds[like].coords, ds[like].dims
            )
            for band in bands
            if GSD[band] < gsd
        }
        for (gsd, bands), like in zip(REPEATED.items(), ("B05", "B01"), strict=True)
    }
    native_bands = {gsd: {b: ds[b] for b in bands} for gsd, bands in ((10, FINE), (20, RED_EDGE), (60, SIXTY))}
    nodes: dict[str, Any] = {"/": xr.Dataset(attrs={"stac_discovery": '{"type": "Feature"}'})}
    for gsd, bands in native_bands.items():
        nodes[f"/measurements/reflectance/r{gsd}m"] = group({**repeated.get(gsd, {}), **bands}, gsd)
        footprint = group({b: (da > 0).astype("uint8") for b, da in bands.items()}, gsd)
        nodes[f"/conditions/mask/detector_footprint/r{gsd}m"] = footprint
        nodes[f"/quality/mask/r{gsd}m"] = footprint
    scl = xr.Dataset(
        {"scl": (("y", "x"), np.ones(ds.B05.shape, "uint8"))}, nodes["/measurements/reflectance/r20m"].coords
    )
    nodes["/conditions/mask/l2a_classification/r20m"] = scl
    return xr.DataTree.from_dict(nodes)
