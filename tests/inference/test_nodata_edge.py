"""What a hole does to the valid pixels around it: next to nothing, and nothing far away."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from scipy.ndimage import distance_transform_edt

import xr_s2sr
from xr_s2sr.bands import BANDS


@pytest.fixture(scope="module")
def scenes() -> tuple[xr.Dataset, xr.Dataset, np.ndarray]:
    """A scene without holes, the same with a corner gone in every band, and the corner at 10 m."""
    ds, _ = xr_s2sr.tutorial.synthetic_scene(240)
    whole = ds.isel(y=slice(0, 180), x=slice(0, 180), y_20m=slice(0, 90), x_20m=slice(0, 90))
    whole = whole.isel(y_60m=slice(0, 30), x_60m=slice(0, 30))
    assert all((whole[band] > 0).all() for band in BANDS if band in whole)
    gone = np.add.outer(np.arange(30), np.arange(30)) > 40
    holed = whole.copy(deep=True)
    for band in (band for band in BANDS if band in whole):
        k = 60 // BANDS[band].gsd
        holed[band].values[gone.repeat(k, 0).repeat(k, 1)] = 0
    return whole, holed, gone.repeat(6, 0).repeat(6, 1)


@pytest.mark.parametrize(("model", "adapt"), [(None, True), (None, False), ("bicubic", None)])
def test_pixels_at_the_edge_of_a_hole_stay_themselves(
    scenes: tuple[xr.Dataset, xr.Dataset, np.ndarray], model: str | None, adapt: bool | None
) -> None:
    whole, holed, hole = scenes
    distance = distance_transform_edt(~hole)
    full, cut = (ds.s2sr.upsample(model=model, adapt=adapt) for ds in (whole, holed))
    for band in ("B05", "B8A", "B11", "B01", "B09"):
        np.testing.assert_array_equal(cut[band].values == 0, hole)
        error = cut[band].values.astype(float) - full[band].values
        spread = full[band].values.std()
        # zeros met as they are would cost about the band's mean, several times its spread
        assert np.sqrt((error[(distance > 0) & (distance <= 4)] ** 2).mean()) < 0.2 * spread
        # towards this oblique edge, a square reaches 1.4 times its half side: 12 of the fill, 36 or 48 of the networks,
        # and 28 of the regression at 20 m; that at 60 m looks farther than the scene goes
        far = 24 if model else 108 if adapt and band not in ("B01", "B09") else 78 if not adapt else 250
        assert (error[distance > far] == 0).all()


@pytest.mark.parametrize(("named", "expected"), [(0, np.nan), (None, np.nan), (-9999, -9999.0)])
def test_floats_get_nan_unless_a_sentinel_is_named(named: int | None, expected: float) -> None:
    """ds.where(ds > 0) / 10000 keeps attrs["nodata"] = 0, but 0 is a plausible reflectance."""
    ds, _ = xr_s2sr.tutorial.synthetic_scene(60)
    attrs = {} if named is None else {"nodata": named}
    masked = ds.map(lambda band: (band.where(band > 0) / 10000).astype("float32"))
    for band in masked.data_vars.values():
        band.attrs = attrs
    masked["B11"].values[3, 4] = np.nan
    out = masked.s2sr.upsample("B11", model="bicubic").B11.values
    hole = masked["B11"].isnull().values.repeat(2, 0).repeat(2, 1)
    assert hole.any()
    np.testing.assert_array_equal(out[hole], expected)
    assert np.isfinite(out[~hole]).all()
    assert (out[~hole] != expected).all()
