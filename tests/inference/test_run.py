"""The eager run: tiles, threads and blends change nothing; invalid pixels stay where they are."""

from __future__ import annotations

import sys
import threading
import types
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scenes import as_float, crop, spoil
from toy_models import CARD_20, CARD_60, save, without_halo

import xr_s2sr
from xr_s2sr import models, quality
from xr_s2sr.bands import BANDS, BY_GSD, EFFECTIVE_MTF, NOMINAL_MTF
from xr_s2sr.errors import EngineError, S2SRWarning
from xr_s2sr.inference import eager, region
from xr_s2sr.inference.tiles import write
from xr_s2sr.kernels import INVALID
from xr_s2sr.local_regression import CoarseBand, Regression, guide_of
from xr_s2sr.psf import psf_variance
from xr_s2sr.scene.radiometry import resolve_radiometry

SIZE = 126
UNTILED = 10_000
COARSE = [*BY_GSD[20], *BY_GSD[60]]


@pytest.fixture(scope="module")
def smooth(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Bilinear interpolation without a halo: constants stay."""
    folder = tmp_path_factory.mktemp("smooth")
    return [save(folder / f"{card.gsd}.onnx", card, gain=0) for card in map(without_halo, (CARD_20, CARD_60))]


@pytest.fixture(scope="module")
def scene() -> xr.Dataset:
    return xr_s2sr.tutorial.synthetic_scene(SIZE, seed=1)[0]


def upsample(ds: xr.Dataset, given: list[Path], **how: Any) -> xr.Dataset:
    """All coarse bands, with these models or else the packaged ones."""
    how = {"threads": 1, "device": "cpu", **how}
    return xr_s2sr.upsample(ds, COARSE, model=given or None, **how)


def without_gaps(scene: xr.Dataset) -> xr.Dataset:
    """Reflectance everywhere, uneven as that of any surface."""
    rng = np.random.default_rng(0)
    return as_float(scene).map(lambda v: v.fillna(0.1 + 0.01 * rng.random(v.shape, np.float32)))


def same(one: xr.Dataset, other: xr.Dataset) -> None:
    for band in COARSE:
        assert one[band].dtype == other[band].dtype
        np.testing.assert_array_equal(one[band].values, other[band].values, err_msg=band)


def pool_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("xr_s2sr")]


# -- tiles and threads ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tile", [6, 12, 18, 60, 100])
def test_tiled_is_untiled(scene: xr.Dataset, toys: list[Path], tile: int) -> None:
    ds = as_float(crop(scene, 66, 90)) if tile < 18 else as_float(scene)
    same(upsample(ds, toys, tile=tile), upsample(ds, toys, tile=UNTILED))


@pytest.mark.parametrize("tile", [18, 60])
@pytest.mark.parametrize("kind", ["uint16", "float32", "float64"])
def test_tiled_is_untiled_around_invalid_pixels(scene: xr.Dataset, toys: list[Path], tile: int, kind: str) -> None:
    ds = spoil(crop(scene, 120, 84) if kind == "uint16" else as_float(crop(scene, 120, 84), kind))
    same(upsample(ds, toys, tile=tile), upsample(ds, toys, tile=UNTILED))


def test_tiled_is_untiled_over_a_large_hole(scene: xr.Dataset, toys: list[Path]) -> None:
    """B01 is valid where B05 is not, and feels what B05 is filled with, deep inside."""
    ds = without_gaps(scene)
    ds.B05.values[4:56, 6:50] = np.nan
    whole = upsample(ds, toys, tile=UNTILED)
    assert np.isfinite(whole.B01).all()
    for tile in (18, 48):
        same(upsample(ds, toys, tile=tile), whole)


@pytest.mark.parametrize("shape", [(6, 6), (6, 60), (54, 12), (66, 78)])
def test_any_shape(scene: xr.Dataset, toys: list[Path], shape: tuple[int, int]) -> None:
    ds = as_float(crop(scene, *shape))
    whole = upsample(ds, toys, tile=UNTILED)
    assert whole.B05.shape == whole.B01.shape == shape
    same(upsample(ds, toys, tile=24), whole)


def test_ten_metre_bands_that_end_within_a_cell(scene: xr.Dataset, toys: list[Path]) -> None:
    ds = as_float(crop(scene, 66, 78)).isel(y=slice(4, 64), x=slice(2, 73))
    with pytest.warns(S2SRWarning, match="extents differ"):
        cut = upsample(ds.isel(y_20m=slice(3, None)), toys, tile=18)
    with pytest.warns(S2SRWarning, match="extents differ"):
        whole = upsample(ds.isel(y_20m=slice(3, None)), toys, tile=UNTILED)
    assert cut.B05.shape == (58, 71)
    same(cut, whole)


@pytest.mark.parametrize("threads", [2, 3])
def test_threads_change_nothing(scene: xr.Dataset, toys: list[Path], blind: list[Path], threads: int) -> None:
    ds = spoil(as_float(scene))
    same(upsample(ds, toys, tile=30, threads=threads), upsample(ds, toys, tile=30))
    same(upsample(ds, blind, tile=48, threads=threads), upsample(ds, blind, tile=48))
    assert not pool_threads()


def test_dates_are_independent(scene: xr.Dataset, toys: list[Path]) -> None:
    dates = [crop(spoil(scene, seed), 60, 66) for seed in range(2)]
    stacked = upsample(xr.concat(dates, "time"), toys, tile=30)
    for i, ds in enumerate(dates):
        same(stacked.isel(time=i), upsample(ds, toys, tile=30))


def test_networks_see_the_right_pixels(scene: xr.Dataset, toys: list[Path]) -> None:
    """One window through ONNX Runtime by hand, on an image padded by numpy."""
    import onnxruntime as ort

    ds = as_float(crop(scene, 60, 66))
    pad = 30
    feed = {}
    for name, bands in CARD_60.inputs.items():
        factor = BANDS[bands[0]].gsd // 10
        stack = np.stack([ds[band].values for band in bands]) / np.float32(CARD_60.scale)
        feed[name] = np.pad(stack, ((0, 0), *[(pad // factor, pad // factor)] * 2), mode="symmetric")[np.newaxis]
    session = ort.InferenceSession(str(toys[1]), providers=["CPUExecutionProvider"])
    expected = session.run(["sr"], feed)[0][0][:, pad:-pad, pad:-pad] * CARD_60.scale
    restored = upsample(ds, toys, tile=24)
    for band, image in zip(CARD_60.targets, expected, strict=True):
        np.testing.assert_allclose(restored[band].values, image, atol=1e-6)


@pytest.mark.parametrize("adapt", [False, True])
def test_a_network_sees_regressions(scene: xr.Dataset, tmp_path: Path, adapt: bool) -> None:
    """B11 and B12 as the regression alone restores them, on an image padded by numpy; 0 in the place of B12."""
    import onnxruntime as ort

    card = replace(CARD_20, regressed=("B11", "B12"), optional=BY_GSD[20], adapt=adapt)
    path, pad = save(tmp_path / "toy.onnx", card), 120
    ds = without_gaps(crop(scene, 60, 66)).drop_vars("B12")
    feed = {}
    for name, bands in card.inputs.items():
        factor = BANDS[bands[0]].factor
        stack = np.stack([ds[band].values if band in ds else 0 * ds["B11"].values for band in bands])
        stack = stack / np.float32(card.scale)
        feed[name] = np.pad(stack, ((0, 0), *[(pad // factor, pad // factor)] * 2), mode="symmetric")[np.newaxis]
    guides = [guide_of(image, NOMINAL_MTF[band]) for image, band in zip(feed["b10"][0], BY_GSD[10], strict=True)]
    step = Regression(2, card.scale, guides)
    swir = CoarseBand(np.ascontiguousarray(feed["b20"][0, 4]), EFFECTIVE_MTF["B11"], psf_variance(EFFECTIVE_MTF["B11"]))
    feed["regressed"] = np.stack([step.restore(swir), np.zeros_like(guides[0].image)])[np.newaxis]
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    restored = session.run(["sr"], feed)[0][0]
    if adapt:  # of a scene whose edges count as more than they do in the middle
        own = CoarseBand(
            np.ascontiguousarray(feed["b20"][0, 0]), EFFECTIVE_MTF["B05"], psf_variance(EFFECTIVE_MTF["B05"])
        )
        restored[0] = step.restore(replace(own, restored=restored[0]))
    expected = restored[0, pad:-pad, pad:-pad] * card.scale
    got = {tile: xr_s2sr.upsample(ds, ["B05"], model=path, tile=tile, device="cpu").B05.values for tile in (12, 60)}
    np.testing.assert_array_equal(got[12], got[60])
    inner = slice(24, -24) if adapt else slice(None)
    np.testing.assert_allclose(got[60][inner, inner], expected[inner, inner], atol=1e-6 if not adapt else 1e-4)


@pytest.mark.parametrize("bands", [("B01", "B09"), ("B11", "B09")])
def test_regressions_of_60_m_bands(scene: xr.Dataset, tmp_path: Path, bands: tuple[str, ...]) -> None:
    """Each at its own pixel size, on an image padded by numpy."""
    import onnxruntime as ort

    card = replace(CARD_60, regressed=bands, adapt=False)
    path, pad = save(tmp_path / "toy.onnx", card), 180
    ds = without_gaps(crop(scene, 60, 66))
    feed = {}
    for name, ids in card.inputs.items():
        factor = BANDS[ids[0]].factor
        stack = np.stack([ds[band].values for band in ids]) / np.float32(card.scale)
        feed[name] = np.pad(stack, ((0, 0), *[(pad // factor, pad // factor)] * 2), mode="symmetric")[np.newaxis]
    guides = [guide_of(image, NOMINAL_MTF[band]) for image, band in zip(feed["b10"][0], BY_GSD[10], strict=True)]
    found = []
    for band in bands:
        own = BANDS[band]
        image = np.ascontiguousarray(feed[f"b{own.gsd}"][0, BY_GSD[own.gsd].index(band)])
        given = CoarseBand(image, EFFECTIVE_MTF[band], psf_variance(EFFECTIVE_MTF[band]))
        found.append(Regression(own.factor, card.scale, guides).restore(given))
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    restored = session.run(["sr"], feed | {"regressed": np.stack(found)[np.newaxis]})[0][0] * card.scale
    got = {t: xr_s2sr.upsample(ds, ["B01", "B09"], model=path, tile=t, device="cpu") for t in (12, 60)}
    for band, image in zip(card.targets, restored, strict=True):
        np.testing.assert_array_equal(got[12][band], got[60][band])
        np.testing.assert_allclose(got[60][band], image[pad:-pad, pad:-pad], atol=1e-6)


@pytest.mark.parametrize("margin", [24, 120])
def test_the_step_behind_a_network_of_unknown_halo(scene: xr.Dataset, smooth: list[Path], margin: int) -> None:
    """What guides the 60 m bands covers what the network does, however far a window reads."""
    how = {"model": smooth[1], "adapt": True, "device": "cpu"}
    tiled = xr_s2sr.upsample(scene, ["B01", "B09"], tile=60, margin=margin, **how)
    whole = xr_s2sr.upsample(scene, ["B01", "B09"], tile=UNTILED, **how)
    for band in ("B01", "B09"):
        change = tiled[band].astype(float) - whole[band].astype(float)
        assert abs(change).mean() < 0.1 * abs(whole[band] - whole[band].mean()).mean()


def test_packaged_models_are_seamless(scene: xr.Dataset) -> None:
    if not {*models.DEFAULTS.values()} <= {*models.packaged()}:
        pytest.skip("no packaged weights in this checkout")
    ds = spoil(as_float(crop(scene, 72, 66)))
    same(upsample(ds, [], tile=36), upsample(ds, [], tile=UNTILED))


@pytest.mark.parametrize("tile", [6, 30, UNTILED])
def test_bicubic_is_that_of_quality(scene: xr.Dataset, tile: int) -> None:
    ds = as_float(crop(scene, 66, 78)).fillna(0.1)
    restored = xr_s2sr.upsample(ds, COARSE, model="bicubic", tile=tile, threads=1)
    for band in COARSE:
        factor = BANDS[band].gsd // 10
        expected = quality.bicubic(np.pad(ds[band].values, 4, mode="symmetric"), factor)
        cut = slice(4 * factor, -4 * factor)
        np.testing.assert_allclose(restored[band].values, expected[cut, cut], atol=1e-6)


# -- invalid pixels ---------------------------------------------------------------------------------------------------


def masks(ds: xr.Dataset, band: str) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Where a restored band must be nodata, and where saturated: from the native pixels alone."""

    def marked(name: str) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        values, factor = ds[name].values, BANDS[name].gsd // 10
        if values.dtype.kind == "f":
            missing, saturated = np.isnan(values) | np.isneginf(values), np.isposinf(values)
        else:
            missing, saturated = values == 0, values == 65535
        return tuple(mask.repeat(factor, 0).repeat(factor, 1) for mask in (missing, saturated))  # type: ignore[return-value]

    own, guides = marked(band), [marked(guide) for guide in BY_GSD[10]]
    missing = np.logical_or.reduce([own[0], *(guide[0] for guide in guides)])
    bright = np.logical_or.reduce([guide[1] for guide in guides])
    return missing | (bright & ~own[1]), own[1] & ~missing


@pytest.mark.parametrize("margin", [None, 6])
@pytest.mark.parametrize("kind", ["uint16", "float32"])
def test_invalid_pixels_do_not_spread(scene: xr.Dataset, toys: list[Path], kind: str, margin: int | None) -> None:
    ds = spoil(scene if kind == "uint16" else as_float(scene), seed=3)
    restored = upsample(ds, toys, tile=48, margin=margin)
    for band in COARSE:
        missing, saturated = masks(ds, band)
        values = restored[band].values
        found = (np.isnan(values), np.isinf(values)) if kind == "float32" else (values == 0, values == 65535)
        np.testing.assert_array_equal(found[0], missing, err_msg=band)
        np.testing.assert_array_equal(found[1], saturated, err_msg=band)
        assert 0 < missing.sum() < missing.size


def test_invalid_pixels_of_cells_that_are_cut(scene: xr.Dataset, toys: list[Path]) -> None:
    """The 10 m bands start and end within cells of 20 m and 60 m."""
    base = spoil(crop(scene, 66, 78), seed=5)
    cut = {"y": slice(3, 64), "x": slice(5, 71)}
    restored = upsample(base.isel(cut), toys, tile=18)
    for band in COARSE:
        missing, saturated = (mask[cut["y"], cut["x"]] for mask in masks(base, band))
        np.testing.assert_array_equal(restored[band].values == 0, missing, err_msg=band)
        np.testing.assert_array_equal(restored[band].values == 65535, saturated, err_msg=band)


def test_far_pixels_do_not_feel_invalid_ones(scene: xr.Dataset, toys: list[Path]) -> None:
    """Beyond halo + reach of the fill, a hole changes nothing, bit for bit."""
    ds = without_gaps(scene)
    holed = ds.copy(deep=True)
    holed.B03.values[:20, :20] = np.nan
    holed.B11.values[:10, :10] = np.inf
    one, other = upsample(ds, toys, tile=36), upsample(holed, toys, tile=36)
    far = slice(20 + (CARD_60.halo or 0) + 12 + 6, None)
    assert not np.array_equal(one.B05.values, other.B05.values)
    same(one.isel(y=far), other.isel(y=far))


def test_valid_pixels_never_become_nodata(scene: xr.Dataset, toys: list[Path]) -> None:
    """A network that says 0 and less is clipped to the smallest valid value."""
    ds = crop(scene, 60, 60).copy(deep=True)
    for name in ds.data_vars:
        ds[name].values[:] = 1
        ds[name].values[::3, ::5] = 2000
    restored = upsample(ds, toys, tile=24)
    assert min(int(restored[band].min()) for band in COARSE) == 1


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "int32"])
@settings(deadline=None)
@given(nodata=st.sampled_from([None, 0, 255, 65535, -1, -9999, -(2**15), -(2**31), 2**31 - 1]), seed=st.integers(0, 99))
def test_no_valid_pixel_becomes_a_mark(dtype: str, nodata: int | None, seed: int) -> None:
    info = np.iinfo(dtype)
    attrs = {} if nodata is None else {"_FillValue": nodata}
    radiometry = resolve_radiometry(xr.DataArray(np.zeros((2, 2), dtype), dims=("y", "x"), attrs=attrs))
    marks = {radiometry.nodata, radiometry.top}
    rng = np.random.default_rng(seed)
    around = rng.choice([info.min, info.max, *(mark for mark in marks if np.isfinite(mark))], (4, 5))
    image = ((around + rng.normal(0, 2, (4, 5))) * radiometry.scale / 0.2).astype(np.float32)
    out = np.empty((4, 5), dtype)
    write(image, np.zeros((4, 5), np.uint8), radiometry, 0.2, out)
    assert not {float(value) for value in out.ravel()} & marks
    codes = np.full((4, 5), INVALID, np.uint8)
    write(image, codes, radiometry, 0.2, out)
    assert (out == int(radiometry.nodata)).all()


