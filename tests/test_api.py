"""``ds.s2sr``: what comes back, where, in which type, and that nothing of the input is lost."""

from __future__ import annotations

import copy
import pickle
import re
from contextlib import nullcontext
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
import xarray as xr
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from scenes import FINE, GSD, LEFT, RED_EDGE, SIXTY, TOP, TWELVE, coarsened, enlarged, native

import xr_s2sr
from xr_s2sr import S2SRWarning, models
from xr_s2sr.errors import BandError, GridError
from xr_s2sr.quality import bicubic

#: Bicubic interpolation: exact, quick, and the same code around it as with a network.
CUBIC = {"model": "bicubic"}


def snapshot(ds: xr.Dataset) -> dict[str, Any]:
    """Everything that could be changed by accident."""
    return {
        "attrs": copy.deepcopy(ds.attrs),
        "encoding": copy.deepcopy(ds.encoding),
        "dims": dict(ds.sizes),
        **{
            str(name): (v.dims, v.values.copy(), copy.deepcopy(v.attrs), copy.deepcopy(v.encoding), v.dtype)
            for name, v in ds.variables.items()
        },
    }


def same(one: Any, other: Any) -> bool:
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
    if isinstance(one, tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, np.ndarray):
        return np.array_equal(one, other, equal_nan=one.dtype.kind == "f")
    return bool(one == other)


def mirrored_bicubic(image: np.ndarray, factor: int) -> np.ndarray:
    """The plain interpolation of the scores, given neighbours that are the mirror image."""
    padded = np.pad(image.astype(float), 3, mode="symmetric")
    return bicubic(padded[None], factor)[0][3 * factor : -3 * factor, 3 * factor : -3 * factor]


# -- which bands -------------------------------------------------------------------------------------------------------


def test_all_bands(scene: xr.Dataset, restored: xr.Dataset) -> None:
    assert list(restored.data_vars) == list(scene.data_vars) == list(TWELVE)
    assert dict(restored.sizes) == {"y": 60, "x": 72}
    for name, da in restored.data_vars.items():
        assert da.dims == ("y", "x")
        assert da.dtype == np.uint16
        if GSD[str(name)] == 10:
            xr.testing.assert_identical(da.variable, scene[name].variable)


def test_10_m_bands_share_memory(scene: xr.Dataset) -> None:
    sr = scene.s2sr.upsample(**CUBIC)
    for band in FINE:
        assert np.shares_memory(sr[band].values, scene[band].values)


def test_with_the_packaged_models(scene: xr.Dataset, restored: xr.Dataset) -> None:
    sr = scene.s2sr.upsample()
    assert list(sr.data_vars) == list(TWELVE)
    for band in (*RED_EDGE, *SIXTY):
        assert sr[band].attrs["s2sr_model"].startswith(f"s2sr-{GSD[band]}m ")
        assert len(sr[band].attrs["s2sr_model_sha256"]) == 64
        assert (sr[band].values != restored[band].values).mean() > 0.5
        assert (sr[band].values > 0).all()


