"""What missing bands, noise and an unknown offset cost, and what happens over calm water; on real scenes.

    python tests/bench/robustness.py --scenes DIR [--split validation] [--every-subset]

Bands, noise and offset: by Wald's protocol as in fidelity.py. Water: at true 10 m, the standard deviation of the
result over that of the input in the calmest squares of 240 m that all scenes of the folder hold.
"""

from __future__ import annotations

import argparse
import sys
from itertools import chain, combinations
from pathlib import Path

import numpy as np
from fidelity import Trial, dataset, scenes, trials

import xr_s2sr
from xr_s2sr.bands import BY_GSD
from xr_s2sr.models import Model
from xr_s2sr.quality import rmse

#: Subsets of the 20 m bands that a table shows: each one alone, and some that are often held.
SOME = (
    *((band,) for band in BY_GSD[20]),
    ("B11", "B12"),
    ("B05", "B06", "B07"),
    ("B8A", "B11"),
    ("B05", "B06", "B07", "B8A", "B11"),
)
#: All of them.
EVERY = tuple(chain.from_iterable(combinations(BY_GSD[20], n) for n in range(1, len(BY_GSD[20]))))
NOISE, OFFSET = 10.0, 1000.0
#: Side of a square of water, in 20 m pixels.
SQUARE = 12


def subsets(trial: Trial, model: Model | None, which: tuple[tuple[str, ...], ...]) -> dict[str, np.ndarray]:
    """RMSE of each band of a subset of the 20 m bands, restored without the others, over that with all."""
    names = list(BY_GSD[20])
    full = rmse(trial.restore(model), trial.truth)
    out = {}
    for subset in which:
        at = [names.index(band) for band in subset]
        ds = trial.inputs[[*BY_GSD[10], *subset]]
        part = Trial(ds, trial.truth[at], 20)
        out[" ".join(subset)] = rmse(part.restore(model, list(subset)), part.truth) / full[at]
    return out


def without_20m(trial: Trial, model: Model | None) -> np.ndarray:
    """RMSE of each 60 m band restored without 20 m bands over that with all."""
    part = Trial(trial.inputs[[*BY_GSD[10], *BY_GSD[60]]], trial.truth, 60)
    return rmse(part.restore(model), trial.truth) / rmse(trial.restore(model), trial.truth)


def noisy(trial: Trial, seed: int) -> Trial:
    """With noise on every input."""
    rng = np.random.default_rng(seed)
    ds = trial.inputs.map(lambda v: v + rng.normal(0, NOISE, v.shape).astype(np.float32), keep_attrs=True)
    return Trial(ds, trial.truth, trial.gsd)


def water(folder: Path, splits: tuple[str, ...], model: Model | None, count: int = 20) -> list[tuple[str, np.ndarray]]:
    """Standard deviation out / in per 20 m band over the calmest squares of water."""
    found = []
    for split in splits:
        for scene in scenes(folder, split):
            b10, b20 = scene.bands[10], scene.bands[20]
            ndwi = (b10[1] - b10[3]) / np.maximum(b10[1] + b10[3], 1)
            sr = None
            for y in range(0, b20.shape[1] - SQUARE + 1, SQUARE):
                for x in range(0, b20.shape[2] - SQUARE + 1, SQUARE):
                    fine = np.s_[2 * y : 2 * (y + SQUARE), 2 * x : 2 * (x + SQUARE)]
                    if np.median(ndwi[fine]) < 0.2 or b10[3][fine].std() > 25:
                        continue
                    if sr is None:
                        restored = xr_s2sr.upsample(dataset({10: b10, 20: b20}), list(BY_GSD[20]), model=model)
                        sr = np.stack([restored[band].values for band in BY_GSD[20]])
                    before = b20[:, y : y + SQUARE, x : x + SQUARE].std(axis=(1, 2))
                    after = sr[(slice(None), *fine)].std(axis=(1, 2))
                    found.append((float(before.mean()), scene.name, after / np.maximum(before, 1)))
    return [(name, ratio) for _, name, ratio in sorted(found, key=lambda item: item[0])[:count]]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=Path, required=True)
    parser.add_argument("--split", default="validation")
    parser.add_argument("--every-subset", action="store_true", help="all 62 subsets of the 20 m bands")
    parser.add_argument("--model", action="append", default=[], help="instead of a packaged one; may be repeated")
    arguments = parser.parse_args()
    models = {model.card.gsd: model for model in map(xr_s2sr.models.load, arguments.model)}
    lacking: dict[tuple[str, str], list[np.ndarray]] = {}
    rises: dict[tuple[int, str, str], list[float]] = {}
    offsets: dict[tuple[int, str], list[float]] = {}
    for seed, scene in enumerate(scenes(arguments.scenes, arguments.split)):
        for gsd, protocol, trial in trials(scene):
            model = models.get(gsd)
            if gsd == 20:
                costs = subsets(trial, model, EVERY if arguments.every_subset else SOME)
            else:
                costs = {"60 m, no 20 m bands": without_20m(trial, model)}
            for name, cost in costs.items():
                lacking.setdefault((name, protocol), []).append(cost)
            loud = noisy(trial, seed)
            for name, method in (("bicubic", "bicubic"), ("xr_s2sr", model)):
                before, after = (rmse(t.restore(method), t.truth) for t in (trial, loud))
                rises.setdefault((gsd, protocol, name), []).append(float((after - before).mean()))
            plain, shifted = (rmse(trial.restore(model, offset=o), trial.truth) for o in (0.0, OFFSET))
            offsets.setdefault((gsd, protocol), []).append(float((shifted / plain).mean()))
    print("RMSE with some 20 m bands / with all (mean over scenes): mean over bands, and the band that loses most")
    for (name, protocol), costs in lacking.items():
        print(f"  {name:<28}{protocol:<7}{np.mean(costs):.3f}  {np.mean(costs, axis=0).max():.3f}")
    print(f"\nrise of RMSE in DN with noise of {NOISE:g} DN on every input (mean over bands and scenes)")
    for (gsd, protocol, name), values in rises.items():
        print(f"  {gsd} m  {protocol:<7}{name:<10}{np.mean(values):.2f}")
    print(f"\nRMSE with {OFFSET:+g} DN on every input / without (mean over scenes)")
    for (gsd, protocol), values in offsets.items():
        print(f"  {gsd} m  {protocol:<7}{np.mean(values):.3f}")
    calm = water(arguments.scenes, ("train", "validation"), models.get(20))
    ratios = np.array([ratio for _, ratio in calm])
    places = len({name for name, _ in calm})
    print(f"\nstandard deviation out / in over the {len(calm)} calmest squares of water ({places} scenes)")
    for band, column in zip(BY_GSD[20], ratios.T, strict=True):
        print(f"  {band}  median {np.median(column):.2f}  largest {column.max():.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
