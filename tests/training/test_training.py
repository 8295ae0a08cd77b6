"""The recipe: patches, networks, loop, export. Skipped where torch is absent."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import xr_s2sr
from xr_s2sr.bands import BY_GSD
from xr_s2sr.quality import degrade
from xr_s2sr.quality.sensor import NOISE_FACTOR, NOMINAL_MTF, noise_kept, noise_to_give_back, sensor_sigma

torch = pytest.importorskip("torch", reason="the train extra is not installed")
pytest.importorskip("onnx", reason="the train extra is not installed")

from xr_s2sr.cli import main  # noqa: E402
from xr_s2sr.errors import BandError, InputError, ModelError  # noqa: E402
from xr_s2sr.training import data, degradation, export, loop, muon, networks  # noqa: E402
from xr_s2sr.training import scenes as scene_room  # noqa: E402


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three small scenes in the format of the recipe, made from the synthetic landscape."""
    path = tmp_path_factory.mktemp("scenes")
    entries = []
    for seed, split in ((0, "train"), (1, "train-only"), (2, "validation")):
        ds, _ = xr_s2sr.tutorial.synthetic_scene(252, seed)
        stacks = {f"b{gsd}": np.stack([ds[band].values for band in BY_GSD[gsd]]) for gsd in (10, 20, 60)}
        if split == "train-only":
            del stacks["b60"]
        np.savez(path / f"scene{seed}.npz", **stacks)
        entries.append({"file": f"scene{seed}", "split": split, "level": "L2A"})
    (path / "manifest.json").write_text(json.dumps(entries))
    return path


@pytest.fixture(scope="module")
def scenes(folder: Path) -> list[scene_room.Scene]:
    return scene_room.load_scenes(folder, splits=("train", "train-only"))


def small(gsd: int, seed: int = 0) -> networks.CoarseNet:
    torch.manual_seed(seed)
    net = networks.NETWORKS[gsd](8, 2)
    with torch.no_grad():  # as loud as a trained one, so that far influences are not lost in rounding
        for p in net.parameters():
            p.normal_(0, 0.2)
    return net


def paper(gsd: int, seed: int = 0) -> networks.DSen2:
    torch.manual_seed(seed)
    net = networks.DSen2(gsd, 8, 2)
    with torch.no_grad():
        for p in net.parameters():
            p.normal_(0, 0.2)
    return net


# -- data ---------------------------------------------------------------------------------------------------------


def test_splits_and_missing_manifest(folder: Path, tmp_path: Path) -> None:
    assert [s.name for s in scene_room.load_scenes(folder, splits=("validation",))] == ["scene2"]
    assert len(scene_room.load_scenes(folder)) == 3
    assert scene_room.load_scenes(folder, splits=("none",), required=False) == []
    with pytest.raises(FileNotFoundError, match=r"manifest\.json not found"):
        scene_room.load_scenes(tmp_path)
    with pytest.raises(FileNotFoundError, match="no scene of the splits"):
        scene_room.load_scenes(folder, splits=("none",))


