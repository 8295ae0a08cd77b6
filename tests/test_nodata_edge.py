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


@pytest.mark.parametrize("model", [None, "bicubic"])
def test_pixels_at_the_edge_of_a_hole_stay_themselves(
    scenes: tuple[xr.Dataset, xr.Dataset, np.ndarray], model: str | None
) -> None:
    whole, holed, hole = scenes
    distance = distance_transform_edt(~hole)
    full, cut = (ds.s2sr.upsample(model=model) for ds in (whole, holed))
    for band in ("B05", "B8A", "B11", "B01", "B09"):
        np.testing.assert_array_equal(cut[band].values == 0, hole)
        error = cut[band].values.astype(float) - full[band].values
        spread = full[band].values.std()
        # zeros met as they are would cost about the band's mean, several times its spread
        assert np.sqrt((error[(distance > 0) & (distance <= 4)] ** 2).mean()) < 0.2 * spread
        far = 48 if model is None else 24
        assert (error[distance > far] == 0).all()
