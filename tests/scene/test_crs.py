"""The CRS, from attributes and the grid mapping; and where the tiles of a CRS count from."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import pytest
import rasterio
import xarray as xr
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from scenes import LEFT, TOP, native

from xr_s2sr.scene.crs import crs_refused, georeference, parse_crs, read_crs, tile_origin
from xr_s2sr.scene.grid import read_grid


def numbers(ds: xr.Dataset, name: str = "spatial_ref") -> list[float]:
    return [float(v) for v in ds[name].attrs["GeoTransform"].split()]


@given(st.integers(0, 20), st.integers(0, 20))
def test_geotransform_follows_the_coordinates(row: int, col: int) -> None:
    ds = native(bands=("B02",)).rio.write_transform()
    assert numbers(ds) == [LEFT, 10, 0, TOP, 0, -10]
    part = ds.isel(y=slice(row, None), x=slice(col, None))
    done = georeference(part, read_grid(ds.B02, 10).corner(row, col))
    assert numbers(done) == [LEFT + 10 * col, 10, 0, TOP - 10 * row, 0, -10]
    assert numbers(ds) == [LEFT, 10, 0, TOP, 0, -10]
    assert done.rio.transform() == Affine(10, 0, LEFT + 10 * col, 0, -10, TOP - 10 * row)


def test_no_grid_mapping_none_made_up() -> None:
    ds = native(bands=("B02",), crs=None)
    assert read_crs(ds) is None
    assert "spatial_ref" not in georeference(ds, read_grid(ds.B02, 10).transform).coords


def test_grid_mapping_of_another_name() -> None:
    ds = native(bands=("B02",), crs=None).rio.write_crs(32632, grid_mapping_name="crs")
    ds.B02.encoding["grid_mapping"] = "crs"
    done = georeference(ds.isel(y=slice(3, None)), read_grid(ds.B02, 10).corner(3, 0))
    assert numbers(done, "crs") == [LEFT, 10, 0, TOP - 30, 0, -10]
    assert "spatial_ref" not in done.coords


@pytest.mark.parametrize("key", ["crs", "epsg", "proj:epsg", "proj:code"])
@pytest.mark.parametrize("value", [32632, "EPSG:32632", "epsg:32632"])
def test_crs_of_attributes(key: str, value: Any) -> None:
    ds = native(crs=None)
    assert read_crs(ds.B02.assign_attrs({key: value})).to_epsg() == 32632
    assert read_crs(ds.B02.assign_coords({key: value})).to_epsg() == 32632
    assert read_crs(ds.assign_attrs({key: value})).to_epsg() == 32632


@pytest.mark.parametrize("key", ["crs", "epsg", "area"])
@pytest.mark.parametrize("value", ["nonsense", "", 1.5, float("nan"), {"a": 1}, [1], None])
def test_attributes_that_are_no_crs(key: str, value: Any) -> None:
    ds = native(crs=None)
    assert read_crs(ds.B02.assign_attrs({key: value})) is None
    assert read_crs(native().B02.assign_attrs({key: value})).to_epsg() == 32632
    assert ds.assign(B02=ds.B02.assign_attrs({key: value})).s2sr.validate()


@pytest.mark.parametrize(
    ("code", "origin"), [(32601, (0, 0)), (32660, (0, 0)), (32733, (1e7, 0)), (32661, None), (3857, None), (4326, None)]
)
def test_where_the_tiles_of_a_crs_count_from(code: int, origin: tuple[float, float] | None) -> None:
    assert tile_origin(read_crs(native(crs=code))) == origin
    assert tile_origin(None) is None


UTM = pyproj.CRS(32632)


@pytest.mark.parametrize(
    "value",
    [
        32632,
        32632.0,
        np.array([32632]),
        b"EPSG:32632",
        "EPSG:32632 ",
        "urn:ogc:def:crs:EPSG::32632",
        "http://www.opengis.net/def/crs/EPSG/0/32632",
        "WGS 84 / UTM zone 32N",
        "+init=epsg:32632",
        "+proj=utm +zone=32 +datum=WGS84 +units=m +no_defs",
        {"proj": "utm", "zone": 32, "datum": "WGS84", "no_defs": True},
        UTM.to_wkt("WKT1_GDAL"),
        UTM.to_wkt("WKT1_ESRI"),
        UTM.to_wkt("WKT2_2019"),
        UTM.to_json(),
        UTM.to_json_dict(),
        UTM,
    ],
)
def test_ways_to_say_a_crs(value: Any) -> None:
    assert parse_crs(value).to_epsg() == 32632


@pytest.mark.parametrize("code", [3857, 28992, 2056])
def test_a_wkt_with_more_than_a_code(code: int) -> None:
    """Web Mercator's names a grid, "@null", and national grids have slashes in their names."""
    assert parse_crs(pyproj.CRS(code).to_wkt("WKT1_GDAL")).to_epsg() == code


