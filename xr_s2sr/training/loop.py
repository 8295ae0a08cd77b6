"""The training loop: L1, Muon and AdamW, a cosine schedule, averaged weights, resumable checkpoints; and scores."""

from __future__ import annotations

import copy
import json
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from xr_s2sr.bands import BY_GSD
from xr_s2sr.quality import PROTOCOLS, Protocol, bicubic, degrade, rmse
from xr_s2sr.replacing import replaced
from xr_s2sr.training.data import FACTOR, GROUPS, SCALE, Patches
from xr_s2sr.training.degradation import seeded, uniform
from xr_s2sr.training.export import start_from
from xr_s2sr.training.networks import Network, build
from xr_s2sr.training.recipe import Recipe, learning_rate
from xr_s2sr.training.scenes import Array, TrainingScene
from xr_s2sr.training.steps import Steps, make_optimisers


def train(
    recipe: Recipe,
    scenes: list[TrainingScene],
    checkpoint: str | Path,
    *,
    validation: list[TrainingScene] | None = None,
    init: str | Path | None = None,
    teachers: Sequence[Network] = (),
    clean_teacher: Network | None = None,
    device: str = "cpu",
    every: int = 1000,
    log: Callable[[str], None] = print,
) -> Network:
    """Train a network, or go on where the checkpoint stopped.

    Parameters
    ----------
    recipe : Recipe
    scenes : list of TrainingScene
        To learn from.
    checkpoint : path
        Written every `every` steps, atomically; read if it exists.
    validation : list of TrainingScene, optional
        Scored at every second checkpoint.
    init : path or str, optional
        A checkpoint whose averaged weights are the start; or a model file or packaged model with such a network.
    teachers : sequence of Network, optional
        The mean of their results is a target too (distillation): a small network learns from it faster than from noisy
        truth.
    clean_teacher : Network, optional
        Takes the place of `teachers` for the patches without the sensor's noise.
    device : str
        Where PyTorch computes, such as "cuda". Patches are made there too.
    log : callable
        Receives one line at a time.

    Returns
    -------
    Network
        With the averaged weights, on the CPU.
    """
    torch.manual_seed(recipe.seed)
    checkpoint = Path(checkpoint)
    net = build(recipe.architecture, recipe.gsd, recipe.width, recipe.depth)
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    fast = bf16_pays(device)
    networks = [net, *teachers, *([clean_teacher] if clean_teacher is not None else [])]
    for other in networks[1:]:
        other.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        other.bf16_blocks = fast  # its rounding is far below its error
    if init is not None:
        start_from(net, init)
    net.to(device)
    average = copy.deepcopy(net)
    optimisers = make_optimisers(net, recipe)
    saved = torch.load(checkpoint, weights_only=True, map_location=device) if checkpoint.is_file() else None
    step = int(saved["step"]) if saved else 0
    # a resumed run must not see the first patches again
    rng, generator = np.random.default_rng([recipe.seed, step]), seeded(recipe.seed, step, device=device)
    patches = Patches(scenes, recipe.gsd, generator, recipe.augmentation)
    recorded = not any(network.regressed_bands for network in networks)
    steps = Steps(net, average, optimisers, generator, recorded=recorded)
    if saved:
        steps.load_state_dict(saved)
        log(f"resumed at step {step}")
        before = saved["recipe"]
        changed = {key: (before.get(key), now) for key, now in asdict(recipe).items() if before.get(key) != now}
        if changed:
            log(f"  the recipe has changed (before, now): {changed}")
    started = time.monotonic()
    good: tuple[float, dict[str, Any]] | None = None
    while step < recipe.steps:
        exact = step >= (1 - recipe.full_precision) * recipe.steps
        kind, shape = kind_of_a_batch(recipe, rng, bool(teachers)), recipe.patches(step)
        net.bf16_blocks = fast and not exact
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=not exact):
            steps.step(
                (kind, shape, exact),
                partial(error_of_a_batch, net, recipe, patches, kind, shape, teachers, clean_teacher),
                learning_rate(recipe, step),
                1 - min(recipe.average, (step + 1) / (step + 11)),
            )
        step += 1
        if step % every == 0 or step == recipe.steps:
            mean_loss, counted, skipped = steps.summary()
            rate = counted / (time.monotonic() - started)
            log(f"step {step}: loss {mean_loss * SCALE:.2f} DN, {rate:.2f} steps/s, {skipped} batches left out")
            if good is not None and mean_loss > 2 * good[0]:
                log("  the loss has doubled: back to the checkpoint before")
                steps.load_state_dict(good[1])
            else:
                good = mean_loss, copy.deepcopy(steps.state_dict())
            save(checkpoint, {"recipe": asdict(recipe), **steps.state_dict(), "step": step})
            if validation and (step % (2 * every) == 0 or step == recipe.steps):
                log(f"  validation, RMSE / bicubic: {json.dumps(validate(average, recipe.gsd, validation))}")
            started = time.monotonic()
    return average.cpu()


def bf16_pays(device: str) -> bool:
    """Tell whether convolutions in bfloat16 are faster: on a CPU without instructions for it they are much slower."""
    return torch.device(device).type != "cpu" or bool(torch.cpu._is_avx512_bf16_supported())


