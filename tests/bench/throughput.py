"""Pixels per second of every packaged model on the CPU, and what the package costs besides the network.

    python tests/bench/throughput.py [--size 1440] [--repeat 3]

Everything is a ratio inside this one run, since machines differ and are shared: threads against one thread,
tiles against tiles, the whole of ``upsample`` (without the adaptive step) against the bare session on windows of the
same shape and against its own runs of the network, against the best possible tiling (no margin at all); all bands
with the adaptive step and without it, and all bands with the lean models against the default ones.
"""

from __future__ import annotations

import argparse
import functools
import statistics
import sys
import time
from collections.abc import Callable
from unittest import mock

import numpy as np
from parts import paired, scene, seconds, window

import xr_s2sr
from xr_s2sr import models
from xr_s2sr.inference import engine
from xr_s2sr.inference.memory import processors
from xr_s2sr.inference.windows import make_plan
from xr_s2sr.planning import TILE


def outside(upsample: Callable[[], object]) -> float:
    """Seconds of a run over those of its own runs of the network: here the noise of a shared machine cancels."""
    inside: list[float] = []
    original = engine.OrtRunner.run

    def timed(self: engine.OrtRunner, inputs: dict[str, np.ndarray]) -> np.ndarray:
        started = time.perf_counter()
        restored = original(self, inputs)
        inside.append(time.perf_counter() - started)
        return restored

    with mock.patch.object(engine.OrtRunner, "run", timed):
        took = seconds(upsample)
    return took / sum(inside)


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
        inputs = window(model, h, w)

        def bare(session: engine.Runner = session, inputs: dict[str, np.ndarray] = inputs, n: int = len(plan)) -> None:
            for _ in range(n):
                session.run(inputs)

        ours = functools.partial(xr_s2sr.upsample, big, bands, model=model, device="cpu", tile=TILE, adapt=False)
        alone = functools.partial(ours, threads=1)
        one, _, over = paired(alone, bare, repeat)
        own = statistics.median(outside(alone) for _ in range(repeat))
        many, _, gain = paired(ours, alone, repeat)
        print(
            f"{name}, {size} x {size}, windows of {h} x {w}: {megapixels / one:.2f} Mpixel/s on one thread, "
            f"{megapixels / many:.2f} on {processors()} ({1 / gain:.2f} x)\n"
            f"  upsample / bare session on the same windows, one thread: {over:.3f}, on its own: {own:.3f}; "
            f"margin: {len(plan) * h * w / size**2:.2f} x the pixels"
        )
    default, threads = functools.partial(xr_s2sr.upsample, big, device="cpu"), processors()
    adapted, plain, ratio = paired(default, functools.partial(default, adapt=False), repeat)
    print(f"all bands, {threads} threads: adapted {adapted:.2f} s, the networks alone {plain:.2f} s ({ratio:.2f} x)")
    for name in sorted(models.packaged().keys() - models.DEFAULTS.values()):
        lean, usual, ratio = paired(functools.partial(default, model=name), default, repeat)
        print(f"all bands, {threads} threads: {name} {lean:.2f} s, the defaults {usual:.2f} s ({ratio:.2f} x)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
