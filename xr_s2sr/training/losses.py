"""Errors that a training makes small: of a batch against its truth, a teacher's results, or both."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

import numpy as np
import torch
from torch import Tensor

from xr_s2sr.training.data import Patches
from xr_s2sr.training.degradation import uniform
from xr_s2sr.training.networks import Network
from xr_s2sr.training.recipe import Recipe


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
        inputs, present = patches.native(max(1, number // 4), 2 * size)  # as in the late part: fewer, larger
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
