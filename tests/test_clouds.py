"""The scene classification comes with the result, from every form, and masks clouds in it: at 10 m and at 20 m."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from eopf_products import product
from holders import at_10_m, stacked
from safe_products import Product, write_product
from scenes import TWELVE, enlarged, native

import xr_s2sr

CUBIC = {"model": "bicubic"}
CLOUDS = [3, 8, 9, 10]


@pytest.fixture(scope="module")
def ds() -> xr.Dataset:
    scene = native((60, 72))
    classes = np.random.default_rng(3).integers(1, 12, (30, 36), np.uint8)
    return scene.assign(SCL=(("y_20m", "x_20m"), classes, {"long_name": "scene classification"}))


def cube(ds: xr.Dataset) -> xr.Dataset:
    out = at_10_m(ds.drop_vars("SCL"))
    return out.assign(SCL=(("y", "x"), enlarged(ds.SCL.values, 2)))


def lazy(ds: xr.Dataset) -> xr.Dataset:
    return ds.chunk(y=25, x=31, y_20m=13)


def array(ds: xr.Dataset) -> xr.Dataset:
    """Through one array, in which SCL is a layer."""
    return stacked(cube(ds))


@pytest.mark.parametrize("resolution", [10, 20])
@pytest.mark.parametrize("form", [lambda ds: ds, lazy, cube, array], ids=["native", "lazy", "cube", "array"])
def test_clouds(ds: xr.Dataset, form: Callable[[xr.Dataset], Any], resolution: int) -> None:
    sr = form(ds).s2sr.upsample(keep="all", resolution=resolution, **CUBIC)
    if isinstance(sr, xr.DataArray):
        sr = sr.to_dataset("band")
    cloudy = np.isin(ds.SCL.values, CLOUDS)
    cloudy = enlarged(cloudy, 2) if resolution == 10 else cloudy
    clouds = sr.SCL.isin(CLOUDS)
    np.testing.assert_array_equal(clouds, cloudy)
    clear = sr[list(TWELVE)].where(~clouds, 0)
    for band in TWELVE:
        assert clear[band].dtype == np.uint16
        np.testing.assert_array_equal(clear[band], np.where(cloudy, 0, sr[band]))


@pytest.mark.parametrize("resolution", [10, 20])
def test_clouds_of_a_product(ds: xr.Dataset, resolution: int, tmp_path: Path) -> None:
    held = xr_s2sr.open_safe(write_product(tmp_path, Product(ds.drop_vars("SCL"))))
    sr = held.s2sr.upsample(keep="all", resolution=resolution, offset=0, **CUBIC)
    cloudy = np.isin(held.SCL.values, CLOUDS)
    assert cloudy.any()
    np.testing.assert_array_equal(sr.SCL.isin(CLOUDS), enlarged(cloudy, 2) if resolution == 10 else cloudy)
    assert sr.SCL.dims == sr.B11.dims
    assert sr.SCL.dtype == np.uint8


@pytest.mark.parametrize("resolution", [10, 20])
def test_clouds_of_a_tree(ds: xr.Dataset, resolution: int) -> None:
    """Of EOPF, the classification is in another node: it goes to the result by nearest neighbour."""
    tree = product(ds.drop_vars("SCL"))
    node = tree["/conditions/mask/l2a_classification/r20m"]
    node.dataset = node.to_dataset().assign(scl=(("y", "x"), ds.SCL.values))
    sr = tree.s2sr.upsample(resolution=resolution, **CUBIC)
    scl = tree["/conditions/mask/l2a_classification/r20m/scl"].reindex_like(sr, method="nearest")
    np.testing.assert_array_equal(scl, enlarged(ds.SCL.values, 20 // resolution))
    clear = sr.where(~scl.isin(CLOUDS))
    assert clear.sizes == sr.sizes
    np.testing.assert_array_equal(clear.b11.isnull(), np.isin(scl, CLOUDS))
