"""The random patches that a network learns from: cut from scenes, degraded on the fly, by blurs of many widths."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from xr_s2sr.bands import BY_GSD
from xr_s2sr.training.cutting import Cut, Cutter
from xr_s2sr.training.degradation import margin, sensor_like, simulated, torch_generator
from xr_s2sr.training.scenes import Scene

#: The networks see DN / 2000, the unit of the published DSen2 weights.
SCALE = 2000.0
#: Factor of the degradation that makes the pairs, by the GSD of the bands a network restores.
FACTOR = {20: 2, 60: 6}

#: B11, B12, and both: places among the 20 m bands.
_SWIR = np.array([4]), np.array([5]), np.array([4, 5])

Array = NDArray[np.float32]


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

    sensor: float = 0.5
    gain: float = 0.3
    shifted: float = 0.5
    air: tuple[float, float] = (0.25, 0.8)
    noise: float = 14.0
    noisy: float = 0.2
    dropped: float = 0.5
    only_swir: float = 0.5


class Patches:
    """An endless source of training batches.

    Parameters
    ----------
    scenes : list of Scene
    gsd : {20, 60}
        GSD of the bands to restore.
    rng : numpy Generator
    augmentation : Augmentation

    Notes
    -----
    All sizes below are in pixels of the coarsest input of the simulated task (40 m or 360 m).
    """

    def __init__(
        self, scenes: list[Scene], gsd: int, rng: np.random.Generator, augmentation: Augmentation | None = None
    ) -> None:
        self.augmentation = augmentation or Augmentation()
        self.scenes = scenes if gsd == 20 else [scene for scene in scenes if scene.b60 is not None]
        self.proxy_scenes = scenes  # for the 60 m task any scene can lend 20 m bands in the place of 60 m bands
        self.gsd, self.rng = gsd, rng
        self.cutter = Cutter(rng)
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
        """
        if proxy:
            return self._drop(*self._augment(*self._proxy60(n, size)))
        cut, levels = self._cut20(n, size) if self.gsd == 20 else self._cut60(n, size)
        fine, factor = (cut, 2) if self.gsd == 20 else (self._atmospheric_gain(*cut), 6)
        bands = [BY_GSD[10], BY_GSD[20], BY_GSD[60]][: len(fine)]
        inputs = simulated(fine, levels, bands, factor, self._sensor_like(n), self.rng)
        m = margin(factor)
        return self._drop(*self._augment(inputs, fine[-1][..., m:-m, m:-m]))

    def native(self, n: int, size: int) -> tuple[list[Tensor], Tensor]:
        """Draw n patches at the scale where a network is used, for which there is no truth.

        Returns
        -------
        inputs : list of Tensor
            (N, bands, y, x), the bands as they are, with gain and offset, and noise at times.
        present : Tensor
            (N, targets), as in :meth:`batch`.
        """
        per_cell, names = ((2, 1), ("b10", "b20")) if self.gsd == 20 else ((6, 3, 1), ("b10", "b20", "b60"))
        scenes = self.scenes if self.gsd == 20 else large_enough(self.scenes, size)
        bands, _ = self.cutter.cut(scenes, n, size, per_cell, (0,) * len(names), names)
        inputs, truth = self._augment(bands, bands[-1])
        inputs, _, present = self._drop(inputs, truth)
        return inputs, present

    # -- where patches come from ------------------------------------------------------------------------------

    def _cut20(self, n: int, size: int) -> Cut:
        m = margin(2)
        return self.cutter.cut(self.scenes, n, 2 * size, (2, 1), (m, m), ("b10", "b20"))

    def _cut60(self, n: int, size: int) -> Cut:
        # truth is on the 60 m grid; every band is degraded by 6, so every band has the margin of 12 own pixels
        scenes = large_enough(self.scenes, 6 * size)
        return self.cutter.cut(scenes, n, 6 * size, (6, 3, 1), (12, 12, 12), ("b10", "b20", "b60"))

    def _proxy60(self, n: int, size: int) -> tuple[list[Tensor], Tensor]:
        """The 60 m task played with other bands: two 20 m bands, degraded by 6, are restored to 20 m.

        The 10 m and 20 m bands are degraded by 2; in the 20 m stack the two bands that pose are overwritten by
        their neighbours, so that the answer is not given away. Nine times the truth of 360 -> 60 m.
        """
        cells = 6 * size
        (b10, b20), (level10, level20) = self.cutter.cut(self.proxy_scenes, n, cells, (2, 1), (12, 12), ("b10", "b20"))
        # which bands pose: any two, in the order of their wavelengths
        pair = np.sort(np.stack([self.rng.choice(6, 2, replace=False) for _ in range(n)]), axis=1)
        rows = torch.arange(n)[:, None]
        chosen = rows, torch.from_numpy(pair)
        truth, like = b20[chosen], self._sensor_like(n)
        (low60,) = simulated([truth], [level20[chosen]], [BY_GSD[20][2:4]], 6, like, self.rng)
        trim = 12 - margin(2)
        near = [x[..., trim:-trim, trim:-trim] for x in (b10, b20)]
        low10, low20 = simulated(near, [level10, level20], [BY_GSD[10], BY_GSD[20]], 2, like, self.rng)
        for i, (a, b) in enumerate(pair):
            left = [k for k in range(6) if k not in (a, b)]
            for k in (a, b):
                low20[i, k] = low20[i, min(left, key=lambda j: (abs(j - k), j))]
        return [low10, low20, low60], truth[..., 12:-12, 12:-12]

    # -- what happens to them ---------------------------------------------------------------------------------

    def _sensor_like(self, n: int) -> Tensor:
        self.sensor = sensor_like(self.rng, n, self.augmentation.sensor)
        return self.sensor

    def _atmospheric_gain(self, b10: Tensor, b20: Tensor, b60: Tensor) -> list[Tensor]:
        """Draw random gains of their own for B01 and B09."""
        most = np.reshape(self.augmentation.air, (1, 2, 1, 1))
        log = self.rng.uniform(-1, 1, (len(b60), 2, 1, 1)) * most * (self.rng.random((len(b60), 1, 1, 1)) < 0.7)
        return [b10, b20, b60 * torch.from_numpy(np.exp(log).astype(np.float32))]

    def _augment(self, inputs: list[Tensor], truth: Tensor) -> tuple[list[Tensor], Tensor]:
        """Apply a random gain and offset to each patch, and noise of the sensor's size to some."""
        rng, n, how = self.rng, len(truth), self.augmentation
        gain = torch.from_numpy(np.exp(rng.uniform(-how.gain, how.gain, (n, 1, 1, 1))).astype(np.float32))
        offset = rng.uniform(-300, 1500, (n, 1, 1, 1)) * (rng.random((n, 1, 1, 1)) < how.shifted)
        shift = torch.from_numpy(offset.astype(np.float32))
        noisy = rng.random((n, 1, 1, 1)) < how.noisy
        out = []
        for x in inputs:
            sigma = torch.from_numpy((rng.uniform(0, how.noise, (n, 1, 1, 1)) * noisy).astype(np.float32))
            noise = torch.randn(x.shape, generator=torch_generator(rng)) * sigma
            out.append((x * gain + shift + noise) / SCALE)
        return out, (truth * gain + shift) / SCALE

    def _drop(self, inputs: list[Tensor], truth: Tensor) -> tuple[list[Tensor], Tensor, Tensor]:
        """Put planes of 0 in the place of some 20 m bands: at least one stays where they are to be restored."""
        keep = np.ones((len(truth), 6), np.float32)
        for i in np.flatnonzero(self.rng.random(len(truth)) < self.augmentation.dropped):
            keep[i] = 0
            keep[i, self._left()] = 1
        kept = torch.from_numpy(keep)
        low10, low20, *rest = inputs
        present = kept if self.gsd == 20 else torch.ones(truth.shape[:2])
        return [low10, low20 * kept[:, :, None, None], *rest], truth, present

    def _left(self) -> NDArray[np.integer]:
        """Draw the 20 m bands that are left of a patch that lacks some."""
        rng = self.rng
        if self.gsd == 20 and rng.random() < self.augmentation.only_swir:
            return _SWIR[rng.integers(3)]
        # half of the time as few as can be: a single band is often asked for, and tells least of the blur
        fewest = 1 if self.gsd == 20 else 0
        return rng.permutation(6)[: fewest if rng.random() < 0.5 else rng.integers(fewest, 6)]


def large_enough(scenes: list[Scene], side: int) -> list[Scene]:
    """Return the scenes with at least `side` 60 m pixels a side, if any: a patch of a smaller one mostly mirrors."""
    return [s for s in scenes if s.b60 is not None and min(s.b60.shape[-2:]) >= side] or scenes
