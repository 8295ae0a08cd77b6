"""The landscape of the synthetic scene: land cover painted at 5 m, as reflectance averaged to 10 m.

Each 5 m pixel is a mix of two materials; spectra, textures and weather give twelve bands that no line relates.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from functools import partial
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

F32: TypeAlias = NDArray[np.float32]
Codes: TypeAlias = NDArray[np.int32]
Mask: TypeAlias = NDArray[np.bool_]

#: Surface reflectance in percent, bands in the order of wavelength.
_SPECTRA = """wheat 2.3 2.8 5.5 3.2 9 28 36 38 40 38 18 8.5; rapeseed 3.6 4.2 12 10 16 32 39 41 42 40 20 10
meadow 3 3.5 7 4.6 11 27 33 35 37 35 21 11; alfalfa 2 2.4 5.8 2.6 9.5 36 47 49 51 48 20 8.8
maize 5 5.6 8.2 8 13 21 24 26 28 27 26 18; barley 5.5 7 11.5 13.5 17 22 25 28 30 29 34 24
loam 5.6 6.4 8.2 9.8 12 13.8 15.5 17.5 19 18.8 26 23; chalk 9.5 11 15 18 21 23 25 28 30 29.5 38 34
conifer 1.4 1.6 2.8 2 4.5 13 16.5 18.5 20 19.3 9 4.2; deciduous 1.8 2.1 4.4 2.6 8 26 34 36 38.5 37 17 7.5
water 3.3 3 2.8 1.6 1.3 0.9 0.8 0.7 0.6 0.6 0.3 0.2; sand 13 15 20 25 28 30 31 33 34 33.5 40 35
asphalt 8 8.8 9.8 10.6 11.4 12 12.5 13.2 13.8 13.7 16 14.8; concrete 17 19 22.5 25 27 28 29 30 31 30.5 33 31
tile 6.5 7.5 10 17.5 23 25.5 27 29 30.5 30 36 31; membrane 38 44 49 51 52 52.5 53 53 53 51 44 36
metal 20 25 24 20 19 19 19.5 22 24 24 29 30; bitumen 4.5 4.8 5.2 5.6 6 6.2 6.5 6.8 7 7 9.5 9.5"""
_MATERIALS = {m.split()[0]: np.array(m.split()[1:], float) / 100 for m in _SPECTRA.replace("\n", ";").split(";")}
_CODE = {name: i for i, name in enumerate(_MATERIALS)}
_BEYOND = 230  # metres that blocks reach beyond the circle that their centres are in, streets being bent
_KINDS = 4096  # distinct fields, lots, blocks: their numbers are hashed onto so many
#: Clouds are bright in VNIR, less so in SWIR; in their shadows some blue skylight is left; texture by band.
_CLOUD = np.array([108, 110, 112, 113, 114, 114, 115, 116, 115, 96, 72, 58]) / 100
_SHADOW = np.array([38, 42, 48, 54, 57, 60, 62, 63, 64, 64, 70, 72]) / 100
_TEXTURE = np.array([0.8, 0.9, 1.0, 1.1, 1.0, 0.9, 0.85, 0.9, 0.85, 0.8, 1.1, 1.2], np.float32)


def paint_landscape(size: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Reflectance of the whole scene at 10 m under its weather, shape (12, size, size), bands by wavelength."""
    return _weather(_landscape(2 * size, rng), rng)


