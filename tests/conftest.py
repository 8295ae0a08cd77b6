"""Scenes that many tests share, and a guard against pixels being computed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import rioxarray  # noqa: F401  (registers .rio)
import xarray as xr
from hypothesis import settings
from scenes import native
from toy_models import CARD_20, CARD_60, save, without_halo

import xr_s2sr  # noqa: F401  (registers .s2sr)

# how long an example takes says nothing on a busy machine
settings.register_profile("s2sr", deadline=None)
# of the property test: --hypothesis-profile=thorough
settings.register_profile("thorough", deadline=None, max_examples=5000)
settings.load_profile("s2sr")


@pytest.fixture(scope="session")
def _scene() -> xr.Dataset:
    return native()


@pytest.fixture
def scene(_scene: xr.Dataset) -> xr.Dataset:
    """Twelve bands, uint16 DN, 60 x 72 pixels at 10 m, with CRS; a copy that may be changed."""
    return _scene.copy(deep=True)


@pytest.fixture(scope="session")
def _restored(_scene: xr.Dataset) -> xr.Dataset:
    return _scene.s2sr.upsample(model="bicubic")


@pytest.fixture
def restored(_restored: xr.Dataset) -> xr.Dataset:
    """`scene` through bicubic interpolation."""
    return _restored.copy(deep=True)


@pytest.fixture
def no_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail the test if a window is run, in memory or in a task of dask's."""

    def reached(*args: Any, **kwargs: Any) -> None:
        pytest.fail("pixels were computed")

    monkeypatch.setattr("xr_s2sr.inference.region.execute", reached)


@pytest.fixture(scope="session")
def toys(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A 20 m and a 60 m network that know their halo."""
    folder = tmp_path_factory.mktemp("toys")
    return [save(folder / "20.onnx", CARD_20), save(folder / "60.onnx", CARD_60)]


@pytest.fixture(scope="session")
def blind(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The same without a halo, and with weights that make what is far away count little."""
    folder = tmp_path_factory.mktemp("blind")
    return [save(folder / f"{card.gsd}.onnx", card, gain=0.2) for card in map(without_halo, (CARD_20, CARD_60))]
