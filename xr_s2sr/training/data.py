"""Scenes, and the random patches that a network learns from.

A scene is an ``.npz`` with b10 (4, H, W), b20 (6, H/2, W/2) and perhaps b60 (2, H/6, W/6), uint16 DN, and is
listed in the folder's ``manifest.json`` with its split. Patches are degraded on the fly, each band with a width
of its own, so that no two are alike.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

#: The networks see DN / 2000, the unit of the published DSen2 weights.
SCALE = 2000.0
#: Factor of the degradation that makes the pairs, by the GSD of the bands a network restores.
FACTOR = {20: 2, 60: 6}

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Scene:
    """One place and date: native-resolution DN, nested grids with a common upper left corner."""

    name: str
    split: str
    b10: Array
    b20: Array
    b60: Array | None
    level: str = ""

    def crop(self, multiple: int) -> Scene:
        """The upper left part whose 10 m size is a multiple of `multiple`."""
        h, w = (n // multiple * multiple for n in self.b10.shape[-2:])
        b60 = None if self.b60 is None else self.b60[:, : h // 6, : w // 6]
        return replace(self, b10=self.b10[:, :h, :w], b20=self.b20[:, : h // 2, : w // 2], b60=b60)


def load_scenes(folder: str | Path, *, splits: tuple[str, ...] | None = None, required: bool = True) -> list[Scene]:
    """Read the scenes that the folder's manifest lists.

    Parameters
    ----------
    folder : path
        Holds ``manifest.json`` and the ``.npz`` files.
    splits : tuple of str, optional
        Keep these splits only ("train", "train-only", "validation").
    required : bool
        Whether it is an error to find none.

    Raises
    ------
    FileNotFoundError
        If there is no manifest, or no scene of these splits.
    """
    folder = Path(folder)
    manifest = folder / "manifest.json"
    if not manifest.is_file():
        raise FileNotFoundError(f"{manifest} not found: a folder of scenes has a manifest.json that lists them")
    scenes = []
    for entry in json.loads(manifest.read_text()):
        if splits is not None and entry["split"] not in splits:
            continue
        with np.load(folder / f"{entry['file']}.npz") as z:
            b60 = z["b60"].astype(np.float32) if "b60" in z else None
            b10, b20 = z["b10"].astype(np.float32), z["b20"].astype(np.float32)
        scenes.append(Scene(entry["file"], entry["split"], b10, b20, b60, entry.get("level", "")))
    if required and not scenes:
        raise FileNotFoundError(f"no scene of the splits {splits} is listed in {manifest}")
    return scenes


def degrade_patches(x: Tensor, factor: int, sigma: Tensor) -> Tensor:
    """Blur each band of each patch with its own Gaussian, then average factor x factor blocks.

    Parameters
    ----------
    x : Tensor, shape (N, C, y, x)
        Fine patches with a margin of ``margin(factor)`` pixels on each side.
    factor : int
    sigma : Tensor, shape (N, C)
        In fine pixels.

    Returns
    -------
    Tensor, shape (N, C, (y - 2 margin) / factor, (x - 2 margin) / factor)
    """
    n, c, h, w = x.shape
    r = margin(factor)
    at = torch.arange(-r, r + 1, dtype=torch.float32)
    k = torch.exp(-0.5 * (at / sigma.reshape(-1, 1)) ** 2)
    k = k / k.sum(dim=1, keepdim=True)
    # blur and block mean along one axis are one strided convolution
    box = torch.zeros(n * c, factor, 2 * r + factor)
    for shift in range(factor):
        box[:, shift, shift : shift + 2 * r + 1] = k
    taps = box.mean(dim=1)
    flat = x.reshape(1, n * c, h, w)
    flat = F.conv2d(flat, taps[:, None, :, None], stride=(factor, 1), groups=n * c)
    flat = F.conv2d(flat, taps[:, None, None, :], stride=(1, factor), groups=n * c)
    return flat.reshape(n, c, flat.shape[-2], flat.shape[-1])


def margin(factor: int) -> int:
    """Fine pixels that a patch needs around it to be degraded by `factor`: three to four sigma."""
    return 2 * factor


@dataclass(frozen=True)
class Augmentation:
    """How far patches are driven from the scenes that they come from.

    Attributes
    ----------
    gain : float
        Largest logarithm of a patch's common gain.
    band_gain, band_offset : float
        Spread of a band's own gain, and of its own offset in DN: other atmospheres and levels.
    noise, noisy : float
        Largest standard deviation of noise in DN, and the share of inputs that get some.
    """

    gain: float = 0.5
    band_gain: float = 0.08
    band_offset: float = 40.0
    noise: float = 14.0
    noisy: float = 0.4


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
        self.scenes = [s for s in scenes if gsd == 20 or s.b60 is not None]
        self.posing = scenes  # for the 60 m task any scene can lend 20 m bands that pose as 60 m bands
        self.gsd, self.rng = gsd, rng
        self._padded: dict[tuple[str, int, tuple[int, ...]], tuple[Array, ...]] = {}

    def batch(self, n: int, size: int, posing: float = 0.0) -> tuple[list[Tensor], Tensor]:
        """Draw n patches.

        Returns
        -------
        inputs : list of Tensor
            (N, bands, y, x), degraded, augmented, noisy at times, in units of DN / 2000.
        truth : Tensor
            (N, targets, y, x), the same augmentation without the noise.
        """
        if self.gsd == 20:
            fine, factors = self._cut20(n, size), [2, 2]
        elif self.rng.random() < posing:
            return self._augment(*self._posing60(n, size))
        else:
            fine, factors = self._cut60(n, size), [6, 6, 6]
        sigma = self._sigmas(n, factors[0])
        inputs = [
            degrade_patches(x, factor, sigma[:, : x.shape[1]] if i else sigma[:, -x.shape[1] :])
            for i, (x, factor) in enumerate(zip(fine, factors, strict=True))
        ]
        m = margin(factors[-1])
        return self._augment(inputs, fine[-1][..., m:-m, m:-m])

    # -- where patches come from ------------------------------------------------------------------------------

    def _cut20(self, n: int, size: int) -> list[Tensor]:
        m = margin(2)
        return self._cut(self.scenes, n, 2 * size, (2, 1), (m, m), ("b10", "b20"))

    def _cut60(self, n: int, size: int) -> list[Tensor]:
        # truth is on the 60 m grid; every band is degraded by 6, so every band has the margin of 12 own pixels
        return self._cut(self.scenes, n, 6 * size, (6, 3, 1), (12, 12, 12), ("b10", "b20", "b60"))

    def _cut(
        self,
        scenes: list[Scene],
        n: int,
        cells: int,
        per_cell: tuple[int, ...],
        margins: tuple[int, ...],
        names: tuple[str, ...],
    ) -> list[Tensor]:
        """Cut n patches of `cells` x `cells` cells; per_cell pixels of each band group lie along a cell's side."""
        weight = np.array([np.sqrt(s.b10[0].size) for s in scenes])
        picks = self.rng.choice(len(scenes), size=n, p=weight / weight.sum())
        out: list[list[Array]] = [[] for _ in names]
        for pick in picks:
            arrays, (rows, cols) = self._pad(scenes[pick], cells, per_cell, margins, names)
            y, x = self.rng.integers(0, rows - cells + 1), self.rng.integers(0, cols - cells + 1)
            turns, flip = int(self.rng.integers(4)), self.rng.integers(2)
            for i, (array, k, m) in enumerate(zip(arrays, per_cell, margins, strict=True)):
                p = array[:, y * k : (y + cells) * k + 2 * m, x * k : (x + cells) * k + 2 * m]
                p = np.rot90(p, turns, axes=(1, 2))
                out[i].append(p[:, :, ::-1] if flip else p)
        return [torch.from_numpy(np.ascontiguousarray(np.stack(group))) for group in out]

    def _pad(
        self, scene: Scene, cells: int, per_cell: tuple[int, ...], margins: tuple[int, ...], names: tuple[str, ...]
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

    def _posing60(self, n: int, size: int) -> tuple[list[Tensor], Tensor]:
        """The 60 m task played with other bands: two 20 m bands, degraded by 6, are restored to 20 m.

        The 10 m and 20 m bands are degraded by 2; in the 20 m stack the two bands that pose are overwritten by
        their neighbours, so that the answer is not given away. Nine times the truth of 360 -> 60 m.
        """
        cells = 6 * size
        b10, b20 = self._cut(self.posing, n, cells, (2, 1), (12, 12), ("b10", "b20"))
        # which bands pose: any two, in the order of their wavelengths
        pair = np.sort(np.stack([self.rng.choice(6, 2, replace=False) for _ in range(n)]), axis=1)
        rows = torch.arange(n)[:, None]
        posed = b20[rows, torch.from_numpy(pair)]
        s6, s2 = self._sigmas(n, 6), self._sigmas(n, 2)
        low60 = degrade_patches(posed, 6, s6[:, :2])
        trim10, trim20 = 12 - margin(2), 12 - margin(2)
        low10 = degrade_patches(b10[..., trim10:-trim10, trim10:-trim10], 2, s2[:, :4])
        low20 = degrade_patches(b20[..., trim20:-trim20, trim20:-trim20], 2, s2[:, 4:10])
        for i, (a, b) in enumerate(pair):
            left = [k for k in range(6) if k not in (a, b)]
            for k in (a, b):
                low20[i, k] = low20[i, min(left, key=lambda j: (abs(j - k), j))]
        return [low10, low20, low60], posed[..., 12:-12, 12:-12]

    # -- what happens to them ---------------------------------------------------------------------------------

    def _sigmas(self, n: int, factor: int) -> Tensor:
        """Blur widths (n, 12) in fine pixels, between the paper's and the sensor's."""
        rng = self.rng
        paper = 1.0 / factor
        sensor = factor / 2.0
        kind = rng.random(n)
        base = np.where(kind < 0.4, paper, np.where(kind < 0.75, sensor, rng.uniform(paper, 1.15 * sensor, n)))
        # real bands differ in sharpness; the paper's do not
        spread = np.where(kind < 0.6, 0.0, 0.12)[:, None] * rng.standard_normal((n, 12))
        sigma = np.clip(base[:, None] * np.exp(spread), paper, 1.3 * sensor)
        return torch.from_numpy(sigma.astype(np.float32))

    def _augment(self, inputs: list[Tensor], truth: Tensor) -> tuple[list[Tensor], Tensor]:
        """Random gain and offset per patch and band; noise of the sensor's size on some of the inputs."""
        rng, n, how = self.rng, len(truth), self.augmentation
        bands = sum(x.shape[1] for x in inputs)
        common = np.exp(rng.uniform(-how.gain, how.gain, (n, 1)))
        gain = common * np.exp(how.band_gain * rng.standard_normal((n, bands)))
        offset = rng.uniform(-300, 1300, (n, 1)) * (rng.random((n, 1)) < 0.5) + how.band_offset * rng.standard_normal(
            (n, bands)
        )
        g = torch.from_numpy(gain.astype(np.float32))[:, :, None, None]
        o = torch.from_numpy(offset.astype(np.float32))[:, :, None, None]
        out, start = [], 0
        for x in inputs:
            stop = start + x.shape[1]
            y = x * g[:, start:stop] + o[:, start:stop]
            sigma = rng.uniform(0, how.noise, (n, 1, 1, 1)) * (rng.random((n, 1, 1, 1)) < how.noisy)
            noise = torch.randn(y.shape, generator=self._torch()) * torch.from_numpy(sigma.astype(np.float32))
            out.append((y + noise) / SCALE)
            start = stop
        k = truth.shape[1]  # the targets are the last group
        return out, (truth * g[:, -k:] + o[:, -k:]) / SCALE

    def _torch(self) -> torch.Generator:
        return torch.Generator().manual_seed(int(self.rng.integers(2**31)))