class _Canvas:
    """Land cover at 5 m: each pixel is (1 - mix) of one material and mix of another, times its brightness."""

    def __init__(self, n: int, rng: np.random.Generator) -> None:
        self.n, self.rng, self.extent = n, rng, 5.0 * n
        self.noise: Callable[..., F32] = partial(_noise, rng, n)
        y, x = np.meshgrid(*[np.arange(2.5, 5 * n, 5, dtype=np.float32)] * 2, indexing="ij")
        # Gently bent coordinates in metres, so that roads and field edges are not ruled lines.
        self.y, self.x = y + 35 * self.noise(250), x + 35 * self.noise(250)
        self.first, self.second = np.zeros((2, n, n), np.int32)
        self.mix, self.light = np.zeros((2, n, n), np.float32)
        self.grain = self.noise(4, 1.5)

    def per_kind(self, low: float, high: float) -> F32:
        return self.rng.uniform(low, high, _KINDS).astype(np.float32)

    def near(self, row: float, col: float) -> tuple[F32, F32]:
        """Offsets in metres from a place given as fractions of the scene, moved a little at random."""
        dy, dx = self.rng.uniform(-0.03, 0.03, 2)
        return self.y - (row + dy) * self.extent, self.x - (col + dx) * self.extent

    def around(self, offset: tuple[F32, F32], reach: float) -> tuple[_Canvas, tuple[F32, F32]]:
        """The part within `reach` metres of a place, which is painted as the whole is, and its offsets."""
        y, x = offset
        near = (np.abs(y) < reach) & (np.abs(x) < reach)
        rows, cols = (np.flatnonzero(near.any(axis)) for axis in (1, 0))
        cut = slice(rows[0], rows[-1] + 1), slice(cols[0], cols[-1] + 1)
        part = copy(self)
        for name in ("y", "x", "first", "second", "mix", "light", "grain"):
            setattr(part, name, getattr(self, name)[cut])
        part.noise = lambda *how: self.noise(*how)[cut]
        return part, (y[cut], x[cut])

    def winding(self, along: F32, across: F32, middle: float, swing: float) -> F32:
        """Signed distance in metres from a winding line that crosses the scene."""
        distance, slope = across - middle * self.extent, np.zeros_like(along)
        for waves, height in ((1.1, 1.0), (2.9, 0.45), (7.3, 0.12)):
            k, phase, height = 2 * np.pi * waves / self.extent, self.rng.uniform(0, 6.28), swing * height * self.extent
            distance, slope = (
                distance - height * np.sin(k * along + phase),
                slope + height * k * np.cos(k * along + phase),
            )
        return np.asarray(distance / np.sqrt(1 + slope**2), np.float32)

    def paint(self, where: Mask, first: Codes | str, second: str, mix: F32 | float, grain: float) -> None:
        self.first[where] = _CODE[first] if isinstance(first, str) else first[where]
        self.second[where] = _CODE[second]
        self.mix[where] = np.clip(np.broadcast_to(mix, where.shape)[where], 0, 1)
        self.light[where] = grain * self.grain[where]


def _noise(rng: np.random.Generator, n: int, scale: float, slope: float = 2.5) -> F32:
    """Periodic noise of unit variance: amplitude falls with `slope` for structures finer than `scale` pixels."""
    spectrum = np.fft.rfft2(rng.standard_normal((n, n), np.float32))
    squared = np.fft.fftfreq(n)[:, None] ** 2 + np.fft.rfftfreq(n)[None] ** 2
    spectrum *= (squared + 1 / (2 * np.pi * scale) ** 2) ** (-slope / 2)
    spectrum[0, 0] = 0
    noise: F32 = np.fft.irfft2(spectrum, (n, n)).astype(np.float32)
    noise /= noise.std()
    return noise


