"""The training loop: rates, loss, teachers, checkpoints."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch", reason="the train extra is not installed")
pytest.importorskip("onnx", reason="the train extra is not installed")

from xr_s2sr.training import data, degradation, loop, networks  # noqa: E402
from xr_s2sr.training import scenes as scene_room  # noqa: E402


def test_rate_rises_and_falls() -> None:
    recipe = loop.Recipe(steps=1000, warmup=100, rate=1e-3)
    rates = [loop.learning_rate(recipe, step) for step in range(1000)]
    assert rates[0] < rates[50] < rates[99] == pytest.approx(1e-3, rel=0.02)
    assert rates[100:] == sorted(rates[100:], reverse=True)
    assert rates[-1] == pytest.approx(1e-5, rel=0.05)


def test_the_papers_rate() -> None:
    assert loop.Recipe.default(20, "dsen2").rate == 1e-4
    assert loop.Recipe.default(60, "vdsen2", rate=3e-4).rate == 3e-4
    assert loop.Recipe.default(60).depth == 4
    assert loop.Recipe.default(20) == loop.Recipe()


def test_training_lowers_the_loss_and_resumes(scenes: list[scene_room.TrainingScene], tmp_path: Path) -> None:
    recipe = loop.Recipe(gsd=20, width=8, depth=1, steps=40, size=(8,), batch=(4,), rate=3e-3, warmup=5)
    lines: list[str] = []
    net = loop.train(recipe, scenes, tmp_path / "c.pt", every=10, log=lines.append)
    assert len([line for line in lines if "loss" in line]) == 4
    torch.manual_seed(recipe.seed)
    before = networks.build("coarse", 20, 8, 1)  # as it started
    # on one and the same batch: losses of different ones differ by more than so few steps bring
    inputs, truth, present = data.Patches(scenes, 20, degradation.seeded(9)).batch(16, 16)
    with torch.no_grad():
        errors = [float(loop.mean_error(n(*inputs), truth, present)) for n in (before, net)]
    assert errors[1] < 0.9 * errors[0]
    lines.clear()
    loop.train(replace(recipe, steps=50), scenes, tmp_path / "c.pt", every=10, log=lines.append)
    assert lines[0] == "resumed at step 40"
    assert "(before, now): {'steps': (40, 50)}" in lines[1]
    assert lines[2].startswith("step 50")


def test_refining_starts_from_weights_and_is_gentler(scenes: list[scene_room.TrainingScene], tmp_path: Path) -> None:
    recipe = loop.Recipe(gsd=20, width=8, depth=1, steps=4, size=(8,), batch=(4,), warmup=1)
    first = loop.train(recipe, scenes, tmp_path / "first.pt", every=4, log=lambda line: None)
    stage = recipe.refine(steps=1)
    assert stage.rate == pytest.approx(0.2 * recipe.rate)
    assert stage.patches(0) == (4, 26, 4)
    still = replace(stage, rate=0.0, decay=0.0)
    second = loop.train(still, scenes, tmp_path / "second.pt", init=tmp_path / "first.pt", log=lambda line: None)
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        torch.testing.assert_close(a, b)


def test_patches_grow_late() -> None:
    recipe = loop.Recipe(steps=100, size=(24, 12), batch=(16, 8), late=0.3, late_size=(26, 14), border=6)
    assert [recipe.patches(step) for step in (0, 1, 69, 70, 71, 99)] == [
        (16, 24, 0),
        (8, 12, 0),
        (8, 12, 0),
        (16, 26, 6),
        (8, 14, 6),
        (8, 14, 6),
    ]


def test_the_border_of_a_patch_is_not_scored() -> None:
    x = torch.arange(36.0).reshape(1, 1, 6, 6)
    assert loop.inner(x, 2).flatten().tolist() == [14, 15, 20, 21]
    assert loop.inner(x, 0) is x


def test_the_loss_leaves_dropped_bands_out() -> None:
    truth = torch.zeros(2, 3, 4, 4)
    restored = torch.tensor([[1.0, 2.0, 99.0], [3.0, 99.0, 99.0]])[:, :, None, None].expand(2, 3, 4, 4)
    present = torch.tensor([[1.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    assert float(loop.mean_error(restored, truth, present)) == pytest.approx(2.0)


def test_lessons_are_in_the_orientation_of_the_pupil() -> None:
    """A teacher that is indifferent to orientation teaches the same in any."""

    def mean(b10: torch.Tensor, b20: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.interpolate(b20, scale_factor=2) + b10.mean(dim=1, keepdim=True)

    b10, b20 = torch.rand(16, 4, 12, 12), torch.rand(16, 6, 6, 6)
    got = loop.teacher_mean([mean], [b10, b20], degradation.seeded(0))  # type: ignore[arg-type]
    torch.testing.assert_close(got, mean(b10, b20))


def test_several_teachers_teach_their_mean() -> None:
    b10, b20 = torch.rand(2, 4, 12, 12), torch.rand(2, 6, 6, 6)
    one, other = (lambda b10, b20, f=f: f * torch.ones(2, 6, 12, 12) for f in (1.0, 4.0))
    got = loop.teacher_mean([one, other], [b10, b20], degradation.seeded(0))  # type: ignore[list-item]
    torch.testing.assert_close(got, torch.full((2, 6, 12, 12), 2.5))


def test_clean_patches_have_a_teacher_of_their_own(scenes: list[scene_room.TrainingScene], tmp_path: Path) -> None:
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
        teachers=[teacher("noisy")],
        clean_teacher=teacher("clean"),
        log=lambda line: None,
    )
    assert seen == {"noisy": 24, "clean": 24}  # each sees all, and one of the two results is taken


def test_a_patch_with_the_sensors_noise_has_the_teacher_of_noisy_ones() -> None:
    """The pupil gives 0, the teacher of noisy patches 1, that of clean ones 4: the error tells who taught."""

    def gives(value: float) -> networks.Network:
        return lambda b10, b20: torch.full((len(b10), 6, 12, 12), value)  # type: ignore[return-value]

    for noisy, expected in (([True, False, False], (1 + 4 + 4) / 3), ([True] * 3, 1.0), ([False] * 3, 4.0)):
        inputs, truth = [torch.rand(3, 4, 12, 12), torch.rand(3, 6, 6, 6)], torch.rand(3, 6, 12, 12)
        batch = inputs, truth, torch.ones(3, 6)
        drawn = SimpleNamespace(
            batch=lambda *how, batch=batch: batch,
            sensor=torch.tensor(noisy)[:, None],
            generator=degradation.seeded(0),
        )
        recipe = loop.Recipe(taught=1.0)
        error = loop.error_of_a_batch(
            gives(0.0),
            recipe,
            drawn,
            loop.Kind.DEGRADED,
            (3, 6, 0),
            [gives(1.0)],
            gives(4.0),  # type: ignore[arg-type]
        )
        assert float(error) == pytest.approx(expected)


def test_a_student_comes_close_to_its_teacher(scenes: list[scene_room.TrainingScene], tmp_path: Path) -> None:
    """With the truth left out of the loss, it is the teacher's result that is learned."""
    teacher = networks.NETWORKS[20](8, 1).eval()
    torch.nn.init.constant_(teacher.tail.bias, 0.25)  # 500 DN too bright: no truth teaches that
    recipe = loop.Recipe(gsd=20, width=8, depth=1, steps=60, size=(8,), batch=(4,), taught=1.0, warmup=5)
    quiet: list[str] = []
    student = loop.train(recipe, scenes, tmp_path / "a.pt", teachers=[teacher], log=quiet.append)
    alone = loop.train(recipe, scenes, tmp_path / "b.pt", log=quiet.append)
    inputs, _, _ = data.Patches(scenes, 20, degradation.seeded(3)).batch(4, 8)
    with torch.no_grad():
        want = teacher(*inputs)
        assert (student(*inputs) - want).abs().mean() < 0.5 * (alone(*inputs) - want).abs().mean()


def test_scenes_without_60_m_bands_give_no_scores(scenes: list[scene_room.TrainingScene]) -> None:
    without = [replace(scene, b60=None) for scene in scenes]
    assert loop.validate(networks.NETWORKS[60](8, 1), 60, without) == {}