# -- blending ---------------------------------------------------------------------------------------------------------


def test_blended_comes_close_to_untiled(scene: xr.Dataset, blind: list[Path]) -> None:
    """The more the wider the margin; the default of an unknown halo is 24."""
    ds = as_float(scene)
    whole = upsample(ds, blind, tile=UNTILED)
    inner = slice(12, -12)
    worst = []
    for margin in (6, 12, None):
        blended = upsample(ds, blind, tile=48, margin=margin)
        errors = []
        for band in COARSE:
            one, other = (result[band].values[inner, inner] for result in (whole, blended))
            np.testing.assert_array_equal(np.isnan(one), np.isnan(other))
            errors.append(np.nanmax(abs(one - other)))
        worst.append(max(errors))
    assert 2e-2 > worst[0] > 2 * worst[1] > 4 * worst[2] > 0
    assert worst[2] < 1e-3
    np.testing.assert_array_equal(upsample(ds, blind, tile=48, margin=24).B05, blended.B05)


def test_small_margin_of_a_known_halo_is_blended(scene: xr.Dataset, toys: list[Path]) -> None:
    ds = as_float(crop(scene, 90, 60))
    whole, blended = upsample(ds, toys, tile=UNTILED), upsample(ds, toys, tile=30, margin=6)
    assert 0 < float(abs(whole.B05 - blended.B05).max()) < 0.05


