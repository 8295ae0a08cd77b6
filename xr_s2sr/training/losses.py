"""Errors that a training makes small: of a batch against its truth, a teacher's results, or both."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from xr_s2sr.training.data import Patches
from xr_s2sr.training.networks import Network
from xr_s2sr.training.recipe import Recipe


def error_of_a_batch(
    net: Network,
    recipe: Recipe,
    patches: Patches,
    step: int,
    teachers: Sequence[Network] = (),
    clean_teacher: Network | None = None,
) -> Tensor:
    """Draw the patches of a step, restore them, and compare with the truth, the teachers' results, or both.

    Patches are made on the CPU, and computed where the network is.
    """
    number, size, border = recipe.patches(step)
    rng, device = patches.rng, next(net.parameters()).device
    if teachers and rng.random() < recipe.unlabelled:
        natives, there = patches.native(max(1, number // 4), 2 * size)  # as in the late part: fewer, larger
        inputs, present = [x.to(device) for x in natives], there.to(device)
        return mean_error(inner(net(*inputs), border), inner(lessons(teachers, inputs, rng), border), present)
    proxy = [True] if rng.random() < recipe.proxy else []
    degraded, truth, there = patches.batch(number, size, bool(proxy))
    inputs, truth, present = [x.to(device) for x in degraded], truth.to(device), there.to(device)
    restored = inner(net(*inputs, *proxy), border)
    loss = mean_error(restored, inner(truth, border), present)
    if not teachers or proxy:
        return loss
    taught = lessons(teachers, inputs, rng)
    if clean_teacher is not None and not bool(patches.sensor.all()):
        clean = ~patches.sensor[:, 0].to(device)
        taught[clean] = lessons([clean_teacher], [x[clean] for x in inputs], rng)
    return (1 - recipe.taught) * loss + recipe.taught * mean_error(restored, inner(taught, border), present)


@torch.no_grad()
def lessons(teachers: Sequence[Network], inputs: Sequence[Tensor], rng: np.random.Generator) -> Tensor:
    """Return the mean of the teachers' results, each in one of eight orientations: over many steps, a self-ensemble."""
    return torch.stack([lesson(teacher, inputs, rng) for teacher in teachers]).mean(dim=0)


def lesson(teacher: Network, inputs: Sequence[Tensor], rng: np.random.Generator) -> Tensor:
    """Return a teacher's results, seen in a random one of the eight orientations."""
    turns, flipped = int(rng.integers(4)), bool(rng.integers(2))
    turned = [torch.rot90(x, turns, (2, 3)) for x in inputs]
    out: Tensor = teacher(*(x.flip(3) for x in turned)).flip(3) if flipped else teacher(*turned)
    return torch.rot90(out, -turns, (2, 3))


def mean_error(restored: Tensor, truth: Tensor, present: Tensor) -> Tensor:
    """Return the L1 loss over the bands that are there; present is (N, targets), 0 or 1."""
    error: Tensor = (restored - truth).abs().mean(dim=(2, 3)) * present
    return error.sum() / present.sum()


def inner(x: Tensor, border: int) -> Tensor:
    """Return images without as many pixels on each side."""
    return x[..., border:-border, border:-border] if border else x