@pytest.mark.parametrize("factor", [2, 6])
def test_patches_are_degraded_as_whole_images_are(factor: int) -> None:
    rng = np.random.default_rng(0)
    m, n = degradation.margin(factor), 6 * factor
    image = rng.random((2, n + 2 * m, n + 2 * m))
    sigma = np.array([[0.5, factor / 3.5]])
    got = degradation.degrade_patches(
        torch.from_numpy(image[None].astype(np.float32)), factor, torch.tensor(sigma).float()
    )[0]
    for band in range(2):
        whole = degrade(image[band], factor, sigma=float(sigma[0, band]))
        inner = whole[m // factor : -(m // factor), m // factor : -(m // factor)]
        np.testing.assert_allclose(got[band].numpy(), inner, atol=2e-3)


@pytest.mark.parametrize(("gsd", "size", "proxy"), [(20, 12, False), (60, 4, False), (60, 4, True)])
def test_a_batch_has_nested_shapes(scenes: list[scene_room.Scene], gsd: int, size: int, proxy: bool) -> None:
    patches = data.Patches(scenes, gsd, np.random.default_rng(0))
    inputs, truth, present = patches.batch(3, size, proxy)
    factor = data.FACTOR[gsd]
    shapes = [tuple(x.shape) for x in inputs]
    expected = {
        20: [(3, 4, 2 * size, 2 * size), (3, 6, size, size)],
        60: [(3, 4, 6 * size, 6 * size), (3, 6, 3 * size, 3 * size), (3, 2, size, size)],
    }[gsd]
    assert shapes == expected
    assert tuple(truth.shape) == (3, {20: 6, 60: 2}[gsd], factor * size, factor * size)
    assert tuple(present.shape) == tuple(truth.shape[:2])
    assert all(torch.isfinite(x).all() for x in (*inputs, truth))


def test_truth_and_input_show_the_same_place(scenes: list[scene_room.Scene]) -> None:
    """Degrading the truth gives the input back, up to blur and noise: no shift, no mixed-up bands."""
    whole = data.Augmentation(dropped=0.0)
    inputs, truth, _ = data.Patches(scenes[:1], 20, np.random.default_rng(1), whole).batch(8, 16)
    mean = truth.reshape(8, 6, 16, 2, 16, 2).mean(dim=(3, 5))
    for band in range(6):
        a, b = inputs[1][:, band].flatten().numpy(), mean[:, band].flatten().numpy()
        assert np.corrcoef(a, b)[0, 1] > 0.98


def test_small_scenes_are_mirrored_not_dropped(scenes: list[scene_room.Scene]) -> None:
    tiny = replace(scenes[0], b10=scenes[0].b10[:, :36, :36], b20=scenes[0].b20[:, :18, :18], b60=None)
    inputs, truth, _ = data.Patches([tiny], 20, np.random.default_rng(0)).batch(2, 24)
    assert truth.shape[-1] == 48
    assert inputs[1].shape[-1] == 24


def test_60_m_pairs_come_from_scenes_as_large_as_the_patch(scenes: list[scene_room.Scene]) -> None:
    """A patch of a smaller scene would mostly be its mirror image; where all are small, that is better than nothing."""
    with_60 = [scene for scene in scenes if scene.b60 is not None]
    tiny = replace(with_60[0], name="tiny", b60=with_60[0].b60[:, :10, :10])
    size = min(min(scene.b60.shape[-2:]) for scene in with_60)
    assert size > 10
    for given, side, expected in (
        ([tiny, *scenes], 10, [tiny, *with_60]),
        ([tiny, *scenes], 11, with_60),
        ([tiny, *scenes], size, with_60),
        ([tiny], 11, [tiny]),
    ):
        pairs = data.Patches(given, 60, np.random.default_rng(0))
        assert [s.name for s in data.large_enough(pairs.scenes, side)] == [s.name for s in expected]


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_lessons_are_in_the_orientation_of_the_pupil(turns: int) -> None:
    """A teacher that is indifferent to orientation teaches the same in any."""

    def mean(b10: torch.Tensor, b20: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.interpolate(b20, scale_factor=2) + b10.mean(dim=1, keepdim=True)

    b10, b20 = torch.rand(2, 4, 12, 8), torch.rand(2, 6, 6, 4)
    got = loop.lessons(mean, [b10, b20], np.random.default_rng(turns))  # type: ignore[arg-type]
    torch.testing.assert_close(got, mean(b10, b20))


def test_clean_patches_have_a_teacher_of_their_own(scenes: list[scene_room.Scene], tmp_path: Path) -> None:
    """One teacher sees the patches with the sensor's noise, the other those without, and each patch has one."""
    seen: dict[str, int] = {"noisy": 0, "clean": 0}

    def teacher(name: str) -> networks.Network:
        net = networks.Net20(8, 1)
        forward = net.forward
        net.forward = lambda *x: (seen.__setitem__(name, seen[name] + len(x[0])), forward(*x))[1]  # type: ignore[method-assign]
        return net

    recipe = loop.Recipe(width=8, depth=1, steps=6, size=(6,), batch=(4,), late=0.0)
    loop.train(
        recipe,
        scenes,
        tmp_path / "checkpoint.pt",
        teacher=teacher("noisy"),
        clean_teacher=teacher("clean"),
        log=lambda line: None,
    )
    assert seen["noisy"] == 24  # it sees all, and its results for clean patches are replaced
    assert 0 < seen["clean"] < 24


# -- networks -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("factor", [2, 3, 6])
def test_fixed_phases_are_a_bilinear_upsampling(factor: int) -> None:
    x = torch.rand(1, 2, 5, 7)
    padded = torch.nn.functional.pad(x, (1, 1, 1, 1), mode="replicate")
    got = torch.nn.functional.pixel_shuffle(
        torch.nn.functional.conv2d(padded, networks.bilinear_phases(2, factor)), factor
    )
    want = torch.nn.functional.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)
    torch.testing.assert_close(got, want)


def test_a_checkpoint_of_the_first_trainings_still_fits() -> None:
    """The names under which weights were saved since the beginning."""
    ends = ["guide.weight", "guide.bias", "coarse.weight", "tail.weight", "tail.bias"]
    block = [f"blocks.0.{part}.{kind}" for part in ("first", "second") for kind in ("weight", "bias")]
    assert set(networks.Net20(8, 1).state_dict()) == {*ends, *block, "skip"}
    assert set(networks.Net60(8, 1).state_dict()) - {
        "proxy_coarsest.weight",
        "proxy_tail.weight",
        "proxy_tail.bias",
    } == {*ends, *block, "skip", "coarsest.weight", "lift"}


@pytest.mark.parametrize(
    ("architecture", "gsd", "parameters"),
    [  # 9 * in * out + out of each 3x3 convolution: the first, two a block, the last
        ("dsen2", 20, 9 * 128 * (10 + 12 * 128 + 6) + 13 * 128 + 6),
        ("dsen2", 60, 9 * 128 * (12 + 12 * 128 + 2) + 13 * 128 + 2),
        ("vdsen2", 20, 9 * 256 * (10 + 64 * 256 + 6) + 65 * 256 + 6),
        ("vdsen2", 60, 9 * 256 * (12 + 64 * 256 + 2) + 65 * 256 + 2),
    ],
)
def test_the_papers_networks_have_the_papers_size(architecture: str, gsd: int, parameters: int) -> None:
    recipe = loop.Recipe.default(gsd, architecture)
    with torch.device("meta"):
        net = networks.DSen2(recipe.gsd, recipe.width, recipe.depth)
    assert sum(p.numel() for p in net.parameters()) == parameters
    assert round(parameters / 1e6, 1) == {"dsen2": 1.8, "vdsen2": 37.8}[architecture]  # section 3.3 of the paper
    assert (
        export.halo(net)
        == {("dsen2", 20): 16, ("dsen2", 60): 18, ("vdsen2", 20): 68, ("vdsen2", 60): 72}[architecture, gsd]
    )


@pytest.mark.parametrize(("gsd", "names"), [(20, ("b10", "b20")), (60, ("b10", "b20", "b60"))])
def test_the_papers_network_is_that_of_the_paper(gsd: int, names: tuple[str, ...]) -> None:
    """Against plain numpy: concatenation, scaled residual blocks, additive skip."""
    keras_files = pytest.importorskip("keras_files", reason="the import extra is not installed", exc_type=ImportError)
    net = paper(gsd)
    rng = np.random.default_rng(0)
    shapes = {"b10": (4, 12, 12), "b20": (6, 6, 6), "b60": (2, 2, 2)}
    inputs = {name: rng.random(shapes[name], np.float32) for name in names}
    layers = [
        ("", conv.weight.detach().numpy().transpose(2, 3, 1, 0), conv.bias.detach().numpy()) for conv in net.layers
    ]
    with torch.no_grad():
        got = net(*(torch.from_numpy(array)[None] for array in inputs.values()))[0].numpy()
    np.testing.assert_allclose(got, keras_files.dsen2(inputs, layers), rtol=1e-4, atol=1e-4)


NETS = {
    "coarse 20": lambda: small(20),
    "coarse 60": lambda: small(60),
    "dsen2 20": lambda: paper(20),
    "dsen2 60": lambda: paper(60),
}


@pytest.mark.parametrize("which", NETS)
def test_halo_is_the_receptive_field(which: str) -> None:
    """A changed 60 m cell of input moves the output up to the halo around it, and nothing beyond."""
    net = NETS[which]()
    halo, cells = export.halo(net), 19
    rng = np.random.default_rng(0)
    sizes = {"b10": (4, 6), "b20": (6, 3), "b60": (2, 1)}
    base = [torch.from_numpy(rng.random((1, c, k * cells, k * cells), np.float32)) for c, k in sizes.values()]
    base = base[: len(net.inputs)]
    with torch.no_grad():
        before = net(*base)[0]
        reached = torch.zeros(before.shape[1:], dtype=torch.bool)
        for i, (_, k) in zip(range(len(base)), sizes.values(), strict=False):
            changed = [x.clone() for x in base]
            changed[i][..., 9 * k : 10 * k, 9 * k : 10 * k] += 10
            reached |= (net(*changed)[0] != before).any(dim=0)
    rows = torch.where(reached.any(dim=1))[0]
    # the cell spans pixels 54..59; windows start on whole cells, so distances count from its edges
    assert 54 - int(rows.min()) <= halo
    assert int(rows.max()) - 59 <= halo
    assert 54 - int(rows.min()) > halo - 6


# -- loop, export, command ----------------------------------------------------------------------------------------


def test_rate_rises_and_falls() -> None:
    recipe = loop.Recipe(steps=1000, warmup=100, rate=1e-3)
    rates = [loop.learning_rate(recipe, step) for step in range(1000)]
    assert rates[0] < rates[50] < rates[99] == pytest.approx(1e-3, rel=0.02)
    assert rates[100:] == sorted(rates[100:], reverse=True)
    assert rates[-1] == pytest.approx(1e-5, rel=0.05)


def test_training_lowers_the_loss_and_resumes(scenes: list[scene_room.Scene], tmp_path: Path) -> None:
    recipe = loop.Recipe(gsd=20, width=8, depth=1, steps=40, size=(8,), batch=(4,), rate=3e-3, warmup=5)
    lines: list[str] = []
    net = loop.train(recipe, scenes, tmp_path / "c.pt", every=10, log=lines.append)
    assert len([line for line in lines if "loss" in line]) == 4
    torch.manual_seed(recipe.seed)
    before = networks.build("coarse", 20, 8, 1)  # as it started
    # on one and the same batch: losses of different ones differ by more than so few steps bring
    inputs, truth, present = data.Patches(scenes, 20, np.random.default_rng(9)).batch(16, 16)
    with torch.no_grad():
        losses = [float(loop.mean_error(n(*inputs), truth, present)) for n in (before, net)]
    assert losses[1] < 0.9 * losses[0]
    lines.clear()
    loop.train(replace(recipe, steps=50), scenes, tmp_path / "c.pt", every=10, log=lines.append)
    assert lines[0] == "resumed at step 40"
    assert "(before, now): {'steps': (40, 50)}" in lines[1]
    assert lines[2].startswith("step 50")


def test_refining_starts_from_weights_and_is_gentler(scenes: list[scene_room.Scene], tmp_path: Path) -> None:
    recipe = loop.Recipe(gsd=20, width=8, depth=1, steps=4, size=(8,), batch=(4,), warmup=1)
    first = loop.train(recipe, scenes, tmp_path / "first.pt", every=4, log=lambda line: None)
    stage = recipe.refine(steps=1)
    assert stage.rate == pytest.approx(0.2 * recipe.rate)
    assert stage.patches(0) == (1, 16, 4)
    still = replace(stage, rate=0.0, decay=0.0)
    second = loop.train(still, scenes, tmp_path / "second.pt", init=tmp_path / "first.pt", log=lambda line: None)
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        torch.testing.assert_close(a, b)


def test_patches_grow_late() -> None:
    recipe = loop.Recipe(steps=100, size=(24, 12), batch=(16, 8), late=0.3, border=6)
    assert [recipe.patches(step) for step in (0, 1, 69, 70, 71, 99)] == [
        (16, 24, 0),
        (8, 12, 0),
        (8, 12, 0),
        (4, 48, 6),
        (2, 24, 6),
        (2, 24, 6),
    ]


def test_the_border_of_a_patch_is_not_scored() -> None:
    x = torch.arange(36.0).reshape(1, 1, 6, 6)
    assert loop.inner(x, 2).flatten().tolist() == [14, 15, 20, 21]
    assert loop.inner(x, 0) is x


@pytest.mark.parametrize("which", ["20", "60", "paper 20", "paper 60"])
def test_weights_come_back_from_the_model_file(which: str, tmp_path: Path) -> None:
    gsd = int(which[-2:])
    make = paper if "paper" in which else small
    net, path = make(gsd), tmp_path / "net.onnx"
    export.to_onnx(net, export.card_for(net, "toy", "1"), path, tolerance=1e-3)
    fresh = make(gsd, seed=1)
    export.start_from(fresh, path)
    for (name, a), b in zip(net.named_parameters(), fresh.parameters(), strict=True):
        if not name.startswith("proxy"):  # of use in training alone: not in the file
            torch.testing.assert_close(a, b, rtol=0, atol=1e-6)
    with pytest.raises(ModelError, match="do not fit the network to be trained"):
        export.start_from(networks.NETWORKS[20](16, 2), path)


def test_a_shallower_network_starts_with_evenly_spread_blocks(tmp_path: Path) -> None:
    deep, path = networks.NETWORKS[20](8, 5).eval(), tmp_path / "deep.onnx"
    export.to_onnx(deep, export.card_for(deep, "toy", "1"), path)
    shallow = networks.NETWORKS[20](8, 3)
    export.start_from(shallow, path)
    for i, block in zip((0, 2, 4), shallow.blocks, strict=True):
        torch.testing.assert_close(block.first.weight, deep.blocks[i].first.weight)
    torch.testing.assert_close(shallow.tail.weight, deep.tail.weight)
    with pytest.raises(ModelError, match="do not fit"):
        export.start_from(networks.NETWORKS[20](8, 6), path)


@pytest.mark.parametrize("gsd", [20, 60])
def test_a_model_files_network_is_read_with_its_size(gsd: int, tmp_path: Path) -> None:
    net, path = networks.NETWORKS[gsd](8, 3).eval(), tmp_path / "net.onnx"
    export.to_onnx(net, export.card_for(net, "toy", "1"), path)
    back = export.trained(path)
    assert type(back) is type(net)
    assert (back.width, back.depth) == (8, 3)
    assert export.difference(back.eval(), path) < 1e-4
    other, paper_path = paper(20), tmp_path / "paper.onnx"
    export.to_onnx(other, export.card_for(other, "toy", "1"), paper_path, tolerance=1e-3)
    with pytest.raises(ModelError, match="not one of the package's own networks"):
        export.trained(paper_path)


def test_a_student_comes_close_to_its_teacher(scenes: list[scene_room.Scene], tmp_path: Path) -> None:
    """With the truth left out of the loss, it is the teacher's result that is learned."""
    teacher = networks.NETWORKS[20](8, 1).eval()
    torch.nn.init.constant_(teacher.tail.bias, 0.25)  # 500 DN too bright: no truth teaches that
    recipe = loop.Recipe(gsd=20, width=8, depth=1, steps=60, size=(8,), batch=(4,), taught=1.0, warmup=5)
    quiet: list[str] = []
    student = loop.train(recipe, scenes, tmp_path / "a.pt", teacher=teacher, log=quiet.append)
    alone = loop.train(recipe, scenes, tmp_path / "b.pt", log=quiet.append)
    inputs, _, _ = data.Patches(scenes, 20, np.random.default_rng(3)).batch(4, 8)
    with torch.no_grad():
        want = teacher(*inputs)
        assert (student(*inputs) - want).abs().mean() < 0.5 * (alone(*inputs) - want).abs().mean()


def test_bands_that_play_others_leave_the_layers_of_b01_and_b09_alone() -> None:
    net = networks.NETWORKS[60](8, 1)
    inputs = torch.rand(1, 4, 12, 12), torch.rand(1, 6, 6, 6), torch.rand(1, 2, 2, 2)
    torch.testing.assert_close(net(*inputs, True), net(*inputs))  # they start as the real ones' twins
    net(*inputs, True).square().mean().backward()
    assert net.tail.weight.grad is None
    assert net.coarsest.weight.grad is None
    assert net.proxy_tail.weight.grad is not None
    assert net.guide.weight.grad is not None


def test_packaged_weights_are_a_start() -> None:
    net = networks.NETWORKS[20](64, 8)
    export.start_from(net, "s2sr-20m")
    assert export.difference(net, xr_s2sr.models.load("s2sr-20m").path) < 1e-5


# -- what patches lack --------------------------------------------------------------------------------------------


def test_dropped_bands_are_zero_and_not_asked_for(scenes: list[scene_room.Scene]) -> None:
    draw = data.Patches(scenes, 20, np.random.default_rng(0), data.Augmentation(dropped=1.0))
    inputs, _, present = draw.batch(256, 8)
    there = inputs[1].abs().amax(dim=(2, 3)) > 0
    assert (there == present.bool()).all()
    counts = present.sum(dim=1)
    assert counts.min() >= 1
    assert counts.max() <= 5
    assert len(set(counts.tolist())) == 5
    assert (inputs[0].abs().amax(dim=(2, 3)) > 0).all()


def test_half_of_the_patches_that_lack_bands_have_swir_bands_alone(scenes: list[scene_room.Scene]) -> None:
    for share, least, most in ((0.0, 0.02, 0.3), (0.5, 0.4, 0.75), (1.0, 1.0, 1.0)):
        how = data.Augmentation(dropped=1.0, only_swir=share)
        _, _, present = data.Patches(scenes, 20, np.random.default_rng(1), how).batch(128, 4)
        assert least <= float((present[:, :4].sum(dim=1) == 0).float().mean()) <= most


def test_the_share_of_patches_with_an_offset(scenes: list[scene_room.Scene]) -> None:
    seen = []
    for share in (0.0, 1.0):
        how = data.Augmentation(gain=0, air=(0, 0), noisy=0, dropped=0, shifted=share)
        seen.append(data.Patches(scenes, 20, np.random.default_rng(2), how).batch(128, 4)[1].mean(dim=(1, 2, 3)))
    assert not torch.allclose(seen[0], seen[1])
    assert float(seen[1].std()) > float(seen[0].std())


def test_the_60_m_network_meets_scenes_without_20_m_bands(scenes: list[scene_room.Scene]) -> None:
    draw = data.Patches(scenes, 60, np.random.default_rng(0), data.Augmentation(dropped=1.0))
    inputs, _, present = draw.batch(64, 4)
    none = (inputs[1].abs().amax(dim=(1, 2, 3)) == 0).float().mean()
    assert 0.3 < none < 0.8
    assert (present == 1).all()


def test_air_changes_the_60_m_bands_alone(scenes: list[scene_room.Scene]) -> None:
    """Inputs and truth of B01 and B09 by the same gain, each its own; the guide stays."""
    still = data.Augmentation(sensor=0, gain=0, air=(0, 0), noisy=0, dropped=0)
    drawn = [
        data.Patches(scenes[:1], 60, np.random.default_rng(5), how).batch(1, 4)
        for how in (still, replace(still, air=(0.25, 0.8)))
    ]
    (inputs, truth, _), (changed, changed_truth, _) = drawn
    for was, now in zip(inputs[:2], changed[:2], strict=True):
        torch.testing.assert_close(was, now)
    gains = changed_truth.std(dim=(0, 2, 3)) / truth.std(dim=(0, 2, 3))
    torch.testing.assert_close(changed[2].std(dim=(0, 2, 3)) / inputs[2].std(dim=(0, 2, 3)), gains)
    assert len({round(float(gain), 3) for gain in (*gains, 1.0)}) == 3


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_sensor_like_patches_have_the_noise_given_back(share: float) -> None:
    """White noise of 20 DN in every band: what degrading leaves of it, and, on top, what it took."""
    rng = np.random.default_rng(8)
    b10, b20 = (rng.normal(3000, 20.0, (n, side, side)).astype(np.float32) for n, side in ((4, 480), (6, 240)))
    scene = scene_room.Scene("white", "train", b10, b20, None, "L2A")
    still = data.Augmentation(sensor=share, gain=0, shifted=0, noisy=0, dropped=0)
    inputs, _, _ = data.Patches([scene], 20, np.random.default_rng(6), still).batch(64, 12)
    level = scene.noise["b20"].mean()
    assert 12 < level < 20  # of the flattest tenth
    sigma = np.mean([sensor_sigma(2, NOMINAL_MTF[band]) for band in BY_GSD[20]])
    left = 20 * noise_kept(2, sigma) if share else 20 / 2 / np.sqrt(2)  # narrower and wider blurs mixed: about
    back = share * NOISE_FACTOR * np.exp(0.3**2) * noise_to_give_back(level, 2, sigma)
    found = inputs[1].std(dim=(2, 3)).square().mean().sqrt().item() * data.SCALE
    assert found == pytest.approx(np.hypot(left, back), rel=0.1 if share else 0.5)


def test_the_loss_leaves_dropped_bands_out() -> None:
    truth = torch.zeros(2, 3, 4, 4)
    restored = torch.tensor([[1.0, 2.0, 99.0], [3.0, 99.0, 99.0]])[:, :, None, None].expand(2, 3, 4, 4)
    present = torch.tensor([[1.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    assert float(loop.mean_error(restored, truth, present)) == pytest.approx(2.0)


def test_invalid_pixels_are_never_in_a_patch(scenes: list[scene_room.Scene]) -> None:
    b10 = scenes[0].b10.copy()
    b10[:, 100:140, 90:120] = np.nan
    holed = replace(scenes[0], b10=b10)
    assert not holed.all_valid
    inputs, truth, _ = data.Patches([holed], 20, np.random.default_rng(0)).batch(32, 12)
    assert all(torch.isfinite(x).all() for x in (*inputs, truth))
    with pytest.raises(InputError, match="without invalid pixels"):
        data.Patches([replace(holed, b10=np.full_like(b10, np.nan))], 20, np.random.default_rng(0)).batch(1, 12)


def test_a_dataset_is_a_scene() -> None:
    ds, _ = xr_s2sr.tutorial.synthetic_scene(120)
    ds["B05"][3, 4] = 0
    # the 10 m bands start four pixels into a 60 m cell
    scene = scene_room.scene_of(ds.isel(y=slice(4, None), x=slice(4, None)), "mine")
    assert scene.b10.shape == (4, 114, 114)
    assert scene.b20.shape == (6, 57, 57)
    assert scene.b60 is not None
    assert scene.b60.shape == (2, 19, 19)
    assert not scene.all_valid
    again = data.Patches([scene], 20, np.random.default_rng(0)).batch(1, 6)[1]
    assert torch.isfinite(again).all()
    with pytest.raises(BandError, match="missing B8A; training needs"):
        scene_room.scene_of(ds.drop_vars("B8A"), "mine")
    with pytest.raises(InputError, match=r"isel\(time=0\)"):
        scene_room.scene_of(ds.expand_dims(time=2), "mine")


def test_scene_of_a_dataset_has_its_pixels() -> None:
    """Reflectance x 10000, whatever the storage, cut to common cells."""
    ds, _ = xr_s2sr.tutorial.synthetic_scene(120)
    valid = ds.where(ds > 0)
    scene = scene_room.scene_of((valid * 1e-4).astype("float32").isel(y_20m=slice(3, None)), "mine")
    assert np.isnan(scene.b20).any()
    np.testing.assert_allclose(scene.b10[1], valid.B03.values[6:], rtol=1e-5)
    np.testing.assert_allclose(scene.b20[4], valid.B11.values[3:], rtol=1e-5)
    assert scene.b60 is not None
    np.testing.assert_allclose(scene.b60[0], valid.B01.values[1:], rtol=1e-5)


# -- Muon ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(16, 40), (40, 16)])
def test_orthogonalise_is_near_the_polar_factor(shape: tuple[int, int]) -> None:
    matrix = torch.from_numpy(np.random.default_rng(0).standard_normal(shape))
    u, _, vt = np.linalg.svd(matrix.numpy(), full_matrices=False)
    found = muon.orthogonalise(matrix).numpy()
    values = np.linalg.svd(found, compute_uv=False)
    assert values.min() > 0.5
    assert values.max() < 1.3
    # the same singular vectors: in their basis the result is diagonal
    inner = u.T @ found @ vt.T
    np.testing.assert_allclose(inner - np.diag(np.diag(inner)), 0, atol=1e-6)


def test_muon_steps_by_the_rate() -> None:
    weight = torch.nn.Parameter(torch.zeros(8, 2, 3, 3))
    optimiser = muon.Muon([weight], lr=0.1)
    weight.grad = torch.randn(8, 2, 3, 3, generator=torch.Generator().manual_seed(0))
    optimiser.step()
    size = float(weight.detach().square().mean().sqrt())
    # 0.2 times the rate, as far as singular values of 0.7 to 1.2 and 8 of 18 directions go
    assert size == pytest.approx(0.2 * 0.1, rel=0.3)
    assert float((weight.detach() * weight.grad).sum()) < 0


def test_noise_is_on_the_inputs_only(scenes: list[scene_room.Scene]) -> None:
    """The same draw with and without noise differs by noise of the size asked for, in the inputs only."""
    quiet, loud = (
        data.Patches(
            scenes, 20, np.random.default_rng(0), data.Augmentation(noise=noise, noisy=1.0, dropped=0.0)
        ).batch(16, 12)
        for noise in (0.0, 20.0)
    )
    torch.testing.assert_close(quiet[1], loud[1])
    spread = float((quiet[0][1] - loud[0][1]).std()) * data.SCALE
    # the root mean square of a uniform draw up to 20 is 20 / sqrt(3)
    assert 20 / 3**0.5 * 0.7 < spread < 20 / 3**0.5 * 1.3


@pytest.mark.parametrize("which", NETS)
def test_export_matches_torch_and_carries_its_card(which: str, tmp_path: Path) -> None:
    net, path = NETS[which](), tmp_path / "net.onnx"
    card = export.card_for(net, "toy", "1", licence="Apache-2.0")
    export.to_onnx(net, card, path, tolerance=1e-3)
    assert export.difference(net, path) < 1e-3
    assert xr_s2sr.models.load(path).card == card
    with pytest.raises(ModelError, match="differs from the network by"):
        export.to_onnx(net, card, path, tolerance=0)


def test_the_command_makes_a_model_that_runs(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--gsd", "20", "--steps", "4", "--width", "8", "--depth", "1", "--every", "2", "--threads", "1"]
    assert main(["train", "--scenes", str(folder), "--out", str(tmp_path), *options]) == 0
    assert "validation" in capsys.readouterr().out
    path = tmp_path / "s2sr-20m.onnx"
    card = xr_s2sr.models.load(path).card
    assert card.targets == BY_GSD[20]
    assert set(card.scores) == {f"RMSE / bicubic, {protocol}" for protocol in ("sensor", "paper", "mtf")}
    ds, _ = xr_s2sr.tutorial.synthetic_scene(60)
    sr = ds.s2sr.upsample("B11", model=path)
    assert sr.B11.attrs["s2sr_model_sha256"] == xr_s2sr.models.load(path).sha256


@pytest.mark.parametrize(("architecture", "gsd"), [("dsen2", 20), ("vdsen2", 60)])
def test_the_papers_networks_are_trained_by_the_same_command(
    architecture: str, gsd: int, folder: Path, tmp_path: Path
) -> None:
    options = ["--gsd", str(gsd), "--architecture", architecture, "--width", "8", "--depth", "1", "--threads", "1"]
    arguments = ["train", "--scenes", str(folder), "--out", str(tmp_path), *options, "--every", "2"]
    assert main([*arguments, "--steps", "2"]) == 0
    assert main([*arguments, "--steps", "4"]) == 0  # goes on
    path = tmp_path / f"{architecture}-{gsd}m.onnx"
    card = xr_s2sr.models.load(path).card
    assert card.inputs["b10"] == BY_GSD[10]
    assert f"{architecture}: 1 residual blocks of 8 channels" in card.training
    ds, _ = xr_s2sr.tutorial.synthetic_scene(60)
    band = BY_GSD[gsd][0]
    whole = ds.s2sr.upsample(band, model=path)
    assert (ds.s2sr.upsample(band, model=path, tile=24)[band] == whole[band]).all()


def test_the_papers_rate() -> None:
    assert loop.Recipe.default(20, "dsen2").rate == 1e-4
    assert loop.Recipe.default(60, "vdsen2", rate=3e-4).rate == 3e-4
    assert loop.Recipe.default(60).depth == 6
    assert loop.Recipe.default(20) == loop.Recipe()


def test_refine_one_scene_of_ones_own(tmp_path: Path) -> None:
    ds, _ = xr_s2sr.tutorial.synthetic_scene(252)
    ds.to_zarr(tmp_path / "mine.zarr", zarr_format=2)
    options = ["--gsd", "20", "--init", "s2sr-20m", "--refine", "--steps", "2", "--every", "2", "--threads", "1"]
    arguments = ["train", "--scenes", str(tmp_path / "mine.zarr"), "--out", str(tmp_path / "run"), *options]
    assert main(arguments) == 0
    card = xr_s2sr.models.load(tmp_path / "run" / "s2sr-20m.onnx").card
    assert "mine, 2 steps from s2sr-20m" in card.training
    assert "B11" in card.optional


def test_refine_needs_weights(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--scenes", str(folder), "--gsd", "20", "--out", str(tmp_path), "--refine"]) == 1
    assert "--init s2sr-20m" in capsys.readouterr().err
