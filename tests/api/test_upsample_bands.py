"""The bands that ``upsample`` restores, passes through, leaves out or refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
import xarray as xr
from scenes import FINE, GSD, RED_EDGE, SIXTY, TWELVE, native

from xr_s2sr import S2SRWarning, models
from xr_s2sr.bands import EFFECTIVE_MTF, NOMINAL_MTF
from xr_s2sr.errors import BandError, GridError
from xr_s2sr.local_regression import CoarseBand, Regression, guide_of
from xr_s2sr.psf import psf_variance
from xr_s2sr.quality import bicubic

pytestmark = pytest.mark.usefixtures("small_defaults")

#: Bicubic interpolation: exact, quick, and the same code around it as with a network.
CUBIC = {"model": "bicubic"}


def mirrored_bicubic(image: np.ndarray, factor: int) -> np.ndarray:
    """The plain interpolation of the scores, given neighbours that are the mirror image."""
    padded = np.pad(image.astype(float), 3, mode="symmetric")
    return bicubic(padded[None], factor)[0][3 * factor : -3 * factor, 3 * factor : -3 * factor]


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


@pytest.mark.usefixtures("packaged_defaults")
@pytest.mark.parametrize("missing", [["B11"], ["B06", "B12"], [b for b in RED_EDGE if b != "B11"], list(RED_EDGE)])
def test_any_20_m_band_may_be_missing(scene: xr.Dataset, missing: list[str]) -> None:
    """The network sees planes of 0 in their place; results say what was missing."""
    sr = scene.drop_vars(missing).s2sr.upsample(adapt=False)
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
        pads = {name: 108 if name == "b10" else 54 for name in stacks}
        feed = {
            name: np.pad(stack, [(0, 0), (pads[name],) * 2, (pads[name],) * 2], mode="symmetric")[None]
            for name, stack in stacks.items()
        }
        guides = [guide_of(x, NOMINAL_MTF[b]) for x, b in zip(feed["b10"][0], card.inputs["b10"], strict=True)]
        step, found = Regression(2, card.scale, guides), np.zeros((2, *feed["b10"].shape[-2:]), np.float32)
        for plane, band in zip(found, card.regressed, strict=True):
            if band not in missing:
                image = np.ascontiguousarray(feed["b20"][0, card.inputs["b20"].index(band)])
                plane[:] = step.restore(CoarseBand(image, EFFECTIVE_MTF[band], psf_variance(EFFECTIVE_MTF[band])))
        feed["regressed"] = found[np.newaxis]
        whole = session.run(["sr"], feed)[0][0, :, 108:-108, 108:-108] * 10000 * card.scale
        for band in left:
            want = np.rint(np.maximum(whole[card.targets.index(band)], 1))
            assert np.abs(sr[band].values - want).max() <= 1
    whole_set = scene.s2sr.upsample(adapt=False)
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