def test_against_plain_bicubic(scene: xr.Dataset, restored: xr.Dataset) -> None:
    for band in (*RED_EDGE, *SIXTY):
        expected = mirrored_bicubic(scene[band].values, GSD[band] // 10)
        np.testing.assert_allclose(restored[band].values, expected, atol=0.51)


@pytest.mark.parametrize(
    ("asked", "back"),
    [
        (["B05", "B11"], ["B05", "B11"]),
        (["swir16", "rededge1"], ["B05", "B11"]),
        ("B5", ["B05"]),
        (("b8a", "nir08", "nbart_nir_2"), ["B8A"]),
        (["B09", "B02", "B12"], ["B02", "B12", "B09"]),
        (["red"], ["B04"]),
        (["B04", "B02"], ["B02", "B04"]),
        (iter(["coastal"]), ["B01"]),
        ({"B07": 1}, ["B07"]),
        (np.array(["B06", "B05"]), ["B05", "B06"]),
    ],
)
def test_some_bands(scene: xr.Dataset, restored: xr.Dataset, asked: Any, back: list[str]) -> None:
    sr = scene.s2sr.upsample(asked, **CUBIC)
    assert list(sr.data_vars) == back  # the input's order
    for band in back:
        xr.testing.assert_identical(sr[band], restored[band])


def test_names_are_the_inputs(scene: xr.Dataset, restored: xr.Dataset) -> None:
    named = scene.rename(B11="swir16", B02="blue", B01="B1, central wavelength 443 nm")
    sr = named.s2sr.upsample(**CUBIC)
    assert list(sr.data_vars) == list(named.data_vars)
    np.testing.assert_array_equal(sr.swir16, restored.B11)
    assert sr.swir16.name == "swir16"
    assert list(named.s2sr.upsample("B11", **CUBIC).data_vars) == ["swir16"]


def test_other_variables_on_the_10_m_grid_come_along(scene: xr.Dataset) -> None:
    scene["cloud"] = (("y", "x"), np.zeros((60, 72), bool))
    scene["SCL"] = (("y_20m", "x_20m"), np.zeros((30, 36), np.uint8))
    scene["angle"] = ((), 42.0)
    with pytest.warns(S2SRWarning, match="left out, .* SCL"):
        sr = scene.s2sr.upsample(**CUBIC)
    xr.testing.assert_identical(sr.cloud.variable, scene.cloud.variable)
    assert sr.angle == 42
    assert "SCL" not in sr
    assert "cloud" not in scene.s2sr.upsample(["B05"], **CUBIC)


def test_cirrus_only_by_name() -> None:
    ds = native(bands=(*TWELVE, "B10"))
    assert "B10" not in ds.s2sr.upsample(**CUBIC)
    assert "B10 (cirrus) carries no ground signal" in str(ds.s2sr.validate())
    sr = ds.s2sr.upsample(["B10"])  # with the packaged models at hand
    assert list(sr.data_vars) == ["B10"]
    assert sr.B10.attrs["s2sr_model"] == "bicubic 1"
    assert "s2sr_model_sha256" not in sr.B10.attrs
    np.testing.assert_allclose(sr.B10, mirrored_bicubic(ds.B10.values, 6), atol=0.51)


def test_without_60_m_bands() -> None:
    ds = native(bands=(*FINE, *RED_EDGE))
    assert list(ds.s2sr.upsample().data_vars) == [*FINE, *RED_EDGE]
    assert ds.s2sr.validate()


def test_one_60_m_band_is_enough_for_bicubic_only() -> None:
    ds = native(bands=(*FINE, *RED_EDGE, "B01"))
    assert "B01" in ds.s2sr.upsample(**CUBIC)
    with pytest.raises(BandError, match=r"missing B09, which the model 's2sr-60m' needs to restore B01 \(found"):
        ds.s2sr.upsample(["B05", "B01"])
    with pytest.raises(BandError, match="missing B09"):
        ds.s2sr.upsample(model="s2sr-60m")


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize(("there", "missing"), [("B01", "B09"), ("B09", "B01")])
def test_one_60_m_band_alone_is_left_out(there: str, missing: str, lazy: bool) -> None:
    """Its model learned with both; the 20 m bands need neither."""
    whole = native(bands=(*FINE, *RED_EDGE, there))
    ds = whole.chunk() if lazy else whole
    with pytest.warns(S2SRWarning, match=f"{there} left out: missing {missing}, which the model 's2sr-60m'") as told:
        sr = ds.s2sr.upsample()
    assert len(told) == 1
    assert {*sr.data_vars} == {*FINE, *RED_EDGE}
    xr.testing.assert_identical(sr.compute(), whole.drop_vars(there).s2sr.upsample())
    report = ds.s2sr.validate()
    assert report
    assert f"{there} left out: missing {missing}" in str(report)
    assert "would restore B05, B06, B07, B8A, B11, B12 on" in str(report)


@pytest.mark.parametrize(
    ("missing", "asked", "message"),
    [
        (["B04"], ["B06", "B05"], r"missing B04, which the model 's2sr-20m' needs to restore B06, B05 \(found: B01, "),
        (["B03"], ["B05"], r"missing B03, which .*ds.rename\(\{\"my_variable\": \"B03\"\}\)"),
        (["B02", "B08"], None, "missing B02, B08, which the model"),
        (["B11"], ["B11"], r"asked for B11, but the Dataset holds B01, B02.*Load the band"),
        (list(FINE), None, "missing B02, B03, B04, B08, the 10 m bands that guide|missing B02, B03, B04, B08, which"),
        ([*RED_EDGE, *SIXTY], None, "nothing to upsample: no 20 m or 60 m band .found: B02, B03, B04, B08"),
    ],
)
def test_missing(scene: xr.Dataset, missing: list[str], asked: Any, message: str, no_pixels: None) -> None:
    with pytest.raises(BandError, match=message):
        scene.drop_vars(missing).s2sr.upsample(asked)


@pytest.mark.parametrize("missing", [["B11"], ["B06", "B12"], [b for b in RED_EDGE if b != "B11"], list(RED_EDGE)])
def test_any_20_m_band_may_be_missing(scene: xr.Dataset, missing: list[str]) -> None:
    """The network sees planes of 0 in their place; results say what was missing."""
    sr = scene.drop_vars(missing).s2sr.upsample()
    left = [band for band in RED_EDGE if band not in missing]
    card = models.load("s2sr-20m").card
    for band in (*left, "B01", "B09"):
        assert sr[band].attrs["s2sr_missing_inputs"] == " ".join(b for b in RED_EDGE if b in missing)
    if left:
        stacks = {
            name: np.stack(
                [scene[b].values * (b not in missing) / np.float32(10000 * card.scale) for b in bands]
            ).astype(np.float32)
            for name, bands in card.inputs.items()
        }
        session = ort.InferenceSession(str(models.load("s2sr-20m").path), providers=["CPUExecutionProvider"])
        pads = {name: 54 if name == "b10" else 27 for name in stacks}
        feed = {
            name: np.pad(stack, [(0, 0), (pads[name],) * 2, (pads[name],) * 2], mode="symmetric")[None]
            for name, stack in stacks.items()
        }
        whole = session.run(["sr"], feed)[0][0, :, 54:-54, 54:-54] * 10000 * card.scale
        for band in left:
            want = np.rint(np.maximum(whole[card.targets.index(band)], 1))
            assert np.abs(sr[band].values - want).max() <= 1
    whole_set = scene.s2sr.upsample()
    assert "s2sr_missing_inputs" not in whole_set.B01.attrs
    assert bool((whole_set.B01 != sr.B01).any())


def test_10_m_bands_are_needed_for_their_coordinates(scene: xr.Dataset) -> None:
    with pytest.raises(BandError, match="missing B02, B03, B04, B08, the 10 m bands that guide every restoration"):
        scene.drop_vars(FINE).s2sr.upsample(**CUBIC)


def test_a_bad_band_does_not_stop_the_others(scene: xr.Dataset) -> None:
    """A 60 m band that was snapped to a foreign grid is no reason to refuse the 20 m bands."""
    off = scene.assign_coords(x_60m=scene.x_60m + 7)
    sr = off.s2sr.upsample(["B05"])
    xr.testing.assert_identical(sr, scene.s2sr.upsample(["B05"]))
    with pytest.raises(GridError, match=r"60 m grid of 'B01' does not nest"):
        off.s2sr.upsample()


# -- where -------------------------------------------------------------------------------------------------------------


def test_coordinates_are_the_10_m_bands_own(scene: xr.Dataset, restored: xr.Dataset) -> None:
    scene.y.attrs["axis"] = "Y"
    sr = scene.s2sr.upsample(["B05"], **CUBIC)
    for dim in ("y", "x"):
        xr.testing.assert_identical(sr[dim], scene[dim].drop_vars("spatial_ref").assign_coords(sr[dim].coords))
        assert sr[dim].attrs == scene[dim].attrs
        assert sr.indexes[dim] is scene.indexes[dim]
    assert sr.y.attrs == {"units": "metre", "my_note": "rows", "axis": "Y"}
    assert set(sr.coords) == {"y", "x", "spatial_ref"}


def test_crs_and_transform(scene: xr.Dataset, restored: xr.Dataset) -> None:
    assert restored.rio.crs.to_epsg() == 32632
    assert restored.rio.transform() == Affine(10, 0, LEFT, 0, -10, TOP)
    assert restored.B11.rio.crs.to_epsg() == 32632
    assert restored.B11.rio.transform() == Affine(10, 0, LEFT, 0, -10, TOP)
    assert restored.rio.bounds() == (LEFT, TOP - 600, LEFT + 720, TOP)


def test_without_crs() -> None:
    sr = native((60, 60), crs=None).s2sr.upsample(**CUBIC)
    assert "spatial_ref" not in sr.coords
    assert sr.rio.crs is None
    assert sr.rio.transform() == Affine(10, 0, LEFT, 0, -10, TOP)


def test_other_dims() -> None:
    dims = {10: ("northing", "easting"), 20: ("row", "col"), 60: ("a", "b")}
    ds = native((60, 72), dims=dims)
    sr = ds.s2sr.upsample()
    assert dict(sr.sizes) == {"northing": 60, "easting": 72}
    plain = native((60, 72)).s2sr.upsample()
    for band in TWELVE:
        np.testing.assert_array_equal(sr[band], plain[band])


def test_each_band_with_dims_of_its_own() -> None:
    ds = native((60, 72))
    own = ds.assign(
        {b: ds[b].rename({f"{a}_20m": f"{a}_{b}" for a in "yx"}) for b in RED_EDGE} | {b: ds[b] for b in FINE}
    )
    xr.testing.assert_equal(own.s2sr.upsample(**CUBIC), ds.s2sr.upsample(**CUBIC))


def test_ascending_rows() -> None:
    down, up = native((60, 66)), native((60, 66), ascending=True)
    assert up.y[0] < up.y[-1]
    b = up.s2sr.upsample()
    xr.testing.assert_identical(b.y, up.B02.y.assign_coords(spatial_ref=b.spatial_ref))
    cubic, turned = down.s2sr.upsample(**CUBIC), up.s2sr.upsample(**CUBIC)
    # the network sees rows as they are stored: the same rows under descending coordinates give the same numbers
    relabelled = up.assign_coords({dim: down[dim] for dim in ("y", "y_20m", "y_60m")})
    stored = relabelled.s2sr.upsample()
    for band in TWELVE:
        np.testing.assert_allclose(turned[band][::-1], cubic[band], atol=1)
        np.testing.assert_array_equal(b[band].values, stored[band].values)


slices = st.tuples(st.integers(0, 7), st.integers(0, 7), st.integers(0, 7), st.integers(0, 7))


@settings(max_examples=25)
@given(slices, slices, st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(0, 2), st.integers(0, 2)))
def test_extents_that_differ(fine: tuple[int, ...], half: tuple[int, ...], sixth: tuple[int, ...]) -> None:
    whole = native((78, 90))
    cuts = {}
    covered = [0, 78, 0, 90]
    for suffix, factor, cut in (("", 1, fine), ("_20m", 2, half), ("_60m", 6, sixth)):
        h, w = 78 // factor, 90 // factor
        cuts["y" + suffix], cuts["x" + suffix] = slice(cut[0], h - cut[1]), slice(cut[2], w - cut[3])
        here = [cut[0] * factor, (h - cut[1]) * factor, cut[2] * factor, (w - cut[3]) * factor]
        covered = [
            max(covered[0], here[0]),
            min(covered[1], here[1]),
            max(covered[2], here[2]),
            min(covered[3], here[3]),
        ]
    part = whole.isel(cuts)
    rows, cols = slice(*covered[:2]), slice(*covered[2:])
    size = covered[1] - covered[0], covered[3] - covered[2]
    all_of_it = size == (part.sizes["y"], part.sizes["x"])
    if all_of_it:
        sr = part.s2sr.upsample(**CUBIC)
    else:
        start = covered[0] - fine[0], covered[2] - fine[2]
        said = (
            f"result covers rows {start[0]}:{start[0] + size[0]} and columns {start[1]}:{start[1] + size[1]} of "
            f"{part.sizes['y']} x {part.sizes['x']} pixels at 10 m"
        )
        with pytest.warns(S2SRWarning, match=said) as caught:
            sr = part.s2sr.upsample(**CUBIC)
        assert len(caught) == 1
    assert (sr.sizes["y"], sr.sizes["x"]) == size
    full = whole.isel(y=rows, x=cols)
    np.testing.assert_array_equal(sr.y, full.y)
    np.testing.assert_array_equal(sr.x, full.x)
    assert sr.rio.transform() == Affine(10, 0, LEFT + 10 * covered[2], 0, -10, TOP - 10 * covered[0])
    for band in FINE:
        xr.testing.assert_equal(sr[band].drop_vars("spatial_ref"), full[band].drop_vars("spatial_ref"))


