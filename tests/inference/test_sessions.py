"""Sessions of ONNX Runtime: one per process, model and device; files that do not fit their card."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from fake_runtime import CPU, Install
from onnx import helper
from toy_models import CARD_20, CARD_60, relabel

from xr_s2sr import models
from xr_s2sr.bands import BY_GSD
from xr_s2sr.errors import ModelError
from xr_s2sr.inference import engine
from xr_s2sr.models import CARD_KEY, ModelCard, load

NO_GPU = engine.driver_devices() == 0
pytestmark = pytest.mark.usefixtures("fresh_engine")


def test_one_session_per_model_and_device(
    monkeypatch: pytest.MonkeyPatch, toy: models.Model, other: models.Model
) -> None:
    import onnxruntime as ort

    made: list[str] = []

    class Counting(ort.InferenceSession):  # type: ignore[misc]
        def __init__(self, path: str, *rest: Any, **named: Any) -> None:
            made.append(path)
            super().__init__(path, *rest, **named)

    monkeypatch.setattr(ort, "InferenceSession", Counting)
    first = engine.runner(toy, "cpu")
    assert engine.runner(toy, "cpu") is first
    assert first.device == "cpu"
    assert engine.runner(other, "cpu") is not first
    assert made == [str(toy.path), str(other.path)]
    if NO_GPU:
        assert engine.runner(toy, "auto") is first
        assert len(made) == 2


def test_a_fork_makes_its_own_session(monkeypatch: pytest.MonkeyPatch, toy: models.Model) -> None:
    first = engine.runner(toy, "cpu")
    pid = os.getpid()
    monkeypatch.setattr(engine.os, "getpid", lambda: pid + 1)
    assert engine.runner(toy, "cpu") is not first


def test_run_adds_and_takes_the_batch(toy: models.Model) -> None:
    inputs = {"b10": np.ones((4, 24, 36), np.float32), "b20": np.ones((6, 12, 18), np.float32)}
    out = engine.runner(toy, "cpu").run(inputs)
    assert out.shape == (6, 24, 36)
    assert out.dtype == np.float32


def test_a_run_has_one_thread_that_does_not_spin(install: Install, toy: models.Model) -> None:
    fake = install(CPU)
    engine.runner(toy, "cpu")
    (session,) = fake.sessions
    assert session.path == str(toy.path)
    assert session.providers == [CPU]
    assert session.options.intra_op_num_threads == session.options.inter_op_num_threads == 1
    assert session.options.entries["session.intra_op.allow_spinning"] == "0"


def test_onnxruntime_cannot_load(tmp_path: Path) -> None:
    model = onnx.ModelProto()
    helper.set_model_props(model, {CARD_KEY: CARD_20.to_json()})
    onnx.save(model, str(tmp_path / "net.onnx"))
    with pytest.raises(ModelError, match=r"ONNX Runtime cannot load .*net\.onnx"):
        engine.runner(load(tmp_path / "net.onnx"), "cpu")


@pytest.mark.parametrize(
    "card",
    [
        replace(CARD_20, inputs={"b10": BY_GSD[10]}),
        replace(CARD_20, inputs={"ten": BY_GSD[10], "b20": BY_GSD[20]}),
        replace(CARD_20, inputs={"b10": BY_GSD[10][:3], "b20": BY_GSD[20]}),
        replace(CARD_20, targets=BY_GSD[20][:4]),
        CARD_60,
    ],
    ids=["fewer", "other name", "three bands", "four targets", "more"],
)
def test_card_of_another_graph(tmp_path: Path, toy: models.Model, card: ModelCard) -> None:
    assert toy.path is not None
    path = relabel(toy.path, card, tmp_path / "net.onnx")
    with pytest.raises(ModelError, match=r"has the inputs and output .* its card says .*correct the card"):
        engine.runner(load(path), "cpu")


def test_graph_without_sr(tmp_path: Path, toy: models.Model) -> None:
    model = onnx.load(str(toy.path))
    model.graph.output[0].name = model.graph.node[-1].output[0] = "out"
    onnx.save(model, str(tmp_path / "net.onnx"))
    with pytest.raises(ModelError, match="has the inputs and output"):
        engine.runner(load(tmp_path / "net.onnx"), "cpu")
