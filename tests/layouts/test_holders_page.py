"""The snippets of the page "Forms of data" run, with the objects that they speak of put in place."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rioxarray
import xarray as xr
from eopf_products import product
from holders import COMMON, GDAL_ORDER, at_10_m, gdal_description, stac_item, stacked, with_offset, write_geotiff
from real_scenes import real

import xr_s2sr
from xr_s2sr import tutorial

odc_stac = pytest.importorskip("odc.stac", reason="odc-stac is not installed")
stackstac = pytest.importorskip("stackstac", reason="stackstac is not installed")

PAGE = Path(__file__).parents[2] / "docs" / "holders.md"
SECTIONS = re.split(r"^## ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
SNIPPETS = {
    part.splitlines()[0]: code for part in SECTIONS if (code := re.findall(r"```python\n(.*?)```", part, re.DOTALL))
}

pytestmark = pytest.mark.filterwarnings("ignore:The 'shapely.ops:DeprecationWarning")


class Scene(dict[str, xr.DataArray]):
    """As satpy's, iterated by array."""

    def load(self, names: list[str]) -> None:
        for name in [*self.keys()]:
            if name not in names:
                del self[name]

    def __iter__(self) -> Any:
        return iter(self.values())


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the page takes for granted."""
    tmp_path = tmp_path_factory.mktemp("holders")
    ds = tutorial.synthetic_scene(60)[0]
    cube = at_10_m(ds).expand_dims(time=[0, 1])
    tree = product(ds.rio.write_crs(32633))
    tree.to_zarr(tmp_path / "eopf.zarr", zarr_format=2)
    subdatasets = [
        write_geotiff(
            tmp_path / f"{gsd}.tif", *(ds[b] for b in bands), descriptions=tuple(map(gdal_description, bands))
        )
        for gsd, bands in GDAL_ORDER.items()
    ]
    every = at_10_m(ds)
    scn = Scene(
        {
            str(name): (da * 0.01).rename({da.dims[0]: "y", da.dims[1]: "x"}).assign_attrs(units="%")
            for name, da in ds.drop_attrs().data_vars.items()
        }
    )
    return {
        "xr": xr, "xr_s2sr": xr_s2sr, "odc": __import__("odc.stac"), "stackstac": stackstac, "rioxarray": rioxarray,
        "items": [stac_item(tmp_path / "items", with_offset(ds), names=COMMON)],
        "path": tmp_path / "eopf.zarr",
        "subdatasets": subdatasets,
        "stack": write_geotiff(tmp_path / "all.tif", *every.data_vars.values(), descriptions=tuple(every), crs=32633),
        "scn": scn,
        "ds": ds.assign(SCL=ds.B05 % 12),
        "cube": cube.assign(SCL=cube.B05 % 12),
    }  # fmt: skip


@pytest.fixture
def placed(made: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.chdir(tmp_path)
    return dict(made)


@pytest.mark.parametrize("name", SNIPPETS)
def test_snippet(name: str, placed: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    if name == "Earth Engine":
        monkeypatch.setattr(xr, "open_dataset", lambda *args, **kwargs: placed["cube"])
    for code in SNIPPETS[name]:
        exec(code, placed)
    for key in ("sr", "swir", "by_date"):
        if key in placed:
            assert placed[key].sizes["x"] in (60, 240)


def test_every_way_has_its_snippet() -> None:
    assert {"odc-stac", "stackstac and cubo", "EOPF Zarr", "GDAL and rioxarray", "satpy", "Earth Engine"} <= {*SNIPPETS}


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