@pytest.mark.parametrize(
    "value",
    ["utm", "EPSG:1", 10**400, np.array([1, 2]), True, {"type": "ProjectedCRS"}, "{" * 9999, "PROJCS[", "+proj="],
)
def test_no_crs(value: Any) -> None:
    assert parse_crs(value) is None
    assert read_crs(native(crs=None).B02.assign_attrs(crs=value)) is None


@pytest.fixture
def address() -> Iterator[tuple[str, socket.socket]]:
    """An address that nothing answers at, and the socket that notices who comes."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield f"http://127.0.0.1:{server.getsockname()[1]}/crs", server


HOLDERS = {
    "attribute": lambda da, text: da.assign_attrs(crs=text),
    "coordinate": lambda da, text: da.assign_coords(epsg=text),
    "grid mapping": lambda da, text: da.assign_coords(spatial_ref=((), 0, {"crs_wkt": text})),
}


@pytest.mark.parametrize("where", HOLDERS)
@pytest.mark.parametrize("text", ["{url}", "/vsicurl/{url}", "OPENGIS:{url}", "{wkt}", "file://{wkt}", "ESRI::{wkt}"])
def test_no_file_and_no_address_is_opened(
    where: str, text: str, address: tuple[str, socket.socket], tmp_path: Path
) -> None:
    """A whole CRS lies in the file: whoever opens it finds one."""
    url, server = address
    wkt = tmp_path / "crs.wkt"
    wkt.write_text(UTM.to_wkt())
    da = HOLDERS[where](native(crs=None).B02, text.format(url=url, wkt=wkt))
    with rasterio.Env(GDAL_HTTP_TIMEOUT="1", GDAL_HTTP_MAX_RETRY="0"):
        assert read_crs(da) is None
        assert da.to_dataset().s2sr.validate().info.crs is None
    with pytest.raises(BlockingIOError, match=r"temporarily unavailable|would block"):  # nobody called
        server.accept()


@pytest.mark.parametrize(
    "text",
    [
        "+init={init}:utm",
        "+proj=pipeline +step +init={init}:utm",
        "+proj=utm +zone=32 +datum=WGS84 +nadgrids={init}",
        UTM.to_wkt("WKT1_GDAL")[:-1] + ',EXTENSION["PROJ4","+init={init}:utm"]]',
    ],
)
def test_no_file_of_proj_is_opened(text: str, tmp_path: Path) -> None:
    init = tmp_path / "init"
    init.write_text("<utm> +proj=utm +zone=32 +datum=WGS84 <>\n")
    da = native(crs=None).B02.assign_attrs(crs=text.format(init=init))
    assert read_crs(da) is None
    assert "attrs['crs'] = " in crs_refused(da)[0]


@pytest.mark.parametrize("name", ["spatial_ref", "crs"])
@pytest.mark.parametrize("named", [True, False])
def test_the_grid_mapping_is_a_data_variable(name: str, named: bool) -> None:
    """As after open_dataset without decode_coords="all"."""
    ds = native((60, 60)).rename(spatial_ref=name).reset_coords(name)
    for band in ("B02", "B03", "B04", "B08", "B05"):
        ds[band].encoding.clear()
        if named:
            ds[band].attrs["grid_mapping"] = name
    assert "CRS: EPSG:32632" in str(ds.s2sr.validate())
    for scene in (ds, ds.chunk()):
        sr = scene.s2sr.upsample(["B05"], model="bicubic")
        assert [*sr.data_vars] == ["B05"]
        assert read_crs(sr).to_epsg() == 32632
        assert numbers(sr, name) == [LEFT, 10, 0, TOP, 0, -10]


@pytest.mark.parametrize(
    "scene", [native((60, 60), bands=("B05", "B11")), native((60, 60)).isel(y=0), native((60, 60)).drop_vars("y")]
)
def test_the_crs_whatever_else_is_wrong(scene: xr.Dataset) -> None:
    report = scene.s2sr.validate()
    assert not report
    assert "CRS: EPSG:32632" in str(report)
