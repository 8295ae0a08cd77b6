"""``python -m xr_s2sr.training``: from a folder of scenes to an ONNX file with its card.

Example: ``python -m xr_s2sr.training --scenes DIR --gsd 20 --out runs/net20``. Interrupted, it goes on from the
checkpoint in ``--out`` when it is started again.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import torch

from xr_s2sr import __version__
from xr_s2sr.training.data import load_scenes
from xr_s2sr.training.export import card_for, to_onnx
from xr_s2sr.training.loop import Recipe, train, validate
from xr_s2sr.training.networks import ARCHITECTURES

DEGRADATION = (
    "Gaussian blur, then the mean of {s} x {s} pixels; its width drawn per patch and band from 1/{s} (Lanaras et al. "
    "2018) to 1.15 x {s}/2 pixels (MTF of the sensor); noise of up to {noise:g} DN on {noisy:.0%} of the inputs"
)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m xr_s2sr.training", description=__doc__.splitlines()[0])
    parser.add_argument("--scenes", type=Path, required=True, help="folder with manifest.json and .npz scenes")
    parser.add_argument("--gsd", type=int, choices=(20, 60), required=True, help="GSD of the bands to restore")
    parser.add_argument(
        "--architecture",
        choices=tuple(ARCHITECTURES),
        default="coarse",
        help="coarse: ours; dsen2, vdsen2: as published by Lanaras et al. 2018",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoint.pt and the .onnx file")
    parser.add_argument("--steps", type=int, help="by default the recipe's")
    parser.add_argument("--width", type=int, help="channels")
    parser.add_argument("--depth", type=int, help="residual blocks")
    parser.add_argument("--rate", type=float, help="peak learning rate")
    parser.add_argument("--seed", type=int, help="0 by default")
    parser.add_argument("--init", type=Path, help="a checkpoint whose weights are the start")
    parser.add_argument("--refine", action="store_true", help="the recipe's second stage, from the weights of --init")
    parser.add_argument("--every", type=int, default=1000, help="steps between checkpoints")
    parser.add_argument("--threads", type=int, help="of torch")
    parser.add_argument("--name", help="of the model; s2sr-20m, dsen2-60m and the like by default")
    arguments = parser.parse_args(argv)
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    given = ("steps", "width", "depth", "rate", "seed")
    changes = {key: getattr(arguments, key) for key in given if getattr(arguments, key) is not None}
    recipe = Recipe.default(arguments.gsd, arguments.architecture)
    recipe = recipe.refine(**changes) if arguments.refine else replace(recipe, **changes)
    scenes = load_scenes(arguments.scenes, splits=("train", "train-only"))
    held_out = load_scenes(arguments.scenes, splits=("validation",), required=False)
    print(f"{len(scenes)} scenes to learn from, {len(held_out)} to validate on; {recipe}", flush=True)
    before = "" if arguments.init is None else f" after {torch.load(arguments.init, weights_only=True)['step']}"
    net = train(
        recipe,
        scenes,
        arguments.out / "checkpoint.pt",
        validation=held_out,
        init=arguments.init,
        every=arguments.every,
        log=lambda line: print(line, flush=True),
    )
    family = "s2sr" if arguments.architecture == "coarse" else arguments.architecture
    name = arguments.name or f"{family}-{arguments.gsd}m"
    scores = {f"RMSE / bicubic, {p}": v for p, v in validate(net, arguments.gsd, held_out).items()} if held_out else {}
    parameters = sum(p.numel() for p in net.parameters())
    sources = sorted({scene.level for scene in scenes if scene.level})
    card = card_for(
        net,
        name,
        __version__,
        training=(
            f"{recipe.architecture}: {recipe.depth} residual blocks of {recipe.width} channels, "
            f"{parameters / 1000:.0f}k parameters; "
            f"{len(scenes)} Sentinel-2 scenes ({', '.join(sources)}), {recipe.steps} steps{before} of "
            f"{'/'.join(map(str, recipe.batch))} patches, L1, AdamW; {datetime.now():%Y-%m-%d}. Contains modified "
            "Copernicus Sentinel data"
        ),
        degradation=DEGRADATION.format(
            s=2 if arguments.gsd == 20 else 6, noise=recipe.augmentation.noise, noisy=recipe.augmentation.noisy
        ),
        licence="Apache-2.0",
        scores=scores,
    )
    path = arguments.out / f"{name}.onnx"
    to_onnx(net, card, path)
    print(f"wrote {path}: {scores}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