@pytest.mark.parametrize(
    "cut",
    [
        {"y": slice(6, None), "x": slice(5, None)},
        {"y_20m": slice(3, -3), "x_20m": slice(2, None)},
        {"y_60m": slice(1, None), "x_60m": slice(0, -1)},
        {"y": slice(1, -1), "x_20m": slice(1, -4), "y_60m": slice(1, -1)},
    ],
)
def test_interior_is_that_of_the_whole(cut: dict[str, slice]) -> None:
    """48 pixels and more from where something was cut off, nothing has changed: the halo reaches no farther."""
    whole = native((126, 126))
    kept = whole.isel(cut)
    with pytest.warns(S2SRWarning, match="the bands' extents differ") if any("_" in d for d in cut) else nullcontext():
        sr = kept.s2sr.upsample()
    full = whole.s2sr.upsample()
    inside = {"y": slice(TOP - 10 * 54, TOP - 10 * 72), "x": slice(LEFT + 10 * 54, LEFT + 10 * 72)}
    for band in TWELVE:
        a, b = sr[band].sel(inside), full[band].sel(inside)
        assert a.shape == (18, 18)
        np.testing.assert_array_equal(a, b)


def test_no_overlap(scene: xr.Dataset, no_pixels: None) -> None:
    apart = scene.isel(y=slice(0, 20), y_20m=slice(20, None))
    message = (
        "the resolutions do not overlap, counted in 10 m pixels: .*'B05' rows 40:60, columns 0:72|"
        "the resolutions do not overlap.*rows 40:60.*Select the same area in each"
    )
    with pytest.raises(GridError, match=message):
        apart.s2sr.upsample(["B05"])
    assert not apart.s2sr.validate()


