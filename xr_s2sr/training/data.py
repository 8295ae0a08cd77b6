"""The random patches that a network learns from: cut from scenes, degraded on the fly, by blurs of many widths."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from xr_s2sr.bands import BY_GSD
from xr_s2sr.errors import InputError
from xr_s2sr.training.degradation import constants, margin, normal, simulated, uniform
from xr_s2sr.training.scenes import Array, TrainingScene

#: The networks see DN / 2000, the unit of the published DSen2 weights.
SCALE = 2000.0
#: Factor of the degradation that makes the pairs, by the GSD of the bands a network restores.
FACTOR = {20: 2, 60: 6}
#: Arrays of a scene that a network is given, and the pixels of each along one of the coarsest.
GROUPS = {20: {"b10": 2, "b20": 1}, 60: {"b10": 6, "b20": 3, "b60": 1}}


@dataclass(frozen=True)
class Augmentation:
    """Settings of augmentation: how far patches are driven from the scenes that they come from.

    Attributes
    ----------
    sensor : float
        Share of patches with blur and noise like the sensor's own (:mod:`xr_s2sr.quality.sensor`), each drawn around
        it.
    gain : float
        Largest logarithm of a patch's gain; common to all bands, like the offset. Gains of a band's own would hide
        what relates the bands to each other.
    shifted : float
        Share of patches that get an offset, of -300 to 1500 DN.
    air : (float, float)
        Largest logarithms of gains of B01's and B09's own, on most patches: what the atmosphere takes of them differs
        from day to day. In our L1C scenes B09 changes 0.12 to 0.49 times as much as B8A, in L2A 0.95 times.
    noise, noisy : float
        Largest standard deviation of noise in DN, and the share of patches that get some: a degraded scene has less
        noise than the sensor's, and a network that never met any would amplify it.
    dropped : float
        Share of patches that lack some of the 20 m bands; planes of 0 in their place.
    only_swir : float
        Of these, the share with B11, B12 or both alone, of which the guide says least. For the 20 m network only.
    """

    sensor: float = 0.7
    gain: float = 0.3
    shifted: float = 0.5
    air: tuple[float, float] = (0.25, 0.8)
    noise: float = 14.0
    noisy: float = 0.2
    dropped: float = 0.5
    only_swir: float = 0.5


class Patches:
    """An endless source of training batches, made on the device of its generator.

    Parameters
    ----------
    scenes : list of TrainingScene
    gsd : {20, 60}
        GSD of the bands to restore.
    generator : torch.Generator
    augmentation : Augmentation

    Notes
    -----
    All sizes below are in pixels of the coarsest input of the simulated task (40 m or 360 m).
    """

    def __init__(
        self,
        scenes: list[TrainingScene],
        gsd: int,
        generator: torch.Generator,
        augmentation: Augmentation | None = None,
    ) -> None:
        self.augmentation = augmentation or Augmentation()
        self.scenes = scenes if gsd == 20 else [scene for scene in scenes if scene.b60 is not None]
        self.proxy_scenes = scenes  # for the 60 m task any scene can lend 20 m bands in the place of 60 m bands
        self.gsd, self.generator = gsd, generator
        self._cutters: dict[tuple[object, ...], Cutter] = {}
        #: Which patches of the last batch have the sensor's blur and noise, (N, 1).
        self.sensor = torch.zeros(0, 1, dtype=torch.bool)

    def batch(self, n: int, size: int, proxy: bool = False) -> tuple[list[Tensor], Tensor, Tensor]:
        """Draw n patches; with `proxy`, of 20 m bands that play B01 and B09.

        Returns
        -------
        inputs : list of Tensor
            (N, bands, y, x), degraded, augmented, noisy at times, in units of DN / 2000.
        truth : Tensor
            (N, targets, y, x), the same augmentation without the noise.
        present : Tensor
            (N, targets), 1 where the band is there to be restored, 0 where it was dropped.

        Raises
        ------
        InputError
            If a scene has nowhere a patch without invalid pixels.
        """
        self.sensor = uniform(self.generator, n, 1) < self.augmentation.sensor
        if proxy:
            inputs, truth = self._augment(*self._proxy60(n, size))
        else:
            inputs, truth = self._augment(*self._pairs(n, size))
        inputs, present = self._drop(inputs)
        return inputs, truth, present

    def native(self, n: int, size: int) -> tuple[list[Tensor], Tensor]:
        """Draw n patches at the scale where a network is used, for which there is no truth.

        Returns
        -------
        inputs : list of Tensor
            (N, bands, y, x), the bands as they are, with gain and offset, and noise at times.
        present : Tensor
            (N, targets), as in :meth:`batch`.
        """
        scenes = self.scenes if self.gsd == 20 else large_enough(self.scenes, 60, size)
        bands = self._cut(scenes, n, size, 0, GROUPS[self.gsd])
        return self._drop(self._augment(bands, bands[-1])[0])

    # -- where patches come from ------------------------------------------------------------------------------

    def _cut(
        self, scenes: list[TrainingScene], n: int, cells: int, around: int, groups: Mapping[str, int]
    ) -> list[Tensor]:
        """Cut patches of `cells` coarsest pixels a side, with `around` pixels of each group on every side."""
        key = cells, around, *groups
        if key not in self._cutters:
            margins = (around,) * len(groups)
            self._cutters[key] = Cutter(scenes, cells, tuple(groups.values()), margins, tuple(groups), self.generator)
        return self._cutters[key].cut(n)

    def _pairs(self, n: int, size: int) -> tuple[list[Tensor], Tensor]:
        """Degrade patches of scenes, which are the truth."""
        factor = FACTOR[self.gsd]
        m, cells = margin(factor), factor * size
        # the margin of 60 m bands is mirrored where a scene ends: few scenes would be large enough for it
        scenes = large_enough(self.scenes, self.gsd, cells + 2 * m if self.gsd == 20 else cells)
        fine = self._cut(scenes, n, cells, m, GROUPS[self.gsd])
        bands = [BY_GSD[10], BY_GSD[20], BY_GSD[60]][: len(fine)]
        if self.gsd == 60:
            fine = self._atmospheric_gain(*fine)
        return simulated(fine, bands, factor, self.sensor, self.generator), fine[-1][..., m:-m, m:-m]

    def _proxy60(self, n: int, size: int) -> tuple[list[Tensor], Tensor]:
        """The 60 m task played with other bands: two 20 m bands, degraded by 6, are restored to 20 m.

        The 10 m and 20 m bands are degraded by 2; in the 20 m stack the two bands that pose are overwritten by
        their neighbours, so that the answer is not given away. Nine times the truth of 360 -> 60 m.
        """
        m, generator = margin(6), self.generator
        scenes = large_enough(self.proxy_scenes, 20, 6 * size + 2 * m)
        b10, b20 = self._cut(scenes, n, 6 * size, m, GROUPS[20])
        # which bands pose: any two, in the order of their wavelengths
        pair = uniform(generator, n, 6).argsort(dim=1)[:, :2].sort(dim=1).values
        truth = picked(b20, pair)
        (low60,) = simulated([truth], [BY_GSD[60]], 6, self.sensor, generator)
        trim = m - margin(2)
        near = [x[..., trim:-trim, trim:-trim] for x in (b10, b20)]
        low10, low20 = simulated(near, [BY_GSD[10], BY_GSD[20]], 2, self.sensor, generator)
        return [low10, picked(low20, neighbours(pair)), low60], truth[..., m:-m, m:-m]

    # -- what happens to them ---------------------------------------------------------------------------------

    def _atmospheric_gain(self, b10: Tensor, b20: Tensor, b60: Tensor) -> list[Tensor]:
        """Draw random gains of their own for B01 and B09."""
        n, generator = len(b60), self.generator
        drawn = (2 * uniform(generator, n, 2) - 1) * (uniform(generator, n, 1) < 0.7)
        gains = torch.exp(drawn * constants(self.augmentation.air, drawn.device))
        return [b10, b20, b60 * gains[:, :, None, None]]

    def _augment(self, inputs: list[Tensor], truth: Tensor) -> tuple[list[Tensor], Tensor]:
        """Apply a random gain and offset to each patch, and noise of the sensor's size to some."""
        generator, how = self.generator, self.augmentation
        one = len(truth), 1, 1, 1
        gain = torch.exp(how.gain * (2 * uniform(generator, *one) - 1))
        shift = (1800 * uniform(generator, *one) - 300) * (uniform(generator, *one) < how.shifted)
        noisy = uniform(generator, *one) < how.noisy
        out = []
        for x in inputs:
            sigma = how.noise * uniform(generator, *one) * noisy
            out.append((x * gain + shift + normal(generator, *x.shape) * sigma) / SCALE)
        return out, (truth * gain + shift) / SCALE

    def _drop(self, inputs: list[Tensor]) -> tuple[list[Tensor], Tensor]:
        """Put planes of 0 in the place of some 20 m bands, and return which targets are left: at least one."""
        low10, low20, *rest = inputs
        n = len(low20)
        lacking = uniform(self.generator, n, 1) < self.augmentation.dropped
        kept = (self._left(n) | ~lacking).float()
        present = kept if self.gsd == 20 else torch.ones_like(kept[:, :2])
        return [low10, low20 * kept[:, :, None, None], *rest], present

    def _left(self, n: int) -> Tensor:
        """Draw which of the 20 m bands are left of patches that lack some, (n, 6)."""
        generator = self.generator
        # half of the time as few as can be: a single band is often asked for, and tells least of the blur
        fewest = 1 if self.gsd == 20 else 0
        more = fewest + ((6 - fewest) * uniform(generator, n, 1)).long()
        count = torch.where(uniform(generator, n, 1) < 0.5, fewest, more)
        left = uniform(generator, n, 6).argsort(dim=1).argsort(dim=1) < count
        if self.gsd == 60:
            return left
        band, kind = torch.arange(6, device=left.device), uniform(generator, n, 1)
        swir = ((band == 4) & (kind < 2 / 3)) | ((band == 5) & (kind > 1 / 3))  # B11, B12 or both
        return torch.where(uniform(generator, n, 1) < self.augmentation.only_swir, swir, left)


