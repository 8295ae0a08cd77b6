"""Offsets: by date, by processing baseline, by the user; explained, and refused where the pixels contradict."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import xarray as xr
from scenes import RED_EDGE, TIMES, TWELVE, cube, native

import xr_s2sr
from xr_s2sr.errors import ArgumentTypeError, RadiometryError, S2SRWarning
from xr_s2sr.scene.offsets import EARTH_SEARCH, radiometric_state


def offsets(ds: xr.Dataset) -> list[float]:
    """Reflectance at DN 0, by date, as read_scene finds it."""
    from xr_s2sr.scene.scene import read_scene

    band = read_scene(ds).bands["B05"]
    return [band.at((k,)).offset for k in range(3)]


@pytest.mark.parametrize("baselines", [["02.14", "04.00", "05.09"], ["N0214", "N0400", "N0509"], [2.14, 4.0, 5.09]])
def test_the_baseline_tells_the_offset_of_each_date(baselines: list[Any]) -> None:
    ds = cube(baselines)
    assert offsets(ds) == pytest.approx([0, -0.1, -0.1])
    text = str(ds.s2sr.validate())
    assert "offset by processing baseline (s2:processing_baseline)" in text
    assert "-0.1 or +0 by date" in text


def test_dates_of_other_offsets_are_the_same_scene() -> None:
    """The same reflectance, told by other DN, gives the same reflectance: 1000 DN apart to the rounding of DN."""
    sr = cube(["02.14", "04.00", "05.09"]).s2sr.upsample()
    for band in (*RED_EDGE, "B01"):
        values = sr[band].values.astype(int)
        # without an offset, integers end at 1
        assert np.abs(np.maximum(values[1] - 1000, 1) - values[0]).max() <= 1
        np.testing.assert_array_equal(values[1], values[2])


def test_each_date_alone_agrees_with_the_cube() -> None:
    ds = cube(["02.14", "04.00", "05.09"])
    sr = ds.s2sr.upsample(["B05"])
    for k in range(3):
        alone = ds.isel(time=k)
        assert alone["s2:processing_baseline"].ndim == 0
        np.testing.assert_array_equal(alone.s2sr.upsample(["B05"]).B05, sr.B05[k])


def test_a_users_offsets_by_date() -> None:
    ds = cube()
    told = xr.DataArray([0, -1000, -1000], dims="time")
    by_hand = ds.s2sr.upsample(["B11"], offset=told)
    np.testing.assert_array_equal(by_hand.B11, cube(["02.14", "04.00", "05.09"]).s2sr.upsample(["B11"]).B11)
    assert "offset= by date" in str(ds.s2sr.validate(offset=told))


@pytest.mark.parametrize(
    ("told", "message"),
    [
        (xr.DataArray([0.0, -1000], dims="time"), "offset has 2 values along 'time', 'B01' the leading dimensions"),
        (xr.DataArray([0.0, 0, 0], dims="date"), "offset has 3 values along 'date'"),
        (xr.DataArray([0.0, np.nan, 0], dims="time"), "expected finite numbers, one a date"),
        (
            xr.DataArray([0.0, 0, 0], {"time": TIMES[::-1]}, "time"),
            r"other coordinates along 'time'.*offset.sel\(time=",
        ),
    ],
)
def test_offsets_that_do_not_fit(told: xr.DataArray, message: str) -> None:
    with pytest.raises(RadiometryError, match=message):
        cube().s2sr.upsample(offset=told)


def test_offsets_of_the_wrong_type() -> None:
    for told in ("-1000", [0, -1000, -1000], xr.DataArray(0.0), xr.DataArray(["a"], dims="time")):
        with pytest.raises(ArgumentTypeError, match="expected a number, such as offset=-1000"):
            cube().s2sr.upsample(offset=told)


@pytest.mark.parametrize("unknown", [None, np.nan, "", "recent"])
@pytest.mark.parametrize("lazy", [False, True])
def test_a_date_without_a_baseline_is_named(unknown: Any, lazy: bool) -> None:
    """It took the offset off from all dates; the two ways out give each known date its own."""
    ds = cube(np.array(["02.14", "05.09", unknown], object))
    ds = ds.chunk() if lazy else ds
    with pytest.raises(
        RadiometryError, match=r"'B0.' has no .* at time=2023-06-01, .*\(s2:processing_baseline\)"
    ) as told:
        ds.s2sr.upsample(["B05"])
    assert "upsample(offset=xr.DataArray([...], dims='time'))" in str(told.value)
    assert "ds = ds.drop_isel(time=[2])" in str(told.value)
    assert not ds.s2sr.validate()
    whole = cube(["02.14", "05.09", "05.09"]).s2sr.upsample(["B05"]).B05.values
    said = ds.s2sr.upsample(["B05"], offset=xr.DataArray([0, -1000, -1000], dims="time")).B05
    np.testing.assert_array_equal(said, whole)
    np.testing.assert_array_equal(ds.drop_isel(time=[2]).s2sr.upsample(["B05"]).B05, whole[:2])


def test_no_date_has_a_baseline() -> None:
    assert offsets(cube(np.array([None, None, None], object))) == [0, 0, 0]


def test_one_key_knows_what_another_does_not() -> None:
    """Collections of other names in one cube."""
    ds = cube(np.array(["02.14", None, None], object))
    ds = ds.assign_coords({"processing:version": ("time", np.array([None, "04.00", "05.09"], object))})
    assert offsets(ds) == pytest.approx([0, -0.1, -0.1])
    assert "(s2:processing_baseline, processing:version)" in str(ds.s2sr.validate())


@pytest.mark.parametrize("flag", [True, False])
def test_earth_searchs_flag_on_some_dates(flag: bool) -> None:
    """It settles nothing for its own date, and touches no other."""
    ds = cube(["02.14", "05.09", "05.09"])
    ds = ds.assign_coords({EARTH_SEARCH: ("time", np.array([None, flag, None], object))})
    with pytest.raises(RadiometryError, match=r"at time=2022-06-01.*drop_isel\(time=\[1\]\)"):
        ds.s2sr.upsample(["B05"])
    assert offsets(ds.drop_isel(time=[1]).isel(time=[0, 1, 1])) == pytest.approx([0, -0.1, -0.1])
    alone = radiometric_state(ds.B05.isel(time=2), None, None)[0]
    assert alone.offset == pytest.approx(-0.1)


def test_many_dates_without_a_baseline() -> None:
    ds = cube(["02.14", "05.09", "05.09"]).isel(time=[0, 1, 2] * 4)
    ds = ds.assign_coords({"s2:processing_baseline": ("time", np.array(["05.09"] + [None] * 11, object))})
    with pytest.raises(RadiometryError, match=r"2022-06-01, .* and 5 more, and one on the other"):
        ds.s2sr.upsample(["B05"])


# -- where it comes from ----------------------------------------------------------------------------------------------


def one(values: Any = 1500, dtype: str = "uint16", **attrs: Any) -> xr.DataArray:
    return xr.DataArray(np.full((6, 6), values, dtype), dims=("y", "x"), name="B04", attrs=attrs)


@pytest.mark.parametrize(
    ("da", "offset", "source"),
    [
        (one(), 0.0, "assumed: integers are DN / 10000, no offset"),
        (one(**{"s2:processing_baseline": "05.00"}), -0.1, "attrs s2:processing_baseline"),
        (one(processing_baseline="03.01"), 0.0, "attrs processing_baseline"),
        (one(scale_factor=1e-4, add_offset=-0.1, processing_baseline="02.08"), -0.1, "attrs; nodata"),
        (one(scale_factor=1e-4, add_offset=0.0, processing_baseline="05.09"), 0.0, "attrs; nodata"),
        (one(0.1, "float32", processing_baseline="05.09"), 0.0, "assumed: floats are reflectance"),
        (one(processing_baseline="recent"), 0.0, "assumed: integers"),
        (one().assign_coords({"s2:processing_baseline": "04.00"}), -0.1, "(s2:processing_baseline)"),
        (one().assign_coords({"s2:processing_baseline": "04.00", EARTH_SEARCH: True}), 0.0, "assumed: integers"),
        (one().assign_coords({"s2:processing_baseline": "04.00", EARTH_SEARCH: False}), 0.0, "assumed: integers"),
    ],
)
def test_the_source_is_told(da: xr.DataArray, offset: float, source: str) -> None:
    """What is written in the metadata wins; a baseline counts for bare DN only; Earth Search's flag settles nothing."""
    radiometry, dates = radiometric_state(da, None, None)
    assert dates is None
    assert radiometry.offset == pytest.approx(offset)
    assert source in radiometry.source


