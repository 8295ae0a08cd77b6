"""Scenes through the packaged models: one of the tutorial's anywhere, and real ones where ../shared/data is there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rioxarray
import xarray as xr
from affine import Affine
from real_scenes import LEFT, TOP, real
from scenes import FINE, GSD, RED_EDGE, SIXTY, TWELVE, coarsened

from xr_s2sr.quality import bicubic, degrade

RESTORED = (*RED_EDGE, *SIXTY)
#: How far footprint means may be from native pixels. In the synthetic landscape, whose edges are hard, the truth itself
#: is 0.066 away, in B01. In the real one, native bands are 0.009 to 0.032 (B12) away from themselves seen with the
#: sensor's blur at pixels of twice the size, which is what undoing that blur comes to, one scale up.
MEAN_KEPT = {"synthetic": 0.066, "hvn2_usa": 0.032}


@pytest.fixture(scope="module", params=["synthetic", "hvn2_usa"])
def native_scene(request: pytest.FixtureRequest) -> xr.Dataset:
    return real(request.param)


@pytest.fixture(scope="module")
def restored(native_scene: xr.Dataset) -> xr.Dataset:
    return native_scene.s2sr.upsample()


def test_geotiff_of_twelve_bands(native_scene: xr.Dataset, restored: xr.Dataset, tmp_path: Path) -> None:
    restored.rio.to_raster(tmp_path / "usa.tif")
    with rioxarray.open_rasterio(tmp_path / "usa.tif") as back:
        assert back.shape == (12, *native_scene.B02.shape)
        assert back.dtype == np.uint16
        assert back.rio.crs.to_epsg() == 32616
        assert back.rio.transform() == restored.rio.transform() == Affine(10, 0, LEFT, 0, -10, TOP)
        assert back.rio.nodata == 0
        assert int(back.min()) > 0
        np.testing.assert_array_equal(back, restored.to_array())
    for band in FINE:
        np.testing.assert_array_equal(restored[band], native_scene[band])


@pytest.mark.parametrize("band", RESTORED)
def test_keeps_the_mean_of_every_native_pixel(native_scene: xr.Dataset, restored: xr.Dataset, band: str) -> None:
    """Roughly: a native pixel is no mean of its footprint, but blurred by the sensor, and that is undone."""
    native = native_scene[band].values.astype(float)
    away = coarsened(restored[band].values, GSD[band] // 10) - native
    assert np.abs(away).mean() < MEAN_KEPT[native_scene.attrs["title"]] * native.mean()
    assert abs(away.mean()) < 0.003 * native.mean()


def through_the_sensor(native: xr.DataArray, restored: xr.DataArray, factor: int) -> float:
    """How far a restored band, blurred as the sensor blurs, is from the native one; over its mean."""
    image = native.values.astype(float)
    return float(np.abs(degrade(restored.values[None].astype(float), factor, "mtf")[0] - image).mean() / image.mean())


@pytest.mark.parametrize("band", RESTORED)
def test_seen_through_the_sensor_it_is_the_native_band(
    native_scene: xr.Dataset, restored: xr.Dataset, band: str
) -> None:
    plain = native_scene.s2sr.upsample([band], model="bicubic")[band]
    ours = through_the_sensor(native_scene[band], restored[band], GSD[band] // 10)
    assert ours < 0.02
    assert ours < 0.8 * through_the_sensor(native_scene[band], plain, GSD[band] // 10)


@pytest.mark.parametrize("band", RESTORED)
def test_has_detail_that_bicubic_has_not(native_scene: xr.Dataset, restored: xr.Dataset, band: str) -> None:
    """And that detail is found in the 10 m bands too: no grain of the network's own."""
    factor = GSD[band] // 10
    fine = restored[band].values.astype(float)
    smooth = bicubic(native_scene[band].values[None].astype(float), factor)[0]

    def detail(image: np.ndarray) -> np.ndarray:
        return image - coarsened(image, factor).repeat(factor, 0).repeat(factor, 1)

    assert detail(fine).std() > 1.2 * detail(smooth).std()
    guide = np.stack([detail(native_scene[b].values.astype(float)).ravel() for b in FINE], 1)
    target = detail(fine).ravel()
    left = target - guide @ np.linalg.lstsq(guide, target, rcond=None)[0]
    assert left.std() < 0.9 * target.std()


@pytest.mark.parametrize("tile", [36, 66])
def test_tiles_do_not_show(native_scene: xr.Dataset, tile: int) -> None:
    crop = native_scene.isel(
        y=slice(126), x=slice(90), y_20m=slice(63), x_20m=slice(45), y_60m=slice(21), x_60m=slice(15)
    )
    xr.testing.assert_identical(crop.s2sr.upsample(tile=tile), crop.s2sr.upsample())
    crop.B11.values[20:22, 30] = 0  # with something to fill
    xr.testing.assert_identical(crop.s2sr.upsample(tile=tile), crop.s2sr.upsample())


@pytest.mark.parametrize(
    "name", ["synthetic", "terramind_38D_378R_2_3_L2A", "sen1floods11_spain", "ssl4eo_sig_T24KUF_20180302"]
)
def test_other_places(name: str) -> None:
    ds = real(name).isel(y=slice(120), x=slice(120), y_20m=slice(60), x_20m=slice(60), y_60m=slice(20), x_60m=slice(20))
    sr, plain = ds.s2sr.upsample(), ds.s2sr.upsample(model="bicubic")
    assert list(sr.data_vars) == list(TWELVE)
    for band in RESTORED:
        ours, bicubics = (through_the_sensor(ds[band], result[band], GSD[band] // 10) for result in (sr, plain))
        assert ours < min(0.04, bicubics), band