# -- leading dims ------------------------------------------------------------------------------------------------------


def test_every_date_is_its_own_run() -> None:
    time = np.array(["2024-06-01", "2024-06-11"], "datetime64[ns]")
    ds = native((60, 66), lead={"time": time}).assign_attrs(stack=True)
    ds = ds.assign_coords(cloudy=("time", [True, False]))
    sr = ds.s2sr.upsample()
    for band in TWELVE:
        assert sr[band].dims == ("time", "y", "x")
    xr.testing.assert_identical(sr.time, ds.B02.time.assign_coords(sr.time.coords))
    np.testing.assert_array_equal(sr.cloudy, [True, False])
    for k in range(2):
        alone = ds.isel(time=k).s2sr.upsample()
        xr.testing.assert_identical(sr.isel(time=k), alone)
    assert (sr.B05[0].values != sr.B05[1].values).any()


def test_two_leading_dims_and_one_of_length_one() -> None:
    ds = native((60, 60), bands=(*FINE, "B05"), lead={"run": [7], "time": [0, 1]})
    sr = ds.s2sr.upsample("B05", **CUBIC)
    assert sr.B05.dims == ("run", "time", "y", "x")
    assert sr.B05.shape == (1, 2, 60, 60)
    np.testing.assert_array_equal(sr.run, [7])


