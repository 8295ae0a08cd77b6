"""What is no band: comes along on the 10 m grid, is brought to it where asked, else is named; never through a model."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import xarray as xr
from scenes import TWELVE, enlarged, native

from xr_s2sr import S2SRWarning
from xr_s2sr.errors import InputError

CUBIC = {"model": "bicubic"}


@pytest.fixture
def masked() -> xr.Dataset:
    """A scene with what Level-2A products bring besides bands."""
    ds = native((60, 72))
    rng = np.random.default_rng(1)
    y, x = ds.y.values[0] + 5, ds.x.values[0] - 5
    return ds.assign(
        SCL=(("y_20m", "x_20m"), rng.integers(0, 12, (30, 36), np.uint8), {"flag_meanings": "no_data saturated"}),
        AOT=(("y_60m", "x_60m"), rng.integers(0, 300, (10, 12), np.uint16)),
        cloud=(("y", "x"), rng.random((60, 72)) > 0.5),
        sun_zenith=(("angle", "y_sun", "x_sun"), rng.random((2, 2, 2))),
        mean_angle=((), 31.0),
        detector=(("n",), ["a", "b"]),
    ).assign_coords(y_sun=[y - 2500, y - 7500], x_sun=[x + 2500, x + 7500], angle=["zenith", "azimuth"])


def test_the_10_m_grid_only(masked: xr.Dataset) -> None:
    with pytest.warns(
        S2SRWarning, match=r"grid: SCL, AOT, sun_zenith, detector. Bring .* upsample\(keep=\"all\"\)"
    ) as told:
        sr = masked.s2sr.upsample(**CUBIC)
    assert len(told) == 1
    assert {*sr.data_vars} == {*TWELVE, "cloud", "mean_angle"}
    xr.testing.assert_identical(sr.cloud.variable, masked.cloud.variable)


def test_all(masked: xr.Dataset) -> None:
    sr = masked.s2sr.upsample(keep="all", **CUBIC)
    assert list(sr.data_vars) == list(masked.data_vars)
    np.testing.assert_array_equal(sr.SCL, enlarged(masked.SCL.values, 2))
    assert sr.SCL.dtype == np.uint8
    assert sr.SCL.attrs == masked.SCL.attrs
    np.testing.assert_array_equal(sr.AOT, enlarged(masked.AOT.values, 6))
    assert sr.sun_zenith.dims == ("angle", "y", "x")
    assert sr.sun_zenith.angle.values.tolist() == ["zenith", "azimuth"]
    np.testing.assert_array_equal(sr.sun_zenith, masked.sun_zenith.values[:, :1, :1] * np.ones((1, 60, 72)))
    assert sr.detector.values.tolist() == ["a", "b"]
    assert {*sr.dims} == {"y", "x", "angle", "n"}


def test_with_bands_asked_for(masked: xr.Dataset) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # who asks for bands, wants bands
        assert list(masked.s2sr.upsample("B05", **CUBIC).data_vars) == ["B05"]
    sr = masked.s2sr.upsample("B05", keep="all", **CUBIC)
    assert {*sr.data_vars} == {"B05", "SCL", "AOT", "cloud", "sun_zenith", "mean_angle", "detector"}


def test_where_the_result_is_smaller(masked: xr.Dataset) -> None:
    ds = masked.isel(y_20m=slice(3, None), x_20m=slice(0, 30))
    with pytest.warns(S2SRWarning, match="extents differ"):
        sr = ds.s2sr.upsample(keep="all", **CUBIC)
    assert sr.B05.shape == sr.SCL.shape == sr.AOT.shape == sr.cloud.shape == (54, 60)
    np.testing.assert_array_equal(sr.AOT, enlarged(masked.AOT.values, 6)[6:, :60])


def test_one_that_does_not_cover_the_result(masked: xr.Dataset) -> None:
    """Left out: nothing is made up beyond its border."""
    ds = masked.assign(SCL=masked.SCL[2:].rename(y_20m="y_scl"))
    with pytest.warns(S2SRWarning, match="left out, as they do not cover the result: SCL. Load them"):
        sr = ds.s2sr.upsample(keep="all", **CUBIC)
    assert "SCL" not in sr


def test_dates(masked: xr.Dataset) -> None:
    ds = xr.concat([masked, masked], xr.Variable("time", [0, 1]), data_vars="all")
    sr = ds.drop_vars(["sun_zenith", "detector"]).s2sr.upsample("B05", keep="all", **CUBIC)
    assert sr.SCL.dims == ("time", "y", "x")
    np.testing.assert_array_equal(sr.SCL[1], enlarged(masked.SCL.values, 2))


def test_lazily(masked: xr.Dataset) -> None:
    ds = masked.assign(SCL=masked.SCL.chunk())
    sr = ds.s2sr.upsample("B05", keep="all", **CUBIC)
    assert sr.SCL.chunks is not None
    np.testing.assert_array_equal(sr.SCL, enlarged(masked.SCL.values, 2))


def test_validate_names_them(masked: xr.Dataset) -> None:
    text = str(masked.s2sr.validate())
    assert 'note: not on the 10 m grid, left out unless keep="all": SCL, AOT, sun_zenith, detector' in text


@pytest.mark.parametrize("keep", ["some", True, None])
def test_other_words(masked: xr.Dataset, keep: Any, no_pixels: None) -> None:
    with pytest.raises(InputError, match=r"keep=.* is unknown; choose one of 'fine', 'all'"):
        masked.s2sr.upsample(keep=keep)
