"""``xr-s2sr train``, from scenes to a model that runs."""

from __future__ import annotations

from pathlib import Path

import pytest

import xr_s2sr
from xr_s2sr.bands import BY_GSD

torch = pytest.importorskip("torch", reason="the train extra is not installed")
pytest.importorskip("onnx", reason="the train extra is not installed")

from xr_s2sr.cli import main  # noqa: E402


def test_the_command_makes_a_model_that_runs(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--gsd", "20", "--steps", "4", "--width", "8", "--depth", "1", "--every", "2", "--threads", "1"]
    assert main(["train", "--scenes", str(folder), "--out", str(tmp_path), *options]) == 0
    said = capsys.readouterr().out
    assert "validation, RMSE / bicubic: {" in said
    # a linear warm-up: of 300 steps four are done
    assert "4 steps end within the warm-up of 300: the learning rate rises to 2.1e-05 of 0.0016" in said
    path = tmp_path / "s2sr-20m.onnx"
    card = xr_s2sr.models.load(path).card
    assert card.targets == BY_GSD[20]
    assert set(card.scores) == {f"RMSE / bicubic, {protocol}" for protocol in ("sensor", "paper", "mtf")}
    ds, _ = xr_s2sr.tutorial.synthetic_scene(60)
    sr = ds.s2sr.upsample("B11", model=path)
    assert sr.B11.attrs["s2sr_model_sha256"] == xr_s2sr.models.load(path).sha256


def test_several_teachers_and_a_device(folder: Path, tmp_path: Path) -> None:
    options = ["--gsd", "20", "--steps", "2", "--width", "8", "--depth", "1", "--every", "2", "--threads", "1"]
    arguments = ["train", "--scenes", str(folder), "--out", str(tmp_path / "a"), *options]
    assert main([*arguments, "--device", "cpu"]) == 0
    pupil = ["train", "--scenes", str(folder), "--out", str(tmp_path / "b"), *options]
    assert main([*pupil, "--teacher", str(tmp_path / "a" / "s2sr-20m.onnx"), "s2sr-20m"]) == 0


def test_learning_at_the_scale_of_use(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--gsd", "20", "--steps", "3", "--width", "8", "--depth", "1", "--every", "3", "--threads", "1"]
    command = ["train", "--scenes", str(folder), "--out", str(tmp_path), *options, "--sensor", "1", "--native", "0.4"]
    assert main([*command, "--teacher", "s2sr-20m-fast"]) == 0
    said = capsys.readouterr().out
    assert "unlabelled=0.4" in said
    assert "sensor=1.0" in said
    card = xr_s2sr.models.load(tmp_path / "s2sr-20m.onnx").card
    assert "taught by s2sr-20m-fast and, in 40% of the batches, at the scale of use" in card.training
    assert "for 100% like the sensor's blur" in card.degradation

    assert main(command) == 1
    assert "say whose: --teacher s2sr-20m" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        main([*command[:-1], "40"])
    assert "'40' is not a share; expected a number from 0 to 1" in capsys.readouterr().err


@pytest.mark.parametrize("option", [["--taught", "0.5"], ["--clean-teacher", "s2sr-20m"]])
def test_options_of_a_teacher_need_one(
    option: list[str], folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "--scenes", str(folder), "--gsd", "20", "--out", str(tmp_path / "a"), *option]) == 1
    assert f"{option[0]} needs a teacher; say whose results: --teacher s2sr-20m" in capsys.readouterr().err
    assert not (tmp_path / "a").exists()


def test_a_teacher_of_other_bands(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["train", "--scenes", str(folder), "--out", str(tmp_path / "a"), "--gsd", "60", "--steps", "1"]
    assert main([*command, "--teacher", "s2sr-20m"]) == 1
    assert "s2sr-20m restores 20 m bands; expected a teacher for --gsd 60" in capsys.readouterr().err


@pytest.mark.parametrize("device", ["cuda:99", "abacus"])
def test_a_device_that_is_not_there(
    device: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["train", "--scenes", str(folder), "--out", str(tmp_path / "a"), "--gsd", "20", "--device", device]
    assert main(arguments) == 1
    said = capsys.readouterr().err
    assert f"--device {device}" in said
    assert "Leave --device out" in said
    assert not (tmp_path / "a").exists()


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


def test_one_scene_of_ones_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A network goes on learning from one scene, but is not said to be refined by it."""
    ds, _ = xr_s2sr.tutorial.synthetic_scene(252)
    ds.to_zarr(tmp_path / "mine.zarr", zarr_format=2)
    options = ["--gsd", "20", "--init", "s2sr-20m", "--steps", "2", "--every", "2", "--threads", "1"]
    arguments = ["train", "--scenes", str(tmp_path / "mine.zarr"), "--out", str(tmp_path / "run"), *options]
    assert main([*arguments, "--refine"]) == 1
    assert "became no better on that very scene" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
    assert main(arguments) == 0
    card = xr_s2sr.models.load(tmp_path / "run" / "s2sr-20m.onnx").card
    assert "mine, 2 steps from s2sr-20m" in card.training
    assert "B11" in card.optional


def test_refine_needs_weights(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--scenes", str(folder), "--gsd", "20", "--out", str(tmp_path), "--refine"]) == 1
    assert "--init s2sr-20m" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "match"),
    [
        (["--init", "runs/checkpoint.pt"], "checkpoint.pt is the input"),
        (["--init", "runs/s2sr-20m.onnx", "--refine"], "s2sr-20m.onnx is the input"),
        (["--teacher", "s2sr-20m", "link.onnx"], "s2sr-20m.onnx is the input link.onnx"),
        (["--init", "s2sr-20m", "--clean-teacher", "runs/s2sr-20m.onnx", "--teacher", "s2sr-20m"], "is the input"),
        (["--name", "../evil"], "'../evil' cannot be the name of a file; give another: --name s2sr-20m"),
    ],
)
def test_what_is_read_is_not_written_over(
    options: list[str],
    match: str,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    weights = xr_s2sr.models.packaged()["s2sr-20m"].read_bytes()
    for name in ("checkpoint.pt", "s2sr-20m.onnx"):
        (tmp_path / "runs" / name).write_bytes(weights)
    (tmp_path / "link.onnx").symlink_to(tmp_path / "runs" / "s2sr-20m.onnx")
    assert main(["train", "--scenes", str(folder), "--gsd", "20", "--out", "runs", "--steps", "1", *options]) == 1
    assert match in capsys.readouterr().err
    assert {path.read_bytes() for path in (tmp_path / "runs").iterdir()} == {weights}
    assert not (tmp_path / "evil.onnx").exists()
