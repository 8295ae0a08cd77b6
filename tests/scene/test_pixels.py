"""One rule for valid pixels: numpy and numba agree on it, and what float32 cannot hold is no trap."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scenes import enlarged, native

from xr_s2sr import kernels
from xr_s2sr.kernels import INVALID, SATURATED, VALID, any_invalid
from xr_s2sr.plot import rgb
from xr_s2sr.scene import validity as rule
from xr_s2sr.scene.radiometry import resolve_radiometry
from xr_s2sr.scene.validity import LARGEST, Validity

DTYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64")
MARKS = (0.0, 1.0, 65535.0, -9999.0, -9999.9, -32768.0, -3.4e38, 1e20, 1e300, -1e300, math.nan, math.inf, -math.inf)


def codes_of_numba(image: np.ndarray, validity: Validity) -> np.ndarray:
    codes = np.empty(image.shape, np.uint8)
    kernels.gather(image, (0, 0), (1.0, 0.0), validity, np.empty(image.shape, np.float32), codes)
    return codes


def codes_of_numpy(image: np.ndarray, validity: Validity) -> np.ndarray:
    kept, saturated = rule.classify(image, validity)
    assert not (kept & saturated).any()
    np.testing.assert_array_equal(rule.invalid(image, validity), ~kept & ~saturated)
    return np.select([kept, saturated], [VALID, SATURATED], INVALID).astype(np.uint8)


@pytest.mark.parametrize("dtype", DTYPES)
@settings(max_examples=60)
@given(
    nodata=st.sampled_from(MARKS),
    low=st.sampled_from([-LARGEST, -5000.0, -0.5]),
    high=st.sampled_from([LARGEST, 200_000.0, 20.0]),
    top=st.sampled_from([math.inf, 65535.0, 6.55345]),
    seed=st.integers(0, 2**32 - 1),
)
def test_numpy_and_numba_agree(dtype: str, nodata: float, low: float, high: float, top: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    marks = np.array([*MARKS, nodata, low, high, min(top, LARGEST), 0.3, 5000], np.float64)
    if np.dtype(dtype).kind != "f":
        info = np.iinfo(dtype)
        marks = np.array([info.min, info.max, *marks[(marks >= info.min) & (marks < info.max)]], object)
    with np.errstate(over="ignore"):
        image = rng.choice(marks, (5, 7)).astype(dtype)
    validity = Validity(nodata, low, high, top)
    found = codes_of_numba(image, validity)
    np.testing.assert_array_equal(found, codes_of_numpy(image, validity))
    assert any_invalid(image, validity) == bool((found != VALID).any())


@pytest.mark.parametrize(
    ("value", "code"),
    [(0.3, VALID), (math.nan, INVALID), (-math.inf, INVALID), (math.inf, SATURATED), (-9999.9, INVALID)],
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_rule(dtype: str, value: float, code: int) -> None:
    image = np.full((2, 2), value, dtype)
    assert (codes_of_numpy(image, Validity(-9999.9)) == code).all()
    assert (codes_of_numba(image, Validity(-9999.9)) == code).all()


@pytest.mark.parametrize("dtype", ["uint16", "int16"])
def test_saturation_of_integers(dtype: str) -> None:
    da = xr.DataArray(np.array([[0, 1, np.iinfo(dtype).max]], dtype), dims=("y", "x"))
    validity = resolve_radiometry(da).validity
    assert codes_of_numpy(da.values, validity).tolist() == [[INVALID, VALID, SATURATED if dtype == "uint16" else VALID]]
    np.testing.assert_array_equal(codes_of_numpy(da.values, validity), codes_of_numba(da.values, validity))


def with_hole(nodata: float, dtype: str) -> tuple[xr.Dataset, np.ndarray]:
    """A scene in reflectance of which more than half is nodata, on all bands, and the hole at 10 m."""
    ds = native((60, 72), dtype=dtype, scale=1e-4)
    hole = np.zeros((10, 12), bool)
    hole[:6] = True
    for da in ds.data_vars.values():
        da.values[enlarged(hole, da.shape[0] // 10)] = nodata
        da.attrs["_FillValue"] = nodata
    return ds, enlarged(hole, 6)


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("nodata", [-9999.9, -3.4e38, 1e20, 0.1])
def test_nodata_that_float32_cannot_hold(nodata: float, dtype: str, lazy: bool) -> None:
    ds, hole = with_hole(nodata, dtype)
    sr = (ds.chunk() if lazy else ds).s2sr.upsample(model="bicubic").compute()
    for band in ("B05", "B01"):
        np.testing.assert_array_equal(sr[band].values == np.dtype(dtype).type(nodata), hole)
        assert abs(sr[band].values[~hole]).max() < 1
    small = ds.s2sr.degrade(2)
    assert np.isnan(small.B05.values[0]).all()
    assert np.nanmax(abs(small.B05.values)) < 1


@pytest.mark.parametrize("nodata", [-9999.9, 1e20])
@pytest.mark.parametrize("lazy", [False, True])
def test_copies_with_nodata_that_float32_cannot_hold(nodata: float, lazy: bool) -> None:
    """A polygon cuts native pixels; in float32, its nodata is not the number of the attributes."""
    ds, _ = with_hole(nodata, "float32")
    copies = ds[["B02", "B03", "B04", "B08"]]
    for band in ("B05", "B11"):
        copies[band] = (("y", "x"), enlarged(ds[band].values, 2), ds[band].attrs)
    if not lazy:
        copies["B05"].values[45, 7] = nodata  # one of the four copies
    sr = (copies.chunk() if lazy else copies).s2sr.upsample(["B05", "B11"], model="bicubic").compute()
    expected = copies["B05"].values == np.float32(nodata)
    np.testing.assert_array_equal(sr.B05.values == np.float32(nodata), expected)


@pytest.mark.parametrize("lazy", [False, True])
def test_less_than_everything_is_not_more_than_everything(lazy: bool) -> None:
    ds = native((60, 60), dtype="float32", scale=1e-4)
    ds.B11.values[4, 5], ds.B12.values[4, 5], ds.B02.values[30, 30] = -np.inf, np.inf, -np.inf
    sr = (ds.chunk() if lazy else ds).s2sr.upsample(["B11", "B12"], model=None).compute()
    assert np.isnan(sr.B11.values[8:10, 10:12]).all()
    assert np.isposinf(sr.B12.values[8:10, 10:12]).all()
    assert np.isnan([sr.B11.values[30, 30], sr.B12.values[30, 30]]).all()
    assert np.isfinite(sr.B11.values).sum() == np.isfinite(sr.B12.values).sum() == 3600 - 5


def test_a_picture_takes_the_same_rule() -> None:
    bands: Any = np.full((3, 2, 2), 0.2, np.float32)
    bands[1, 0, 0], bands[2, 1, 1] = -9999.9, -np.inf
    shown = rgb(*bands, nodata=-9999.9)
    assert (shown[:, 0, 0] == -9999.9).all()
    assert (shown[:, 1, 1] == -9999.9).all()
    assert shown[:, 0, 1] == pytest.approx(0.2)
