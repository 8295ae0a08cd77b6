"""``evaluate``: scores on the user's own scene, against the same thing done by hand, and the published baselines."""

from __future__ import annotations

import copy
import importlib.util
import json
import pickle
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from real_scenes import DATA, real
from scenes import DIMS, FINE, GSD, RED_EDGE, SIXTY, TWELVE, native
from toy_models import save

import xr_s2sr
from xr_s2sr import models, quality
from xr_s2sr.errors import ArgumentTypeError, BandError, GridError, InputError, LazyError, ModelError, S2SRWarning
from xr_s2sr.layouts import normalize
from xr_s2sr.quality import reduced_resolution
from xr_s2sr.scene import scene as native_scene

PEERS = DATA.parent / "peers" / "baselines.json"
RESTORED = (*RED_EDGE, *SIXTY)


@pytest.fixture(scope="module")
def _large() -> xr.Dataset:
    return native((216, 252))


@pytest.fixture
def large(_large: xr.Dataset) -> xr.Dataset:
    """Large enough for 60 m bands; a copy that may be changed."""
    return _large.copy(deep=True)


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A 20 m network with small random weights."""
    return save(tmp_path_factory.mktemp("models") / "toy.onnx", gain=0.2)


def of(scores: xr_s2sr.quality.evaluate.Scores, name: str, model: str = "bicubic") -> np.ndarray:
    return scores.sel(model=model)[name].values


@pytest.mark.parametrize("protocol", ["sensor", "paper", "mtf"])
def test_bicubic_done_by_hand(large: xr.Dataset, protocol: str) -> None:
    scores = large.s2sr.evaluate("bicubic", protocol=protocol)
    assert scores["rmse"].dims == scores["sre"].dims == scores["uiq"].dims == ("model", "band")
    assert scores["sam"].dims == scores["ergas"].dims == ("model", "gsd")
    assert list(scores.model.values) == ["bicubic"]
    assert list(scores.band.values) == list(RESTORED)
    assert list(scores.native_gsd.values) == [20] * 6 + [60] * 2
    assert list(scores.gsd.values) == [20, 60]
    assert list(scores.factor.values) == [2, 6]
    assert list(scores.pixels.values) == [(108 - 24) * (126 - 24), (36 - 24) * (42 - 24)]
    for group, factor in ((RED_EDGE, 2), (SIXTY, 6)):
        truth = np.stack([large[b].values.astype(float) for b in group])
        simulated = [quality.degrade(t, factor, protocol, band=b) for b, t in zip(group, truth, strict=True)]
        restored = quality.bicubic(np.stack(simulated), factor)
        at = [list(RESTORED).index(b) for b in group]
        np.testing.assert_allclose(of(scores, "rmse")[at], quality.rmse(restored, truth), rtol=1e-4)
        np.testing.assert_allclose(of(scores, "sre")[at], quality.sre(restored, truth), atol=1e-3)
        np.testing.assert_allclose(of(scores, "uiq")[at], quality.uiq(restored, truth), atol=1e-4)
        k = (20, 60).index(GSD[group[0]])
        assert of(scores, "sam")[k] == pytest.approx(quality.sam(restored, truth), rel=1e-4)
        assert of(scores, "ergas")[k] == pytest.approx(quality.ergas(restored, truth, factor), rel=1e-4)


def test_a_model_done_by_hand(large: xr.Dataset, toy: Path) -> None:
    scores = large.s2sr.evaluate(toy)
    assert list(scores.model.values) == ["bicubic", "toy-20m"]
    assert list(scores.band.values) == list(RED_EDGE)  # what the model restores
    low = large.s2sr.degrade(2)
    sr = low.s2sr.upsample(RED_EDGE, model=toy)
    truth, restored = (np.stack([x[b].values.astype(float) for b in RED_EDGE]) for x in (large, sr))
    np.testing.assert_allclose(of(scores, "rmse", "toy-20m"), quality.rmse(restored, truth), rtol=1e-9)
    digest = models.load(toy).sha256
    assert scores.attrs == {
        "protocol": "sensor",
        "border": 12,
        "factors": "2 (20 m bands)",
        "models": f"bicubic: bicubic 1; toy-20m: toy-20m 1 sha256:{digest}",
    }


def test_agrees_with_the_bench(large: xr.Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    path = Path(__file__).parents[1] / "bench" / "fidelity.py"
    spec = importlib.util.spec_from_file_location("fidelity", path)
    assert spec is not None
    assert spec.loader is not None
    bench = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "fidelity", bench)
    spec.loader.exec_module(bench)
    bands = {10: FINE, 20: RED_EDGE, 60: SIXTY}
    arrays = {gsd: np.stack([large[b].values.astype(float) for b in group]) for gsd, group in bands.items()}
    scores = {p: large.s2sr.evaluate("bicubic", protocol=p) for p in ("sensor", "mtf")}
    scored = 0
    for gsd, protocol, trial in bench.trials(bench.RealScene("large", "", arrays)):
        if protocol not in scores:
            continue
        want = bench.scored(trial.restore("bicubic"), trial.truth, {20: 2, 60: 6}[gsd])
        for name in ("rmse", "sre", "uiq"):
            np.testing.assert_allclose(
                scores[protocol][name].sel(band=list(bands[gsd])).values[0], want[name], rtol=1e-5
            )
        for name in ("sam", "ergas"):
            np.testing.assert_allclose(scores[protocol][name].sel(gsd=gsd).values[0], want[name][0], rtol=1e-5)
        scored += 1
    assert scored == 4


@pytest.mark.parametrize("protocol", ["paper", "mtf"])
@pytest.mark.parametrize(
    "name", ["hvn2_usa", "terramind_38D_378R_2_3_L1C", "terramind_38D_378R_2_3_L2A", "ben_20170927T094019_66_56"]
)
@pytest.mark.skipif(not PEERS.is_file(), reason=f"no baselines: {PEERS} does not exist")
def test_published_baselines_of_bicubic(name: str, protocol: str) -> None:
    wanted = {
        entry["factor"]: entry["rmse"]
        for entry in json.loads(PEERS.read_text())
        if (entry["scene"], entry["protocol"], entry["method"]) == (name, protocol, "bicubic")
    }
    bands = [band for factor in wanted for band in {2: RED_EDGE, 6: SIXTY}[factor]]
    scores = real(name).s2sr.evaluate("bicubic", bands=bands, protocol=protocol)
    np.testing.assert_allclose(of(scores, "rmse"), [error for errors in wanted.values() for error in errors], atol=0.1)


def test_packaged_models_beat_bicubic() -> None:
    ds, _ = xr_s2sr.tutorial.synthetic_scene(240)
    for protocol in ("sensor", "paper", "mtf"):
        scores = ds.s2sr.evaluate(protocol=protocol)
        assert list(scores.model.values) == ["bicubic", "xr_s2sr"]
        for name, better in (("rmse", -1), ("sre", 1), ("uiq", 1), ("sam", -1), ("ergas", -1)):
            assert (better * (of(scores, name, "xr_s2sr") - of(scores, name)) > 0).all(), name


def test_methods_are_compared_by_name(large: xr.Dataset, toy: Path) -> None:
    scores = large.s2sr.evaluate({"mine": toy, "bicubic": "bicubic", "mine again": [toy, "bicubic"]}, bands="B05")
    assert list(scores.model.values) == ["bicubic", "mine", "mine again"]
    assert of(scores, "rmse", "mine") == of(scores, "rmse", "mine again")
    # what a given model does not restore goes to the packaged one, as in upsample
    both = large.s2sr.evaluate(toy, bands=["B05", "B01"])
    assert list(both.band.values) == ["B05", "B01"]
    assert "s2sr-60m" in both.attrs["models"]
    # and what is asked for besides the model is interpolated if that was asked for
    plain = large.s2sr.evaluate([toy, "bicubic"], bands=["B05", "B01"])
    assert of(plain, "rmse", "toy-20m")[1] == of(plain, "rmse")[1]


def test_units_and_offset_do_not_change_the_errors(large: xr.Dataset) -> None:
    want = large.s2sr.evaluate("bicubic")
    reflectance = (large.drop_attrs() * 1e-4).drop_attrs()
    raw = large + 1000
    for ds, told in ((reflectance, {}), (raw, {"offset": -1000}), (large.astype("float32"), {"units": "dn"})):
        got = ds.s2sr.evaluate("bicubic", **told)
        for name in ("rmse", "sre", "uiq", "sam", "ergas"):
            np.testing.assert_allclose(got[name], want[name], rtol=1e-3)


def test_any_slice_of_a_scene(large: xr.Dataset) -> None:
    # begins inside of 20 m and 60 m pixels, and ends anywhere
    cut = large.isel(y=slice(7, 211), x=slice(3, None), y_20m=slice(2, None), x_60m=slice(1, 41))
    scores = cut.s2sr.evaluate("bicubic")
    inner = {"y": (12, 192), "x": (6, 246)}
    whole = large.isel({dims[k]: slice(a * 10 // g, b * 10 // g) for g, dims in DIMS.items()
                        for k, (a, b) in enumerate(inner.values())})  # fmt: skip
    np.testing.assert_allclose(scores["rmse"].sel(band="B01"), whole.s2sr.evaluate("bicubic")["rmse"].sel(band="B01"))
    # the residual rows and columns differ for the factor of 2, in whole 120 m
    assert list(scores.pixels.values) == [(96 - 24) * (120 - 24), (30 - 24) * (36 - 24)]


def test_without_60_m_bands_and_without_60_m_cells() -> None:
    ds = native((52, 56), (*FINE, *RED_EDGE))
    scores = ds.s2sr.evaluate("bicubic")
    assert list(scores.gsd.values) == [20]
    assert list(scores.pixels.values) == [2 * 4]
    assert np.isnan(scores["uiq"]).all()  # no whole window
    assert "nan" not in str(scores)


def test_dates_are_pooled() -> None:
    ds = native((60, 72), (*FINE, "B05", "B11"), lead={"time": [1, 2], "tile": ["a"]})
    scores = ds.s2sr.evaluate("bicubic")
    single = [ds.isel(time=t, tile=0).s2sr.evaluate("bicubic") for t in (0, 1)]
    assert int(scores.pixels[0]) == sum(int(s.pixels[0]) for s in single)
    np.testing.assert_allclose(
        of(scores, "rmse"), np.sqrt(np.mean([of(s, "rmse") ** 2 for s in single], axis=0)), rtol=1e-12
    )
    for name in ("uiq", "sam"):
        want = np.mean([of(s, name) for s in single], axis=0)
        np.testing.assert_allclose(of(scores, name), want, rtol=1e-12)


def test_what_is_invalid_has_no_influence(large: xr.Dataset) -> None:
    def with_hole(value: float, spot: float) -> xr.Dataset:
        ds = large.astype("float32").where(lambda x: x > 0).drop_attrs()
        ds["B05"] = ds.B05.where(~((ds.x_20m > ds.x_20m[80]) & (ds.y_20m < ds.y_20m[70])), value)
        ds["B02"].values[40, 60] = spot
        return ds

    scores = with_hole(np.nan, np.nan).s2sr.evaluate("bicubic", bands=["B05", "B11"], units="dn")
    assert np.isfinite(scores["rmse"]).all()
    # by brute force: 12 pixels of 20 m from the border, and from what is NaN at 20 m and 40 m
    low = with_hole(np.nan, np.nan).s2sr.degrade(2, units="dn")
    bad = np.isnan(low.B02.values) | np.isnan(low.B05.values).repeat(2, 0).repeat(2, 1)
    assert bad[20, 30]
    valid = np.array([
        [12 <= i < 96 and 12 <= j < 114 and not bad[i - 12 : i + 13, j - 12 : j + 13].any() for j in range(126)]
        for i in range(108)
    ])  # fmt: skip
    assert int(scores.pixels[0]) == valid.sum()
    truth = np.stack([large[b].values.astype(float) for b in ("B05", "B11")])
    restored = low.s2sr.upsample(["B05", "B11"], model="bicubic")
    images = np.stack([restored[b].values.astype(float) for b in ("B05", "B11")])
    np.testing.assert_allclose(of(scores, "rmse"), quality.rmse(images, truth, 0, valid), rtol=1e-6)
    # idle bands do not matter
    more = with_hole(np.nan, np.nan)
    more["B12"].values[:] = np.nan
    again = more.s2sr.evaluate("bicubic", bands=["B05", "B11"], units="dn")
    np.testing.assert_array_equal(again["rmse"], scores["rmse"])


def test_a_network_gets_the_same_pixels_as_bicubic(large: xr.Dataset, toy: Path) -> None:
    large.B12.values[20, 20] = 0  # read by the network only
    alone = large.s2sr.evaluate("bicubic", bands="B05")
    beside = large.s2sr.evaluate(toy, bands="B05")
    assert int(beside.pixels[0]) < int(alone.pixels[0])
    assert of(beside, "rmse", "bicubic") != of(alone, "rmse", "bicubic")


def test_what_cannot_be_evaluated_is_left_out_with_a_warning(scene: xr.Dataset) -> None:
    with pytest.warns(S2SRWarning, match=r"the 60 m bands are not evaluated: the scene is too small .* 36 x 72 pixels"):
        scores = scene.s2sr.evaluate("bicubic")
    assert list(scores.band.values) == list(RED_EDGE)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scene.s2sr.evaluate("bicubic", bands=RED_EDGE)
    with pytest.raises(GridError, match=r"too small to evaluate 60 m bands: 36 x 72 .* expected 180 or more"):
        scene.s2sr.evaluate("bicubic", bands=["B05", "B01"])
    with pytest.raises(
        GridError, match=r"too small to evaluate 20 m bands: 48 x 72 .* expected 60 or more, of which 24"
    ):
        scene.isel(y=slice(50)).s2sr.evaluate("bicubic")
    with pytest.raises(BandError, match="missing B04, which the model 's2sr-20m' needs"):
        scene.drop_vars("B04").s2sr.evaluate(bands="B05")


def test_nothing_valid(scene: xr.Dataset) -> None:
    scene.B03.values[::6, ::6] = 0
    scene.B05.values[::4] = 0
    with pytest.raises(InputError, match="no 20 m pixel can be scored; expected some of 30 x 36 to lie more than 12"):
        scene.s2sr.evaluate("bicubic", bands="B05")


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"bands": ["B05", "B04"]}, BandError, "asked to evaluate B04, which nothing restores: 10 m bands are passed"),
        ({"bands": ["B05", "B10"]}, BandError, "asked to evaluate B10, which nothing restores: .* B10 is interpolated"),
        ({"bands": "B5x"}, BandError, "'B5x' is not a Sentinel-2 band"),
        ({"protocol": "sharp"}, InputError, "protocol='sharp' is unknown; choose one of 'sensor', 'paper', 'mtf'"),
        ({"protocol": "paper", "satellite": "S2A"}, InputError, 'expected protocol="sensor" or "mtf"'),
        ({"model": "none.onnx"}, ModelError, "no model 'none.onnx'"),
        ({"model": {}}, InputError, "model is an empty mapping; name some methods"),
        ({"model": {"bicubic": None}}, InputError, 'the name "bicubic" is that of interpolation'),
        ({"model": {"mine": 3}}, ArgumentTypeError, "model=3 is a int; expected a name, a path"),
        ({"model": "bicubic", "device": "gpu"}, InputError, "device='gpu' is unknown"),
    ],
)
def test_refusals(scene: xr.Dataset, arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        scene.assign(B10=scene.B09).s2sr.evaluate(**({"bands": "B05"} | arguments))


def test_more_refusals(scene: xr.Dataset, toy: Path) -> None:
    with pytest.raises(BandError, match=r"the models restore B05, .* of which the Dataset holds none"):
        scene[[*FINE, *SIXTY]].s2sr.evaluate(toy)
    with pytest.raises(LazyError, match="is a dask array"):
        scene.chunk().s2sr.evaluate("bicubic", bands="B05")
    with pytest.raises(ArgumentTypeError, match="expected an xarray Dataset"):
        xr_s2sr.evaluate(None)  # type: ignore[arg-type]
    with pytest.raises(BandError, match=r"'B05' .* no dimension whose labels are bands"):
        xr_s2sr.evaluate(scene.B05)


def test_the_table(large: xr.Dataset, toy: Path) -> None:
    scores = large.s2sr.evaluate({"<mine>": toy}, bands=[*RED_EDGE, "B09"], protocol="mtf", satellite="S2A")
    text = str(scores)
    assert repr(scores) == text
    lines = text.splitlines()
    assert lines[0] == 'Wald\'s protocol, "mtf (S2A)"; degraded by 2 (20 m bands), 6 (60 m bands)'
    assert lines[1].split() == ["RMSE", "[DN]", "SRE", "[dB]", "UIQ", "SAM", "[deg]", "ERGAS"]
    assert lines[2].split() == ["band", *["bicubic", "<mine>"] * 5]
    assert [line.split()[0] for line in lines[3:11]] == [*RED_EDGE, "20", "B09", "60"][:8]
    errors = of(scores, "rmse"), of(scores, "rmse", "<mine>")
    assert lines[3].split()[1:3] == [f"{e[0]:.1f}" for e in errors]
    assert lines[9].split()[2:4] == [f"{e[:6].mean():.1f}" for e in errors]
    assert lines[9].split()[-1] == f"{of(scores, 'ergas', '<mine>')[0]:.2f}"
    assert models.load(toy).sha256[:12] in text
    assert models.load(toy).sha256 not in text
    assert max(map(len, lines)) <= 120
    html = scores._repr_html_()
    assert html.count("<tr>") == 2 + 9
    assert html.count("<td>") == 9 * 10
    assert "&lt;mine&gt;" in html
    assert "<mine>" not in html
    assert len(html) < 8000


def test_metrics_of_ones_own(large: xr.Dataset) -> None:
    def bias(restored: np.ndarray, truth: np.ndarray, border: int, valid: np.ndarray) -> np.ndarray:
        return (restored - truth)[:, valid].mean(axis=1)

    def worst(restored: np.ndarray, truth: np.ndarray, border: int, valid: np.ndarray, factor: int) -> float:
        return factor * np.abs(restored - truth)[:, valid].max()

    own = [
        quality.Metric("bias", bias, long_name="mean error", unit="DN", format="+.2f"),
        quality.Metric("worst", worst, "gsd", heading="largest", relative=True),
    ]
    scores = large.s2sr.evaluate("bicubic", bands=["B05", "B11"], metrics=own)
    plain = large.s2sr.evaluate("bicubic", bands=["B05", "B11"])
    xr.testing.assert_identical(scores.dataset.drop_vars(["bias", "worst"]), plain.dataset)
    assert scores.bias.dims == ("model", "band")
    assert scores.worst.dims == ("model", "gsd")
    assert scores.bias.attrs == {"long_name": "mean error", "units": "DN"}
    # twice the largest error of all pixels and bands is above each band's RMSE, and that above its bias
    assert (scores.worst.values / 2 > scores.rmse.values.max()).all()
    assert (np.abs(scores.bias) < scores.rmse).all()
    assert scores.rows()[0][-2] == f"{float(scores.bias[0, 0]):+.2f}"
    assert ("bias" in str(scores), "largest" in str(scores), "largest" in str(plain)) == (True, True, False)

    for metrics, error, message in (
        ([bias], ArgumentTypeError, "is not a list of xr_s2sr.quality.Metric"),
        ([quality.Metric("rmse", bias)], InputError, "named 'rmse', as another score is"),
        ([own[0], own[0]], InputError, "named 'bias', as another score is"),
        ([quality.Metric("bias", bias, "gsd")], InputError, r"gave shape \(2,\) for 2 bands; expected \(\)"),
    ):
        with pytest.raises(error, match=message):
            large.s2sr.evaluate("bicubic", bands=["B05", "B11"], metrics=metrics)


def test_it_is_a_dataset_in_all_that_one_does_with_it(large: xr.Dataset, tmp_path: Path) -> None:
    scores = large.s2sr.evaluate("bicubic", bands=["B05", "B11"])
    assert isinstance(scores.dataset, xr.Dataset)
    assert scores.rmse.identical(scores["rmse"])
    assert scores.to_dataframe().index.names == ["model", "band", "gsd"]
    for twin in (copy.deepcopy(scores), pickle.loads(pickle.dumps(scores))):
        xr.testing.assert_identical(twin.dataset, scores.dataset)
    with pytest.raises(AttributeError, match="nothing"):
        _ = scores.nothing
    scores.to_netcdf(tmp_path / "scores.nc")
    with xr.open_dataset(tmp_path / "scores.nc") as back:
        xr.testing.assert_equal(back, scores.dataset)
        assert back.attrs["models"] == scores.attrs["models"]


def test_nothing_of_the_input_changes(large: xr.Dataset) -> None:
    before = large.copy(deep=True)
    large.s2sr.evaluate("bicubic")
    xr.testing.assert_identical(large, before)
    assert list(large.data_vars) == list(TWELVE)


@pytest.fixture
def looked_through(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The variables of each Dataset that is looked through from now on."""
    seen: list[list[str]] = []
    read_scene = native_scene.read_scene

    def recorded(ds: xr.Dataset, *args: Any) -> Any:
        seen.append([str(name) for name in ds.data_vars])
        return read_scene(ds, *args)

    for module in (native_scene, normalize, reduced_resolution):
        monkeypatch.setattr(module, "read_scene", recorded)
    return seen


