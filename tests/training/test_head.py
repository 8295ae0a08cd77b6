"""The head for standard errors: it learns a known noise, leaves the network as it is, and lands in its file."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import xr_s2sr

torch = pytest.importorskip("torch", reason="the train extra is not installed")
onnx = pytest.importorskip("onnx", reason="the train extra is not installed")

from xr_s2sr.cli import main  # noqa: E402
from xr_s2sr.errors import ModelError  # noqa: E402
from xr_s2sr.inference import engine  # noqa: E402
from xr_s2sr.models import Model, load, onnx_graph  # noqa: E402
from xr_s2sr.training import export, networks, uncertainty  # noqa: E402
from xr_s2sr.training.data import SCALE  # noqa: E402
from xr_s2sr.training.recipe import Recipe  # noqa: E402
from xr_s2sr.training.scenes import TrainingScene, load_scenes  # noqa: E402
from xr_s2sr.training.uncertainty import BOUNDS, START, Head, restored_with_features  # noqa: E402


@pytest.fixture(scope="module")
def folder(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The two of the small scenes that have 60 m bands."""
    path = tmp_path_factory.mktemp("scenes")
    entries = [entry for entry in json.loads((folder / "manifest.json").read_text()) if entry["split"] != "train-only"]
    for entry in entries:
        shutil.copy(folder / f"{entry['file']}.npz", path)
    (path / "manifest.json").write_text(json.dumps(entries))
    return path


@pytest.fixture(scope="module")
def scenes(folder: Path) -> list[TrainingScene]:
    return load_scenes(folder, splits=("train",))


def network(gsd: int) -> networks.CoarseNet:
    torch.manual_seed(0)
    net = networks.NETWORKS[gsd](8, 2)
    with torch.no_grad():
        for p in net.parameters():
            p.normal_(0, 0.1)
    return net


@pytest.fixture(params=[20, 60])
def init(request: pytest.FixtureRequest, tmp_path: Path) -> Model:
    net = network(request.param)
    path = tmp_path / f"init-{request.param}m.onnx"
    export.to_onnx(net, export.card_for(net, "init", "1"), path)
    return load(path)


