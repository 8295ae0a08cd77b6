"""Fill values that nothing declares: nodata, with one warning, and never in the network."""

from __future__ import annotations

import re
import warnings
from typing import Any

import numpy as np
import pytest
import xarray as xr
from scenes import GSD, SIXTY, TWELVE, enlarged, native

from xr_s2sr import kernels
from xr_s2sr.errors import RadiometryError, S2SRWarning
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
    # of the network: over a landscape of noise, a regression with a few pixels less is another one
    sr, _ = restored(holed(-9999, FLOATS, 1, bands=("B11",)), False, adapt=False)
    full = whole.s2sr.upsample(adapt=False)
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
    assert kernels.impossible(image, validity) == (expected.size, expected.min(), expected.max())
    assert kernels.impossible(np.zeros_like(image), validity)[0] == 0


def test_one_resolution_alone() -> None:
    sr, [told] = restored(holed(-9999, FLOATS, 1, bands=SIXTY), False)
    assert "in 'B01' (12 pixels)" in told
    assert "in 'B09' (12 pixels)" in told
    assert np.isfinite(sr.B05.values).all()
    assert np.isnan(sr.B01.values[:6]).all()


# -- plausible fill: areas of one value --------------------------------------------------------------------------------

#: Values that a surface may have, how a scene of such pixels is made, and what nodata is in its result.
PLAUSIBLE: list[tuple[float, dict[str, Any], float]] = [
    (0.0, FLOATS, np.nan),
    (-0.1, FLOATS, np.nan),  # DN of 0, scaled, the offset taken off
    (0.25, {**FLOATS, "dtype": "float64"}, np.nan),
    (-1000, {"dtype": "int16"}, 0),  # DN of 0, the offset taken off
    (1500, {}, 0),
    (65535, {}, 0),  # of rioxarray's reproject_match where no nodata is told
    (-1000, {"dtype": "float32"}, np.nan),
]
CPU: dict[str, Any] = {"device": "cpu", "threads": 1}


