"""``xr-s2sr train``: train a network, or refine a packaged one; its options need no torch."""

from __future__ import annotations

import argparse
from pathlib import Path

from xr_s2sr.cli import options
from xr_s2sr.errors import DependencyError


def add_parser(commands: options.Commands) -> None:
    """Declare the command."""
    parser = commands.add_parser("train", help="train a network, or refine one, on scenes of your own")
    parser.add_argument(
        "--scenes",
        type=Path,
        required=True,
        help="a folder with manifest.json and .npz scenes; or one scene of your own, of native resolution",
    )
    parser.add_argument("--gsd", type=int, choices=(20, 60), required=True, help="GSD of the bands to restore")
    parser.add_argument(
        "--architecture",
        choices=("coarse", "dsen2", "vdsen2"),
        default="coarse",
        help="coarse: ours; dsen2, vdsen2: as published by Lanaras et al. 2018",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoint.pt and the .onnx file")
    parser.add_argument(
        "--init", help="start from these weights: a checkpoint, a model file or a packaged model's name"
    )
    parser.add_argument(
        "--teacher",
        nargs="+",
        metavar="MODEL",
        help="learn from the mean of these models' results too: model files or packaged models' names",
    )
    parser.add_argument("--clean-teacher", help="in the place of --teacher for patches without the sensor's noise")
    parser.add_argument(
        "--taught", type=options.share, metavar="SHARE", help="of the loss, what is the distance to --teacher's results"
    )
    parser.add_argument("--sensor", type=options.share, help="share of patches with the sensor's blur and noise")
    parser.add_argument(
        "--native",
        type=options.share,
        metavar="SHARE",
        help="share of batches at the scale of use, where nothing but the results of --teacher can be learned",
    )
    parser.add_argument(
        "--refine", action="store_true", help="a short training at a low rate, from --init on, for a folder of scenes"
    )
    parser.add_argument(
        "--uncertainty",
        action="store_true",
        help="train a head for standard errors on the network of --init, which stays as it is",
    )
    parser.add_argument("--steps", type=options.count, help="by default the recipe's")
    parser.add_argument("--width", type=options.count, help="channels")
    parser.add_argument("--depth", type=options.count, help="residual blocks")
    parser.add_argument("--rate", type=float, help="peak learning rate")
    parser.add_argument("--seed", type=int, help="0 by default")
    parser.add_argument("--every", type=options.count, default=1000, help="steps between checkpoints")
    parser.add_argument("--device", default="cpu", help="where PyTorch computes: cpu (the default), cuda, cuda:1, ...")
    parser.add_argument("--threads", type=options.count, help="of torch")
    parser.add_argument("--name", help="of the model; s2sr-20m, dsen2-60m and the like by default")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Train and export; needs the extra ``train``."""
    try:
        from xr_s2sr.training.run import run as train
    except ModuleNotFoundError as error:
        if error.name not in ("torch", "onnx"):
            raise
        raise DependencyError(
            f"training needs {error.name}. Install the extra: pip install 'xr_s2sr[train]'"
        ) from error
    return train(arguments)
