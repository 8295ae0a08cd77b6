"""Scenes in the forms that other libraries give them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pystac
import rasterio
import xarray as xr
from affine import Affine
from rasterio.warp import transform_bounds
from scenes import GSD, LEFT, TOP, enlarged

from xr_s2sr.bands import BANDS

COMMON = {
    "B01": "coastal", "B02": "blue", "B03": "green", "B04": "red", "B05": "rededge1", "B06": "rededge2",
    "B07": "rededge3", "B08": "nir", "B8A": "nir08", "B09": "nir09", "B11": "swir16", "B12": "swir22",
}  # fmt: skip
#: Bands of each of GDAL's subdatasets, in GDAL's order.
GDAL_ORDER = {10: ("B04", "B03", "B02", "B08"), 20: ("B05", "B06", "B07", "B8A", "B11", "B12"), 60: ("B01", "B09")}


def at_10_m(ds: xr.Dataset, rows: slice = slice(None), cols: slice = slice(None), dtype: Any = None) -> xr.Dataset:
    """All bands repeated onto the 10 m grid, cut anywhere."""
    fine = {
        name: ((*da.dims[:-2], "y", "x"), enlarged(da.values, GSD[str(name)] // 10), da.attrs)
        for name, da in ds.data_vars.items()
    }
    out = ds.drop_dims([dim for dim in ds.dims if str(dim).endswith("0m")]).assign(fine)
    return (out if dtype is None else out.astype(dtype)).isel(y=rows, x=cols)


def stacked(ds: xr.Dataset) -> xr.DataArray:
    """(time, band, y, x), as stackstac and cubo give it."""
    lead = [dim for dim in ("time",) if dim in ds.dims]
    return ds.to_array("band").transpose(*lead, "band", "y", "x")


def transform(da: xr.DataArray) -> Affine:
    """From coordinates that are pixel centres, north up."""
    y, x = (da[dim].values for dim in da.dims[-2:])
    step = float(x[1] - x[0])
    return Affine(step, 0, float(x[0]) - step / 2, 0, -step, float(y[0]) + step / 2)


def write_geotiff(path: Path, *bands: xr.DataArray, descriptions: tuple[str, ...] = (), crs: Any = None) -> Path:
    """One tiled GeoTIFF of bands on one grid."""
    first = bands[0]
    height, width = first.shape[-2:]
    profile = {"driver": "GTiff", "height": height, "width": width, "dtype": first.dtype, "nodata": 0, "tiled": True}
    with rasterio.open(
        path, "w", **profile, count=len(bands), crs=crs or first.rio.crs, transform=transform(first)
    ) as file:
        for k, band in enumerate(bands, 1):
            file.write(band.values, k)
        if descriptions:
            file.descriptions = descriptions
    return path


def with_offset(ds: xr.Dataset) -> xr.Dataset:
    """DN as from processing baseline 04.00 on: 1000 more where valid."""
    return ds.map(lambda v: v.where(v == 0, v + 1000).astype(v.dtype), keep_attrs=True)


def stac_items(folder: Path, scene: xr.Dataset, dates: Sequence[str]) -> list[pystac.Item]:
    """An item a date over the same bands and classes, in UTM zone 33."""
    scl = scene.B05.copy(data=np.arange(scene.B05.size).reshape(scene.B05.shape).astype("uint8") % 11 + 1)
    ds = scene.assign(SCL=scl).rio.write_crs(32633)
    return [stac_item(folder / str(k), ds, when) for k, when in enumerate(dates)]


def stac_item(
    folder: Path, ds: xr.Dataset, when: str = "2021-06-01T10:00:00Z", names: dict[str, str] | None = None
) -> pystac.Item:
    """An item over one GeoTIFF a band, each in its native pixels; assets under band ids or other names."""
    folder.mkdir(exist_ok=True)
    crs = ds.rio.crs
    fine = ds["B02"]
    t, (height, width) = transform(fine), fine.shape
    box = list(transform_bounds(crs, "EPSG:4326", *rasterio.transform.array_bounds(height, width, t)))
    west, south, east, north = box
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    item = pystac.Item(
        f"S2A_{when}",
        {"type": "Polygon", "coordinates": [ring]},
        box,
        pystac.utils.str_to_datetime(when),
        {"proj:code": crs.to_string(), "proj:epsg": crs.to_epsg(), "platform": "sentinel-2a"},
        stac_extensions=[
            "https://stac-extensions.github.io/projection/v2.0.0/schema.json",
            "https://stac-extensions.github.io/raster/v1.1.0/schema.json",
            "https://stac-extensions.github.io/eo/v1.1.0/schema.json",
        ],
        collection="sentinel-2-l2a",
    )
    for name, da in ds.data_vars.items():
        path = write_geotiff(folder / f"{name}.tif", da, crs=crs)
        place = {"proj:shape": list(da.shape), "proj:transform": list(transform(da))[:6]}
        raster = {"nodata": 0, "data_type": str(da.dtype), "scale": 1e-4, "offset": -0.1}
        if str(name) not in GSD:
            raster = {"nodata": 0, "data_type": str(da.dtype)}
        about = {"eo:bands": [{"name": name, "common_name": COMMON[str(name)]}]} if str(name) in COMMON else {}
        asset = pystac.Asset(
            path.as_uri(),
            title=f"Band {name}",
            media_type=pystac.MediaType.COG,
            roles=["data"],
            extra_fields={**place, **about, "raster:bands": [raster], "gsd": GSD.get(str(name), 20)},
        )
        item.add_asset((names or {}).get(str(name), str(name)), asset)
    return item


def in_the_south(ds: xr.Dataset) -> xr.Dataset:
    """The scene in a tile south of the equator, whose corner is no multiple of 60 m."""
    moved = {dim: ds[dim] - TOP + 6_300_040.0 for dim in ds.dims if str(dim).startswith("y")}
    return ds.assign_coords(moved).rio.write_crs(32756)


def corner(ds: xr.Dataset) -> tuple[float, float]:
    """Upper and left edge of the 10 m grid."""
    return float(ds.y[0]) + 5 - TOP, float(ds.x[0]) - 5 - LEFT


def same_pixels(one: xr.Dataset | xr.DataArray, other: xr.Dataset | xr.DataArray) -> None:
    """Equal pixels at equal places, whatever else is attached."""
    if isinstance(one, xr.Dataset) and isinstance(other, xr.Dataset):
        assert list(one.data_vars) == list(other.data_vars)
        one, other = one.to_array(), other.to_array()
    np.testing.assert_array_equal(one, other)
    for dim in ("y", "x"):
        np.testing.assert_array_equal(one[dim], other[dim])


def gdal_description(band: str) -> str:
    """A band's description in GDAL's subdatasets."""
    return f"{band.replace('B0', 'B')}, central wavelength {BANDS[band].wavelength:.0f} nm"
