"""Toy model files."""

from __future__ import annotations

from pathlib import Path

import pytest
from toy_models import save

from xr_s2sr.models import Model, load


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def toy(folder: Path) -> Model:
    return load(save(folder / "toy.onnx"))
