"""A training from scenes to an ONNX file with its card, as ``xr-s2sr train`` asks for it.

Interrupted, it goes on from the checkpoint in ``--out`` when it is started again.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import torch

from xr_s2sr.errors import InputError
from xr_s2sr.io.open_any import open_any
from xr_s2sr.models import registry
from xr_s2sr.models.card import ModelCard
from xr_s2sr.targets import check_apart, is_name
from xr_s2sr.training.data import FACTOR
from xr_s2sr.training.export import card_for, to_onnx, trained
from xr_s2sr.training.loop import train, validate
from xr_s2sr.training.networks import CoarseNet, Network
from xr_s2sr.training.recipe import Recipe, learning_rate
from xr_s2sr.training.scenes import TrainingScene, load_scenes, scene_of
from xr_s2sr.training.uncertainty import export_head, train_head, validate_head
from xr_s2sr.version import __version__

#: Lines are seen as they are printed, also where they go to a file.
log = partial(print, flush=True)


def run(arguments: argparse.Namespace) -> int:
    """Train as the options of the command say, and write the file."""
    if arguments.refine and arguments.init is None:
        raise InputError("--refine goes on from trained weights; say which: --init s2sr-20m")
    if arguments.refine and not is_folder_of_scenes(arguments.scenes):
        raise InputError(
            f"--refine with the one scene {arguments.scenes}: refined on a single scene, the packaged model "
            "became no better on that very scene (docs/training.md); expected a folder of scenes with a "
            "manifest.json. Use the packaged model as it is, or give --scenes a folder"
        )
    if arguments.uncertainty and arguments.init is None:
        raise InputError("--uncertainty adds a head to trained weights; say which: --init s2sr-20m")
    if arguments.native and not arguments.teacher:
        raise InputError(
            "--native: at the scale of use there is no truth, so a teacher's results take its place; say whose: "
            "--teacher s2sr-20m"
        )
    check_device(arguments.device)
    check_out(arguments)
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    if arguments.uncertainty:
        return run_head(arguments)
    for name in given(arguments, "taught", "clean_teacher"):
        if not arguments.teacher:
            raise InputError(f"--{name.replace('_', '-')} needs a teacher; say whose results: --teacher s2sr-20m")
    changes = given(arguments, "steps", "width", "depth", "rate", "seed", "taught")
    recipe = Recipe.default(arguments.gsd, arguments.architecture)
    if arguments.native is not None:
        changes["unlabelled"] = arguments.native
    if arguments.sensor is not None:
        changes["augmentation"] = replace(recipe.augmentation, sensor=arguments.sensor)
    recipe = recipe.refine(**changes) if arguments.refine else replace(recipe, **changes)
    scenes, held_out = read_scenes(arguments.scenes)
    log(f"{len(scenes)} scenes to learn from, {len(held_out)} to validate on\n{recipe}")
    if recipe.steps <= recipe.warmup:
        log(
            f"note: {recipe.steps} steps end within the warm-up of {recipe.warmup}: the learning rate rises to "
            f"{learning_rate(recipe, recipe.steps - 1):.2g} of {recipe.rate:g} and does not fall again. Take more "
            "--steps, or for a short trial a higher --rate",
        )
    net = train(
        recipe,
        scenes,
        arguments.out / "checkpoint.pt",
        validation=held_out,
        init=arguments.init,
        teachers=[teacher(name, recipe.gsd) for name in arguments.teacher or ()],
        clean_teacher=arguments.clean_teacher and teacher(arguments.clean_teacher, recipe.gsd),
        device=arguments.device,
        every=arguments.every,
        log=log,
    )
    name = model_name(arguments)
    card = describe(net, name, recipe, scenes, held_out, arguments.init, arguments.teacher or ())
    path = arguments.out / f"{name}.onnx"
    to_onnx(net, card, path)
    log(f"wrote {path}: {dict(card.scores)}")
    return 0


def run_head(arguments: argparse.Namespace) -> int:
    """Train a head for standard errors, and write the network of --init with it."""
    other = [*given(arguments, "width", "depth", "teacher", "clean_teacher", "taught", "sensor", "native")]
    other += [key for key, has in (("refine", arguments.refine), ("device", arguments.device != "cpu")) if has]
    if other:
        raise InputError(
            f"--uncertainty trains a small head, on the CPU, and changes nothing of the network, so {', '.join(other)} "
            "cannot be given; expected --steps, --rate or --seed. Leave the others out"
        )
    recipe = Recipe.for_head(arguments.gsd, **given(arguments, "steps", "rate", "seed"))
    init = registry.load(arguments.init)
    net = trained(arguments.init)
    if init.card.gsd != arguments.gsd:
        raise InputError(f"{init} restores {init.card.gsd} m bands; expected --gsd {init.card.gsd}")
    assert isinstance(net, CoarseNet)
    scenes, held_out = read_scenes(arguments.scenes)
    log(f"{len(scenes)} scenes to learn from, {len(held_out)} to validate on; {recipe.steps} steps")
    head = train_head(net, recipe, scenes, log=log)
    scores = validate_head(net, head, recipe.gsd, held_out)
    for protocol, own in scores.items():
        log(f"{protocol}: {own}")
    path = arguments.out / f"{model_name(arguments)}.onnx"
    export_head(net, head, init, recipe, scores, path)
    log(f"wrote {path}")
    return 0


def given(arguments: argparse.Namespace, *names: str) -> dict[str, Any]:
    """Return those of the options that were given."""
    return {name: value for name in names if (value := getattr(arguments, name)) is not None}


def teacher(name: str, gsd: int) -> Network:
    """Return the network of a model that is learned from."""
    net = trained(name)
    if net.gsd != gsd:
        raise InputError(f"{name} restores {net.gsd} m bands; expected a teacher for --gsd {gsd}")
    return net


def check_out(arguments: argparse.Namespace) -> None:
    """Refuse to write over weights that are read, before hours of training."""
    names = (arguments.init, *(arguments.teacher or ()), arguments.clean_teacher)
    sources = [Path(name) for name in names if name is not None and Path(name).is_file()]
    for name in ("checkpoint.pt", model_name(arguments) + ".onnx"):
        check_apart(sources, arguments.out / name)


def model_name(arguments: argparse.Namespace) -> str:
    """Return the name of the model, and of its file."""
    family = "s2sr" if arguments.architecture == "coarse" else arguments.architecture
    default = registry.load(arguments.init).card.name if arguments.uncertainty else f"{family}-{arguments.gsd}m"
    name: str = arguments.name or default
    if not is_name(name):
        raise InputError(f"{name!a} cannot be the name of a file; give another: --name {family}-{arguments.gsd}m")
    return name


def check_device(name: str) -> None:
    """Refuse a device that PyTorch cannot compute on, before any scene is read."""
    try:
        torch.zeros(1, device=name)
    except (RuntimeError, AssertionError) as error:  # PyTorch without CUDA asserts
        raise InputError(
            f"--device {name}: PyTorch {torch.__version__} cannot compute there ({str(error).splitlines()[0]}); "
            "expected a device of this machine. Leave --device out to train on the CPU"
        ) from error


def is_folder_of_scenes(path: Path) -> bool:
    """Tell whether a path is a folder with a manifest of scenes."""
    return (path / "manifest.json").is_file()


def read_scenes(path: Path) -> tuple[list[TrainingScene], list[TrainingScene]]:
    """Read scenes to learn from and to validate on: of a folder with a manifest, or the one scene that `path` is."""
    if is_folder_of_scenes(path):
        learn = load_scenes(path, splits=("train", "train-only"))
        return learn, load_scenes(path, splits=("validation",), required=False)
    return [scene_of(open_any(path), path.stem)], []


def describe(
    net: Network,
    name: str,
    recipe: Recipe,
    scenes: list[TrainingScene],
    held_out: list[TrainingScene],
    init: str | None,
    teachers: Sequence[str] = (),
) -> ModelCard:
    """Make the card: what the network learned from, how, and its scores."""
    how, factor = recipe.augmentation, FACTOR[recipe.gsd]
    parameters = sum(p.numel() for p in net.parameters())
    levels = sorted({scene.level for scene in scenes if scene.level})
    what = f"{len(scenes)} Sentinel-2 scenes ({', '.join(levels)})" if levels else ", ".join(s.name for s in scenes)
    whence = f" from {init}" if init else ""
    taught = f", taught by {' and '.join(Path(teacher).stem for teacher in teachers)}" if teachers else ""
    if recipe.unlabelled:
        taught += f" and, in {recipe.unlabelled:.0%} of the batches, at the scale of use"
    return card_for(
        net,
        name,
        __version__,
        training=(
            f"{recipe.architecture}: {recipe.depth} residual blocks of {recipe.width} channels, "
            f"{parameters / 1000:.0f}k parameters; {what}, {recipe.steps} steps{whence}{taught} of "
            f"{'/'.join(map(str, recipe.batch))} patches, L1, Muon and AdamW; {datetime.now():%Y-%m-%d}. Contains "
            "modified Copernicus Sentinel data."
        ),
        degradation=(
            f"Gaussian blur, then the mean of {factor} x {factor} pixels; its width drawn per patch from 1/{factor} "
            f"(Lanaras et al. 2018) to 1.15 x {factor}/2 pixels (MTF of the sensor), for {how.sensor:.0%} like the "
            "sensor's blur relative to the pixel, with the noise that averaging took away; noise of up to "
            f"{how.noise:g} DN on {how.noisy:.0%} of the patches, some 20 m bands missing in {how.dropped:.0%}"
        ),
        licence="Apache-2.0",
        scores={f"RMSE / bicubic, {p}": v for p, v in validate(net, recipe.gsd, held_out).items()},
    )
