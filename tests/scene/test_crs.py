"""The CRS, from attributes and the grid mapping; and where the tiles of a CRS count from."""

from __future__ import annotations

from typing import Any

import pytest
import xarray as xr
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from scenes import LEFT, TOP, native

from xr_s2sr.scene.crs import georeference, read_crs, tile_origin
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