def test_leading_dims_that_differ(scene: xr.Dataset, no_pixels: None) -> None:
    scene["B05"] = scene.B05.expand_dims(time=[0, 1])
    message = r"'B05' has the leading dimensions \{'time': 2\}, 'B02' \{\}; expected the same. Select one date"
    with pytest.raises(GridError, match=message):
        scene.s2sr.upsample(**CUBIC)


def test_no_date_at_all() -> None:
    ds = native((60, 60), lead={"time": np.array([], "datetime64[ns]")})
    sr = ds.s2sr.upsample(**CUBIC)
    assert sr.B05.shape == (0, 60, 60)


# -- types and values --------------------------------------------------------------------------------------------------


INTEGERS, FLOATS = ["uint16", "int16", "int32", "uint32", "int64", ">u2"], ["float16", "float32", "float64", ">f4"]


@pytest.mark.parametrize("dtype", INTEGERS + FLOATS)
def test_dtype_in_dtype_out(dtype: str) -> None:
    floats = np.dtype(dtype).kind == "f"
    ds = native((60, 60), dtype=dtype, scale=1e-4 if floats else 1)
    sr = ds.s2sr.upsample()
    reference = native((60, 60)).s2sr.upsample()
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
        np.testing.assert_allclose(sr[band].values, target, atol=1.6 * step)


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