def picked(x: Tensor, bands: Tensor) -> Tensor:
    """Return bands (N, k) of patches (N, bands, y, x)."""
    return x[torch.arange(len(x), device=x.device)[:, None], bands]


def neighbours(pair: Tensor) -> Tensor:
    """Return for each of the six 20 m bands itself, or the nearest other one where it is one of the pair, (N, 6)."""
    band = torch.arange(6, device=pair.device)
    away = (band[:, None] - band).abs().float().expand(len(pair), 6, 6)
    posing = (band == pair[:, :1]) | (band == pair[:, 1:])
    nearest = (away + 100.0 * posing[:, None, :] + 0.1 * (band > band[:, None])).argmin(dim=2)
    return torch.where(posing, nearest, band)


def large_enough(scenes: list[TrainingScene], gsd: int, side: int) -> list[TrainingScene]:
    """Return the scenes with at least `side` pixels of 20 m or 60 m a side; all if there is none.

    A patch of a smaller one mostly mirrors.
    """
    arrays = [scene.b20 if gsd == 20 else scene.b60 for scene in scenes]
    large = [s for s, array in zip(scenes, arrays, strict=True) if array is not None and min(array.shape[-2:]) >= side]
    return large or scenes


# -- cutting ------------------------------------------------------------------------------------------------------