def test_the_users_word_wins() -> None:
    ds = cube(["02.14", "04.00", "05.09"])
    radiometry, dates = radiometric_state(ds.B05, None, 0.0)
    assert dates is None
    assert radiometry.offset == 0
    assert "offset=" in radiometry.source


def test_every_band_is_explained() -> None:
    ds = native((60, 60))
    ds["B05"].attrs |= {"scale_factor": 1e-4, "add_offset": -0.01}
    notes = "\n".join(ds.s2sr.validate().info.notes)
    assert "radiometry of B05: attrs; nodata 0 assumed" in notes
    assert "assumed: integers are DN / 10000, no offset; nodata 0 assumed" in notes
    assert all(band in notes for band in TWELVE)


# -- contradictions ---------------------------------------------------------------------------------------------------


def test_an_offset_that_was_taken_off_already() -> None:
    """Metadata say baseline 05.09, the pixels that nothing is left to take off; the date is named."""
    ds = cube(["05.09", "05.09", "05.09"]).map(lambda v: (v // 10).astype("uint16"))
    with pytest.raises(
        RadiometryError, match=r"has a median of .* at time=2021-06-01, which would be a reflectance of -0"
    ):
        ds.s2sr.upsample()
    with pytest.raises(RadiometryError, match=r"upsample\(offset=0\)"):
        ds.s2sr.upsample(offset=-1000)
    assert (ds.s2sr.upsample(["B05"], offset=0).B05 > 0).all()


def test_reflectance_with_the_offset_taken_off_twice() -> None:
    """As stackstac gives it where a collection took the offset off, and its items still tell it."""
    ds = (native((60, 60)) * 1e-4 * 0.2 - 0.1).astype("float64")
    with pytest.raises(RadiometryError, match=r"taken off twice: upsample\(offset=0.1\)"):
        ds.s2sr.upsample()
    sr = ds.s2sr.upsample(["B05"], offset=0.1)
    assert -0.1 < float(sr.B05.mean()) < 0


def test_values_that_no_offset_explains_are_not_sent_to_one(scene: xr.Dataset) -> None:
    standardised = scene[["B02", "B03", "B04", "B08", "B05"]].astype("float32")
    standardised = (standardised - standardised.mean()) / standardised.std() - 0.5
    with pytest.raises(RadiometryError, match=r"No offset of Sentinel-2 explains that.*as they were read"):
        standardised.s2sr.upsample(["B05"])


def test_dark_water_is_no_contradiction() -> None:
    ds = cube(["05.09"] * 3).map(lambda v: v * np.uint16(0) + np.uint16(900))
    assert ds.s2sr.validate()


def test_what_compares_dates_wants_one_offset() -> None:
    ds = cube(["02.14", "04.00", "05.09"])
    with pytest.raises(RadiometryError, match=r"differ along 'time'.*ds.isel\(time="):
        ds.s2sr.degrade(2)
    sr = ds.s2sr.upsample(["B05"])
    with pytest.raises(RadiometryError, match="differ along 'time'"):
        sr.s2sr.consistency(ds)
    same = ds.isel(time=[1, 2])
    assert same.s2sr.degrade(2).sizes["time"] == 2
    assert xr_s2sr.consistency(same.s2sr.upsample(["B05"]), same)["rmse"].size


# -- an offset that nothing says -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ds", "warns"),
    [
        (native().assign_coords(time=np.datetime64("2022-01-25", "ns")), True),
        (native().assign_coords(time=np.datetime64("2022-01-24", "ns")), False),
        (native().assign_coords(t=np.datetime64("2024-06-01", "ns")), True),
        (native(), False),
        (native(dtype="float32", scale=1e-4).assign_coords(time=np.datetime64("2024-06-01", "ns")), False),
        (cube(["02.14", "04.00", "05.09"]), False),
        (cube(), True),
    ],
    ids=["first day", "day before", "t", "no date", "reflectance", "baseline", "cube"],
)
def test_an_offset_that_nothing_says_is_warned_of_once(ds: xr.Dataset, warns: bool) -> None:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", S2SRWarning)
        ds.s2sr.upsample(model="bicubic")
    about = [str(w.message) for w in said if "nothing says the offset" in str(w.message)]
    assert len(about) == warns
    with warnings.catch_warnings():
        warnings.simplefilter("error", S2SRWarning)
        ds.s2sr.upsample(model="bicubic", offset=0)


def test_the_date_of_the_offset_is_said() -> None:
    """And the metadata that say it end the warning."""
    ds = native().assign_coords(time=np.datetime64("2024-06-01", "ns"))
    with pytest.warns(
        S2SRWarning, match=r"products of 2024-06-01 .*: upsample\(offset=-1000\) if .*offset=0\) if not$"
    ):
        ds.s2sr.upsample(model="bicubic")
    for band in ds.data_vars.values():
        band.attrs.update(scale_factor=1e-4, add_offset=-0.1)
    ds.s2sr.upsample(model="bicubic")
