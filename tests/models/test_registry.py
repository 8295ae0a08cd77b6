"""Model files, by name and by path."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from onnx import helper
from toy_models import CARD_20, relabel, save, write

from xr_s2sr import models
from xr_s2sr.bands import BY_GSD
from xr_s2sr.errors import ModelError
from xr_s2sr.inference import engine
from xr_s2sr.models import load, registry


def test_load_by_path(folder: Path, toy: models.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    assert toy.path is not None
    assert load(str(toy.path)) is load(toy.path)
    assert toy.card == CARD_20
    assert len(toy.sha256) == 64
    assert str(toy) == f"toy-20m 1 (sha256 {toy.sha256[:12]})"
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("USERPROFILE", str(folder))
    assert load("~/toy.onnx") == toy


def test_load_by_name(folder: Path, toy: models.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "WEIGHTS", folder)
    assert models.packaged()["toy"] == folder / "toy.onnx"
    assert load("toy") == toy


@pytest.mark.parametrize(("gsd", "name"), models.DEFAULTS.items())
def test_packaged_models(gsd: int, name: str) -> None:
    if name not in models.packaged():
        pytest.skip("no packaged weights in this checkout")
    model = load(name)
    assert (model.card.name, model.card.gsd, model.card.targets) == (name, gsd, BY_GSD[gsd])
    assert model.card.halo is not None
    assert engine.runner(model, "cpu").device == "cpu"


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    path = save(tmp_path / "net.onnx")
    before = load(path)
    relabel(path, replace(CARD_20, name="another, longer name"), path)
    assert load(path).card.name == "another, longer name"
    assert load(path).sha256 != before.sha256


def test_no_such_model(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no model 's2sr-19m': it is neither a file nor one of .*bicubic"):
        load("s2sr-19m")
    with pytest.raises(ModelError, match="neither a file"):
        load(tmp_path)


def test_a_file_larger_than_any_model_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    with path.open("wb") as file:
        file.truncate(2**42)  # takes no space on the disk
    with pytest.raises(ModelError, match=r"net\.onnx has 4096 GiB; expected an ONNX file, which has at most 2"):
        load(path)


@pytest.mark.parametrize("data", [b"hello, I am no model", b"\x89PNG\r\n\x1a\n", b"PK\x03\x04" * 9, b"\xff" * 30])
def test_not_onnx(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(data)
    with pytest.raises(ModelError, match="is not an ONNX file"):
        load(path)


def test_truncated(tmp_path: Path, toy: models.Model) -> None:
    assert toy.path is not None
    path = tmp_path / "net.onnx"
    path.write_bytes(toy.path.read_bytes()[:5000])
    with pytest.raises(ModelError, match="is not an ONNX file"):
        load(path)


def test_no_card(tmp_path: Path) -> None:
    path = write(tmp_path / "net.onnx", None, [helper.make_node("Identity", ["b10"], ["sr"])], [], bands=4)
    with pytest.raises(ModelError, match="carries no model card; expected JSON under 'xr_s2sr'"):
        load(path)
    path.write_bytes(b"")
    with pytest.raises(ModelError, match="carries no model card"):
        load(path)
