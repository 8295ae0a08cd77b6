"""The types, units and values of the result, and its invalid and saturated pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scenes import FINE, GSD, RED_EDGE, SIXTY, TWELVE, coarsened, enlarged, native

pytestmark = pytest.mark.usefixtures("small_defaults")

#: Bicubic interpolation: exact, quick, and the same code around it as with a network.
CUBIC = {"model": "bicubic"}


INTEGERS, FLOATS = ["uint16", "int16", "int32", "uint32", "int64", ">u2"], ["float16", "float32", "float64", ">f4"]


@pytest.mark.parametrize("dtype", INTEGERS + FLOATS)
def test_dtype_in_dtype_out(dtype: str) -> None:
    floats = np.dtype(dtype).kind == "f"
    ds = native((60, 60), dtype=dtype, scale=1e-4 if floats else 1)
    # the network alone: over this landscape of noise, regressions are as noisy as the rounding of its numbers
    sr = ds.s2sr.upsample(adapt=False)
    reference = native((60, 60)).s2sr.upsample(adapt=False)
    for band in TWELVE:
        assert sr[band].dtype == ds[band].dtype
        got = sr[band].values.astype(float) * (1e4 if floats else 1)
        np.testing.assert_allclose(got, reference[band], rtol=2e-3, atol=3 if dtype == "float16" else 2)


def test_eight_bits() -> None:
    ds = native((60, 60), dtype="uint8", scale=0.05)
    for variable in ds.data_vars.values():
        variable.attrs["scale_factor"] = 0.002
    sr = ds.s2sr.upsample()
    dn = native((60, 60)).s2sr.upsample()
    for band in (*RED_EDGE, *SIXTY):
        assert sr[band].dtype == np.uint8
        assert np.abs(sr[band].values * 20.0 - dn[band].values).mean() < 20


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda v: v + 1000, {"offset": -1000}),
        (lambda v: v + 1000, {"offset": -1000.0, "units": "dn"}),
        (lambda v: v.astype("float32"), {"units": "dn"}),
        (lambda v: (v * 1e-4).astype("float32"), {}),
        (lambda v: (v * 1e-2).astype("float32"), {"units": "percent"}),
        (lambda v: (v * 1e-4 + 0.1).astype("float32"), {"offset": -0.1}),
    ],
)
def test_units_and_offset_change_nothing_but_the_unit(change: Any, said: dict[str, Any]) -> None:
    ds = native((60, 60))
    shifted = ds.map(lambda da: change(da).astype(da.dtype if da.dtype == change(da).dtype else change(da).dtype))
    sr, expected = shifted.s2sr.upsample(**said), ds.s2sr.upsample()
    for band in TWELVE:
        target = change(expected[band].astype("float64")).values
        step = float(np.abs(change(xr.DataArray(2.0)) - change(xr.DataArray(1.0))))
        least = float(change(xr.DataArray(1.0)))  # where integers end
        np.testing.assert_allclose(np.maximum(sr[band].values, least), target, atol=1.6 * step)


def test_snow_is_kept() -> None:
    ds = native((60, 60), base=12000)
    sr = ds.s2sr.upsample(**CUBIC)
    assert int(sr.B11.max()) > 15000
    np.testing.assert_allclose(coarsened(sr.B11.values, 2), ds.B11, rtol=0.1)


def test_offset_beyond_zero_is_clipped_to_one() -> None:
    """Dark water next to bright sand: interpolation undershoots, and 0 would read as nodata."""
    ds = native((60, 60))
    edge = np.where(np.arange(30) < 15, 1, 4000).astype(np.uint16)
    ds["B11"] = ds.B11.copy(data=np.broadcast_to(edge, (30, 30)).copy())
    sr = ds.s2sr.upsample("B11", **CUBIC)
    assert int(sr.B11.min()) == 1
    assert int(sr.B11.max()) < 5000
    ds = ds.map(lambda da: da.astype("int16"))
    assert int(ds.s2sr.upsample("B11", **CUBIC).B11.min()) == 1


def test_bright_edge_does_not_wrap() -> None:
    ds = native((60, 60))
    edge = np.where(np.arange(30) < 15, 100, 65000).astype(np.uint16)
    ds["B11"] = ds.B11.copy(data=np.broadcast_to(edge, (30, 30)).copy())
    values = ds.s2sr.upsample("B11", **CUBIC).B11.values
    assert values[:, :26].max() < 1000
    assert values[:, 34:].min() > 60000
    assert values.max() == 65534


@settings(max_examples=15)
@given(st.sampled_from(["uint16", "int16", "float32"]), st.integers(0, 2**32 - 1), st.sampled_from([None, "bicubic"]))
def test_invalid_exactly_where_own_or_guide_is(dtype: str, seed: int, model: str | None) -> None:
    ds = native((60, 60), dtype=dtype, scale=1e-4 if dtype == "float32" else 1)
    rng = np.random.default_rng(seed)
    empty = np.nan if dtype == "float32" else 0
    bad = {}
    for band in TWELVE:
        n = 600 // GSD[band]
        bad[band] = rng.random((n, n)) < rng.choice([0.0, 0.002, 0.05])
        ds[band].values[bad[band]] = empty
    sr = ds.s2sr.upsample(model=model)
    guide = np.any([bad[band] for band in FINE], axis=0)
    if model == "bicubic":
        guide = np.zeros_like(guide)  # it has no guide
    for band in (*RED_EDGE, *SIXTY):
        expected = enlarged(bad[band], GSD[band] // 10) | guide
        found = np.isnan(sr[band].values) if dtype == "float32" else sr[band].values == 0
        np.testing.assert_array_equal(found, expected)
    for band in FINE:
        np.testing.assert_array_equal(sr[band], ds[band])


@pytest.mark.parametrize("mark", [np.nan, np.inf, -np.inf, -9999.0])
def test_marks_of_floats(mark: float) -> None:
    ds = native((60, 60), dtype="float32", scale=1e-4)
    ds.B11.values[4, 5] = mark
    if mark == -9999:
        for variable in ds.data_vars.values():
            variable.attrs["_FillValue"] = mark
    sr = ds.s2sr.upsample(["B11", "B12"])
    clean = np.isfinite(sr.B11.values) & (sr.B11.values != mark)
    assert not clean[8:10, 10:12].any()
    assert clean.sum() == 3600 - 4
    expected = np.nan if mark == -np.inf else mark  # less than nothing was never measured: invalid
    np.testing.assert_array_equal(sr.B11.values[8:10, 10:12], np.full((2, 2), expected))
    assert sr.B11.values[clean].max() < 1
    assert np.isfinite(sr.B12.values).all()


def test_saturation_stays_on_its_footprint() -> None:
    ds = native((60, 60))
    ds.B11.values[4:6, 5] = 65535
    ds.B02.values[30, 30] = 65535
    sr = ds.s2sr.upsample()
    expected = np.zeros((60, 60), bool)
    expected[8:12, 10:12] = True
    np.testing.assert_array_equal(sr.B11.values == 65535, expected)
    assert sr.B11.values[~expected].max() < 10000
    # a saturated guide says nothing about the others: there they are nodata
    for band in (*RED_EDGE, *SIXTY):
        assert sr[band].values[30, 30] == 0
        assert (sr[band].values == 0).sum() == 1
    assert sr.B02.values[30, 30] == 65535


def test_other_nodata() -> None:
    ds = native((60, 60), dtype="int16")
    for variable in ds.data_vars.values():
        variable.attrs["nodata"] = -9999
    ds.B11.values[4, 5] = -9999
    ds.B12.values[:] = 0
    sr = ds.s2sr.upsample(**CUBIC)
    assert (sr.B11.values == -9999).sum() == 4
    assert (sr.B12.values == 0).all()


def test_a_nodata_that_does_not_fit_never_wraps() -> None:
    ds = native((60, 60))
    for variable in ds.data_vars.values():
        variable.attrs["nodata"] = -9999
    ds.B02.values[3, 3] = 0
    sr = ds.s2sr.upsample()
    assert sr.B11.values[3, 3] == 0
    assert sr.B11.values.max() < 10000
