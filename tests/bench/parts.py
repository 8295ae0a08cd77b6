"""What the benches of speed share: a scene of any size, pairs of timings, and a table."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence

import numpy as np
import xarray as xr

import xr_s2sr
from xr_s2sr import BANDS
from xr_s2sr.models import Model

TWENTY, SIXTY = ["B05", "B06", "B07", "B8A", "B11", "B12"], ["B01", "B09"]
JOBS = {"20m": TWENTY, "60m": SIXTY, "both": [*TWENTY, *SIXTY], "B11": ["B11"]}


def scene(size: int, dtype: str = "uint16") -> xr.Dataset:
    """A synthetic scene, repeated to the size asked for: a network's speed does not depend on what it sees."""
    size = -(-size // 6) * 6
    side = min(size, 600)
    small, _ = xr_s2sr.tutorial.synthetic_scene(side)
    big = xr.Dataset()
    for name, variable in small.data_vars.items():
        gsd = BANDS[str(name)].gsd
        n, tiles = size * 10 // gsd, -(-size // side)
        pixels = np.tile(variable.values, (tiles, tiles))[:n, :n]
        rows, cols = variable.dims
        coords = {rows: 5_600_040.0 - gsd * (np.arange(n) + 0.5), cols: 399_960.0 + gsd * (np.arange(n) + 0.5)}
        attrs = variable.attrs
        if dtype == "float32":
            pixels, attrs = pixels.astype(np.float32) / 10000, {}
        big[name] = xr.DataArray(pixels, coords, (rows, cols), attrs=attrs)
    return big


def window(model: Model, rows: int, cols: int, batch: tuple[int, ...] = ()) -> dict[str, np.ndarray]:
    """Every input of a model's file, of so many pixels of 10 m: reflectance in its unit, by chance."""
    rng = np.random.default_rng(0)
    ports = model.card.ports.items()
    shapes = {port: (*batch, len(bands), rows * 10 // gsd, cols * 10 // gsd) for port, (bands, gsd) in ports}
    return {port: rng.uniform(0.2, 1.5, shape).astype(np.float32) for port, shape in shapes.items()}


def seconds(function: Callable[[], object]) -> float:
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def paired(one: Callable[[], object], other: Callable[[], object], repeat: int) -> tuple[float, float, float]:
    """Medians of the seconds of both, run in turn after one run each to warm up, and of their ratio pair by pair."""
    one(), other()
    pairs = [(seconds(one), seconds(other)) for _ in range(repeat)]
    ratios = [a / b for a, b in pairs]
    return statistics.median(a for a, _ in pairs), statistics.median(b for _, b in pairs), statistics.median(ratios)


def table(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table in Markdown."""
    lines = [headings, ["---"] * len(headings), *rows]
    cells = [[f"{c:.3g}" if isinstance(c, float) else "" if c is None else str(c) for c in line] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)