def _landscape(n: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Ground reflectance at 10 m, shape (12, n/2, n/2): painted from the ground up at 5 m, then averaged."""
    c = _Canvas(n, rng)
    lanes = _fields(c)
    _woods(c)
    c.paint(lanes, "asphalt", "meadow", 0.2, 0.05)
    _water(c)
    for row, col, radius in ((0.12, 0.86, 0.045), (0.86, 0.57, 0.05), (0.44, 0.13, 0.04), (0.35, 0.60, 0.14)):
        _town(c, c.near(row, col), radius * c.extent)
    _estate(c, c.near(0.24, 0.77), 0.075 * c.extent)
    motorway = np.abs(c.winding(c.y, c.x, 0.46, 0.035))
    c.paint(motorway < 25, "meadow", "sand", 0.1, 0.1)
    c.paint(np.abs(motorway - 11) < 6.5, "asphalt", "concrete", 0.1, 0.05)
    c.paint(np.abs(c.winding(c.x, c.y, 0.33, 0.03)) < 5.5, "concrete", "asphalt", 0.3, 0.05)
    parcels = _parcels(rng, "wheat wheat rapeseed meadow alfalfa maize barley barley loam chalk")
    table = np.concatenate([list(_MATERIALS.values()), parcels]).astype(np.float32)
    out = np.empty((table.shape[1], n // 2, n // 2))
    for b, pure in enumerate(table.T):
        fine = pure[c.first] + c.mix * (pure[c.second] - pure[c.first])
        fine *= 1 + _TEXTURE[b] * np.clip(c.light, -0.6, 0.8)
        out[b] = fine.reshape(n // 2, 2, n // 2, 2).mean((1, 3))
    return out


def _fields(c: _Canvas) -> Mask:
    """Parcels in blocks (Voronoi cells), each block with its own direction; returns the lanes between blocks."""
    cell, m = 1100, int(c.extent // 1100) + 4
    site_y, site_x = ((np.indices((m, m)) - 1 + c.rng.uniform(0.1, 0.9, (2, m, m))) * cell).astype(np.float32)
    row, col = ((w // cell).astype(np.int32) + 1 for w in (c.y, c.x))
    best, block = np.full((c.n, c.n), np.inf, np.float32), np.zeros((c.n, c.n), np.int32)
    for k in range(9):
        i, j = np.clip(row + k // 3 - 1, 0, m - 1), np.clip(col + k % 3 - 1, 0, m - 1)
        squared = (c.y - site_y[i, j]) ** 2 + (c.x - site_x[i, j]) ** 2
        block, best = np.where(squared < best, i * m + j, block), np.minimum(squared, best)
    block %= _KINDS
    cos, sin = (f(c.per_kind(0, np.pi))[block] for f in (np.cos, np.sin))
    width = c.per_kind(90, 230)[block]
    u, v = c.x * cos + c.y * sin, c.y * cos - c.x * sin
    v = v / width + 0.25 * np.sin(v / 170)
    strip = np.floor(v).astype(np.int32)
    key = (block * 7919 + strip * 1087) % _KINDS
    u = u / c.per_kind(180, 620)[key] + c.per_kind(0, 1)[key]
    parcel = (key * 31 + np.floor(u).astype(np.int32) * 1999) % _KINDS
    u, v = u - np.floor(u) - 0.5, (v - strip) * width
    # Within a field: bare patches, a trend along it, wheel tracks every 31 m. Between fields: grass, hedges, tracks.
    bare = 0.10 + 0.11 * c.noise(25, 2) + c.per_kind(-0.2, 0.2)[parcel] * u + 0.12 * (v % 31 < 5)
    c.paint(v >= 0, parcel + len(_MATERIALS), "loam", bare, 0.05)
    c.paint((v < 8) & (key % 3 > 0), "meadow", "deciduous", 0.3, 0.1)
    c.paint((v < 8) & (key % 9 == 0), "deciduous", "meadow", 0.2, 0.2)
    c.paint((v > width - 10) & (key % 4 == 0), "chalk", "meadow", 0.1, 0.05)
    lanes: Mask = np.diff(block, axis=0, prepend=block[:1]) != 0
    lanes |= np.diff(block, axis=1, prepend=block[:, :1]) != 0
    return lanes


def _parcels(rng: np.random.Generator, crops: str) -> NDArray[np.float64]:
    """One spectrum per field: a crop with its own soil cover, brightness, moisture (SWIR) and chlorophyll."""
    pure = np.array([_MATERIALS[crop] for crop in crops.split()])
    crop, other = pure[rng.integers(len(pure), size=(2, _KINDS))]
    spectra: NDArray[np.float64] = crop + rng.uniform(0, 0.35, (_KINDS, 1)) * (other - crop)
    brightness, moisture, chlorophyll = rng.normal(1, [[0.06], [0.10], [0.05]], (3, _KINDS))[..., None]
    spectra *= brightness * rng.normal(1, 0.02, spectra.shape)
    spectra[:, 10:] *= moisture
    spectra[:, 4:7] *= chlorophyll
    return spectra


def _woods(c: _Canvas) -> None:
    """Forest, most of it in the upper left: stands of needle and broad leaves, crowns that shade each other."""
    y, x = c.near(0.16, 0.24)
    density = 2.6 * np.exp(-(y**2 + x**2) / (0.17 * c.extent) ** 2) + 0.8 * c.noise(80, 2.0)
    c.paint(density > 1.4, "conifer", "deciduous", 0.5 + 1.5 * c.noise(40), 0.22)


def _water(c: _Canvas) -> None:
    """Paint a winding, turbid river with wooded banks, and a clear lake with a sandy shore."""
    wide = min(1.0, c.extent / 3000)
    river = np.abs(c.winding(c.x, c.y, 0.60, 0.07)) - wide * (28 + 9 * np.sin(c.x / 410))
    c.paint((river < wide * 55) & (c.grain + c.noise(12) > 0.3), "deciduous", "conifer", 0.15, 0.22)
    c.paint(river < 6, "sand", "meadow", 0.3, 0.1)
    c.paint(river < 0, "water", "chalk", 0.06, 0.02)
    y, x = c.near(0.82, 0.22)
    lake = np.hypot(y * 1.6, x + 0.5 * y) / c.extent - 0.10 + 0.022 * c.noise(45, 2.2)
    c.paint(lake < 0.003, "sand", "meadow", 0.25, 0.1)
    c.paint(lake < 0, "water", "sand", 0.12 * np.exp(np.minimum(lake, 0) / 0.008), 0.02)


class _Blocks:
    """Blocks between streets: each 5 m pixel's block, its place in it, and the side that it is next to."""

    def __init__(self, c: _Canvas, offset: tuple[F32, F32], radius: float, size: tuple[float, float], street: float):
        turn = c.rng.uniform(0, np.pi)
        y, x = offset
        u, v = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
        u, v = u + 40 * np.sin(v / 230), v + 40 * np.sin(u / 280)
        # Streets are not evenly spaced; the slopes stay positive, so that no block folds over.
        u, v = u + 14 * np.sin(u / 47), v + 22 * np.sin(v / 71)
        wide, high = size
        i, j = np.floor(u / wide).astype(np.int32), np.floor(v / high).astype(np.int32)
        self.block = (i * 131 + j * 1009) % _KINDS
        self.centre = np.hypot((i + 0.5) * wide, (j + 0.5) * high) / radius
        self.inside: Mask = self.centre < c.per_kind(0.75, 1.1)[self.block]
        u, v = u - i * wide, v - j * high
        edges = np.stack([u, wide - street - u, v, high - street - v])
        self.side = edges.argmin(0)
        self.depth = edges.min(0)  # metres from the street, negative on it
        # Corners belong to the longer sides.
        self.along = np.where(self.side < 2, v, u)
        self.street: Mask = self.inside & (self.depth < 0)


def _town(c: _Canvas, offset: tuple[F32, F32], radius: float) -> None:
    """Rows of roofs along the streets, closed in the centre, with gardens and gaps farther out; parks and halls."""
    c, offset = c.around(offset, 1.1 * radius + _BEYOND)
    b = _Blocks(c, offset, radius, (96, 150), 11)
    dense = np.clip(1.15 - b.centre, 0, 1)
    use = c.per_kind(0, 1)[b.block]
    park, hall = use < 0.09, (use > 0.91) & (b.centre > 0.3)
    c.paint(b.inside, "meadow", "deciduous", 0.35 + 0.3 * c.noise(8), 0.12)
    c.paint(b.inside & park, "deciduous", "meadow", 0.5 + 0.8 * c.noise(10), 0.2)
    c.paint(b.inside & ~park & (dense > 0.75), "asphalt", "meadow", c.per_kind(0.1, 0.7)[b.block], 0.08)
    # A house is a stretch of a side. Most roofs of a block are alike; the two slopes of a roof see unlike light.
    length = c.per_kind(26, 48)[b.block]
    house = (b.block * 37 + b.side * 613 + np.floor(b.along / length).astype(np.int32) * 101) % _KINDS
    set_back = np.where(dense > 0.6, 0, 6)
    gap = np.where(dense > 0.6, 0, 9)
    built = c.per_kind(0, 1)[house] < 0.62 + 0.5 * dense
    roof = b.inside & ~park & ~hall & built & (b.along % length > gap)
    roof &= (b.depth >= set_back) & (b.depth < set_back + np.where(dense > 0.6, 20, 15))
    kinds = c.rng.choice([_CODE[m] for m in ("tile", "tile", "tile", "tile", "tile", "bitumen", "concrete")], _KINDS)
    odd = c.per_kind(0, 1)[house] > 0.85
    material = np.where(odd, kinds[house], kinds[b.block]).astype(np.int32)
    c.paint(roof, material, "asphalt", c.per_kind(0.1, 0.55)[house], 0.05)
    slopes = np.array([0.1, -0.1, 0.06, -0.06], np.float32)[b.side] + c.per_kind(-0.1, 0.1)[house]
    c.light[roof] += slopes[roof]
    yard = b.inside & hall
    c.paint(yard, "asphalt", "concrete", 0.2, 0.05)
    c.paint(yard & (b.depth > 16), "membrane", "bitumen", c.per_kind(0.1, 0.9)[b.block], 0.04)
    c.paint(b.street, "asphalt", "concrete", 0.15, 0.05)


def _estate(c: _Canvas, offset: tuple[F32, F32], radius: float) -> None:
    """Industry: large flat roofs among yards and car parks."""
    c, offset = c.around(offset, 1.1 * radius + _BEYOND)
    b = _Blocks(c, offset, radius, (130, 190), 14)
    kinds = c.rng.choice([_CODE[m] for m in ("membrane", "metal", "bitumen", "concrete")], _KINDS).astype(np.int32)
    c.paint(b.inside, "asphalt", "meadow", c.per_kind(0, 0.3)[b.block], 0.1)
    c.paint(b.inside & (b.depth < 8), "meadow", "deciduous", 0.3, 0.1)
    halves = (b.block * 53 + (b.along > 80)) % _KINDS
    roof = b.inside & (b.depth > c.per_kind(14, 32)[b.block]) & (c.per_kind(0, 1)[halves] < 0.85)
    c.paint(roof, kinds[b.block], "asphalt", c.per_kind(0, 0.35)[b.block], 0.04)
    c.paint(b.street, "asphalt", "concrete", 0.2, 0.05)


def _weather(ground: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Slow differences between bands, haze towards the blue, and one cloud with its shadow."""
    n = ground.shape[-1]
    for b, band in enumerate(ground):
        band *= 1 + 0.015 * _noise(rng, n, n / 8, 4)
        band += max(0.0, 0.006 - 0.002 * b) * (1 + 0.3 * _noise(rng, n, n / 6, 4))
    y, x = (np.mgrid[:n, :n] + 0.5) / n
    row, col = np.array([0.64, 0.80]) + rng.uniform(-0.03, 0.03, 2)
    body = 1 - np.hypot(y - row, 0.8 * (x - col)) / 0.075
    cloud = np.clip(2.2 * body + 0.5 * _noise(rng, n, n / 25, 1.9), 0, 1) * np.clip(3 * body + 1.8, 0, 1)
    # The sun stands in the south-south-east; the cloud is periodic noise cut off well inside, so rolling is safe.
    shadow = np.roll(cloud, (-round(0.13 * n), -round(0.05 * n)), (0, 1))
    top = (1 + 0.04 * _noise(rng, n, 6, 2)) * _CLOUD[:, None, None]
    ground = ground * (1 - shadow * _SHADOW[:, None, None])
    ground += cloud * (top - ground)
    return ground
