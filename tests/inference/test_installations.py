"""Installations of ONNX Runtime that are missing, doubled or emptied."""

from __future__ import annotations

import sys
import types

import pytest

from xr_s2sr import runtime
from xr_s2sr.errors import EngineError

pytestmark = pytest.mark.usefixtures("fresh_engine")


def installed(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Distributions as importlib.metadata knows them."""

    def distribution(name: str) -> types.SimpleNamespace:
        if name not in names:
            raise runtime.metadata.PackageNotFoundError(name)
        return types.SimpleNamespace(name=name)

    monkeypatch.setattr(runtime.metadata, "distribution", distribution)


def test_two_distributions_are_told(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    installed(monkeypatch, "numpy", "onnxruntime-gpu", "onnxruntime")
    runtime.import_onnxruntime()
    assert "onnxruntime and onnxruntime-gpu are both installed" in caplog.text
    assert "pip uninstall -y onnxruntime onnxruntime-gpu && pip install --force-reinstall" in caplog.text
    caplog.clear()
    runtime.import_onnxruntime()
    assert caplog.text == ""


def test_one_distribution_is_fine(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    installed(monkeypatch, "numpy", "onnxruntime-gpu")
    runtime.import_onnxruntime()
    assert caplog.text == ""


def test_the_installed_one_is_seen() -> None:
    """By the same name as the slow way that looks through the files of all distributions."""
    claimed = runtime.metadata.packages_distributions()["onnxruntime"]
    assert runtime.installed_twins() == sorted(set(claimed))


def test_emptied_module(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", types.ModuleType("onnxruntime"))
    with pytest.raises(EngineError, match=r"module is empty.*Repair: pip install --force-reinstall --no-deps"):
        runtime.import_onnxruntime()


def test_absent_module(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(EngineError, match=r"cannot be imported .*Install it: pip install onnxruntime-gpu"):
        runtime.import_onnxruntime()
