"""Patches cut from scenes at random places, turned and mirrored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from xr_s2sr.errors import InputError

#: Random places looked at for a patch without invalid pixels.
TRIES = 200
Array = NDArray[np.float32]
#: Patches of each band group, and the noise of the scenes that they come from.
Cut = tuple[list[Tensor], list[Tensor]]


class Source(Protocol):
    """A scene with an attribute, (bands, y, x), for every band group that is asked for."""

    @property
    def name(self) -> str: ...

    @property
    def all_valid(self) -> bool: ...

    @property
    def noise(self) -> Mapping[str, Array]: ...


class Cutter:
    """Cuts patches, and keeps the scenes as it padded them.

    Parameters
    ----------
    rng : numpy Generator
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self._padded: dict[tuple[str, int, tuple[int, ...]], tuple[Array, ...]] = {}

    def cut(
        self,
        scenes: Sequence[Source],
        n: int,
        cells: int,
        per_cell: tuple[int, ...],
        margins: tuple[int, ...],
        names: tuple[str, ...],
    ) -> Cut:
        """Cut n patches of `cells` x `cells` cells; per_cell pixels of each band group lie along a cell's side.

        Returns the patches, (n, bands, y, x) of each group, and the noise of their scenes, (n, bands), in DN.
        """
        weight = np.array([np.sqrt(getattr(scene, names[0])[0].size) for scene in scenes])
        picks = self.rng.choice(len(scenes), size=n, p=weight / weight.sum())
        out: list[list[Array]] = [[] for _ in names]
        for pick in picks:
            cut = self._place(scenes[pick], cells, per_cell, margins, names)
            turns, flip = int(self.rng.integers(4)), self.rng.integers(2)
            for group, patch in zip(out, cut, strict=True):
                turned = np.rot90(patch, turns, axes=(1, 2))
                group.append(turned[:, :, ::-1] if flip else turned)
        levels = [torch.from_numpy(np.stack([scenes[pick].noise[name] for pick in picks])) for name in names]
        return [torch.from_numpy(np.ascontiguousarray(np.stack(group))) for group in out], levels

    def _place(
        self, scene: Source, cells: int, per_cell: tuple[int, ...], margins: tuple[int, ...], names: tuple[str, ...]
    ) -> list[Array]:
        """Cut one patch of every band group at a random place without invalid pixels."""
        arrays, (rows, cols) = self._pad(scene, cells, per_cell, margins, names)
        for _ in range(TRIES):
            y, x = self.rng.integers(0, rows - cells + 1), self.rng.integers(0, cols - cells + 1)
            cut = [
                array[:, y * k : (y + cells) * k + 2 * m, x * k : (x + cells) * k + 2 * m]
                for array, k, m in zip(arrays, per_cell, margins, strict=True)
            ]
            if scene.all_valid or all(np.isfinite(patch).all() for patch in cut):
                return cut
        raise InputError(
            f"the scene {scene.name!r} has hardly a square of {cells * per_cell[0] * 10} m without invalid pixels; "
            "expected some to learn from. Leave the scene out, or cut it: ds.sel(y=..., x=..., ...)"
        )

    def _pad(
        self, scene: Source, cells: int, per_cell: tuple[int, ...], margins: tuple[int, ...], names: tuple[str, ...]
    ) -> tuple[tuple[Array, ...], tuple[int, int]]:
        """Mirror a scene at its borders (margins, and up to one patch where the scene is smaller)."""
        h, w = getattr(scene, names[-1]).shape[-2:]
        h, w = h // per_cell[-1], w // per_cell[-1]
        extra = max(0, cells - h), max(0, cells - w)
        key = (scene.name, cells, per_cell)
        if key not in self._padded:
            padded = []
            for name, k, m in zip(names, per_cell, margins, strict=True):
                array = getattr(scene, name)[:, : h * k, : w * k]
                below, right = m + extra[0] * k, m + extra[1] * k
                padded.append(np.pad(array, [(0, 0), (m, below), (m, right)], mode="symmetric"))
            self._padded[key] = tuple(padded)
        return self._padded[key], (h + extra[0], w + extra[1])
