"""What a value means, in and out; expected numbers written out or worked out in float64."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import assume, given
from hypothesis import strategies as st
from scenes import native

from xr_s2sr.errors import RadiometryError
from xr_s2sr.inference.tiles import write
from xr_s2sr.scene.plausibility import judge, sample
from xr_s2sr.scene.radiometry import Radiometry, Storage, resolve_radiometry

INTEGERS = ["uint8", "int8", "uint16", "int16", "uint32", "int32", "int64", "uint64"]


def band(dtype: Any = "uint16", value: Any = 1000, attrs: Any = None, /, **encoding: Any) -> xr.DataArray:
    da = xr.DataArray(np.full((6, 6), value).astype(dtype), dims=("y", "x"), name="B05", attrs=attrs)
    da.encoding.update(encoding)
    return da


def reflectance(da: xr.DataArray, **said: Any) -> float:
    """Reflectance of a pixel as the program sees it."""
    r = resolve_radiometry(da, **said)
    return float(da.values[0, 0]) * r.scale + r.offset


# -- scale and offset --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("da", "said", "expected"),
    [
        (band("uint16", 2500), {}, 0.25),
        (band("int16", 2500), {}, 0.25),
        (band("float32", 0.25), {}, 0.25),
        (band("float64", 0.25), {}, 0.25),
        (band("float16", 0.25), {}, 0.25),
        (band(">u2", 2500), {}, 0.25),
        # STAC's and CF's names, not applied yet
        (band("uint16", 3500, {"scale_factor": 1e-4, "add_offset": -0.1}), {}, 0.25),
        (band("uint16", 3500, {"scale": 1e-4, "offset": -0.1}), {}, 0.25),
        (band("int32", 250, {"scale_factor": 0.001}), {}, 0.25),
        (band("uint8", 50, {"scale_factor": 0.005}), {}, 0.25),
        (band("uint16", 3500, {"scale_factor": np.float32(1e-4), "add_offset": np.array([-0.1])}), {}, 0.25),
        (band("uint16", 3500, {"scale_factor": "0.0001", "add_offset": "-0.1"}), {}, 0.25),
        (band("float32", 2500, {"scale_factor": 1e-4}), {}, 0.25),
        # the identity says nothing: GDAL writes it everywhere
        (band("uint16", 2500, {"scale_factor": 1.0, "add_offset": 0.0}), {}, 0.25),
        (band("uint16", 2500, {"scale": 1, "offset": 0}), {}, 0.25),
        (band("float32", 0.25, {"scale_factor": 1.0, "add_offset": 0.0}), {}, 0.25),
        # decoded by xarray: the values are reflectance already
        (band("float32", 0.25, None, scale_factor=1e-4, add_offset=-0.1, dtype="uint16"), {}, 0.25),
        (band("float64", 0.25, None, scale_factor=1e-4), {}, 0.25),
        # ... or masked only: still DN
        (band("float32", 2500, None, dtype="uint16", _FillValue=0), {}, 0.25),
        (band("float32", 2500, {"scale_factor": 1.0, "add_offset": 0.0}, dtype="uint16", _FillValue=0), {}, 0.25),
        (band("float32", 2500, None, dtype="int16", scale_factor=1.0, add_offset=0.0), {}, 0.25),
        (band("float32", 0.25, None, dtype="float32"), {}, 0.25),
        # units in the attributes
        (band("float32", 25, {"units": "%"}), {}, 0.25),
        (band("float32", 25, {"units": "Percent"}), {}, 0.25),
        (band("float32", 2500, {"units": "DN"}), {}, 0.25),
        (band("float32", 2500, {"units": "digital numbers"}), {}, 0.25),
        (band("float32", 0.25, {"units": "1"}), {}, 0.25),
        (band("float32", 0.25, {"units": "reflectance"}), {}, 0.25),
        (band("uint16", 2500, {"units": "1"}), {}, 0.25),
        # said by the user
        (band("float32", 2500), {"units": "dn"}, 0.25),
        (band("float32", 25), {"units": "percent"}, 0.25),
        (band("uint8", 25), {"units": "percent"}, 0.25),
        (band("uint16", 3500, {"scale_factor": 5.0}), {"units": "dn", "offset": -1000}, 0.25),
        (band("uint16", 3500, {"scale_factor": 1e-4, "add_offset": 0.0}), {"offset": -1000}, 0.25),
        (band("uint16", 2500, {"scale_factor": 1e-4, "add_offset": -0.1}), {"offset": 0}, 0.25),
        (band("uint16", 2500, {"scale_factor": 1e-4, "add_offset": -0.1}), {"units": "dn"}, 0.25),
        (band("float32", 0.35), {"offset": -0.1}, 0.25),
        (band("float32", 35), {"units": "percent", "offset": -10}, 0.25),
        (band("uint16", 3500), {"offset": -1000}, 0.25),
    ],
)
def test_reflectance(da: xr.DataArray, said: dict[str, Any], expected: float) -> None:
    assert reflectance(da, **said) == pytest.approx(expected, rel=1e-3 if da.dtype == np.float16 else 1e-6)


@given(st.integers(1, 10000), st.floats(1e-6, 1.0), st.floats(-1, 1), st.sampled_from(["uint16", "int32", "float64"]))
def test_attrs_and_encoding_agree(dn: int, scale: float, shift: float, dtype: str) -> None:
    assume((scale, shift) != (1.0, 0.0))
    raw = band(dtype, dn, {"scale_factor": scale, "add_offset": shift})
    decoded = band("float64", dn * scale + shift, None, dtype=dtype, scale_factor=scale, add_offset=shift)
    assert reflectance(raw) == pytest.approx(reflectance(decoded), rel=1e-9, abs=1e-9)
    assert reflectance(raw) == pytest.approx(dn * scale + shift, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize(
    ("da", "source"),
    [
        (band(), "assumed: integers are DN / 10000, no offset; nodata 0 assumed"),
        (band("float32", 0.1), "assumed: floats are reflectance; nodata is NaN"),
        (band("uint16", 1000, {"scale_factor": 1e-4, "nodata": 0}), "attrs; nodata from attrs nodata"),
        (band("uint16", 1000, {"units": "dn"}, _FillValue=7), "attrs; nodata from encoding _FillValue"),
        (
            band("float32", 0.1, None, dtype="uint16", scale_factor=1e-4),
            "encoding .decoded.; nodata is NaN, and what was 0 assumed",
        ),
    ],
)
def test_says_where_it_is_from(da: xr.DataArray, source: str) -> None:
    assert re.fullmatch(source, resolve_radiometry(da).source)


def test_readable() -> None:
    r = resolve_radiometry(band("uint16", 1000, {"scale_factor": 1e-4, "add_offset": -0.1}))
    assert str(r) == "uint16 x 0.0001 -0.1, nodata 0"


@pytest.mark.parametrize(
    ("attrs", "message"),
    [
        ({"scale_factor": 0}, "says scale_factor=0.0, add_offset=0.0; expected finite numbers, the first above 0"),
        ({"scale_factor": -1e-4}, "says scale_factor=-0.0001"),
        ({"scale_factor": math.nan}, "says scale_factor=nan"),
        ({"scale_factor": 1e-4, "add_offset": math.inf}, "add_offset=inf"),
        (
            {"scale_factor": "a tenth"},
            "has scale_factor='a tenth' in its attrs; expected one number. Correct it",
        ),
        ({"scale_factor": []}, r"has scale_factor=\[\] in its attrs; expected one number"),
        ({"nodata": "none"}, "has nodata='none' in its attrs; expected one number"),
        ({"offset": {}, "scale": 1e-4}, r"has offset=\{\} in its attrs"),
    ],
)
def test_metadata_without_sense(attrs: dict[str, Any], message: str) -> None:
    with pytest.raises(RadiometryError, match=message):
        resolve_radiometry(band("uint16", 1000, attrs))


@pytest.mark.parametrize(
    "dtype", ["bool", "complex64", "complex128", "object", "datetime64[ns]", "timedelta64[s]", "U3"]
)
def test_dtype_refused(dtype: str) -> None:
    da = xr.DataArray(np.zeros((2, 2)).astype(dtype), dims=("y", "x"), name="B05")
    message = r"'B05' has dtype .*; a band must hold integers or floats of at most 64 bits.*astype\(\"float32\"\)"
    with pytest.raises(RadiometryError, match=message):
        resolve_radiometry(da)


@pytest.mark.skipif(np.dtype(np.longdouble).itemsize == 8, reason="long double is a double here")
def test_long_double_refused() -> None:
    with pytest.raises(RadiometryError, match="at most 64 bits"):
        resolve_radiometry(band(np.longdouble, 0.1))


# -- nodata and saturation ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("da", "nodata"),
    [
        (band(), 0),
        (band("int16"), 0),
        (band("float32", 0.1), math.nan),
        (band("uint16", 1000, {"nodata": 65535}), 65535),
        (band("uint16", 1000, {"_FillValue": np.uint16(7)}), 7),
        (band("uint16", 1000, {"missing_value": [9]}), 9),
        (band("uint16", 1000, {"_FillValue": 5, "nodata": 6}, _FillValue=8), 5),
        (band(_FillValue=8), 8),
        (band(missing_value=8), 8),
        (band("int16", 5, {"nodata": -9999}), -9999),
        (band("float32", 0.1, {"nodata": -9999.0}), -9999),
        (band("float32", 0.1, {"nodata": math.nan}), math.nan),
        # decoded: the file's mark has become NaN
        (band("float32", 0.1, None, dtype="uint16", _FillValue=0, scale_factor=1e-4), math.nan),
        # marks that the dtype cannot hold mark nothing
        (band("uint16", 1000, {"nodata": -9999}), 0),
        (band("uint16", 1000, {"nodata": math.nan}), 0),
        (band("uint16", 1000, {"nodata": 0.5}), 0),
        (band("uint16", 1000, {"nodata": 65536}), 0),
        (band("int16", 5, {"_FillValue": 40000}), 0),
    ],
)
def test_nodata(da: xr.DataArray, nodata: float) -> None:
    found = resolve_radiometry(da).nodata
    assert found == nodata or (math.isnan(found) and math.isnan(nodata))


def test_nodata_that_does_not_fit_is_said() -> None:
    source = resolve_radiometry(band("uint16", 1000, {"nodata": -9999})).source
    assert source.endswith("nodata 0 assumed: -9999 (nodata from attrs nodata) does not fit uint16")


@pytest.mark.parametrize(
    ("da", "top"),
    [
        (band(), 65535),
        (band("uint16", 1000, {"nodata": 65535}), math.inf),
        (band("int16"), math.inf),
        (band("uint32"), math.inf),
        (band("float32", 0.1), math.inf),
        (band("float32", 0.1, None, dtype="uint16", scale_factor=1e-4), 6.55345),
        (band("float32", 0.1, None, dtype="uint16", scale_factor=1e-4, _FillValue=65535), math.inf),
    ],
)
def test_saturation(da: xr.DataArray, top: float) -> None:
    assert resolve_radiometry(da).top == pytest.approx(top)


@given(st.sampled_from(INTEGERS), st.data())
def test_bounds_hold_no_mark(dtype: str, data: st.DataObject) -> None:
    info = np.iinfo(dtype)
    nodata = data.draw(
        st.sampled_from([0, int(info.min), int(info.max), 1]) | st.integers(int(info.min), int(info.max)), "nodata"
    )
    # beyond 2**53 a mark is the end of the type, or is not held by a float64 attribute
    assume(abs(nodata) < 2**53 or nodata in (info.min, info.max))
    r = resolve_radiometry(band(dtype, 5, {"nodata": nodata}))
    low, high = r.bounds()
    assert info.min <= low
    assert high <= info.max
    for limit in (np.float32(low), np.float32(high)):
        assert info.min <= int(limit) <= info.max
    if low <= high:
        assert not low <= nodata <= high
        assert not int(np.float32(low)) <= nodata <= int(np.float32(high))
    if dtype == "uint16" and nodata != 65535:
        assert high < 65535


@pytest.mark.parametrize(
    ("dtype", "nodata", "bounds"),
    [
        ("uint16", 0, (1, 65534)),
        ("uint16", 65535, (0, 65534)),
        ("uint16", 65534, (0, 65533)),
        ("int16", 0, (1, 32767)),
        ("int16", -32768, (-32767, 32767)),
        ("int16", -9999, (-9998, 32767)),
        ("int16", 32767, (-32768, 32766)),
        ("uint8", 0, (1, 255)),
        ("uint8", 255, (0, 254)),
        ("int8", -128, (-127, 127)),
        ("int32", 0, (1, 2147483520)),
    ],
)
def test_bounds(dtype: str, nodata: int, bounds: tuple[int, int]) -> None:
    assert resolve_radiometry(band(dtype, 5, {"nodata": nodata})).bounds() == bounds


def test_floats_have_no_bounds() -> None:
    assert resolve_radiometry(band("float32", 0.1)).bounds() == (-math.inf, math.inf)


# -- out again ---------------------------------------------------------------------------------------------------------


def out_of(r: Radiometry, values: np.ndarray, unit: float = 0.2) -> np.ndarray:
    """Values to reflectance in the network's unit, and back by the program."""
    image = ((values.astype(np.float64) * r.scale + r.offset) / unit).astype(np.float32)
    result = np.zeros(values.shape, r.dtype)
    write(image, np.zeros(values.shape, np.uint8), r, unit, result)
    return result