def test_a_scene_is_surveyed_once(large: xr.Dataset, toy: Path, looked_through: list[list[str]]) -> None:
    large.s2sr.evaluate({"mine": toy, "ours": None}, bands=["B05", "B11", "B01"])
    native, at_20_m, at_60_m = looked_through
    assert native == list(TWELVE)
    # of the simulated scenes: what the models read, and nothing else
    assert sorted(at_20_m) == sorted([*FINE, *RED_EDGE])
    assert sorted(at_60_m) == sorted(TWELVE)
    looked_through.clear()
    large.s2sr.degrade(2)
    assert len(looked_through) == 1
    sr = large.s2sr.upsample("B05", model="bicubic")
    assert len(looked_through) == 2
    sr.s2sr.consistency(large)
    assert len(looked_through) == 3


def test_a_problem_of_a_band_that_is_not_read_stops_nothing(large: xr.Dataset, looked_through: list[list[str]]) -> None:
    """Then the rest is looked_through by itself, and the problem is named where the band is asked for."""
    want = large.s2sr.evaluate("bicubic", bands=["B05"])
    broken = large.assign_coords(x_60m=large.x_60m + 3)
    looked_through.clear()
    xr.testing.assert_identical(broken.s2sr.evaluate("bicubic", bands=["B05"]).dataset, want.dataset)
    assert len(looked_through) == 1 + 1 + 1 + 1  # whole, for the model, for the degradation, simulated
    with pytest.raises(GridError, match="does not nest"):
        broken.s2sr.evaluate("bicubic", bands=["B05", "B01"])