@pytest.mark.parametrize("margin", [None, 6, 12])
def test_constants_pass_the_seams(scene: xr.Dataset, smooth: list[Path], margin: int | None) -> None:
    ds = xr.full_like(crop(scene, 126, 114), 3000.0, np.float32)
    for name in ds.data_vars:
        ds[name].attrs.clear()
    restored = upsample(ds, smooth, tile=30, margin=margin, units="dn")
    for band in COARSE:
        np.testing.assert_allclose(restored[band].values, 3000, atol=1e-3)


# -- progress and failure ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("margin", [None, 6])
def test_progress_counts_to_the_total(scene: xr.Dataset, toys: list[Path], threads: int, margin: int | None) -> None:
    calls: list[tuple[int, int]] = []
    ds = spoil(crop(scene, 66, 60))
    upsample(ds, toys, tile=24, threads=threads, margin=margin, progress=lambda *call: calls.append(call))
    # 66 x 60 pixels in tiles of at most 24: 3 x 3, for two models
    assert calls == [(i + 1, 18) for i in range(18)]


def test_progress_line(scene: xr.Dataset, toys: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    upsample(crop(scene, 60, 60), toys, tile=30, progress=True)
    said = capsys.readouterr()
    assert said.out == ""
    assert "xr_s2sr: 100%" in said.err
    assert " 8/8 " in said.err
    assert said.err.endswith("\n")


def kernel() -> types.SimpleNamespace:
    """Stand in for IPython as the kernel of a notebook has it."""
    return types.SimpleNamespace(get_ipython=lambda: types.SimpleNamespace(kernel=object()))


def console() -> types.SimpleNamespace:
    return types.SimpleNamespace(get_ipython=lambda: types.SimpleNamespace(config={}))


@pytest.mark.parametrize(
    ("ipython", "terminal", "watched"),
    [(None, True, True), (None, False, False), (kernel, False, True), (console, False, False), (console, True, True)],
)
def test_a_bar_by_itself_where_somebody_looks(
    scene: xr.Dataset,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    ipython: Callable[[], Any] | None,
    terminal: bool,
    watched: bool,
) -> None:
    if ipython is None:
        monkeypatch.delitem(sys.modules, "IPython", raising=False)
    else:
        monkeypatch.setitem(sys.modules, "IPython", ipython())
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    monkeypatch.setattr(eager, "DELAY", 600.0)
    scene.s2sr.upsample("B05", model="bicubic")
    assert capsys.readouterr() == ("", ""), "shorter than the delay"
    monkeypatch.setattr(eager, "DELAY", 0.0)
    scene.s2sr.upsample("B05", model="bicubic", progress=False)
    assert capsys.readouterr() == ("", "")
    scene.s2sr.upsample("B05", model="bicubic")
    assert (" 1/1 " in capsys.readouterr().err) is watched


def test_no_stderr(scene: xr.Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """As under pythonw."""
    monkeypatch.setattr(sys, "stderr", None)
    assert not eager.is_watched()
    assert "B05" in scene.s2sr.upsample("B05", model="bicubic")


class Failing:
    device = "cpu"

    def __init__(self, after: int) -> None:
        self.left = after

    def run(self, inputs: dict[str, Any]) -> Any:
        self.left -= 1
        if self.left < 0:
            raise RuntimeError("the window broke")
        _, h, w = inputs["b10"].shape
        return np.zeros((6, h, w), np.float32)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("margin", [None, 6])
def test_failure_in_a_window(
    scene: xr.Dataset, toys: list[Path], monkeypatch: pytest.MonkeyPatch, threads: int, margin: int | None
) -> None:
    failing = Failing(after=4)
    monkeypatch.setattr(region, "runner", lambda model, device, weights, **how: failing)
    with pytest.raises(RuntimeError, match="the window broke"):
        xr_s2sr.upsample(scene, BY_GSD[20], model=toys[0], tile=30, threads=threads, margin=margin)
    assert not pool_threads()
    # the rest was not started, save for what was under way
    assert failing.left >= -2 * threads


@pytest.mark.parametrize("threads", [1, 3])
def test_failure_in_the_callback(scene: xr.Dataset, toys: list[Path], threads: int) -> None:
    def stop(done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt("enough")

    with pytest.raises(KeyboardInterrupt, match="enough"):
        upsample(scene, toys, tile=30, threads=threads, progress=stop)
    assert not pool_threads()


def test_a_network_that_gives_nan_is_refused(scene: xr.Dataset, tmp_path: Path) -> None:
    """An integer cannot hold NaN: casting it would write whatever the processor likes."""
    wild = save(tmp_path / "wild.onnx", gain=1e30)
    with pytest.raises(EngineError, match="gave NaN or inf for finite input"):
        scene.s2sr.upsample("B05", model=wild)
