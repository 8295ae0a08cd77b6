"""Patches cut from scenes at random places, turned and mirrored, on the device where a network is trained."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from xr_s2sr.errors import InputError

Array = NDArray[np.float32]


class Source(Protocol):
    """A scene with an attribute, (bands, y, x), for every band group that is asked for."""

    @property
    def name(self) -> str: ...

    @property
    def all_valid(self) -> bool: ...

    @property
    def place(self) -> str: ...


class Cutter:
    """Cuts patches of one shape from scenes that it keeps on a device.

    Everything random is drawn by the generator, on its device: nothing waits for the CPU, so that the steps of a
    training can be recorded (:mod:`xr_s2sr.training.steps`).

    Parameters
    ----------
    scenes : sequence of Source
    cells : int
        Side of a patch, in pixels of the coarsest band group.
    per_cell : tuple of int
        Pixels of each band group along a cell's side.
    margins : tuple of int
        Pixels of each band group around a patch.
    names : tuple of str
        Attributes of the band groups.
    generator : torch.Generator

    Raises
    ------
    InputError
        If a scene has nowhere a patch without invalid pixels.
    """

    def __init__(
        self,
        scenes: Sequence[Source],
        cells: int,
        per_cell: tuple[int, ...],
        margins: tuple[int, ...],
        names: tuple[str, ...],
        generator: torch.Generator,
    ) -> None:
        self.generator, device = generator, generator.device
        self.sides = [cells * k + 2 * m for k, m in zip(per_cell, margins, strict=True)]
        self.per_cell = per_cell
        padded = [mirrored(scene, cells, per_cell, margins, names) for scene in scenes]
        share = shares([scene.place for scene in scenes], [getattr(scene, names[0])[0].size for scene in scenes])
        self.share = torch.tensor(share, dtype=torch.float64).cumsum(0)[:-1].contiguous().to(device)
        places = [self._places(*args) for args in zip(scenes, padded, strict=True)]
        counts = torch.tensor([len(own) for own in places])
        self.places = torch.from_numpy(np.concatenate(places)).to(device)
        self.count, self.first = counts.to(device), (counts.cumsum(0) - counts).to(device)
        self.across = torch.tensor([(arrays[-1].shape[-1] - self.sides[-1]) // per_cell[-1] + 1 for arrays in padded])
        self.across = self.across.to(device)
        self.groups = [Flat([arrays[k] for arrays in padded], device) for k in range(len(names))]

    def cut(self, n: int) -> list[Tensor]:
        """Return n patches, (n, bands, y, x) of each group."""
        scene, place, turn = torch.rand(
            (3, n), generator=self.generator, device=self.places.device, dtype=torch.float64
        )
        which = torch.searchsorted(self.share, scene)
        at = self.places[self.first[which] + (place * self.count[which]).long()]
        corner = torch.stack([at // self.across[which], at % self.across[which]], dim=1)
        turn = (turn * 8).long()
        return [
            group.patches(which, corner * k, side, turn)
            for group, side, k in zip(self.groups, self.sides, self.per_cell, strict=True)
        ]

    def _places(self, scene: Source, arrays: Sequence[Array]) -> NDArray[np.int32]:
        """Return the upper left cells, counted along the rows, of all patches without invalid pixels."""
        free = np.ones([(n - self.sides[-1]) // self.per_cell[-1] + 1 for n in arrays[-1].shape[-2:]], np.bool_)
        for array, side, k in zip(arrays, self.sides, self.per_cell, strict=True):
            if not scene.all_valid:
                sums = np.pad((~np.isfinite(array)).any(axis=0).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
                (top, bottom), (left, right) = ((k * np.arange(n), k * np.arange(n) + side) for n in free.shape)
                corners = (sums[np.ix_(y, x)] for y in (bottom, top) for x in (right, left))
                lower_right, lower_left, upper_right, upper_left = corners
                free &= lower_right - lower_left - upper_right + upper_left == 0
        found = np.flatnonzero(free).astype(np.int32)
        if not len(found):
            raise InputError(
                f"the scene {scene.name!r} has no square of {self.sides[0] * 10} m without invalid pixels; "
                "expected some to learn from. Leave the scene out, or cut it: ds.sel(y=..., x=..., ...)"
            )
        return found


def shares(places: Sequence[str], sizes: Sequence[int]) -> list[float]:
    """Return the share of the patches that each scene gives: of places the root of their size, of dates their size.

    Parameters
    ----------
    places : sequence of str
        Where each scene lies; scenes of one place are much alike.
    sizes : sequence of int
        Their pixels.
    """
    total: dict[str, int] = defaultdict(int)
    for place, size in zip(places, sizes, strict=True):
        total[place] += size
    norm = sum(size**0.5 for size in total.values())
    return [size / total[place] ** 0.5 / norm for place, size in zip(places, sizes, strict=True)]


class Flat:
    """The pixels of one band group of all scenes, one after the other, and what finds one there."""

    def __init__(self, arrays: Sequence[Array], device: torch.device) -> None:
        # all bands of a pixel side by side: one index finds them
        pixels = [array.reshape(len(array), -1).T for array in arrays]
        self.values = torch.from_numpy(np.concatenate(pixels)).to(device)
        sizes = torch.tensor([len(own) for own in pixels])
        self.first = (sizes.cumsum(0) - sizes).to(device)
        self.width = torch.tensor([array.shape[-1] for array in arrays]).to(device)

    def patches(self, which: Tensor, corner: Tensor, side: int, turn: Tensor) -> Tensor:
        """Return squares (N, bands, side, side) of scenes at upper left corners (N, 2), each turned as its own says."""
        i = torch.arange(side, device=self.values.device)
        row, col = oriented(i[:, None].expand(side, side), i.expand(side, side), turn)
        width = self.width[which]
        first = self.first[which] + corner[:, 0] * width + corner[:, 1]
        found = self.values[first[:, None, None] + row * width[:, None, None] + col]
        return found.permute(0, 3, 1, 2).contiguous()


def oriented(row: Tensor, col: Tensor, turn: Tensor) -> tuple[Tensor, Tensor]:
    """Return rows and columns, (N, side, side), of squares that are transposed and mirrored as `turn`, 0 to 7, says."""
    transposed, upside_down, mirrored = (((turn >> bit) & 1).bool()[:, None, None] for bit in range(3))
    last = row.shape[-1] - 1
    row, col = torch.where(transposed, col, row), torch.where(transposed, row, col)
    return torch.where(upside_down, last - row, row), torch.where(mirrored, last - col, col)


def mirrored(
    scene: Source, cells: int, per_cell: tuple[int, ...], margins: tuple[int, ...], names: tuple[str, ...]
) -> list[Array]:
    """Mirror a scene at its borders: margins, and up to one patch where the scene is smaller."""
    h, w = (n // per_cell[-1] for n in getattr(scene, names[-1]).shape[-2:])
    extra = max(0, cells - h), max(0, cells - w)
    padded = []
    for name, k, m in zip(names, per_cell, margins, strict=True):
        array = getattr(scene, name)[:, : h * k, : w * k]
        below, right = m + extra[0] * k, m + extra[1] * k
        padded.append(np.pad(array, [(0, 0), (m, below), (m, right)], mode="symmetric"))
    return padded
