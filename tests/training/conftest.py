"""Three small scenes to learn from."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

import xr_s2sr
from xr_s2sr.bands import BY_GSD
from xr_s2sr.training.scenes import TrainingScene, load_scenes


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """PyTorch's threads wait for each other busily, which networks as small as these do not repay."""
    with suppress(ImportError):
        import torch

        torch.set_num_threads(1)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three small scenes in the format of the recipe, made from the synthetic landscape."""
    path = tmp_path_factory.mktemp("scenes")
    entries = []
    for seed, split in ((0, "train"), (1, "train-only"), (2, "validation")):
        ds, _ = xr_s2sr.tutorial.synthetic_scene(252, seed)
        stacks = {f"b{gsd}": np.stack([ds[band].values for band in BY_GSD[gsd]]) for gsd in (10, 20, 60)}
        if split == "train-only":
            del stacks["b60"]
        np.savez(path / f"scene{seed}.npz", **stacks)
        entries.append({"file": f"scene{seed}", "split": split, "level": "L2A"})
    (path / "manifest.json").write_text(json.dumps(entries))
    return path


@pytest.fixture(scope="session")
def scenes(folder: Path) -> list[TrainingScene]:
    return load_scenes(folder, splits=("train", "train-only"))
