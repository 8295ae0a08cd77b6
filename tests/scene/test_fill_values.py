"""Fill values that nothing declares: nodata, with one warning, and never in the network."""

from __future__ import annotations

import re
import warnings
from typing import Any

import numpy as np
import pytest
import xarray as xr
from scenes import GSD, SIXTY, TWELVE, enlarged, native

from xr_s2sr.errors import RadiometryError, S2SRWarning
from xr_s2sr.scene import pixel_codes
from xr_s2sr.scene.validity import Validity

FLOATS = {"dtype": "float32", "scale": 1e-4}
#: Undeclared values, and how a scene of such pixels is made.
CASES: list[tuple[float, dict[str, Any]]] = [
    (-9999, FLOATS),
    (-9999.9, {**FLOATS, "dtype": "float64"}),
    (1e20, FLOATS),
    (-3.4e38, FLOATS),
    (-1.7976931348623157e308, {**FLOATS, "dtype": "float64"}),
    (65535, FLOATS),
    (-9999, {"dtype": "int16"}),
    (-32768, {"dtype": "int16"}),
    (-9999, {"dtype": "int32"}),
]


def holed(value: float, made: dict[str, Any], share: int = 3, bands: tuple[str, ...] = TWELVE) -> xr.Dataset:
    """A scene whose first rows of 60 m pixels hold a value, in some bands."""
    ds = native((60, 72), **made)
    for band in bands:
        ds[band].values[: share * 60 // GSD[band]] = value
    return ds


def restored(ds: xr.Dataset, lazy: bool, **how: Any) -> tuple[xr.Dataset, list[str]]:
    """The result, and what it warned of."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        sr = (ds.chunk({"y": 36, "x": 36}) if lazy else ds).s2sr.upsample(**how, **({"chunks": 36} if lazy else {}))
        sr = sr.compute(scheduler="threads")
    return sr, [str(warning.message) for warning in seen if issubclass(warning.category, S2SRWarning)]


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("share", [1, 8])
@pytest.mark.parametrize(("value", "made"), CASES)
def test_as_if_it_were_declared(value: float, made: dict[str, Any], share: int, lazy: bool) -> None:
    """Whatever the share: bit for bit what NaN, or a declared 0, gives in the same place."""
    ds = holed(value, made, share)
    known = holed(np.nan if ds.B05.dtype.kind == "f" else 0, made, share)
    expected, silent = restored(known, lazy)
    sr, told = restored(ds, lazy)
    assert not silent
    for band in TWELVE:
        if GSD[band] > 10:
            np.testing.assert_array_equal(sr[band].values, expected[band].values, err_msg=band)
    assert told
    text = " ".join(told)
    assert all(text.count(f"in '{band}'") == 1 for band in TWELVE), told
    assert f"{np.float64(value):g}"[:4] in text
    if not lazy:
        assert len(told) == 1
        assert f"in 'B05' ({share * 3 * 36} pixels)" in text
        assert f"in 'B02' ({share * 6 * 72} pixels)" in text


@pytest.mark.parametrize("lazy", [False, True])
def test_the_line_that_declares_it(lazy: bool) -> None:
    ds = holed(-9999, FLOATS, bands=("B05",))
    _, [told] = restored(ds, lazy)
    found = re.search(r'ds\["B05"\]\.attrs\["_FillValue"\] = (\S+)$', told)
    assert found is not None
    assert "since no surface has such a reflectance" in told
    ds["B05"].attrs["_FillValue"] = float(found[1])
    sr, silent = restored(ds, lazy)
    assert not silent
    assert (sr.B05.values[:18] == -9999).all()
    assert (sr.B05.values[18:] > 0).all()


def test_the_line_for_several_values() -> None:
    ds = holed(-9999, {"dtype": "int16"}, bands=("B05",))
    ds.B05.values[0] = -32768
    sr, [told] = restored(ds, False)
    assert "-32768 to -9999 in 'B05' (324 pixels)" in told
    assert told.endswith('ds["B05"] = ds["B05"].where((ds["B05"] > -5000), 0)')
    ds["B05"] = ds["B05"].where((ds["B05"] > -5000), 0)
    declared, silent = restored(ds, False)
    assert not silent
    xr.testing.assert_equal(sr, declared)


def test_neighbours_do_not_feel_it() -> None:
    """Valid pixels beside a fill value were off by more than 100 DN."""
    whole = native((60, 72), **FLOATS)
    sr, _ = restored(holed(-9999, FLOATS, 1, bands=("B11",)), False)
    full = whole.s2sr.upsample()
    for band in ("B05", "B11", "B01"):
        error = np.abs(sr[band].values - full[band].values)[6:]
        assert np.nanmax(error) < 0.1
        assert not error[60:].any()


def test_uint16_keeps_its_mark() -> None:
    """65535 of uint16 is Sentinel-2's mark of a saturated pixel: it stays, and is no reason to warn."""
    sr, told = restored(holed(65535, {}, bands=("B05",)), False)
    assert not told
    assert (sr.B05.values[:18] == 65535).all()
    assert sr.B05.values[18:].max() < 10000


def test_dates_are_counted_together() -> None:
    ds = xr.concat([holed(-9999, FLOATS, share, ("B05",)) for share in (1, 2)], "time")
    _, [told] = restored(ds, False)
    assert "-9999 in 'B05' (324 pixels)" in told


def test_a_second_call_warns_again_but_a_second_compute_does_not() -> None:
    ds = holed(-9999, FLOATS, bands=("B05",)).chunk()
    for _ in range(2):
        sr = ds.s2sr.upsample(["B05"])
        with pytest.warns(S2SRWarning, match="taken as nodata"):
            sr.compute()
        sr.compute()  # warnings are errors here


def test_copies_cut_by_an_undeclared_value() -> None:
    """A polygon drawn on 10 m pixels cuts native ones: still copies, and nodata within the polygon's edge."""
    ds = native((60, 72), **FLOATS)
    cube = ds[["B02", "B03", "B04", "B08"]]
    cube["B05"] = (("y", "x"), enlarged(ds.B05.values, 2))
    cube.B05.values[:21, :33] = -9999
    sr, [told] = restored(cube, False, model="bicubic")
    assert "-9999 in 'B05' (160 pixels)" in told
    gone = cube.B05.values == -9999
    np.testing.assert_array_equal(np.isnan(sr.B05.values), gone)


def test_what_compares_bands_warns_too() -> None:
    ds = holed(-9999, FLOATS, 1, bands=("B05",))
    with pytest.warns(S2SRWarning, match="-9999 in 'B05' .108 pixels."):
        small = ds.s2sr.degrade(2)
    assert np.isnan(small.B05.values[0]).all()
    sr, _ = restored(ds, False, bands=["B05"])
    with pytest.warns(S2SRWarning, match="-9999 in 'B05' .108 pixels."):
        scores = sr.s2sr.consistency(ds)
    assert float(scores["rmse"][0]) < 1000


@pytest.mark.parametrize("lazy", [False, True])
def test_another_unit_is_still_refused(lazy: bool) -> None:
    """DN that were taken for reflectance are not fill values."""
    ds = native((60, 72), dtype="float32")
    with pytest.raises(RadiometryError, match=r"units='dn'"):
        (ds.chunk() if lazy else ds).s2sr.upsample(["B05"]).compute()


@pytest.mark.parametrize("dtype", ["int16", "uint16", "int64", "float32", "float64"])
def test_count_of_impossible_pixels(dtype: str) -> None:
    marks = [-9999, -9999, 300, 250, 0, 5, -1] if dtype != "uint16" else [300, 250, 0, 5, 1]
    image = np.array([marks, marks], dtype)
    if dtype.startswith("float"):
        image[0, 5:] = np.nan, -np.inf
    number = image[np.isfinite(image) & (image != 0)]
    expected = number[(number < -0.5) | ((number > 200) & (number < 300))]
    validity = Validity(0.0, -0.5, 200.0, 300.0)
    assert pixel_codes.impossible(image, validity) == (expected.size, expected.min(), expected.max())
    assert pixel_codes.impossible(np.zeros_like(image), validity)[0] == 0


def test_one_resolution_alone() -> None:
    sr, [told] = restored(holed(-9999, FLOATS, 1, bands=SIXTY), False)
    assert "in 'B01' (12 pixels)" in told
    assert "in 'B09' (12 pixels)" in told
    assert np.isfinite(sr.B05.values).all()
    assert np.isnan(sr.B01.values[:6]).all()
