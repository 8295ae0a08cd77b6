"""Two models, and an engine without sessions or knowledge of the machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_runtime import FakeRuntime, Install
from toy_models import CARD_60, save

from xr_s2sr import models, runtime
from xr_s2sr.inference import engine
from xr_s2sr.models import load

CACHED = (runtime.import_onnxruntime, engine.driver_devices)


@pytest.fixture
def fresh_engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No session and no probe of another test."""
    monkeypatch.setattr(engine, "_runners", {})
    for function in CACHED:
        function.cache_clear()
    yield
    for function in CACHED:
        function.cache_clear()


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="session")
def toy(folder: Path) -> models.Model:
    return load(save(folder / "toy.onnx"))


@pytest.fixture(scope="session")
def other(folder: Path) -> models.Model:
    return load(save(folder / "other.onnx", CARD_60))


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Install:
    """Put a fake ONNX Runtime and a number of devices in the place of the machine's."""

    def put(*available: str, devices: int = 1, broken: tuple[str, ...] = ()) -> FakeRuntime:
        fake = FakeRuntime(*available, broken=broken)
        monkeypatch.setattr(engine, "import_onnxruntime", lambda: fake)
        monkeypatch.setattr(engine, "driver_devices", lambda: devices)
        return fake

    return put
