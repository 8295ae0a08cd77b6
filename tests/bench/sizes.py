"""What a larger network brings, with the adaptive step behind it: time against error at the true 10 m.

    python tests/bench/sizes.py --cubes DIR --scenes DIR [--model FILE ...] [--size 1080] [--repeat 3] [--png FILE]

For the packaged networks for 20 m bands, for interpolation in their place, and for every --model: multiply-adds of the
network a pixel of 10 m; processor time of ``upsample`` for the six bands with one thread, relative to that of
interpolation, the least of some runs that take turns; RMSE / RMSE(bicubic) at the true 10 m (the mean of all cubes, as
in cubes.py) and one scale up on the validation scenes under "sensor" (as in fidelity.py), all with the step.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from pathlib import Path

import numpy as np
from cubes import Condition, cubes, scores
from fidelity import scenes, trials

import xr_s2sr
from xr_s2sr.bands import BY_GSD
from xr_s2sr.models import Model, load, onnx_graph
from xr_s2sr.quality import rmse

BANDS = list(BY_GSD[20])


def arithmetic(model: Model | None) -> float:
    """Multiply-adds of the convolutions a pixel of 10 m, of which a 20 m pixel holds four."""
    if model is None or model.path is None:
        return 0.0
    return sum(math.prod(conv.weight.shape) for conv in onnx_graph.trained_convs(model.path)) / 4


def seconds(models: dict[str, Model | str], size: int, repeat: int) -> dict[str, float]:
    """Processor time of each model, the least of some rounds."""
    ds, _ = xr_s2sr.tutorial.synthetic_scene(size=size)
    best = dict.fromkeys(models, math.inf)
    for _ in range(repeat + 1):  # the first compiles
        for name, model in models.items():
            started = time.process_time()
            ds.s2sr.upsample(BANDS, model=model, adapt=True, threads=1, progress=False)
            best[name] = min(best[name], time.process_time() - started)
    return best


def validation(folder: Path, model: Model | str) -> float:
    """Mean over the validation scenes, under "sensor"."""
    ratios = []
    for scene in scenes(folder, "validation"):
        for gsd, protocol, trial in trials(scene):
            if gsd == 20 and protocol == "sensor":
                plain = rmse(trial.restore("bicubic", adapt=False), trial.truth)
                ratios.append((rmse(trial.restore(model, adapt=True), trial.truth) / plain).mean())
    return float(np.mean(ratios))


def true_10_m(folder: Path, model: Model | str) -> float:
    """Mean over cubes and 20 m bands."""
    found = [scores(cube, Condition(), {"it": [model]}, (True,))["it", True][: len(BANDS)] for cube in cubes(folder)]
    return float(np.mean(found))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cubes", type=Path, required=True)
    parser.add_argument("--scenes", type=Path, required=True)
    parser.add_argument("--model", action="append", default=[], help="also this file; may be repeated")
    parser.add_argument("--size", type=int, default=1080)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--png", type=Path)
    arguments = parser.parse_args()
    packaged = [name for name in xr_s2sr.models.packaged() if "20m" in name]
    given = {Path(name).stem: load(name) for name in [*packaged, *arguments.model]}
    models: dict[str, Model | str] = {"interpolation": "bicubic"} | given
    time_of = seconds(models, arguments.size, arguments.repeat)
    print(f"{'network':<20}{'kMAC a pixel':>13}{'time':>7}{'true 10 m':>11}{'validation':>12}")
    rows = []
    for name, model in models.items():
        work = arithmetic(model if isinstance(model, Model) else None)
        row = (
            time_of[name] / time_of["interpolation"],
            true_10_m(arguments.cubes, model),
            validation(arguments.scenes, model),
        )
        rows.append((name, *row))
        print(f"{name:<20}{work / 1000:>13.1f}{row[0]:>7.2f}{row[1]:>11.3f}{row[2]:>12.3f}", flush=True)
    if arguments.png:
        draw(rows, arguments.png)
    return 0


def draw(rows: list[tuple[str, float, float, float]], path: Path) -> None:
    """Draw time against error."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    for which, label in ((2, "true 10 m (cubes)"), (3, "one scale up (validation)")):
        line = sorted((row[1], row[which]) for row in rows)
        axes.plot(*zip(*line, strict=True), marker="o", label=label)
    for name, time_, error, _ in rows:
        axes.annotate(name, (time_, error), textcoords="offset points", xytext=(4, -10), fontsize=8)
    axes.set(xscale="log", xlabel="time of all 20 m bands, interpolation = 1", ylabel="RMSE / RMSE(bicubic), adapted")
    axes.legend()
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    sys.exit(main())
