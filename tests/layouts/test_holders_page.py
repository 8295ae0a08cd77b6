"""The forms of the page "Forms of data" give the same pixels. Its blocks are typed along in tests/test_pages.py."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rioxarray
from eopf_products import product
from holders import COMMON, GDAL_ORDER, at_10_m, gdal_description, stac_item, stacked, write_geotiff
from real_scenes import real

import xr_s2sr

odc_stac = pytest.importorskip("odc.stac", reason="odc-stac is not installed")
stackstac = pytest.importorskip("stackstac", reason="stackstac is not installed")

pytestmark = pytest.mark.filterwarnings("ignore:The 'shapely.ops:DeprecationWarning")


@pytest.mark.parametrize("name", ["synthetic", "hvn2_usa"])
def test_all_forms_of_real_pixels_give_the_same(name: str, tmp_path: Path) -> None:
    ds = real(name).isel(y=slice(120), x=slice(120), y_20m=slice(60), x_20m=slice(60), y_60m=slice(20), x_60m=slice(20))
    expected = ds.s2sr.upsample()
    cube = at_10_m(ds)
    item = stac_item(tmp_path / "items", ds, names=COMMON)
    opened = [
        rioxarray.open_rasterio(
            write_geotiff(
                tmp_path / f"{gsd}.tif", *(ds[b] for b in bands), descriptions=tuple(map(gdal_description, bands))
            )
        )
        for gsd, bands in GDAL_ORDER.items()
    ]
    counts = {"rescale": False, "dtype": "uint16", "fill_value": np.uint16(0)}
    results = {
        "cube": cube.s2sr.upsample(),
        "array": stacked(cube).s2sr.upsample().to_dataset("band"),
        "odc": odc_stac.load([item], bands=list(COMMON.values()), resolution=10).isel(time=0).s2sr.upsample(),
        "stackstac": stackstac.stack([item], resolution=10, epsg=32616, **counts)
        .compute()
        .isel(time=0)
        .s2sr.upsample()
        .to_dataset("band"),
        "tree": product(ds).s2sr.upsample(units="dn"),
        "files": xr_s2sr.combine(*opened).s2sr.upsample(),
    }
    for form, sr in results.items():
        named = sr.s2sr.bands
        for band in COMMON:
            np.testing.assert_array_equal(sr[named[band]], expected[band], err_msg=f"{form} {band}")