@given(
    st.sampled_from(["uint16", "int16", "int32", "uint32", "int64"]),
    st.lists(st.integers(1, 30000), min_size=1, max_size=40),
    st.sampled_from([1e-4, 1e-3, 2.5e-5]),
    st.sampled_from([0.0, -0.1, 0.05]),
    st.sampled_from([0.2, 1.0]),
)
def test_round_trip_of_integers(dtype: str, values: list[int], scale: float, shift: float, unit: float) -> None:
    dn = np.array([values], dtype)
    r = resolve_radiometry(band(dtype, 5, {"scale_factor": scale, "add_offset": shift}))
    np.testing.assert_array_equal(out_of(r, dn, unit), dn)


@given(st.sampled_from(["float32", "float64"]), st.lists(st.floats(-0.1, 2.0), min_size=1, max_size=40))
def test_round_trip_of_floats(dtype: str, values: list[float]) -> None:
    expected = np.array([values], dtype)
    found = out_of(resolve_radiometry(band(dtype, 0.1)), expected)
    assert found.dtype == dtype
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7)


@given(st.sampled_from(INTEGERS), st.lists(st.floats(-1e7, 1e7), min_size=1, max_size=20), st.sampled_from([0, 127]))
def test_integers_never_wrap(dtype: str, values: list[float], nodata: int) -> None:
    info = np.iinfo(dtype)
    r = Radiometry(np.dtype(dtype), 1e-4, 0.0, nodata, math.inf, Storage(np.dtype(dtype), 1.0, 0.0, nodata))
    found = np.zeros((1, len(values)), dtype)
    image = (np.array([values]) * 1e-4).astype(np.float32)
    write(image, np.zeros(found.shape, np.uint8), r, 1.0, found)
    low, high = r.bounds()
    for got, value in zip(found[0].tolist(), values, strict=True):
        assert info.min <= got <= info.max
        assert got != nodata
        assert abs(got - min(max(value, low), high)) <= max(0.51, 1e-5 * abs(value))


