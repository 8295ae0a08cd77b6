"""The random patches that a network learns from: cut from scenes, degraded on the fly, by blurs of many widths."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from xr_s2sr.bands import BY_GSD
from xr_s2sr.training.cutting import Cutter
from xr_s2sr.training.degradation import margin, normal, simulated, uniform
from xr_s2sr.training.scenes import TrainingScene

#: The networks see DN / 2000, the unit of the published DSen2 weights.
SCALE = 2000.0
#: Factor of the degradation that makes the pairs, by the GSD of the bands a network restores.
FACTOR = {20: 2, 60: 6}


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
        self._cutters: dict[tuple[str, int], Cutter] = {}
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
            return self._drop(*self._augment(*self._proxy60(n, size)))
        fine = self._cut20(n, size) if self.gsd == 20 else self._cut60(n, size)
        factor = FACTOR[self.gsd]
        bands = [BY_GSD[10], BY_GSD[20], BY_GSD[60]][: len(fine)]
        if self.gsd == 60:
            fine = self._atmospheric_gain(*fine)
        inputs = simulated(fine, bands, factor, self.sensor, self.generator)
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
        if self.gsd == 20:
            bands = self._cut("native", self.scenes, n, size, {"b10": (2, 0), "b20": (1, 0)})
        else:
            groups = {"b10": (6, 0), "b20": (3, 0), "b60": (1, 0)}
            bands = self._cut("native", large_enough(self.scenes, 60, size), n, size, groups)
        inputs, truth = self._augment(bands, bands[-1])
        inputs, _, present = self._drop(inputs, truth)
        return inputs, present

    # -- where patches come from ------------------------------------------------------------------------------

    def _cut(
        self, kind: str, scenes: list[TrainingScene], n: int, cells: int, groups: dict[str, tuple[int, int]]
    ) -> list[Tensor]:
        """Cut patches of one kind; groups are pixels along a cell, and margin, by attribute."""
        key = kind, cells
        if key not in self._cutters:
            per_cell, margins = zip(*groups.values(), strict=True)
            self._cutters[key] = Cutter(scenes, cells, per_cell, margins, tuple(groups), self.generator)
        return self._cutters[key].cut(n)

    def _cut20(self, n: int, size: int) -> list[Tensor]:
        """Cut patches of the 20 m task."""
        m = margin(2)
        return self._cut(
            "20", large_enough(self.scenes, 20, 2 * size + 2 * m), n, 2 * size, {"b10": (2, m), "b20": (1, m)}
        )

    def _cut60(self, n: int, size: int) -> list[Tensor]:
        """Cut patches of the 60 m task."""
        # truth is on the 60 m grid; every band is degraded by 6, so every band has the margin of 12 own pixels
        # (mirrored where the scene ends: few scenes would be large enough for it)
        m, scenes = margin(6), large_enough(self.scenes, 60, 6 * size)
        return self._cut("60", scenes, n, 6 * size, {"b10": (6, m), "b20": (3, m), "b60": (1, m)})

    def _proxy60(self, n: int, size: int) -> tuple[list[Tensor], Tensor]:
        """The 60 m task played with other bands: two 20 m bands, degraded by 6, are restored to 20 m.

        The 10 m and 20 m bands are degraded by 2; in the 20 m stack the two bands that pose are overwritten by
        their neighbours, so that the answer is not given away. Nine times the truth of 360 -> 60 m.
        """
        m, generator = margin(6), self.generator
        groups = {"b10": (2, m), "b20": (1, m)}
        scenes = large_enough(self.proxy_scenes, 20, 6 * size + 2 * m)
        b10, b20 = self._cut("proxy", scenes, n, 6 * size, groups)
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
        logs = torch.stack([drawn[:, k] * most for k, most in enumerate(self.augmentation.air)], dim=1)
        return [b10, b20, b60 * logs.exp()[:, :, None, None]]

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

    def _drop(self, inputs: list[Tensor], truth: Tensor) -> tuple[list[Tensor], Tensor, Tensor]:
        """Put planes of 0 in the place of some 20 m bands: at least one stays where they are to be restored."""
        lacking = uniform(self.generator, len(truth), 1) < self.augmentation.dropped
        kept = (self._left(len(truth)) | ~lacking).float()
        low10, low20, *rest = inputs
        present = kept if self.gsd == 20 else torch.ones_like(truth[:, :, 0, 0])
        return [low10, low20 * kept[:, :, None, None], *rest], truth, present

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
    index = bands.reshape(*bands.shape, *[1] * (x.ndim - 2)).expand(-1, -1, *x.shape[2:])
    return x.gather(1, index)


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
