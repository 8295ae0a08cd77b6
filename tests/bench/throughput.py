"""Pixels per second of every packaged model on the CPU, and what the package costs besides the network.

    python tests/bench/throughput.py [--size 1440] [--repeat 3]

Everything is a ratio inside this one run, since machines differ and are shared: threads against one thread,
tiles against tiles, the whole of ``upsample`` against the bare session on windows of the same shape, and
against the best possible tiling (no margin at all).
"""

from __future__ import annotations

import argparse
import functools
import statistics
import sys
import time
from collections.abc import Callable

import numpy as np
from parts import scene

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
    big = scene(size)
    size = big.sizes["y"]
    megapixels = size * size / 1e6
    for name in models.packaged():
        model = models.load(name)
        bands = model.card.targets
        session = engine.runner(model, "cpu")
        plan = make_plan((size, size), TILE, model.card.halo)
        h, w = plan.window_shape
        window = {
            port: np.random.default_rng(0).random((len(b), h * 10 // g, w * 10 // g), np.float32)
            for port, b in model.card.inputs.items()
            for g in [xr_s2sr.BANDS[b[0]].gsd]
        }
        bare = clock(lambda s=session, f=window: s.run(f), repeat) * len(plan)
        ours = functools.partial(xr_s2sr.upsample, big, bands, model=model, device="cpu", tile=TILE)
        one, many = clock(functools.partial(ours, threads=1), repeat), clock(ours, repeat)
        print(
            f"{name}, {size} x {size}, windows of {h} x {w}: {megapixels / one:.2f} Mpixel/s on one thread, "
            f"{megapixels / many:.2f} on {default_threads()} ({one / many:.2f} x)\n"
            f"  upsample / bare session on the same windows, one thread: {one / bare:.3f}; "
            f"margin: {len(plan) * h * w / size**2:.2f} x the pixels"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