def save(path: Path, state: Mapping[str, Any]) -> None:
    """Write a checkpoint, in one go."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replaced(path, "file", _check_zip) as part:
        torch.save(state, part / path.name)


def _check_zip(path: Path) -> None:
    """Refuse a checkpoint that is cut short: torch writes a zip, whose directory comes last."""
    if not zipfile.is_zipfile(path):
        raise OSError(f"{path.name} is truncated")


def scored(
    scenes: list[TrainingScene], gsd: int, protocol: Protocol
) -> Iterator[tuple[list[Tensor], NDArray[np.float64], Array]]:
    """Degrade whole scenes; yield a network's inputs, the bands to restore and their truth, both in DN.

    Scenes with few 60 m pixels are left out where these are to be restored.
    """
    factor = FACTOR[gsd]
    for scene in scenes:
        if gsd == 60 and (scene.b60 is None or min(scene.b60.shape[-2:]) < 30):
            continue
        arrays = [getattr(scene.crop(6 * factor), name) for name in GROUPS[gsd]]
        degraded = [
            np.stack([degrade(image, factor, protocol, band=band) for band, image in zip(BY_GSD[g], a, strict=True)])
            for g, a in zip((10, 20, 60), arrays, strict=False)
        ]
        inputs = [torch.from_numpy((a / SCALE).astype(np.float32))[None] for a in degraded]
        yield inputs, degraded[-1], arrays[-1]


@torch.no_grad()
def validate(net: Network, gsd: int, scenes: list[TrainingScene]) -> dict[str, float]:
    """Return the mean over scenes of the mean over bands of RMSE(net) / RMSE(bicubic), for each protocol.

    Nothing where no scene is large enough.
    """
    bf16_blocks, net.bf16_blocks = net.bf16_blocks, False
    device = next(net.parameters()).device
    scores: dict[str, float] = {}
    for protocol in PROTOCOLS:
        ratios = []
        for inputs, coarse, truth in scored(scenes, gsd, protocol):
            restored = net(*(x.to(device) for x in inputs))[0].cpu().numpy().astype(np.float64) * SCALE
            reference = rmse(bicubic(coarse, FACTOR[gsd]), truth)
            ratios.append(float((rmse(restored, truth) / reference).mean()))
        if ratios:
            scores[protocol] = round(float(np.mean(ratios)), 4)
    net.bf16_blocks = bf16_blocks
    return scores


# -- the error of a batch ------------------------------------------------------------------------------------------


class Kind(Enum):
    """Kinds of batches."""

    DEGRADED = "degraded"  #: one scale up, with a truth
    PROXY = "proxy"  #: the same, with other bands in the place of B01 and B09
    NATIVE = "native"  #: at the scale of use, with nothing but the teachers' results to compare with


def kind_of_a_batch(recipe: Recipe, rng: np.random.Generator, taught: bool) -> Kind:
    """Draw the kind of the next batch; native ones need a teacher."""
    if taught and rng.random() < recipe.unlabelled:
        return Kind.NATIVE
    return Kind.PROXY if rng.random() < recipe.proxy else Kind.DEGRADED


def error_of_a_batch(
    net: Network,
    recipe: Recipe,
    patches: Patches,
    kind: Kind,
    shape: tuple[int, int, int],
    teachers: Sequence[Network] = (),
    clean_teacher: Network | None = None,
) -> Tensor:
    """Draw patches, restore them, and compare with the truth, the teachers' results, or both.

    `shape` is number, side and border of the patches, see :meth:`Recipe.patches`. All is computed where the patches are
    made.
    """
    number, size, border = shape
    if kind is Kind.NATIVE:
        inputs, present = patches.native(max(1, number // 4), 2 * size)  # fewer, larger
        taught = teacher_mean(teachers, inputs, patches.generator)
        return mean_error(inner(net(*inputs), border), inner(taught, border), present)
    proxy = kind is Kind.PROXY
    inputs, truth, present = patches.batch(number, size, proxy)
    restored = inner(net(*inputs, *[True] * proxy), border)
    loss = mean_error(restored, inner(truth, border), present)
    if not teachers or proxy:
        return loss
    taught = teacher_mean(teachers, inputs, patches.generator)
    if clean_teacher is not None:
        clean = teacher_mean([clean_teacher], inputs, patches.generator)
        taught = torch.where(patches.sensor[:, :, None, None], taught, clean)
    return (1 - recipe.taught) * loss + recipe.taught * mean_error(restored, inner(taught, border), present)


@torch.no_grad()
def teacher_mean(teachers: Sequence[Network], inputs: Sequence[Tensor], generator: torch.Generator) -> Tensor:
    """Return the mean of the teachers' results, patches turned at random: over many steps, a self-ensemble."""
    return torch.stack([turned_result(teacher, inputs, generator) for teacher in teachers]).mean(dim=0)


def turned_result(teacher: Network, inputs: Sequence[Tensor], generator: torch.Generator) -> Tensor:
    """Return a teacher's results, each square patch seen in a random one of the eight orientations."""
    transposed, upside_down, mirrored = (uniform(generator, len(inputs[0]), 1, 1, 1) < 0.5 for _ in range(3))

    def turned(x: Tensor) -> Tensor:
        x = torch.where(transposed, x.mT, x)
        x = torch.where(upside_down, x.flip(2), x)
        return torch.where(mirrored, x.flip(3), x)

    out: Tensor = teacher(*map(turned, inputs))
    out = torch.where(mirrored, out.flip(3), out)
    out = torch.where(upside_down, out.flip(2), out)
    return torch.where(transposed, out.mT, out)


def mean_error(restored: Tensor, truth: Tensor, present: Tensor) -> Tensor:
    """Return the L1 loss over the bands that are there; present is (N, targets), 0 or 1."""
    error: Tensor = (restored - truth).abs().mean(dim=(2, 3)) * present
    return error.sum() / present.sum()


def inner(x: Tensor, border: int) -> Tensor:
    """Return images without as many pixels on each side."""
    return x[..., border:-border, border:-border] if border else x
