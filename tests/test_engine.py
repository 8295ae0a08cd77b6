"""Sessions, devices, installations, and model files that the engine refuses."""

from __future__ import annotations

import ctypes
import logging
import os
import sys
import types
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper
from toy_models import CARD_20, CARD_60, relabel, save

from xr_s2sr import engine, models
from xr_s2sr.bands import BY_GSD
from xr_s2sr.errors import EngineError, ModelError, S2SRError
from xr_s2sr.models import CARD_KEY, ModelCard, load

CACHED = (engine.import_onnxruntime, engine.driver_devices)
NO_GPU = engine.driver_devices() == 0


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No session and no probe of another test."""
    monkeypatch.setattr(engine, "_runners", {})
    for function in CACHED:
        function.cache_clear()
    yield
    for function in CACHED:
        function.cache_clear()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def toy(folder: Path) -> models.Model:
    return load(save(folder / "toy.onnx"))


@pytest.fixture(scope="module")
def other(folder: Path) -> models.Model:
    return load(save(folder / "other.onnx", CARD_60))


class Port:
    def __init__(self, name: str, bands: int | str) -> None:
        self.name, self.shape = name, ["N", bands, "H", "W"]


class FakeOptions:
    def __init__(self) -> None:
        self.entries: dict[str, str] = {}

    def add_session_config_entry(self, key: str, value: str) -> None:
        self.entries[key] = value


class FakeRuntime:
    """As much of the module onnxruntime as the engine uses; `broken` providers fall out of a session silently."""

    SessionOptions = FakeOptions

    def __init__(self, *available: str, broken: tuple[str, ...] = ()) -> None:
        self.available, self.broken, self.sessions = available, broken, list[Any]()

    def get_available_providers(self) -> list[str]:
        return list(self.available)

    def preload_dlls(self) -> None:
        print("Failed to load libcublas")

    def InferenceSession(self, path: str, options: FakeOptions, providers: list[Any]) -> Any:
        session = types.SimpleNamespace(
            path=path,
            options=options,
            providers=providers,
            get_inputs=lambda: [Port("b10", 4), Port("b20", 6)],
            get_outputs=lambda: [Port("sr", "C")],
            run=lambda names, feed: [np.zeros((1, 6, *feed["b10"].shape[2:]), np.float32)],
            get_providers=lambda: [
                name for p in providers if (name := p if isinstance(p, str) else p[0]) not in self.broken
            ],
        )
        self.sessions.append(session)
        return session


CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"
Install = Callable[..., FakeRuntime]


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Install:
    """Put a fake ONNX Runtime and a number of devices in the place of the machine's."""

    def put(*available: str, devices: int = 1, broken: tuple[str, ...] = ()) -> FakeRuntime:
        fake = FakeRuntime(*available, broken=broken)
        monkeypatch.setattr(engine, "import_onnxruntime", lambda: fake)
        monkeypatch.setattr(engine, "driver_devices", lambda: devices)
        return fake

    return put


# -- sessions ---------------------------------------------------------------------------------------------------------


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


# -- devices ----------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not NO_GPU, reason="this machine has a GPU")
def test_no_gpu(toy: models.Model, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(EngineError, match=r'"cuda" was asked for, but no CUDA driver.*Use device="cpu"'):
        engine.runner(toy, "cuda")
    with caplog.at_level(logging.INFO, "xr_s2sr"):
        assert engine.runner(toy).device == "cpu"
    assert "device: cpu (no CUDA driver with a device was found)" in caplog.text


@pytest.mark.parametrize("device", ["auto", "cuda"])
def test_cuda_comes_first(install: Install, toy: models.Model, device: Any, capsys: pytest.CaptureFixture[str]) -> None:
    fake = install(CUDA, CPU)
    runner = engine.runner(toy, device)
    assert runner.device == "cuda"
    assert engine.runner(toy, "cuda") is runner
    (session,) = fake.sessions
    assert [p if isinstance(p, str) else p[0] for p in session.providers] == [CUDA, CPU]
    assert capsys.readouterr().out == ""


def test_cuda_that_falls_back_is_refused(install: Install, toy: models.Model) -> None:
    install(CUDA, CPU, broken=(CUDA,))
    with pytest.raises(EngineError, match=r"fell back to CPUExecutionProvider.*pip install"):
        engine.runner(toy, "cuda")


def test_auto_takes_the_cpu_where_cuda_falls_back(
    install: Install, toy: models.Model, caplog: pytest.LogCaptureFixture
) -> None:
    fake = install(CUDA, CPU, broken=(CUDA,))
    runner = engine.runner(toy, "auto")
    assert runner.device == "cpu"
    assert "CUDA does not work" in caplog.text
    # tried once, not at every call
    assert engine.runner(toy, "auto") is engine.runner(toy, "cpu") is runner
    assert len(fake.sessions) == 2


def test_cuda_not_built_in(install: Install, toy: models.Model) -> None:
    install(CPU)
    with pytest.raises(EngineError, match=r"built without CUDA \(pip install onnxruntime-gpu\)"):
        engine.runner(toy, "cuda")
    assert engine.runner(toy, "auto").device == "cpu"


class FakeDriver:
    def __init__(self, status: int, devices: int) -> None:
        self.status, self.devices = status, devices

    def cuInit(self, flags: int) -> int:
        return self.status

    def cuDeviceGetCount(self, pointer: Any) -> int:
        pointer._obj.value = self.devices
        return 0


@pytest.mark.parametrize(("status", "devices", "expected"), [(0, 2, 2), (0, 0, 0), (100, 2, 0)])
def test_driver(monkeypatch: pytest.MonkeyPatch, status: int, devices: int, expected: int) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: FakeDriver(status, devices))
    assert engine.driver_devices() == expected


def test_no_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(ctypes, "CDLL", absent)
    assert engine.driver_devices() == 0


# -- installations ----------------------------------------------------------------------------------------------------


def test_two_distributions_are_told(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    both = {"onnxruntime": ["onnxruntime-gpu", "onnxruntime", "onnxruntime"], "numpy": ["numpy"]}
    monkeypatch.setattr(engine.metadata, "packages_distributions", lambda: both)
    engine.import_onnxruntime()
    assert "onnxruntime and onnxruntime-gpu are both installed" in caplog.text
    assert "pip uninstall -y onnxruntime onnxruntime-gpu && pip install --force-reinstall" in caplog.text
    caplog.clear()
    engine.import_onnxruntime()
    assert caplog.text == ""


def test_one_distribution_is_fine(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(engine.metadata, "packages_distributions", lambda: {"onnxruntime": ["onnxruntime-gpu"]})
    engine.import_onnxruntime()
    assert caplog.text == ""


def test_emptied_module(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", types.ModuleType("onnxruntime"))
    with pytest.raises(EngineError, match=r"module is empty.*Repair: pip install --force-reinstall --no-deps"):
        engine.import_onnxruntime()


def test_absent_module(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(EngineError, match=r"cannot be imported .*Install it: pip install onnxruntime-gpu"):
        engine.import_onnxruntime()


# -- model files that the engine refuses ------------------------------------------------------------------------------


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


def test_errors_are_builtins_too() -> None:
    assert issubclass(ModelError, S2SRError)
    assert issubclass(ModelError, ValueError)
    assert issubclass(EngineError, RuntimeError)
