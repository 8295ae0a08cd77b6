"""How well standard errors are calibrated, on real scenes that no model learned from, by all three degradations.

    python tests/bench/uncertainty.py --scenes DIR [--split validation] [--cubes DIR] [--json FILE]

Scenes are degraded and restored as in fidelity.py, with ``uncertainty=True``; with --cubes, airborne scenes that have a
truth at 10 m, seen as in cubes.py with the sensor's noise, follow under "true 10 m". Printed, for each band: the share
of pixels within one standard error as the mean over scenes (from the scene with the least to that with the most), and
within two; then, over the pixels of all scenes, Spearman's correlation of predicted with absolute error, and observed
over predicted RMSE in ten bins of the predicted error, from the surest tenth of the pixels to the least sure.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from cubes import Condition, cubes, truth
from fidelity import scenes, trials

import xr_s2sr
from xr_s2sr.bands import BANDS, BY_GSD
from xr_s2sr.quality import PROTOCOLS

BORDER, BINS = 12, 10
#: In the place of a protocol, for cubes.
TRUE = "true 10 m"
#: Errors of one band over one scene, and what was predicted of them.
Pair = tuple[np.ndarray, np.ndarray]


def collect(folder: Path, split: str) -> dict[tuple[int, str, str], list[Pair]]:
    """Return absolute and predicted errors in DN by (GSD, protocol, band), a pair for each scene."""
    found: dict[tuple[int, str, str], list[Pair]] = {}
    inside = np.s_[BORDER:-BORDER, BORDER:-BORDER]
    for scene in scenes(folder, split):
        for gsd, protocol, trial in trials(scene):
            bands = list(BY_GSD[gsd])
            sr = xr_s2sr.upsample(trial.inputs, bands, uncertainty=True, progress=False)
            for band, true in zip(bands, trial.truth, strict=True):
                error = np.abs(sr[band].values - true)[inside].ravel()
                predicted = sr[f"{band}_uncertainty"].values[inside].ravel()
                found.setdefault((gsd, protocol, band), []).append((error, predicted))
    return found


def at_10_m(folder: Path) -> dict[tuple[int, str, str], list[Pair]]:
    """The same on cubes, at their own scale."""
    found: dict[tuple[int, str, str], list[Pair]] = {}
    inside = np.s_[BORDER:-BORDER, BORDER:-BORDER]
    for cube in cubes(folder):
        sr = xr_s2sr.upsample(Condition(noise=None).inputs(cube), uncertainty=True, progress=False)
        for band, image in truth(cube).items():
            error = np.abs(sr[band].values - image)[inside].ravel()
            predicted = sr[f"{band}_uncertainty"].values[inside].ravel()
            found.setdefault((BANDS[band].gsd, TRUE, band), []).append((error, predicted))
    return found


def summary(pairs: list[Pair]) -> dict[str, object]:
    """Coverage, rank correlation, and observed over predicted RMSE by bins."""
    error, predicted = (np.concatenate(part) for part in zip(*pairs, strict=True))
    one, two = (np.array([(e <= k * p).mean() for e, p in pairs]) for k in (1, 2))
    ranks = [pd.Series(x).rank().to_numpy() for x in (error, predicted)]
    bins = np.array_split(np.argsort(predicted, kind="stable"), BINS)
    ratios = [float(np.sqrt((error[at] ** 2).mean() / (predicted[at] ** 2).mean())) for at in bins]
    return {
        "within 1": float(one.mean()),
        "scenes": [float(one.min()), float(one.max())],
        "within 2": float(two.mean()),
        "Spearman": float(np.corrcoef(*ranks)[0, 1]),
        "observed / predicted": ratios,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=Path, required=True)
    parser.add_argument("--split", default="validation")
    parser.add_argument("--cubes", type=Path, help="folder of cubes, as cubes.py takes it")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    found = collect(arguments.scenes, arguments.split) | (at_10_m(arguments.cubes) if arguments.cubes else {})
    results = {" ".join(map(str, key)): summary(pairs) for key, pairs in found.items()}
    print("band protocol   within 1  (scenes)      within 2  Spearman  observed / predicted in ten bins")
    for gsd in (20, 60):
        for protocol in (*PROTOCOLS, *((TRUE,) if arguments.cubes else ())):
            for band in BY_GSD[gsd]:
                row = results[f"{gsd} {protocol} {band}"]
                low, high = row["scenes"]
                bins = " ".join(f"{ratio:.2f}" for ratio in row["observed / predicted"])
                print(
                    f"{band:<5}{protocol:<11}{row['within 1']:.2f}      ({low:.2f} - {high:.2f})   "
                    f"{row['within 2']:.2f}      {row['Spearman']:.2f}      {bins}"
                )
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
