"""GDAL's subdatasets and other GeoTIFFs through rioxarray: numbered bands, told apart by their descriptions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rioxarray
import xarray as xr
from holders import GDAL_ORDER, at_10_m, gdal_description, same_pixels, write_geotiff
from scenes import TWELVE, native

import xr_s2sr
from xr_s2sr.bands import BANDS
from xr_s2sr.errors import BandError, GridError

CUBIC = {"model": "bicubic"}


@pytest.fixture(scope="module")
def scene() -> xr.Dataset:
    return native((60, 72))


@pytest.fixture(scope="module")
def files(scene: xr.Dataset, tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    folder = tmp_path_factory.mktemp("gdal")
    return {
        gsd: write_geotiff(
            folder / f"{gsd}m.tif", *(scene[b] for b in bands), descriptions=tuple(gdal_description(b) for b in bands)
        )
        for gsd, bands in GDAL_ORDER.items()
    }


@pytest.mark.parametrize("said", [{}, {"band_as_variable": True}, {"masked": True}])
def test_subdatasets(files: dict[int, Path], scene: xr.Dataset, said: dict[str, bool]) -> None:
    opened = [rioxarray.open_rasterio(path, **said) for path in files.values()]
    ds = xr_s2sr.combine(*opened)
    assert ds.rio.crs.to_epsg() == 32632
    assert {BANDS[b].id for b in ds.s2sr.bands} == {*TWELVE}
    units = {"units": "dn"} if "masked" in said else {}
    sr = ds.s2sr.upsample(**units)
    expected = (scene.astype("float32") if units else scene).s2sr.upsample(**units)
    for band, name in ds.s2sr.bands.items():
        # floats that were decoded from integers end at 1, where those do
        np.testing.assert_array_equal(sr[name], np.maximum(expected[band], 1) if units else expected[band])
    for file in opened:
        file.close()


def test_one_alone(files: dict[int, Path]) -> None:
    with rioxarray.open_rasterio(files[10]) as da:
        assert list(da.s2sr.bands) == ["B02", "B03", "B04", "B08"]
        assert da.s2sr.bands["B04"] == "B4, central wavelength 665 nm"
        with pytest.raises(BandError, match="nothing to upsample: no 20 m or 60 m band"):
            da.s2sr.upsample()
    with rioxarray.open_rasterio(files[20]) as da, pytest.raises(BandError, match="missing B02, B03, B04, B08"):
        da.s2sr.upsample()


@pytest.fixture
def stack(scene: xr.Dataset, tmp_path: Path) -> Path:
    """All bands at 10 m in one file, as exports of Earth Engine are."""
    cube = at_10_m(scene)
    return write_geotiff(tmp_path / "all.tif", *(cube[b] for b in TWELVE), descriptions=TWELVE, crs="EPSG:32632")


def test_a_stack_at_10_m(stack: Path, scene: xr.Dataset) -> None:
    expected = scene.s2sr.upsample(**CUBIC)
    with rioxarray.open_rasterio(stack) as da:
        sr = da.s2sr.upsample(**CUBIC)
        assert sr.band.values.tolist() == da.band.values.tolist()
        np.testing.assert_array_equal(sr, expected.to_array())
        assert sr.attrs["long_name"] == da.attrs["long_name"]
        one = da.s2sr.upsample("B05", **CUBIC)
        assert one.attrs["long_name"] == ("B05",)
    with rioxarray.open_rasterio(stack, band_as_variable=True) as ds:
        sr = ds.s2sr.upsample(**CUBIC)
        assert list(sr.data_vars) == [f"band_{k}" for k in range(1, 13)]
        np.testing.assert_array_equal(sr.to_array(), expected.to_array())
        assert sr.band_5.attrs["long_name"] == "B05"
        assert "note: 'band_5' is B05, by its description" in str(ds.s2sr.validate())


def test_the_backend_of_rioxarray(stack: Path, scene: xr.Dataset) -> None:
    """One variable, band_data, in a Dataset: floats that were read from integers."""
    with xr.open_dataset(stack, engine="rasterio") as ds:
        sr = ds.s2sr.upsample(**CUBIC)
        assert list(sr.data_vars) == ["band_data"]
        np.testing.assert_allclose(sr.band_data, scene.s2sr.upsample(**CUBIC).to_array(), atol=0.51)
        assert "assumed: floats read from integers are DN / 10000" in str(ds.s2sr.validate())


def test_the_result_as_a_file(stack: Path, tmp_path: Path) -> None:
    with rioxarray.open_rasterio(stack) as da:
        sr = da.s2sr.upsample(**CUBIC)
        sr.rio.to_raster(tmp_path / "sr.tif")
    with rioxarray.open_rasterio(tmp_path / "sr.tif") as back:
        np.testing.assert_array_equal(back, sr)
        assert back.attrs["long_name"] == TWELVE


def test_one_file_a_band(scene: xr.Dataset, tmp_path: Path) -> None:
    """A folder of files: named by the user."""
    arrays = [
        rioxarray.open_rasterio(write_geotiff(tmp_path / f"{b}.tif", scene[b])).squeeze("band", drop=True).rename(b)
        for b in TWELVE
    ]
    same_pixels(
        xr_s2sr.combine(*arrays).s2sr.upsample(**CUBIC)[list(TWELVE)], scene.s2sr.upsample(**CUBIC)[list(TWELVE)]
    )
    with pytest.raises(BandError, match=r"neither bands along a dimension nor a name. Name it by band: da = da.rename"):
        xr_s2sr.combine(arrays[0].rename(None))


def test_what_cannot_be_combined(scene: xr.Dataset) -> None:
    ds20 = scene[["B05", "B11"]].rename(y_20m="y", x_20m="x")
    ds10 = scene[["B02", "B03", "B04", "B08"]]
    with pytest.raises(BandError, match=r"band B05 comes twice on 20 m pixels \('B05'\). Leave one out"):
        xr_s2sr.combine(ds10, ds20, ds20[["B05"]])
    with pytest.raises(GridError, match="'B02' is in EPSG:32632 and 'B05' in EPSG:32633; expected one CRS"):
        xr_s2sr.combine(ds10, ds20.rio.write_crs(32633))
    with pytest.raises(
        GridError, match=r"values along 'x_20m', .*expected the same pixels. Load both over the same area"
    ):
        xr_s2sr.combine(ds10, ds20[["B05"]], ds20[["B11"]].isel(x=slice(2, None)))
    with pytest.raises(TypeError, match="expected a Dataset or a DataArray, not a str"):
        xr_s2sr.combine(ds10, "ds20.nc")  # type: ignore[arg-type]
    with pytest.raises(BandError, match="nothing to combine: no variables"):
        xr_s2sr.combine()


def test_described_twice(files: dict[int, Path]) -> None:
    with rioxarray.open_rasterio(files[10], band_as_variable=True) as ds:
        twice = ds.assign(band_9=ds.band_1)
        with pytest.raises(
            BandError, match=r"both 'band_1' and 'band_9' are band B04. Keep one: ds = ds.drop_vars\('band_9'"
        ):
            twice.s2sr.upsample()
        assert not twice.s2sr.validate()
        with pytest.raises(BandError, match="both 'B04' and 'band_1' are band B04"):
            ds.assign(B04=ds.band_1).s2sr.upsample()


def test_one_pixel(scene: xr.Dataset) -> None:
    """Nothing tells the spacing of a single pixel but its band."""
    ds = scene.isel(y=slice(6), x=slice(6), y_20m=slice(3), x_20m=slice(3), y_60m=slice(1), x_60m=slice(1))
    pieces = [
        ds[list(bands)].rename({f"{d}_{gsd}m": d for d in "yx"} if gsd > 10 else {})
        for gsd, bands in GDAL_ORDER.items()
    ]
    together = xr_s2sr.combine(*pieces)
    assert together.B01.dims == ("y_60m", "x_60m")
    same_pixels(together.s2sr.upsample("B01", **CUBIC), ds.s2sr.upsample("B01", **CUBIC))


def test_better_ones_are_taken(scene: xr.Dataset) -> None:
    """Copies at 10 m beside native bands; 10 m bands averaged to 20 m beside their own."""
    ds20 = scene[["B05", "B11"]].rename(y_20m="y", x_20m="x").assign(B02=lambda d: d.B05)
    ds10 = at_10_m(scene)[["B02", "B03", "B04", "B08", "B05"]]
    ds = xr_s2sr.combine(ds10, ds20)
    assert ds.B05.dims == ("y_20m", "x_20m")
    assert ds.B02.dims == ("y", "x")
    xr.testing.assert_identical(ds.B05.variable, scene.B05.variable)