class Source(Protocol):
    """A scene with an attribute, (bands, y, x), for every band group that is asked for."""

    @property
    def name(self) -> str: ...

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
        self.groups = [Flat([arrays[k] for arrays in padded], device) for k in range(len(names))]

    def cut(self, n: int) -> list[Tensor]:
        """Return n patches, (n, bands, y, x) of each group."""
        scene, place, turn = torch.rand(
            (3, n), generator=self.generator, device=self.places.device, dtype=torch.float64
        )
        which = torch.searchsorted(self.share, scene)
        corner = self.places[self.first[which] + (place * self.count[which]).long()]
        turn = (turn * 8).long()
        return [
            group.patches(which, corner * k, side, turn)
            for group, side, k in zip(self.groups, self.sides, self.per_cell, strict=True)
        ]

    def _places(self, scene: Source, arrays: Sequence[Array]) -> NDArray[np.int32]:
        """Return row and column of the upper left cells of all patches without invalid pixels."""
        free = np.ones([(n - self.sides[-1]) // self.per_cell[-1] + 1 for n in arrays[-1].shape[-2:]], np.bool_)
        for array, side, k in zip(arrays, self.sides, self.per_cell, strict=True):
            invalid = torch.from_numpy(~np.isfinite(array).all(axis=0))[None]
            if invalid.any():
                touched = F.max_pool2d(F.max_pool2d(invalid.float(), (side, 1), (k, 1)), (1, side), (1, k))
                free &= touched[0].numpy() == 0
        found = np.argwhere(free).astype(np.int32)
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
