"""How far networks agree at the true scale, where there is no truth: the native bands of real scenes, restored to 10 m.

    python tests/bench/native.py --scenes DIR --model A --model B ... [--split validation]

Printed, for each scene and 20 m band, in DN: the detail of each model (RMS of what it adds to bicubic interpolation),
and the RMS of the difference of every two. Networks that learned otherwise, and differ no more than two that learned
alike, do the same at 10 m, whatever their scores one scale up.
"""

from __future__ import annotations

import argparse
import sys
from itertools import combinations
from pathlib import Path

import numpy as np
from fidelity import dataset, scenes

import xr_s2sr
from xr_s2sr.bands import BY_GSD
from xr_s2sr.models import load
from xr_s2sr.quality import bicubic

BORDER = 12


def rms(image: np.ndarray) -> np.ndarray:
    """Root mean square of each band, without the border."""
    return np.sqrt(np.mean(np.square(image[:, BORDER:-BORDER, BORDER:-BORDER], dtype=np.float64), axis=(1, 2)))


def row(what: str, values: np.ndarray) -> str:
    return f"  {what:<40}" + "".join(f"{value:8.1f}" for value in values)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=Path, required=True)
    parser.add_argument("--split", default="validation")
    parser.add_argument("--model", action="append", required=True, help="name or file; two or more")
    arguments = parser.parse_args()
    models = [load(name) for name in arguments.model]
    bands = list(BY_GSD[20])
    print(f"{'RMS in DN':<42}" + "".join(f"{band:>8}" for band in bands))
    for scene in scenes(arguments.scenes, arguments.split):
        native = dataset({10: scene.bands[10], 20: scene.bands[20]})
        plain = np.stack([bicubic(band, 2) for band in scene.bands[20]])
        restored = []
        for model in models:
            sr = xr_s2sr.upsample(native, bands, model=model, progress=False)
            restored.append(np.stack([sr[band].values for band in bands]))
        print(scene.name)
        for model, image in zip(models, restored, strict=True):
            print(row(f"detail of {model.card.name}", rms(image - plain)))
        for (a, one), (b, other) in combinations(zip(models, restored, strict=True), 2):
            print(row(f"{a.card.name} - {b.card.name}", rms(one - other)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
