"""Numbers in big-endian arrays (NetCDF 3, FITS, GRIB) are those numbers: the order of bytes decides nothing."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import xarray as xr
from holders import at_10_m, stacked
from scenes import as_float, cube, native, spoil

from xr_s2sr.scene.radiometry import resolve_radiometry

KINDS = ["u2", "i2", "u4", "i4", "i8", "f2", "f4", "f8"]
ORDERS = [">", "<"]


def recast(ds: xr.Dataset, order: str) -> xr.Dataset:
    """The same numbers in a byte order, arrays and encodings."""
    out = ds.copy(deep=True)
    for name, da in ds.data_vars.items():
        out[name] = da.astype(da.dtype.newbyteorder(order))
        out[name].encoding = dict(da.encoding)
        if "dtype" in da.encoding:
            out[name].encoding["dtype"] = np.dtype(da.encoding["dtype"]).newbyteorder(order)
    return out


def chunked(ds: Any, lazy: bool) -> Any:
    return ds.chunk(y=36, x=30) if lazy else ds


def check(ds: xr.Dataset, order: str, lazy: bool, **how: Any) -> None:
    """Both orders give the same numbers, each in its own dtype."""
    sr = ds.s2sr.upsample(**how)
    other = chunked(recast(ds, order), lazy).s2sr.upsample(**how)
    for name in sr.data_vars:
        np.testing.assert_array_equal(other[name], sr[name], err_msg=str(name))
        assert other[name].dtype == sr[name].dtype.newbyteorder(order)
        assert other[name].compute().dtype == other[name].dtype


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("resolution", [10, 20])
@pytest.mark.parametrize("kind", KINDS)
def test_the_same_numbers(kind: str, resolution: int, lazy: bool) -> None:
    ds = spoil(native((60, 60)))
    ds = as_float(ds, kind) if kind[0] == "f" else ds.astype(kind)  # 65535 is -1 in int16
    check(ds, ">", lazy, resolution=resolution)


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("order", ORDERS)
def test_decoded_from_integers(order: str, lazy: bool) -> None:
    dn = spoil(native((60, 60)))
    ds = as_float(dn)
    for name in ds.data_vars:
        ds[name].encoding = {"dtype": "uint16", "scale_factor": 1e-4, "_FillValue": 0}
    check(ds, order, lazy)
    saturated = resolve_radiometry(recast(ds, order).B05).top
    assert saturated == pytest.approx(6.5535, abs=1e-4)


def test_saturation_is_not_fed_to_the_network() -> None:
    ds = recast(native((60, 60)), ">")
    plain = ds.s2sr.upsample("B05")
    ds.B11[9, 9] = 65535
    sr = ds.s2sr.upsample(["B05", "B11"])
    assert (sr.B11[18:20, 18:20] == 65535).all()
    assert int((sr.B11 == 65535).sum()) == 4
    assert abs(sr.B05.astype(float) - plain.B05).max() < 1000  # 65535 fed to the network moves it by tens of thousands


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("resolution", [10, 20])
def test_every_form_keeps_its_dtype(resolution: int, lazy: bool) -> None:
    copies = at_10_m(native((60, 60)))
    copies.B05[3:5, 3:6] = 0  # masked within native pixels
    check(copies, ">", lazy, resolution=resolution)
    check(cube(["04.00", "02.00", "05.00"]), ">", lazy, resolution=resolution)
    da = stacked(copies)
    sr = chunked(da.astype(">u2"), lazy).s2sr.upsample(resolution=resolution)
    assert sr.dtype == np.dtype(">u2")
    np.testing.assert_array_equal(sr, da.s2sr.upsample(resolution=resolution))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("order", ORDERS)
def test_what_is_read_from_the_metadata(kind: str, order: str) -> None:
    """By attributes, by encoding, and by the dtype alone."""
    for attrs, encoding in (({"nodata": 7}, {}), ({}, {"_FillValue": 7}), ({}, {})):
        da = xr.DataArray(np.ones((2, 2), kind), dims=("y", "x"), name="B05", attrs=attrs)
        da.encoding = encoding
        other = da.astype(order + kind)
        other.encoding = encoding
        one, two = resolve_radiometry(da), resolve_radiometry(other)
        for key in ("scale", "offset", "top", "source"):
            assert getattr(one, key) == getattr(two, key), key
        np.testing.assert_equal(one.nodata, two.nodata)
        assert one.bounds() == two.bounds()
        assert (one.top == 65535) == (kind == "u2") or math.isinf(one.top)
