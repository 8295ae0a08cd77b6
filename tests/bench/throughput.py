"""Pixels per second on the CPU, and what the package costs besides the network.

    python tests/bench/throughput.py [--size 1440] [--repeat 3]

Everything is a ratio inside this one run, since machines differ and are shared: threads against one thread,
tiles against tiles, the whole of ``upsample`` against the bare session on windows of the same shape, and
against the best possible tiling (no margin at all).
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable

import numpy as np

import xr_s2sr
from xr_s2sr import models
from xr_s2sr.inference import engine
from xr_s2sr.inference.eager import default_threads
from xr_s2sr.inference.windows import make_plan
from xr_s2sr.planning import TILE


def clock(function: Callable[[], object], repeat: int) -> float:
    """Median seconds, after one run to warm up."""
    function()
    seconds = []
    for _ in range(repeat):
        started = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=1440)
    parser.add_argument("--repeat", type=int, default=3)
    arguments = parser.parse_args()
    size, repeat = arguments.size, arguments.repeat
    ds, _ = xr_s2sr.tutorial.synthetic_scene(min(size, 600))
    tiles = -(-size // 600)
    # the network's speed does not depend on what it sees: repeat the scene to the size asked for
    arrays = {name: np.tile(v.values, (tiles, tiles)) for name, v in ds.data_vars.items()}
    big = ds.isel({dim: [0] for dim in ds.dims}).drop_vars(list(ds.data_vars))
    big = big.drop_vars([c for c in big.coords if c != "spatial_ref"])
    for name, v in ds.data_vars.items():
        gsd = xr_s2sr.BANDS[str(name)].gsd
        n = size * 10 // gsd
        coords = {
            v.dims[0]: 5_600_040.0 - gsd * (np.arange(n) + 0.5),
            v.dims[1]: 399_960.0 + gsd * (np.arange(n) + 0.5),
        }
        big = big.assign_coords(coords).assign({name: (v.dims, arrays[name][:n, :n])})
    megapixels = size * size / 1e6
    for gsd, bands in ((20, ["B05", "B06", "B07", "B8A", "B11", "B12"]), (60, ["B01", "B09"])):
        model = models.load(models.DEFAULTS[gsd])
        session = engine.runner(model, "cpu")
        plan = make_plan((size, size), TILE, model.card.halo)
        h, w = plan.window_shape
        window = {
            name: np.random.default_rng(0).random((len(b), h * 10 // g, w * 10 // g), np.float32)
            for name, b in model.card.inputs.items()
            for g in [xr_s2sr.BANDS[b[0]].gsd]
        }
        bare = clock(lambda s=session, f=window: s.run(f), repeat) * len(plan)
        one = clock(lambda b=bands: xr_s2sr.upsample(big, b, device="cpu", threads=1, tile=TILE), repeat)
        many = clock(lambda b=bands: xr_s2sr.upsample(big, b, device="cpu", tile=TILE), repeat)
        print(
            f"{gsd} m bands, {size} x {size}, windows of {h} x {w}: {megapixels / one:.2f} Mpixel/s on one thread, "
            f"{megapixels / many:.2f} on {default_threads()} ({one / many:.2f} x)\n"
            f"  upsample / bare session on the same windows, one thread: {one / bare:.3f}; "
            f"margin: {len(plan) * h * w / size**2:.2f} x the pixels"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
