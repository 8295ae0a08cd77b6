"""To disk and back: GeoTIFF, NetCDF and Zarr hold the result as it was, and can be where the scene comes from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rioxarray
import xarray as xr
from affine import Affine
from scenes import FINE, GSD, LEFT, RED_EDGE, SIXTY, TOP, TWELVE, native

HERE = Affine(10, 0, LEFT, 0, -10, TOP)
CUBIC = {"model": "bicubic"}
ENGINES = ["netcdf4", "h5netcdf", "zarr"]

# zarr 3 and netCDF speak of themselves, not of us
pytestmark = pytest.mark.filterwarnings(
    "ignore:.*[Cc]onsolidated metadata.*", "ignore:numpy.ndarray size changed:RuntimeWarning"
)


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    """Each way to write a Dataset that is installed."""
    if request.param == "h5netcdf":
        pytest.importorskip("h5py", reason="h5netcdf writes through h5py")
    return str(request.param)


def store(ds: xr.Dataset, path: Path, engine: str, **more: Any) -> None:
    if engine == "zarr":
        ds.to_zarr(path, **more)
    else:
        ds.to_netcdf(path, engine=engine, **more)


def load(path: Path, engine: str, **more: Any) -> xr.Dataset:
    with xr.open_dataset(path, engine=engine, decode_coords="all", **more) as ds:
        return ds.load()


def assert_same_place(got: xr.Dataset | xr.DataArray, expected: xr.Dataset | xr.DataArray) -> None:
    assert got.rio.crs == expected.rio.crs
    assert got.rio.crs.to_epsg() == 32632
    assert got.rio.transform() == expected.rio.transform() == HERE
    np.testing.assert_array_equal(got.x, expected.x)
    np.testing.assert_array_equal(got.y, expected.y)


@pytest.mark.parametrize("band", ["B11", "B01", "B02"])
def test_geotiff(restored: xr.Dataset, tmp_path: Path, band: str) -> None:
    restored[band].rio.to_raster(tmp_path / "band.tif")
    with rioxarray.open_rasterio(tmp_path / "band.tif") as back:
        assert back.dtype == np.uint16
        np.testing.assert_array_equal(back[0], restored[band])
        assert_same_place(back, restored[band])


def test_geotiff_of_all_bands(restored: xr.Dataset, tmp_path: Path) -> None:
    restored.rio.to_raster(tmp_path / "all.tif")
    with rioxarray.open_rasterio(tmp_path / "all.tif") as back:
        np.testing.assert_array_equal(back, restored.to_array())
        assert back.attrs["long_name"] == tuple(f"band {band}" for band in TWELVE)
        assert_same_place(back, restored)


def test_file_of_the_result(restored: xr.Dataset, tmp_path: Path, engine: str) -> None:
    store(restored, tmp_path / "sr", engine)
    back = load(tmp_path / "sr", engine)
    xr.testing.assert_equal(back, restored)
    assert_same_place(back, restored)
    for band in TWELVE:
        assert back[band].dtype == np.uint16
        assert dict(back[band].attrs) == restored[band].attrs
    assert back.attrs == restored.attrs


def test_part_of_a_scene(scene: xr.Dataset, tmp_path: Path, engine: str) -> None:
    with pytest.warns(match="extents differ"):
        sr = scene.isel(x_20m=slice(2, None), y_60m=slice(1, None)).s2sr.upsample(**CUBIC)
    store(sr, tmp_path / "sr", engine)
    back = load(tmp_path / "sr", engine)
    xr.testing.assert_equal(back, sr)
    assert back.rio.transform() == sr.rio.transform() == Affine(10, 0, LEFT + 40, 0, -10, TOP - 60)
    if engine == "netcdf4":
        sr.B11.rio.to_raster(tmp_path / "b.tif")
        with rioxarray.open_rasterio(tmp_path / "b.tif") as tif:
            assert tif.rio.transform() == sr.rio.transform()


def test_dates(tmp_path: Path, engine: str) -> None:
    time = np.array(["2021-06-01", "2021-06-11"], "datetime64[ns]")
    sr = native((60, 60), lead={"time": time}).s2sr.upsample(["B05", "B02"], **CUBIC)
    store(sr, tmp_path / "sr", engine)
    xr.testing.assert_equal(load(tmp_path / "sr", engine), sr)


def encoded(scene: xr.Dataset) -> xr.Dataset:
    """As DN on disk with reflectance = DN * 0.0001 - 0.1 and 0 for nodata."""
    ds = ((scene + 1000) * 1e-4 - 0.1).where(scene > 0)
    for band in TWELVE:
        ds[band].encoding = {
            "dtype": "uint16", "scale_factor": 1e-4, "add_offset": -0.1, "_FillValue": 0, "grid_mapping": "spatial_ref"
        }  # fmt: skip
    return ds


@pytest.mark.parametrize("model", [None, "bicubic"])
def test_scene_from_a_file(scene: xr.Dataset, tmp_path: Path, engine: str, model: str | None) -> None:
    scene.B11.values[3, 4] = 0
    scene.B05.values[:, 20:] = 1  # dark water: the interpolation goes below what DN can hold
    scene.B05.values[10:, :6] = 64000
    store(encoded(scene), tmp_path / "scene", engine)
    ds = load(tmp_path / "scene", engine)
    assert ds.B11.dtype.kind == "f"
    assert np.isnan(ds.B11[3, 4])
    sr = ds.s2sr.upsample(model=model)
    for band in (*RED_EDGE, *SIXTY):
        assert sr[band].dtype == ds[band].dtype
        for key in ("dtype", "scale_factor", "add_offset", "_FillValue"):
            assert sr[band].encoding[key] == ds[band].encoding[key]
        assert np.isnan(sr[band]).sum() == (4 if band == "B11" else 0)
    # the DN on disk are those of a scene that never was decoded
    dn = (scene + 1000).where(scene > 0, 0).astype("uint16").s2sr.upsample(model=model, offset=-1000)
    store(sr, tmp_path / "sr", engine)
    raw = load(tmp_path / "sr", engine, mask_and_scale=False)
    for band in TWELVE:
        assert raw[band].dtype == np.uint16
        assert np.abs(raw[band].astype(int) - dn[band].astype(int)).max() <= 1
    back = load(tmp_path / "sr", engine)
    for band in TWELVE:
        np.testing.assert_allclose(back[band], sr[band], atol=5.1e-5)
    assert_same_place(back, sr)
    store(back, tmp_path / "again", engine)
    xr.testing.assert_equal(load(tmp_path / "again", engine), back)


def test_undecoded_scene_from_a_file(scene: xr.Dataset, tmp_path: Path, engine: str) -> None:
    store(encoded(scene), tmp_path / "scene", engine)
    ds = load(tmp_path / "scene", engine, mask_and_scale=False)
    assert ds.B11.dtype == np.uint16
    assert ds.B11.attrs["scale_factor"] == 1e-4
    assert "uint16 x 0.0001 -0.1, nodata 0" in str(ds.s2sr.validate())
    sr = ds.s2sr.upsample()
    expected = scene.s2sr.upsample()
    for band in TWELVE:
        assert np.abs(np.maximum(sr[band].astype(int) - 1000, 1) - expected[band]).max() <= 1  # integers end at 1
    store(sr, tmp_path / "sr", engine)
    xr.testing.assert_equal(load(tmp_path / "sr", engine, mask_and_scale=False), sr)


def test_saturation_through_a_file(scene: xr.Dataset, tmp_path: Path) -> None:
    ds = encoded(scene)
    ds.B11.values[3, 4] = 65535 * 1e-4 - 0.1
    ds.to_netcdf(tmp_path / "scene.nc")
    load(tmp_path / "scene.nc", "netcdf4").s2sr.upsample(["B11"]).to_netcdf(tmp_path / "sr.nc")
    raw = load(tmp_path / "sr.nc", "netcdf4", mask_and_scale=False).B11.values
    assert (raw == 65535).sum() == 4
    assert (raw[6:8, 8:10] == 65535).all()
    assert np.sort(raw.ravel())[-5] < 10000


def bands_as_files(scene: xr.Dataset, folder: Path) -> None:
    for band in TWELVE:
        y, x = scene[band].dims
        one = scene[band].rename({y: "y", x: "x"}).rio.write_crs(32632).rio.write_nodata(0)
        one.rio.to_raster(folder / f"{band}.tif")


@pytest.mark.parametrize("how", [{}, {"masked": True}, {"mask_and_scale": True}])
def test_scene_from_geotiffs(scene: xr.Dataset, tmp_path: Path, how: dict[str, bool]) -> None:
    """As people put a Dataset together from a folder of bands."""
    scene.B11.values[3, 4] = 0
    bands_as_files(scene, tmp_path)
    ds = xr.Dataset()
    for band in TWELVE:
        suffix = {10: "", 20: "_20m", 60: "_60m"}[GSD[band]]
        with rioxarray.open_rasterio(tmp_path / f"{band}.tif", **how) as one:
            da = one.load().squeeze("band", drop=True)
        ds[band] = da.drop_vars("spatial_ref").rename({"y": "y" + suffix, "x": "x" + suffix})
    ds = ds.rio.write_crs(32632)
    sr = ds.s2sr.upsample(**CUBIC)
    expected = scene.s2sr.upsample(**CUBIC)
    assert_same_place(sr, expected)
    for band in TWELVE:
        assert sr[band].dtype == (np.float32 if how else np.uint16)
        np.testing.assert_allclose(sr[band].fillna(0), expected[band], atol=1.1)
    sr.B11.rio.to_raster(tmp_path / "sr.tif")
    with rioxarray.open_rasterio(tmp_path / "sr.tif", masked=bool(how)) as back:
        assert_same_place(back, sr)
        np.testing.assert_array_equal(back[0], sr.B11.round())  # by its encoding, the file holds integers
        assert np.isnan(back).sum() == (4 if how else 0)
    with rioxarray.open_rasterio(tmp_path / "sr.tif") as back:
        assert back.rio.nodata == 0
        assert (back == 0).sum() == 4
    sr.to_netcdf(tmp_path / "sr.nc")
    again = load(tmp_path / "sr.nc", "netcdf4", mask_and_scale=bool(how))
    for band in (*RED_EDGE, *SIXTY, *FINE):
        np.testing.assert_allclose(again[band], sr[band].round(), atol=0)


def test_one_grid_mapping_per_resolution(scene: xr.Dataset, tmp_path: Path) -> None:
    """As GDAL's netCDF driver and some data cubes write it."""
    parts = []
    for gsd, suffix in ((10, ""), (20, "_20m"), (60, "_60m")):
        name = f"crs{suffix}"
        group = scene[[band for band in TWELVE if GSD[band] == gsd]].drop_vars("spatial_ref")
        plain = group.rename({a + suffix: a for a in "yx"} if suffix else {})
        plain = plain.rio.write_crs(32632, grid_mapping_name=name).rio.write_transform(grid_mapping_name=name)
        group = group.assign_coords({name: plain[name]})
        for band in group.data_vars.values():
            band.encoding["grid_mapping"] = name
        parts.append(group)
    ds = xr.merge(parts)
    sr = ds.s2sr.upsample(**CUBIC)
    for band in TWELVE:
        assert sr[band].rio.crs.to_epsg() == 32632
        assert sr[band].rio.transform() == HERE
    sr.B11.rio.to_raster(tmp_path / "b.tif")
    with rioxarray.open_rasterio(tmp_path / "b.tif") as back:
        assert_same_place(back, sr.B11)
    sr.to_netcdf(tmp_path / "sr.nc")
    back = load(tmp_path / "sr.nc", "netcdf4")
    assert back.B11.rio.transform() == HERE
    xr.testing.assert_equal(back, sr)