def with_areas(value: float, made: dict[str, Any], bands: tuple[str, ...] = TWELVE) -> xr.Dataset:
    """A scene in which a value fills a corner, and a part of another shape that no cell of 60 m ends with."""
    ds = native((150, 162), **made)
    for band in bands:
        f = GSD[band] // 10
        ds[band].values[ds[band].values == value] += 1  # nowhere else
        ds[band].values[: 36 // f, : 60 // f] = value
        ds[band].values[72 // f : 108 // f, 90 // f : 114 // f] = value
        ds[band].values[108 // f : 120 // f, 102 // f : 132 // f] = value
    return ds


def in_chunks(ds: xr.Dataset, lazy: bool, **how: Any) -> tuple[xr.Dataset, list[str]]:
    """The result, and what it warned of; chunks end within the areas."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        cut = {"y": 50, "x": 50, "y_20m": 20, "x_20m": 33, "y_60m": 11, "x_60m": 7}
        sr = ds.chunk({dim: cut[str(dim)] for dim in ds.dims}) if lazy else ds
        sr = sr.s2sr.upsample(**how, **({"chunks": 42, "device": "cpu"} if lazy else CPU)).compute()
    return sr, [str(warning.message) for warning in seen]


@pytest.mark.parametrize(("value", "made", "nodata"), PLAUSIBLE)
def test_an_area_of_one_value(value: float, made: dict[str, Any], nodata: float) -> None:
    """As if it were nodata, bit for bit, in memory and in chunks."""
    how: dict[str, Any] = {"units": "dn"} if made == {"dtype": "float32"} else {}
    how |= {} if value in (0.0, 65535) else {"bands": ["B05"]}
    read = TWELVE if "bands" not in how else [band for band in TWELVE if GSD[band] < 60]
    ds = with_areas(value, made)
    known = ds.map(lambda v: v.where(v != value, nodata).astype(v.dtype), keep_attrs=True)
    expected, silent = in_chunks(known, False, **how)
    assert not silent
    sr, [told] = in_chunks(ds, False, **how)
    lazy, lazily_told = in_chunks(ds, True, **how)
    assert "since one value fills whole areas in all bands at once: " in told
    shown = f"{value:g}"
    assert f"{shown} in 'B02' (3384 pixels, 14 %)" in told  # 36 x 60, 36 x 24 and 12 x 30, of 150 x 162
    assert f"{shown} in 'B05' (846 pixels, 14 %)" in told
    assert all(sum(text.count(f"in '{band}'") for text in lazily_told) == 1 for band in read), lazily_told
    for band in map(str, sr.data_vars):
        np.testing.assert_array_equal(lazy[band].values, sr[band].values, err_msg=band)
        if GSD[band] > 10:
            np.testing.assert_array_equal(sr[band].values, expected[band].values, err_msg=band)


@pytest.mark.parametrize(
    ("value", "made", "attrs"),
    [
        (0.0, FLOATS, {}),
        (1500, {}, {}),
        (1500, {}, {"_FillValue": 65535}),
        (0.0, FLOATS, {"nodata": -9999.0}),
        (-1000, {"dtype": "int16"}, {"_FillValue": -32768}),
    ],
)
def test_the_line_that_declares_an_area(value: float, made: dict[str, Any], attrs: dict[str, Any]) -> None:
    """It leaves nothing to warn of, nor any other pixel changed; what was nodata before stays so."""
    ds = with_areas(value, made)
    for band in TWELVE:
        ds[band].attrs.update(attrs)
        if attrs:
            ds[band].values[-3:, -3:] = next(iter(attrs.values()))
    sr, [told] = in_chunks(ds, False)
    line = told.rpartition(": ")[2]
    assert 'ds["B01"]' in line
    for band in TWELVE:
        exec(line.replace("B01", band), {"ds": ds})
    declared, silent = in_chunks(ds, False)
    assert not silent
    marks = [0, value, *attrs.values()]
    for band in ("B05", "B01"):
        one, other = (np.where(np.isin(v, marks), np.nan, v) for v in (sr[band], declared[band]))
        np.testing.assert_array_equal(one, other)
        assert np.isnan(other[:36, :60]).all()
        assert np.isnan(other[-3:, -3:]).all() == bool(attrs)


def test_values_that_are_even_in_some_bands_only() -> None:
    """The SWIR of water is 1 DN for kilometres: no fill, since the other bands see the water move."""
    ds = with_areas(1, {}, tuple(band for band in TWELVE if band != "B02"))
    sr, told = in_chunks(ds, False, bands=["B05", "B11"])
    assert not told
    assert (sr.B11.values[:36, :60] > 0).all()


def test_areas_of_several_values() -> None:
    ds = with_areas(1500, {})
    for band in TWELVE:
        f = GSD[band] // 10
        ds[band].values[108 // f : 144 // f, 12 // f : 72 // f] = 2500
    sr, [told] = in_chunks(ds, False, bands=["B05"])
    assert "1500, 2500 in 'B02'" in told
    assert "isin([1500, 2500]), 0)" in told
    assert (sr.B05.values[108:144, 12:72] == 0).all()
    lazy, _ = in_chunks(ds, True, bands=["B05"])
    np.testing.assert_array_equal(lazy.B05, sr.B05)


def test_coarse_pixels_in_disguise_are_no_fill() -> None:
    """10 m bands that are copies of 60 m pixels are even in each cell, and differ between cells."""
    ds = native((150, 162))
    for band in TWELVE:
        coarse = ds.B01.values
        ds[band].values[:] = enlarged(coarse, 60 // GSD[band])
    assert not in_chunks(ds, False, bands=["B05"])[1]


@pytest.mark.parametrize("lead", [{}, {"time": [0]}])
def test_one_value_everywhere_is_an_image(lead: dict[str, Any]) -> None:
    ds = native((60, 72), lead=lead) * np.uint16(0) + np.uint16(1500)
    for lazy in (False, True):
        sr = (ds.chunk() if lazy else ds).s2sr.upsample(["B05"], device="cpu").compute()
        assert (sr.B05 > 0).all()


def test_what_compares_bands_masks_areas_too() -> None:
    ds = with_areas(0.25, FLOATS)
    with pytest.warns(S2SRWarning, match="fills whole areas in all bands at once: 0.25 in "):
        small = ds.s2sr.degrade(2)
    known = with_areas(np.nan, FLOATS).s2sr.degrade(2)
    xr.testing.assert_equal(small, known)
    assert not np.isnan(ds.B05.values).any()


def test_floats_read_from_integers_keep_zero_for_nodata() -> None:
    """``masked=True`` finds no nodata tag in the file: 0 is nodata as it is of the integers themselves."""
    ds = native((60, 72))
    for band in TWELVE:
        ds[band].values[: 180 // GSD[band], : 60 // GSD[band]] = 0
    expected = ds.s2sr.upsample(["B05"], **CPU).B05.values
    encodings: list[dict[str, Any]] = [{}, {"_FillValue": np.nan}, {"scale_factor": 1e-4, "add_offset": -0.1}]
    for encoding in encodings:
        step, base = encoding.get("scale_factor", 1.0), encoding.get("add_offset", 0.0)
        floats = (ds.astype("float32") * np.float32(step)) + np.float32(base)
        for da in floats.data_vars.values():
            da.encoding = {"dtype": "uint16", **encoding}
        sr = floats.s2sr.upsample(["B05"], offset=0 if base else None, **CPU).B05
        np.testing.assert_array_equal(np.isnan(sr.values), expected == 0)
        assert sr.encoding["_FillValue"] == 0
        stored = np.rint((sr.values - base) / step)
        assert np.nanmax(np.abs(np.where(expected == 0, np.nan, stored - expected))) <= (1 if step == 1 else 400)
        assert "what was 0 assumed" in str(floats.s2sr.validate())