# -- nothing lost ------------------------------------------------------------------------------------------------------


def test_attrs_encodings_and_provenance() -> None:
    ds = native((60, 60), bands=(*FINE, *RED_EDGE))
    ds.attrs["history"] = ["downloaded"]
    ds.B11.attrs |= {"standard_name": "toa_bidirectional_reflectance", "nested": {"a": 1}}
    ds.B11.encoding |= {
        "dtype": "int32", "scale_factor": 1.0, "_FillValue": 0, "chunksizes": (5, 5), "zlib": True, "source": "x.jp2"
    }  # fmt: skip
    sr = ds.s2sr.upsample()
    assert sr.attrs == ds.attrs
    own = {k: v for k, v in sr.B11.attrs.items() if not k.startswith("s2sr_")}
    assert own == ds.B11.attrs
    assert sr.B11.attrs["s2sr_native_gsd"] == 20
    assert sr.B11.encoding == {"dtype": "int32", "scale_factor": 1.0, "_FillValue": 0, "grid_mapping": "spatial_ref"}
    assert sr.B02.encoding == ds.B02.encoding
    assert sr.B02.attrs == ds.B02.attrs


@pytest.mark.parametrize("bands", [None, ["B05"], ["B02", "B01"]])
def test_input_is_left_alone(bands: Any) -> None:
    ds = native((60, 60), lead={"time": [0]})
    ds.B05.values[0, 2, 2] = 0
    before = snapshot(ds)
    sr = ds.s2sr.upsample(bands, **CUBIC)
    ds.s2sr.validate()
    assert same(snapshot(ds), before)
    part = ds.isel(y_20m=slice(3, None))
    before = snapshot(part)
    with pytest.warns(S2SRWarning, match="extents differ"):
        part.s2sr.upsample(bands or ["B05"], **CUBIC) if bands != ["B02", "B01"] else part.s2sr.upsample("B05", **CUBIC)
    assert same(snapshot(part), before)
    sr.attrs["new"] = 1
    for name in sr.data_vars:
        sr[name].attrs["new"] = 1
    assert all("new" not in v.attrs for v in (ds, *ds.data_vars.values()))


def test_scalar_coordinates_survive() -> None:
    ds = native((60, 60), bands=(*FINE, "B05")).assign_coords(time=np.datetime64("2024-06-01", "ns"), tile="32TPT")
    ds = ds.assign_coords(orbit=((), 65))
    sr = ds.s2sr.upsample(**CUBIC)
    assert (sr.time, sr.tile, sr.orbit) == (ds.time, "32TPT", 65)


def test_two_dimensional_coordinates_survive(scene: xr.Dataset) -> None:
    scene = scene.assign_coords(lon=(("y", "x"), np.zeros((60, 72))), lon20=(("y_20m", "x_20m"), np.zeros((30, 36))))
    sr = scene.s2sr.upsample(**CUBIC)
    assert sr.lon.dims == ("y", "x")
    assert "lon20" not in sr.coords