def test_floats_that_will_be_stored_as_integers_fit() -> None:
    """xarray casts without a look: a reflectance of -0.0003 would be read back as 6.55."""
    da = band("float32", 0.1, None, dtype="uint16", scale_factor=1e-4, add_offset=0.0, _FillValue=0)
    data = np.array([[-0.0003, 0.0, 0.25, 9.0, np.inf, np.nan]], np.float32)
    found = resolve_radiometry(da).storable(data)
    np.testing.assert_allclose(found, [[0.0001, 0.0001, 0.25, 6.5534, 6.5535, np.nan]], rtol=1e-6)
    assert np.rint(found[0, :5] / 1e-4).tolist() == [1, 1, 2500, 65534, 65535]


def test_plain_floats_are_free() -> None:
    data = np.array([[-0.5, 9.0, np.inf]], np.float32)
    np.testing.assert_array_equal(resolve_radiometry(band("float32", 0.1)).storable(data.copy()), data)


# -- magnitude ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("da", "said", "message"),
    [
        (band("float32", 2500), {}, r"'B05' has a median of 2500, which would be a reflectance of 2500 .*units='dn'"),
        (band("float64", 400), {}, r"units='dn'"),
        (band("float32", 25), {}, r"reflectance of 25 \(assumed: floats are reflectance.*upsample\(units='percent'\)"),
        (band("uint16", 2500), {"units": "reflectance"}, r"reflectance of 2500 \(units=; .*units='dn'"),
        (band("uint16", 2500, {"scale_factor": 0.01}), {}, r"reflectance of 25 \(attrs; .*units='dn'"),
        (band("uint16", 60000), {}, r"reflectance of 6 .*correct the offset"),
        (band("uint16", 3000), {"offset": 60000}, r"reflectance of 6.3 \(.*offset=; .*upsample\(offset=0\)"),
        (band("float32", 25000), {"units": "percent"}, "reflectance of 250 .*units='dn'"),
    ],
)
def test_contradiction(da: xr.DataArray, said: dict[str, Any], message: str) -> None:
    with pytest.raises(RadiometryError, match=message):
        judge([sample(da.values, resolve_radiometry(da, **said), "B05")])


