"""Scenes that many tests share, and a guard against pixels being computed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import rioxarray  # noqa: F401  (registers .rio)
import xarray as xr
from hypothesis import settings
from scenes import native
from toy_models import CARD_20, CARD_60, save, with_errors, without_halo

import xr_s2sr  # noqa: F401  (registers .s2sr)
from xr_s2sr import models

# how long an example takes says nothing on a busy machine
settings.register_profile("s2sr", deadline=None)
# fifty times as many examples: --hypothesis-profile=thorough
settings.register_profile("thorough", deadline=None, max_examples=5000)
# what CI says follows from the commit alone; the other profiles look at other examples each time
settings.register_profile("s2sr-ci", deadline=None, derandomize=True)
settings.load_profile("s2sr")

PACKAGED = dict(models.DEFAULTS)


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


@pytest.fixture(scope="session")
def small_networks(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """By GSD, a toy network under the name of the packaged model, which does without the same bands."""
    folder = tmp_path_factory.mktemp("small")
    networks = {}
    for gsd, toy in ((20, CARD_20), (60, CARD_60)):
        card = models.load(PACKAGED[gsd]).card
        toy = replace(toy, name=card.name, version=card.version, optional=card.optional)
        networks[gsd] = with_errors(save(folder / f"{gsd}.onnx", toy, gain=0.2), folder / f"{card.name}.onnx")
    return networks


@pytest.fixture(scope="module")
def small_defaults(small_networks: dict[int, Path]) -> Iterator[None]:
    """Have `upsample` take toy networks by default: for tests of where pixels go, not of what is in them.

    What is packaged, two networks and the adaptive step, takes fifteen times as long. Processes that a test starts take
    what is packaged.
    """
    with pytest.MonkeyPatch.context() as patch:
        for gsd, path in small_networks.items():
            patch.setitem(models.DEFAULTS, gsd, path)
        yield


@pytest.fixture
def packaged_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a module of `small_defaults`, have a test take the packaged models after all."""
    for gsd, name in PACKAGED.items():
        monkeypatch.setitem(models.DEFAULTS, gsd, name)