def test_read_only_and_strided_pixels(scene: xr.Dataset, restored: xr.Dataset) -> None:
    for band in TWELVE:
        big = np.zeros([2 * n for n in scene[band].shape], np.uint16, order="F")
        big[::2, ::2] = scene[band].values
        view = big[::2, ::2]
        view.flags.writeable = False
        scene[band] = scene[band].copy(data=view)
    sr = scene.s2sr.upsample(**CUBIC)
    xr.testing.assert_equal(sr, restored)


# -- how it is called --------------------------------------------------------------------------------------------------


def test_free_function_and_pipe(scene: xr.Dataset, restored: xr.Dataset) -> None:
    xr.testing.assert_identical(xr_s2sr.upsample(scene, model="bicubic"), restored)
    xr.testing.assert_identical(scene.pipe(xr_s2sr.upsample, "B05", **CUBIC), restored[["B05"]])


@pytest.mark.parametrize(
    "said",
    [{"tile": 6}, {"tile": 30}, {"tile": 31, "threads": 3}, {"threads": 1}, {"margin": 100}, {"device": "cpu"}],
)
def test_speed_settings_change_nothing(scene: xr.Dataset, said: dict[str, Any]) -> None:
    bands = ["B05", "B12", "B01"]
    slow = scene.isel(y=slice(24), y_20m=slice(12), y_60m=slice(4))
    xr.testing.assert_identical(slow.s2sr.upsample(bands, **said), slow.s2sr.upsample(bands))


def test_small_margin_blends(scene: xr.Dataset) -> None:
    """Close to the seamless result, without a jump at the borders of the tiles."""
    whole, blended = scene.s2sr.upsample(["B05"]), scene.s2sr.upsample(["B05"], tile=24, margin=6)
    away = np.abs(whole.B05.astype(float) - blended.B05)
    assert 0 < away.mean() < 0.03 * whole.B05.mean()


def test_progress_function(scene: xr.Dataset, capsys: pytest.CaptureFixture[str]) -> None:
    seen: list[tuple[int, int]] = []
    scene.s2sr.upsample(["B05", "B01"], tile=36, progress=lambda done, of: seen.append((done, of)), **CUBIC)
    assert [done for done, _ in seen] == list(range(1, len(seen) + 1))
    assert {of for _, of in seen} == {len(seen)} == {2 * 2 * 2}
    assert capsys.readouterr() == ("", "")


def test_progress_line(scene: xr.Dataset, capsys: pytest.CaptureFixture[str]) -> None:
    scene.s2sr.upsample(["B05"], progress=True, **CUBIC)
    out, err = capsys.readouterr()
    assert out == ""
    assert "1 of 1 windows" in err
    assert err.endswith("\n")


def test_an_error_in_progress_is_not_swallowed(scene: xr.Dataset) -> None:
    def stop(done: int, of: int) -> None:
        raise KeyboardInterrupt("enough")

    with pytest.raises(KeyboardInterrupt, match="enough"):
        scene.s2sr.upsample(["B05"], progress=stop, **CUBIC)


def test_pickle_after_use(scene: xr.Dataset, restored: xr.Dataset) -> None:
    scene.s2sr.upsample(["B05"])
    again = pickle.loads(pickle.dumps(scene))
    xr.testing.assert_identical(again, scene)
    xr.testing.assert_identical(again.s2sr.upsample(**CUBIC), restored)
    xr.testing.assert_identical(copy.deepcopy(scene), scene)


def test_twice(restored: xr.Dataset) -> None:
    """A result is no native scene any more, and is told so."""
    with pytest.raises(GridError, match="'B01' is a 60 m band with a spacing of 10 along 'y'; expected 60"):
        restored.s2sr.upsample(**CUBIC)


# -- validate, bands, repr ---------------------------------------------------------------------------------------------


def test_report(scene: xr.Dataset) -> None:
    report = scene.rename(B11="swir16").isel(x_20m=slice(2, None)).s2sr.validate()
    assert report
    text = str(report)
    lines = text.splitlines()
    assert lines[0].split() == ["band", "variable", "GSD", "size", "starts", "at", "values"]
    assert lines[1].split(None, 2)[:2] == ["B01", "B01"]
    (swir,) = [line for line in lines if "swir16" in line]
    assert " ".join(swir.split()) == "B11 swir16 20 m 30 x 34 0, 4 uint16 x 0.0001, nodata 0"
    assert "CRS: EPSG:32632" in text
    assert "note: radiometry: assumed: integers are DN / 10000, no offset; nodata 0 assumed" in text
    assert lines[-1] == "upsample() would restore B01, B05, B06, B07, B8A, B09, B11, B12 on 60 x 68 pixels of 10 m"
    assert repr(report) == text
    assert report.problems == ()