@pytest.mark.parametrize(
    ("da", "said"),
    [
        (band("uint16", 0), {}),
        (band("uint16", 65535), {}),  # saturated all over
        (band("uint16", 20000), {}),  # snow
        (band("float32", np.nan), {}),
        (band("float32", np.inf), {}),
        (band("float32", 1.7), {}),
        (band("float32", -0.02), {}),
        (band("float32", -9999, {"nodata": -9999}), {}),
        (band("float32", 9999, {"nodata": 9999}), {}),
        (band("float32", 25), {"units": "percent"}),
        (band("float32", 2500), {"units": "dn"}),
        (xr.DataArray(np.zeros((0, 0), "uint16"), dims=("y", "x")), {}),
    ],
)
def test_no_contradiction(da: xr.DataArray, said: dict[str, Any]) -> None:
    judge([sample(da.values, resolve_radiometry(da, **said), "B05")])


def test_float_dn_told_in_upsample() -> None:
    dn = native((60, 60), dtype="float32")
    with pytest.raises(RadiometryError, match=r"upsample\(units='dn'\)"):
        dn.s2sr.upsample(model="bicubic")
    told = dn.s2sr.upsample(model="bicubic", units="dn")
    whole = native((60, 60)).s2sr.upsample(model="bicubic")
    for name in told.data_vars:
        assert np.abs(told[name] - whole[name].astype("float32")).max() <= 1.6  # both round


def test_percent_told_in_upsample() -> None:
    percent = native((60, 60), dtype="float32", scale=0.01)
    with pytest.raises(RadiometryError, match=r"upsample\(units='percent'\)"):
        percent.s2sr.upsample(model="bicubic")
    assert 5 < percent.s2sr.upsample(model="bicubic", units="percent").B11.mean() < 42
