"""The choice between CPU and CUDA, and the question to the driver."""

from __future__ import annotations

import ctypes
import logging
from typing import Any

import pytest
import xarray as xr
from fake_runtime import CPU, CUDA, Install

import xr_s2sr
from xr_s2sr import models
from xr_s2sr.errors import EngineError, InputError
from xr_s2sr.inference import engine

NO_GPU = engine.driver_devices() == 0
pytestmark = pytest.mark.usefixtures("fresh_engine")


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


def test_an_execution_provider_by_its_name(install: Install, toy: models.Model) -> None:
    fake = install("OtherExecutionProvider", CPU)
    runner = engine.runner(toy, "OtherExecutionProvider")
    assert isinstance(runner, engine.OrtRunner)
    assert fake.sessions[0].providers == ["OtherExecutionProvider", CPU]
    assert engine.runner(toy, CPU) is not runner
    assert fake.sessions[1].providers == [CPU]


def test_an_execution_provider_that_is_not_there_or_falls_back(install: Install, toy: models.Model) -> None:
    install("OtherExecutionProvider", CPU, broken=("OtherExecutionProvider",))
    with pytest.raises(
        EngineError, match=r'"CoreMLExecutionProvider" was asked for, but .* has OtherExecutionProvider, C'
    ):
        engine.runner(toy, "CoreMLExecutionProvider")
    with pytest.raises(EngineError, match=r'fell back to CPUExecutionProvider. Use device="cpu"'):
        engine.runner(toy, "OtherExecutionProvider")


def test_upsample_takes_a_provider() -> None:
    ds, _ = xr_s2sr.tutorial.synthetic_scene(60)
    by_name = ds.s2sr.upsample(["B05"], device=CPU)
    xr.testing.assert_identical(by_name, ds.s2sr.upsample(["B05"], device="cpu"))
    with pytest.raises(InputError, match="choose one of 'auto', 'cpu', 'cuda', or an execution provider of ONNX"):
        ds.s2sr.upsample(["B05"], device="CoreML")


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