def test_report_follows_units_and_offset(scene: xr.Dataset) -> None:
    text = str(scene.s2sr.validate(units="dn", offset=-1000))
    assert "uint16 x 0.0001 -0.1, nodata 0" in text
    assert "assumed: integers" not in text


def _broken() -> dict[str, tuple[xr.Dataset, str]]:
    ds = native((60, 60))
    return {
        "empty": (xr.Dataset(), r"no Sentinel-2 band among the variables \(none\)"),
        "foreign": (xr.Dataset({"t2m": 1.0}), r"no Sentinel-2 band among the variables \('t2m'\)"),
        "scalar": (xr.Dataset({"B05": 1.0, "B02": 2.0}), "needs two spatial dimensions"),
        "no coords": (ds.drop_vars(list(ds.coords)), "has no coordinate along 'y'"),
        "no guides": (ds.drop_vars(list(FINE)), "missing B02, B03, B04, B08"),
        "one guide": (ds.drop_vars("B03"), "missing B03"),
        "no coarse": (ds[list(FINE)], "nothing to upsample"),
        "misaligned": (ds.assign_coords(x_20m=ds.x_20m + 3), "does not nest"),
        "twice": (ds.assign(red=ds.B04), "both 'B04' and 'red' are band B04"),
        "object": (ds.assign(B05=ds.B05.astype(object)), "has dtype object"),
        "float DN": (ds.astype("float32"), "has a median of"),
        "apart": (ds.isel(y=slice(10), y_60m=slice(5, None)), "do not overlap"),
        "zero": (ds.isel(y=slice(0)), "is empty: dimension 'y' has no pixels"),
        "nan": (ds.assign_coords(y=np.full(60, np.nan)), "holds NaN or inf"),
        "strings": (ds.assign_coords(y=[str(k) for k in range(60)]), "expected metres as numbers"),
        "scale": (ds.assign(B05=ds.B05.assign_attrs(scale_factor="x")), "has scale_factor='x'"),
        "number name": (xr.Dataset({5: ("x", [1])}), r"no Sentinel-2 band among the variables \(5\)"),
    }


@pytest.mark.parametrize("case", list(_broken()))
def test_validate_raises_on_nothing(case: str, no_pixels: None) -> None:
    ds, message = _broken()[case]
    report = ds.s2sr.validate()
    assert not report
    assert report.problems
    text = str(report)
    assert re.search("problem: .*" + message, text), text
    assert text.endswith("upsample() would not run: see the problems")
    assert report._repr_html_().startswith("<table")
    with pytest.raises(xr_s2sr.S2SRError) as caught:  # one of those, the same words
        ds.s2sr.upsample()
    assert any(str(caught.value).startswith(str(problem)) for problem in report.problems)


def test_html_is_escaped(scene: xr.Dataset) -> None:
    evil = "B1, central wavelength <script>alert(1)</script>"
    html = scene.rename(B01=evil).s2sr.validate()._repr_html_()
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
    assert html.count("<tr") == 13


def test_long_names_are_shown_whole(scene: xr.Dataset) -> None:
    name = "B1, central wavelength 443 nm" + ", resampled" * 20
    report = scene.rename(B01=name).s2sr.validate()
    assert name in str(report)
    assert name in report._repr_html_()


def test_repr(scene: xr.Dataset) -> None:
    assert repr(scene[["B05", "B02"]].s2sr) == "<s2sr: B02, B05; .upsample(), .validate()>"
    assert repr(xr.Dataset().s2sr) == "<s2sr: no band; .upsample(), .validate()>"
    assert "both 'B04' and 'red'" in repr(scene.assign(red=scene.B04).s2sr)
