"""``resolution=20`` from every form: dims and coordinates as the form has them, pixels as from the native scene."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import rioxarray
import xarray as xr
from eopf_products import product
from holders import at_10_m, stac_items, stacked, with_offset, write_geotiff
from scenes import FINE, GSD, RED_EDGE, SIXTY, TWELVE, native

from xr_s2sr import tutorial
from xr_s2sr.errors import GridError, S2SRWarning

CUBIC = {"model": "bicubic"}
SOME = {"resolution": 20, **CUBIC}


@pytest.fixture(scope="module")
def ds() -> xr.Dataset:
    return native((60, 72))


@pytest.fixture(scope="module")
def expected(ds: xr.Dataset) -> xr.Dataset:
    return ds.s2sr.upsample(**SOME)


def same(sr: Any, expected: xr.Dataset, names: Any = TWELVE) -> None:
    """Equal pixels, and equal places whatever the names of dims."""
    for name in names:
        np.testing.assert_array_equal(sr[name], expected[name], err_msg=name)
        for dim, other in zip(sr[name].dims[-2:], expected[name].dims[-2:], strict=True):
            np.testing.assert_array_equal(sr[dim], expected[other])


@pytest.mark.parametrize("lazy", [False, True])
def test_replicated_cube(ds: xr.Dataset, expected: xr.Dataset, lazy: bool) -> None:
    held = at_10_m(ds)
    held["SCL"] = ("y", "x"), (ds.B05.values % 12).astype("uint8").repeat(2, 0).repeat(2, 1)
    sr = (held.chunk(y=25, x=30) if lazy else held).s2sr.upsample(**SOME)
    assert sr.sizes == {"y": 30, "x": 36}
    same(sr, expected)
    np.testing.assert_array_equal(sr.SCL, ds.B05 % 12)
    assert sr.SCL.dims == ("y", "x")
    assert (sr.B05.chunks is not None) == lazy
    assert sr.rio.transform().a == 20
    for band in RED_EDGE:
        assert sr[band].attrs == held[band].attrs


def test_a_cube_that_begins_anywhere(ds: xr.Dataset, expected: xr.Dataset) -> None:
    """Whole 20 m pixels only; far from the border also the 60 m bands are those of the scene."""
    cut = at_10_m(ds, slice(1, None), slice(3, 70))
    sr = cut.s2sr.upsample(**SOME)
    part = expected.isel(y_20m=slice(1, None), x_20m=slice(2, 35))
    same(sr, part, (*FINE, *RED_EDGE))


@pytest.mark.parametrize("lazy", [False, True])
def test_what_was_masked_at_10_m(ds: xr.Dataset, expected: xr.Dataset, lazy: bool) -> None:
    """A pixel is masked where one of its four was, in every band."""
    masked = np.random.default_rng(0).random((60, 72)) < 0.1
    masked[:12, :12] = True
    held = at_10_m(ds).where(~xr.DataArray(masked, dims=("y", "x")))
    sr = (held.chunk(y=25, x=30) if lazy else held).s2sr.upsample(**SOME, units="dn")
    hit = masked.reshape(30, 2, 36, 2).any((1, 3))
    for band in TWELVE:
        np.testing.assert_array_equal(sr[band].isnull(), hit, err_msg=band)
    for band in RED_EDGE:
        np.testing.assert_array_equal(sr[band].values[~hit], ds[band].values[~hit])
    np.testing.assert_allclose(sr.B02.values[~hit], expected.B02.values[~hit], atol=0.5)


def test_masked_standard_errors(ds: xr.Dataset) -> None:
    masked = np.zeros((60, 72), bool)
    masked[30, 40] = True
    held = at_10_m(ds).where(~xr.DataArray(masked, dims=("y", "x")))
    sr = held.s2sr.upsample(resolution=20, units="dn", uncertainty=True)
    assert np.argwhere(sr.B01_uncertainty.isnull().values).tolist() == [[15, 20]]


def test_one_array(ds: xr.Dataset, expected: xr.Dataset) -> None:
    da = stacked(at_10_m(ds)).assign_attrs(resolution=10.0, transform=(10, 0, 0), crs="epsg:32632")
    sr = da.s2sr.upsample(**SOME)
    assert sr.dims == ("band", "y", "x")
    assert sr.dtype == da.dtype
    assert sr.attrs == {"resolution": 20.0, "crs": "epsg:32632", **ds.attrs}  # the transform would be wrong
    same(sr.to_dataset("band"), expected)
    assert sr.s2sr_native_gsd.values.tolist() == [GSD[band] for band in sr.band.values]
    by_name = da.s2sr.upsample(["B01", "B02"], **SOME)
    assert {*by_name.band.values} == {"B01", "B02"}


def test_a_geotiff_of_all_bands(ds: xr.Dataset, expected: xr.Dataset, tmp_path: Path) -> None:
    """Opened and written again by rioxarray, which keeps the transform beside the coordinates."""
    held = at_10_m(ds)
    path = write_geotiff(tmp_path / "all.tif", *held.data_vars.values(), descriptions=tuple(held), crs=ds.rio.crs)
    with rioxarray.open_rasterio(path) as da:
        sr = da.s2sr.upsample(**SOME)
        assert list(sr.long_name) == list(held)
        assert sr.rio.transform() == rasterio.Affine(20, 0, 300_000, 0, -20, 4_900_020)
        sr.rio.to_raster(tmp_path / "sr.tif")
        assert da.rio.transform().a == 10
    with rasterio.open(tmp_path / "sr.tif") as file:
        assert file.transform == rasterio.Affine(20, 0, 300_000, 0, -20, 4_900_020)
        for k, band in enumerate(held, 1):
            np.testing.assert_array_equal(file.read(k), expected[band])


def test_one_array_within_a_dataset(ds: xr.Dataset, expected: xr.Dataset) -> None:
    held = stacked(at_10_m(ds)).to_dataset(name="s2").assign(height=1.0, slope=("y", np.zeros(60)))
    with pytest.warns(S2SRWarning, match="do not lie on the pixels of the result: slope"):
        sr = held.s2sr.upsample(**SOME)
    assert {*sr.data_vars} == {"s2", "height"}
    same(sr.s2.to_dataset("band"), expected)


def test_columns_before_rows(ds: xr.Dataset, expected: xr.Dataset) -> None:
    sr = at_10_m(ds).transpose("x", "y").s2sr.upsample(**SOME)
    for band in TWELVE:
        assert sr[band].dims == ("x", "y")
    same(sr.transpose("y", "x"), expected)


def test_rows_that_ascend() -> None:
    up = native((60, 72), ascending=True)
    sr, expected = at_10_m(up).s2sr.upsample(**SOME), up.s2sr.upsample(**SOME)
    same(sr, expected)
    np.testing.assert_array_equal(expected.y_20m, up.y_20m)


def test_tree(ds: xr.Dataset, expected: xr.Dataset) -> None:
    tree = product(ds)
    sr = tree.s2sr.upsample(**SOME)
    assert sr.sizes == {"y": 30, "x": 36}
    same(sr.rename({band.lower(): band for band in TWELVE}), expected)
    assert sr.b02.attrs["proj:shape"] == [30, 36]
    assert sr.rio.transform().a == 20
    out = tree.s2sr.upsample(into=True, **SOME)
    node = out["/measurements/reflectance/r20m"]
    before = tree["/measurements/reflectance/r20m"].to_dataset()
    assert {*node.data_vars} == {band.lower() for band in TWELVE}
    for name in before.data_vars:
        xr.testing.assert_identical(node[name].variable, before[name].variable)  # b02 is there: ESA's
    np.testing.assert_array_equal(node["b08"], expected.B08)
    np.testing.assert_array_equal(node["b09"], expected.B09)
    xr.testing.assert_identical(
        out["/measurements/reflectance/r10m"].to_dataset(), tree["/measurements/reflectance/r10m"].to_dataset()
    )


def test_tree_with_all_in_one_node(ds: xr.Dataset, expected: xr.Dataset) -> None:
    tree = xr.DataTree.from_dict({"/scene": ds})
    same(tree.s2sr.upsample(**SOME), expected)
    node = tree.s2sr.upsample("B01", into=True, **SOME)["/scene"]
    xr.testing.assert_identical(node.to_dataset(), ds)  # its own B01 stays


def test_tree_without_a_node_for_it(ds: xr.Dataset) -> None:
    tree = xr.DataTree.from_dict(
        {"10m": ds[list(FINE)], "60m": ds[list(SIXTY)].rename({"y_60m": "y", "x_60m": "x"})},
    )
    assert tree.s2sr.upsample(**SOME).B01.shape == (30, 36)
    with pytest.raises(GridError, match=r"no node of the DataTree holds bands of 20 m, .*Leave into out"):
        tree.s2sr.upsample(into=True, **SOME)


# -- odc-stac and stackstac, really -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def scene() -> xr.Dataset:
    return with_offset(tutorial.synthetic_scene(120)[0])


@pytest.fixture(scope="module")
def items(scene: xr.Dataset, tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    return stac_items(tmp_path_factory.mktemp("stac"), scene, ("2021-06-01T10:00:00Z", "2021-06-11T10:00:00Z"))


@pytest.mark.filterwarnings("ignore:The 'shapely.ops:DeprecationWarning")
def test_odc(items: list[Any], scene: xr.Dataset) -> None:
    """As odc-stac loads the 20 m bands and SCL at 20 m itself."""
    odc_stac = pytest.importorskip("odc.stac", reason="odc-stac is not installed")
    cube = odc_stac.load(items, bands=[*TWELVE, "SCL"], resolution=10)
    sr = cube.s2sr.upsample(resolution=20, offset=-1000, uncertainty=True)
    coarse = odc_stac.load(items, bands=[*RED_EDGE, "SCL"], resolution=20)
    assert {*sr.data_vars} == {*TWELVE, "SCL", "B01_uncertainty", "B09_uncertainty"}
    for name in coarse.data_vars:
        np.testing.assert_array_equal(sr[name], coarse[name])
        for dim in coarse[name].dims:
            np.testing.assert_array_equal(sr[dim], coarse[dim])
    expected = scene.s2sr.upsample(resolution=20, offset=-1000)
    np.testing.assert_array_equal(sr.B01[1], expected.B01)
    cloudless = sr.where(~sr.SCL.isin([8, 9, 10]))
    assert cloudless.B01.isnull().values.sum() > 0


@pytest.mark.parametrize("xy_coords", ["topleft", "center"])
@pytest.mark.filterwarnings("ignore:The 'shapely.ops:DeprecationWarning")
def test_stackstac(items: list[Any], scene: xr.Dataset, xy_coords: str) -> None:
    """As stackstac stacks the 20 m bands at 20 m itself, corners or centres."""
    stackstac = pytest.importorskip("stackstac", reason="stackstac is not installed")
    settings = {"epsg": 32633, "xy_coords": xy_coords}
    da = stackstac.stack(items, resolution=10, **settings).compute()
    sr = da.s2sr.upsample(resolution=20, uncertainty=True)
    coarse = stackstac.stack(items, resolution=20, **settings).compute()
    for dim in ("time", "y", "x"):
        np.testing.assert_array_equal(sr[dim], coarse[dim])
    assert [*sr.band.values] == [*da.band.values, "B01_uncertainty", "B09_uncertainty"]
    assert "SCL" in sr.band.values
    for band in (*RED_EDGE, "SCL"):
        np.testing.assert_array_equal(sr.sel(band=band), coarse.sel(band=band))
    assert sr.attrs["resolution"] == coarse.attrs["resolution"] == 20
    assert sr.dims == da.dims
    assert sr.dtype == da.dtype
    blue = da.sel(band="B02").values
    four = [blue[:, i::2, j::2] for i in (0, 1) for j in (0, 1)]
    np.testing.assert_array_equal(sr.sel(band="B02"), (four[0] + four[1] + four[2] + four[3]) / 4)
    errors = sr.sel(band="B01_uncertainty")
    np.testing.assert_array_equal(errors.isnull(), sr.sel(band="B01").isnull())
    assert float(errors.min()) > 0
    later = stackstac.stack(items, resolution=10, chunksize=48, **settings).s2sr.upsample(
        resolution=20, uncertainty=True
    )
    np.testing.assert_array_equal(later.compute(), sr)
    assert sr.s2sr.bands["B01"] == "B01"
