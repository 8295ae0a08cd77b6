"""The training loop: L1, Muon and AdamW, a cosine schedule, averaged weights, resumable checkpoints."""

from __future__ import annotations

import copy
import json
import time
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from xr_s2sr.bands import BY_GSD
from xr_s2sr.quality import PROTOCOLS, Protocol, bicubic, degrade, rmse
from xr_s2sr.replacing import replaced
from xr_s2sr.training.data import FACTOR, SCALE, Patches
from xr_s2sr.training.degradation import seeded
from xr_s2sr.training.export import start_from
from xr_s2sr.training.losses import error_of_a_batch, kind_of_a_batch
from xr_s2sr.training.muon import Muon
from xr_s2sr.training.networks import Network, build
from xr_s2sr.training.recipe import Recipe, learning_rate
from xr_s2sr.training.scenes import TrainingScene
from xr_s2sr.training.steps import Steps, make_rate


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
    networks = [net, *teachers, *([clean_teacher] if clean_teacher is not None else [])]
    for other in networks[1:]:
        other.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        other.bf16_blocks = bf16_pays(device)  # its rounding is far below its error
    if init is not None:
        start_from(net, init)
    net.to(device)
    average = copy.deepcopy(net)
    optimisers = make_optimisers(net, recipe)
    step = resume(checkpoint, recipe, net, average, optimisers, log) if checkpoint.is_file() else 0
    # a resumed run must not see the first patches again
    rng, generator = np.random.default_rng([recipe.seed, step]), seeded(recipe.seed, step, device=device)
    patches = Patches(scenes, recipe.gsd, generator, recipe.augmentation)
    recorded = not any(network.regressed_bands for network in networks)
    steps = Steps(net, average, optimisers, generator, recorded=recorded)
    parts: list[Any] = [net, average, *optimisers]
    fast = bf16_pays(device)
    started = time.monotonic()
    good: tuple[float, list[dict[str, Any]]] | None = None
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
                for part, saved in zip(parts, good[1], strict=True):
                    part.load_state_dict(saved)
                steps.forget()
            else:
                good = mean_loss, [copy.deepcopy(part.state_dict()) for part in parts]
            save(checkpoint, recipe, net, average, optimisers, step)
            if validation and (step % (2 * every) == 0 or step == recipe.steps):
                log(f"  validation, RMSE / bicubic: {json.dumps(validate(average, recipe.gsd, validation))}")
            started = time.monotonic()
    return average.cpu()


def bf16_pays(device: str) -> bool:
    """Tell whether convolutions in bfloat16 are faster: on a CPU without instructions for it they are much slower."""
    return torch.device(device).type != "cpu" or bool(torch.cpu._is_avx512_bf16_supported())


def make_optimisers(net: Network, recipe: Recipe) -> list[torch.optim.Optimizer]:
    """Make the optimisers: Muon for the convolutions of the blocks, AdamW for the outer layers and all biases."""
    blocks = [p for name, p in net.named_parameters() if name.startswith("blocks.") and p.ndim == 4]
    chosen = {id(p) for p in blocks}
    rest = [p for p in net.parameters() if id(p) not in chosen]
    device = next(net.parameters()).device
    # a short memory of the squared gradients: with 0.999 a rare batch at the peak rate can blow the network up
    adam = torch.optim.AdamW(
        rest,
        lr=make_rate(recipe.rate, device),
        weight_decay=recipe.decay,
        betas=(0.9, 0.99),
        capturable=device.type == "cuda",
    )
    return [Muon(blocks, make_rate(recipe.rate, device)), adam]


def resume(
    path: Path,
    recipe: Recipe,
    net: nn.Module,
    average: nn.Module,
    optimisers: list[torch.optim.Optimizer],
    log: Callable[[str], None],
) -> int:
    """Put the states of a checkpoint in place; return its step, and say how its recipe differs."""
    state = torch.load(path, weights_only=True, map_location=next(net.parameters()).device)
    net.load_state_dict(state["net"])
    average.load_state_dict(state["average"])
    for optimiser, saved in zip(optimisers, state["optimisers"], strict=True):
        optimiser.load_state_dict(saved)
    step = int(state["step"])
    log(f"resumed at step {step}")
    before = {key: tuple(v) if isinstance(v, list) else v for key, v in state["recipe"].items()}
    before.setdefault("architecture", "coarse")  # checkpoints from when there was no other
    changed = {key: (before.get(key), now) for key, now in asdict(recipe).items() if before.get(key) != now}
    if changed:
        log(f"  the recipe has changed (before, now): {changed}")
    return step


def save(
    path: Path,
    recipe: Recipe,
    net: nn.Module,
    average: nn.Module,
    optimisers: list[torch.optim.Optimizer],
    step: int,
) -> None:
    """Write a checkpoint, in one go."""
    state = {
        "recipe": asdict(recipe),
        "net": net.state_dict(),
        "average": average.state_dict(),
        "optimisers": [optimiser.state_dict() for optimiser in optimisers],
        "step": step,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with replaced(path, "file", _check_zip) as part:
        torch.save(state, part / path.name)


def _check_zip(path: Path) -> None:
    """Refuse a checkpoint that is cut short: torch writes a zip, whose directory comes last."""
    if not zipfile.is_zipfile(path):
        raise OSError(f"{path.name} is truncated")


def simulate(scene: TrainingScene, gsd: int, protocol: Protocol) -> tuple[list[np.ndarray], np.ndarray]:
    """Degrade a whole scene for scoring: return the network's inputs (DN) and the truth."""
    factor = FACTOR[gsd]
    scene = scene.crop(12 if gsd == 20 else 36)
    arrays = [scene.b10, scene.b20] if gsd == 20 else [scene.b10, scene.b20, scene.b60]
    degraded = [
        np.stack([degrade(image, factor, protocol, band=band) for band, image in zip(BY_GSD[g], a, strict=True)])
        for g, a in zip((10, 20, 60), arrays, strict=False)
        if a is not None
    ]
    truth = arrays[-1]
    assert truth is not None
    return degraded, truth


@torch.no_grad()
def validate(net: Network, gsd: int, scenes: list[TrainingScene]) -> dict[str, float]:
    """Return the mean over scenes of the mean over bands of RMSE(net) / RMSE(bicubic), for each protocol."""
    bf16_blocks, net.bf16_blocks = net.bf16_blocks, False
    device = next(net.parameters()).device
    ratios: dict[str, list[float]] = {p: [] for p in PROTOCOLS}
    for scene in scenes:
        if gsd == 60 and (scene.b60 is None or min(scene.b60.shape[-2:]) < 30):
            continue
        for protocol in PROTOCOLS:
            degraded, truth = simulate(scene, gsd, protocol)
            inputs = [torch.from_numpy((a / SCALE).astype(np.float32))[None].to(device) for a in degraded]
            restored = net(*inputs)[0].cpu().numpy().astype(np.float64) * SCALE
            reference = rmse(bicubic(degraded[-1], FACTOR[gsd]), truth)
            ratios[protocol].append(float((rmse(restored, truth) / reference).mean()))
    net.bf16_blocks = bf16_blocks
    return {p: round(float(np.mean(r)), 4) for p, r in ratios.items()}
