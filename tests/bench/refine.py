"""What refining a packaged model on the scene at hand is worth, measured honestly: one scale up.

    python tests/bench/refine.py --scenes DIR [--split validation] [--steps 100 200] [--rate 3e-4] [--threads 2]

A user's scene has no truth at 10 m. So each scene is degraded by 2 with the protocol "sensor" and takes the user's
place: the model is refined on it, from the pairs that the scene itself gives (80 -> 40 m, as ``xr-s2sr train --refine``
makes them), and scored at 40 -> 20 m against the native bands, which it never saw. Printed is RMSE / RMSE(bicubic) of
the 20 m bands, before and after.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from xr_s2sr.bands import BY_GSD
from xr_s2sr.quality import PROTOCOLS, degrade
from xr_s2sr.training.data import Augmentation
from xr_s2sr.training.export import trained
from xr_s2sr.training.loop import train, validate
from xr_s2sr.training.recipe import Recipe
from xr_s2sr.training.scenes import TrainingScene, load_scenes

MODEL = "s2sr-20m"


def one_scale_up(scene: TrainingScene) -> TrainingScene:
    """The scene as the sensor would see it with pixels of twice the size."""
    scene = scene.crop(24)
    b10, b20 = (
        np.stack(
            [degrade(image, 2, "sensor", band=band) for band, image in zip(BY_GSD[gsd], stack, strict=True)]
        ).astype(np.float32)
        for gsd, stack in ((10, scene.b10), (20, scene.b20))
    )
    return replace(scene, name=f"{scene.name} at 20 m", b10=b10, b20=b20, b60=None)


def refined(scene: TrainingScene, steps: int, rate: float) -> dict[str, float]:
    """Scores at 40 -> 20 m of the model after it was refined on the degraded scene."""
    # nothing but what the scene has: its level of brightness, all its bands, the sensor's blur and noise
    own = Augmentation(sensor=1.0, gain=0.1, shifted=0.0, noisy=0.0, dropped=0.0)
    width, depth = size_of(MODEL)
    recipe = Recipe.default(20, width=width, depth=depth, augmentation=own)
    recipe = recipe.refine(steps=steps, rate=rate, warmup=20, size=(12,), batch=(16,))
    with tempfile.TemporaryDirectory() as folder:
        net = train(
            recipe, [one_scale_up(scene)], Path(folder) / "c.pt", init=MODEL, every=steps, log=lambda line: None
        )
    return validate(net, 20, [scene])


def size_of(model: str) -> tuple[int, int]:
    """Width and depth of a packaged model's network."""
    net = trained(model)
    return net.width, net.depth


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=Path, required=True)
    parser.add_argument("--split", default="validation")
    parser.add_argument("--steps", type=int, nargs="+", default=[100, 200])
    parser.add_argument("--rate", type=float, default=3e-4)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    gains: dict[int, list[float]] = {steps: [] for steps in arguments.steps}
    print(f"{'scene':<32}{'steps':>6}" + "".join(f"{protocol:>10}" for protocol in PROTOCOLS))
    for scene in load_scenes(arguments.scenes, splits=(arguments.split,)):
        before = validate(trained(MODEL), 20, [scene])
        print(f"{scene.name[:31]:<32}{0:>6}" + "".join(f"{before[p]:>10.3f}" for p in PROTOCOLS), flush=True)
        for steps in arguments.steps:
            after = refined(scene, steps, arguments.rate)
            gains[steps].append(1 - after["sensor"] / before["sensor"])
            print(f"{'':<32}{steps:>6}" + "".join(f"{after[p]:>10.3f}" for p in PROTOCOLS), flush=True)
    for steps, values in gains.items():
        print(
            f"{steps} steps: the error under 'sensor' falls by {np.mean(values):+.1%} (from {min(values):+.1%} to "
            f"{max(values):+.1%})"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