def feed(gsd: int, seed: int = 0, size: int = 60) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    shapes = {"b10": (4, size), "b20": (6, size // 2)}
    shapes |= {"regressed": (2, size)} if gsd == 20 else {"b60": (2, size // 6)}
    return {name: rng.random((bands, side, side), np.float32) for name, (bands, side) in shapes.items()}


def with_head(init: Model, path: Path, *, seed: int = 0) -> tuple[Head, Model]:
    net = export.trained(init.path)
    torch.manual_seed(seed)
    head = Head(net.width, len(init.card.targets), net.scale)
    with torch.no_grad():
        head.size.uniform_(0.5, 2)
        head.gain.mul_(torch.arange(1, len(init.card.targets) + 1))
        head.last.weight.mul_(20)
    uncertainty.export_head(net, head, init, Recipe.for_head(init.card.gsd), {}, path)
    return head, load(path)


def test_the_positive_function_is_that_of_its_definition() -> None:
    head = Head(1, 1, 1, hidden=1)
    with torch.no_grad():
        for p in head.parameters():
            p.zero_()
        head.first.weight[0, 0, 1, 1] = 1
        head.middle.weight.fill_(1)
        head.last.weight.fill_(-1)
        head.last.bias.fill_(3)
    x = torch.tensor([0.0, 2.0, 3.0, 4.0, 1e9])[None, None, None]
    # 3 - x: 1 + z above 0, 1 / (1 - z) below; then the smallest that is allowed, 0.5 DN
    expected = [START * 4, START * 2, START, START / 2, BOUNDS[0]]
    np.testing.assert_allclose(head(x).detach().numpy().ravel(), expected, rtol=1e-6)
    assert head(-x.flip(3) * 0).min() > 0


def test_the_file_restores_the_same_bits_and_gives_the_head(init: Model, tmp_path: Path) -> None:
    head, model = with_head(init, tmp_path / "head.onnx")
    gsd, n = init.card.gsd, len(init.card.targets)
    inputs = feed(gsd)
    expected = engine.runner(init, "cpu").run(inputs)
    both = engine.runner(model, "cpu", uncertainty=True).run(inputs)
    np.testing.assert_array_equal(both[:n].view(np.uint32), expected.view(np.uint32))
    np.testing.assert_array_equal(engine.runner(model, "cpu").run(inputs).view(np.uint32), expected.view(np.uint32))
    with torch.no_grad():
        tensors = [torch.from_numpy(a[None]) for a in inputs.values()]
        _, features = restored_with_features(export.trained(init.path), tensors)
        np.testing.assert_allclose(both[n:], head(features)[0].numpy(), rtol=1e-4)
    assert replace(model.card, uncertainty=False, training=init.card.training) == init.card
    assert "a head of 4 channels" in model.card.training


def test_the_head_sees_no_farther_than_the_halo(init: Model, tmp_path: Path) -> None:
    _, model = with_head(init, tmp_path / "head.onnx")
    ds, _ = xr_s2sr.tutorial.synthetic_scene(180)
    bands = list(init.card.targets)
    whole = ds.s2sr.upsample(bands, model=model, adapt=False, uncertainty=True, tile=720)
    tiled = ds.s2sr.upsample(bands, model=model, adapt=False, uncertainty=True, tile=60)
    for name in whole.data_vars:
        np.testing.assert_array_equal(whole[name], tiled[name])


def test_a_file_with_a_head_is_a_start_as_any(init: Model, tmp_path: Path) -> None:
    _, once = with_head(init, tmp_path / "once.onnx")
    assert len(onnx_graph.trained_convs(once.path)) == len(onnx_graph.trained_convs(init.path))
    for mine, theirs in zip(*(export.trained(m.path).parameters() for m in (init, once)), strict=True):
        assert torch.equal(mine, theirs)
    _, twice = with_head(once, tmp_path / "twice.onnx")
    assert len(onnx.load(str(twice.path)).graph.node) == len(onnx.load(str(once.path)).graph.node)


def test_another_result_is_refused(init: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = onnx_graph.Graph.read

    def changed(path: Path) -> onnx_graph.Graph:
        graph = original(path)
        array = onnx.numpy_helper.to_array(graph.weights[0]) * np.float32(1.001)
        graph.weights[0].CopyFrom(onnx.numpy_helper.from_array(array, graph.weights[0].name))
        return graph

    net = export.trained(init.path)
    head = Head(net.width, len(init.card.targets), net.scale)
    monkeypatch.setattr(onnx_graph.Graph, "read", changed)
    with pytest.raises(ModelError, match="expected the same bits"):
        uncertainty.export_head(net, head, init, Recipe.for_head(init.card.gsd), {}, tmp_path / "x.onnx")


def test_likelihood_by_hand() -> None:
    error = torch.tensor([[[[2.0]], [[30.0]]]])
    scale = torch.tensor([[[[4.0]], [[2.0]]]])
    near = np.log(4) + 0.5 * 0.25
    far = np.log(2) + 0.5 * 5 * (2 * 15 - 5)  # linear beyond five standard errors
    value = uncertainty.likelihood(error, scale, torch.ones(1, 2))
    assert float(value) == pytest.approx((near + far) / 2)
    assert float(uncertainty.likelihood(error, scale, torch.tensor([[1.0, 0.0]]))) == pytest.approx(near)


def test_a_known_noise_is_learned(scenes: list[TrainingScene], monkeypatch: pytest.MonkeyPatch) -> None:
    """A network that makes errors of 20 DN in the left half of its features and of 80 DN in the right one."""

    rng, truths = torch.Generator().manual_seed(3), []

    def known(net: object, inputs: list[torch.Tensor], *, exact: bool = True) -> tuple[torch.Tensor, torch.Tensor]:
        n, _, h, w = inputs[1].shape
        kind = (torch.rand((n, 1, h, w), generator=rng) > 0.5).float()
        sigma = torch.nn.functional.interpolate(20 + 60 * kind, scale_factor=2)
        error = torch.randn((n, 6, 2 * h, 2 * w), generator=rng) * sigma / SCALE
        return truths.pop() + error, torch.cat([kind, 1 - kind] * 8, dim=1)

    monkeypatch.setattr(uncertainty, "restored_with_features", known)
    batch = uncertainty.Patches.batch

    def remembered(self: uncertainty.Patches, n: int, size: int) -> object:
        out = batch(self, n, size)
        truths.append(out[1])
        return out

    monkeypatch.setattr(uncertainty.Patches, "batch", remembered)
    net = networks.Net20(16, 1)
    before = [p.clone() for p in net.parameters()]
    recipe = Recipe.for_head(20, steps=150, rate=2e-2)
    monkeypatch.setattr(uncertainty, "CALIBRATION", 5)
    monkeypatch.setattr(Recipe, "patches", lambda self, step: (2, 12, 0))
    lines: list[str] = []
    head = uncertainty.train_head(net, recipe, scenes, lines.append)
    features = torch.tensor([[1.0, 0.0], [0.0, 1.0]]).repeat(1, 8)[:, :, None, None].expand(2, 16, 8, 8)
    high, low = head(features).detach()[:, :, 4:-4, 4:-4].mean(dim=(1, 2, 3)) * SCALE
    assert float(low) == pytest.approx(20, rel=0.1)
    assert float(high) == pytest.approx(80, rel=0.1)
    assert all(torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True))
    assert "gain per band" in lines[-1]


@pytest.mark.parametrize("gsd", [20, 60])
def test_the_command_trains_and_writes(
    folder: Path, tmp_path: Path, gsd: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(uncertainty, "CALIBRATION", 5)
    net = network(gsd)
    init = tmp_path / "init.onnx"
    export.to_onnx(net, export.card_for(net, "mine", "1"), init)
    command = [
        "train",
        "--uncertainty",
        "--init",
        str(init),
        "--gsd",
        str(gsd),
        "--scenes",
        str(folder),
        "--steps",
        "3",
    ]
    assert main([*command, "--out", str(tmp_path / "out"), "--threads", "1"]) == 0
    printed = capsys.readouterr().out
    assert "step 3: loss" in printed
    model = load(tmp_path / "out" / "mine.onnx")
    assert model.card.uncertainty
    for protocol in ("sensor", "paper", "mtf"):
        assert len(model.card.scores[f"within 1, {protocol}"]) == len(model.card.targets)
    ds, _ = xr_s2sr.tutorial.synthetic_scene(120)
    error = ds.s2sr.upsample(list(model.card.targets), model=model, uncertainty=True)
    assert float(error[f"{model.card.targets[0]}_uncertainty"].min()) >= 0.5 * (1 - 1e-5)


def test_the_size_of_errors_is_between_root_mean_square_and_quantile() -> None:
    rng = np.random.default_rng(0)
    normal, heavy = 3 * np.abs(rng.standard_normal(200_000)), np.abs(rng.standard_t(3, 200_000))
    got = uncertainty.size_of(torch.from_numpy(np.stack([normal, heavy])))
    assert float(got[0]) == pytest.approx(3, rel=0.01)
    rms, quantile = np.sqrt(np.mean(heavy**2)), np.quantile(heavy, 0.6827)
    assert quantile < 0.8 * rms
    assert float(got[1]) == pytest.approx(np.sqrt(rms * quantile), rel=1e-3)


def test_calibration_leaves_nothing_to_scale(scenes: list[TrainingScene], monkeypatch: pytest.MonkeyPatch) -> None:
    net, recipe = network(20), Recipe.for_head(20)
    monkeypatch.setattr(uncertainty, "CALIBRATION", 4)
    monkeypatch.setattr(uncertainty, "TAIL", 1e9)
    with torch.no_grad():
        for p in net.parameters():
            p.mul_(0.3)  # errors far below the largest that a head can give
    head = Head(net.width, 6, net.scale)
    uncertainty.calibrate(net, head, recipe, scenes)
    first = head.gain.clone()
    uncertainty.calibrate(net, head, recipe, scenes)  # the same patches: nothing is left to scale
    np.testing.assert_allclose(head.gain, first, rtol=1e-4)


def test_options_that_do_not_go_together(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    common = ["train", "--uncertainty", "--scenes", str(folder), "--out", str(tmp_path)]
    assert main([*common, "--gsd", "20"]) != 0
    assert "say which: --init s2sr-20m" in capsys.readouterr().err
    assert main([*common, "--gsd", "60", "--init", "s2sr-20m"]) != 0
    assert "restores 20 m bands; expected --gsd 20" in capsys.readouterr().err
    assert main([*common, "--gsd", "20", "--init", "s2sr-20m", "--width", "32"]) != 0
    assert "so width cannot be given" in capsys.readouterr().err
    assert main([*common, "--gsd", "20", "--init", "s2sr-20m", "--device", "meta"]) != 0
    assert "so device cannot be given" in capsys.readouterr().err


def test_recipes() -> None:
    assert Recipe.for_head(60).augmentation.shifted == 0.8
    assert (Recipe.for_head(20, steps=7).steps, Recipe.for_head(20, steps=7).warmup) == (7, 1)
    # large patches, of which the border that sees zero padding is left out
    assert Recipe.for_head(20).patches(0) == (16, 26, 4)
    assert Recipe.for_head(60).patches(1) == (8, 9, 12)
