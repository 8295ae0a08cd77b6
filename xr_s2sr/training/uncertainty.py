"""A head that predicts the standard error of every restored pixel, on the frozen trunk of a trained network.

It learns by the likelihood of the network's errors against the bands as the sensor took them, noise included, and is
calibrated per band on patches that it did not learn from. It is scored on whole scenes, and added to the network's
file.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from xr_s2sr.bands import BY_GSD
from xr_s2sr.errors import ModelError
from xr_s2sr.models.card import RESTORED, STANDARD_ERROR, Model
from xr_s2sr.models.onnx_graph import Conv, Graph
from xr_s2sr.quality.degradation import PROTOCOLS
from xr_s2sr.quality.metrics import SCORE_BORDER
from xr_s2sr.quality.reliability import coverage, rank_correlation
from xr_s2sr.runtime import import_onnxruntime
from xr_s2sr.training.data import SCALE, Augmentation, Patches
from xr_s2sr.training.degradation import seeded
from xr_s2sr.training.export import random_inputs, weights
from xr_s2sr.training.loop import inner, scored
from xr_s2sr.training.networks import CoarseNet
from xr_s2sr.training.recipe import Recipe, learning_rate
from xr_s2sr.training.scenes import TrainingScene

#: Smallest and largest standard error, in units of DN / 2000: 0.5 DN, and a reflectance of 1.
BOUNDS = (0.5 / SCALE, 10000 / SCALE)
#: Share of a Gaussian's errors within one standard error.
WITHIN_ONE = 0.6827
#: Standard error of a head that has learned nothing, in the same unit: 40 DN.
START = 40 / SCALE
#: Errors beyond as many standard errors count as that many, in the likelihood and in the calibration: a few pixels
#: without any trace in the guide would else decide the scale of all.
TAIL = 5.0
#: Batches on which the final scales are worked out.
CALIBRATION = 150
#: Largest relative difference of a file's standard errors from torch's.
TOLERANCE = 1e-3


class Head(nn.Module):
    """3 x 3 convolution, two of 1 x 1, ReLUs between them, depth to space, and a positive function.

    It sees no farther than the network's last convolution. What it does with what it sees is nonlinear twice: with one
    ReLU, the surest pixels were less sure than they could be, and the middle ones surer.

    Parameters
    ----------
    width : int
        Channels of the trunk.
    targets, scale : int
        Bands, and output pixels per pixel of the trunk's grid.
    hidden : int, optional
        Channels of the head; half of the trunk's by default, which is 3 to 6 % of the network's arithmetic.
    """

    gain: Tensor
    size: Tensor

    def __init__(self, width: int, targets: int, scale: int, hidden: int | None = None) -> None:
        super().__init__()
        hidden = hidden or width // 2
        self.scale = scale
        self.first = nn.Conv2d(width, hidden, 3, padding=1)
        self.middle = nn.Conv2d(hidden, hidden, 1)
        self.last = nn.Conv2d(hidden, targets * scale * scale, 1)
        self.register_buffer("gain", torch.full((targets,), START))
        self.register_buffer("size", torch.ones(width))

    def forward(self, features: Tensor) -> Tensor:
        x = torch.relu(self.middle(torch.relu(self.first(features / self.size[:, None, None]))))
        x = F.pixel_shuffle(self.last(x), self.scale)
        positive = torch.relu(x) + 1 / (1 + torch.relu(-x))  # as in the exported graph
        return (positive * self.gain[:, None, None]).clamp(*BOUNDS)


@torch.no_grad()
def restored_with_features(net: CoarseNet, inputs: list[Tensor], *, exact: bool = True) -> tuple[Tensor, Tensor]:
    """Return the results of a network, and the features that its last convolution sees."""
    seen: list[Tensor] = []
    hook = net.tail.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    net.bf16_blocks = not exact  # its rounding is far below the errors that are learned from
    restored: Tensor = net(*inputs)
    hook.remove()
    return restored, seen[0]


def likelihood(error: Tensor, scale: Tensor, present: Tensor) -> Tensor:
    """Negative logarithm of a Gaussian's likelihood, mean over the bands that are there; far errors are cut."""
    square = (error / scale).square()
    # beyond the tail the loss goes on linearly, so that the gradient of the scale stays bounded
    far = TAIL * (2 * square.clamp(min=1e-12).sqrt() - TAIL)
    loss = (scale.log() + 0.5 * torch.where(square > TAIL**2, far, square)).mean(dim=(2, 3)) * present
    return loss.sum() / present.sum()


def train_head(
    net: CoarseNet,
    recipe: Recipe,
    scenes: list[TrainingScene],
    log: Callable[[str], None] = print,
    every: int = 100,
) -> Head:
    """Train a head on the features of a network, which stays as it is, and calibrate it.

    Parameters
    ----------
    net : CoarseNet
    recipe : Recipe
    scenes : list of TrainingScene
        To learn from.
    log : callable
        Receives one line at a time.
    every : int
        Steps between lines.
    """
    torch.manual_seed(recipe.seed)
    head = Head(net.width, len(BY_GSD[recipe.gsd]), net.scale)
    optimiser = torch.optim.AdamW(head.parameters(), lr=recipe.rate, betas=(0.9, 0.99))
    patches = Patches(scenes, recipe.gsd, seeded(recipe.seed, 1), recipe.augmentation)
    total, started = 0.0, time.monotonic()
    for step in range(recipe.steps):
        optimiser.param_groups[0]["lr"] = learning_rate(recipe, step)
        number, size, border = recipe.patches(step)
        inputs, truth, present = patches.batch(number, size)
        restored, features = restored_with_features(net, inputs, exact=False)
        if step == 0:  # channels of one size learn at one rate
            head.size.copy_(features.square().mean(dim=(0, 2, 3)).sqrt().clamp(min=1e-6))
        error = inner(restored - truth, border)
        loss = likelihood(error, inner(head(features), border), present)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(head.parameters(), 1.0)
        optimiser.step()
        total += float(loss.detach())
        if (step + 1) % every == 0 or step + 1 == recipe.steps:
            count = (step % every) + 1
            pace = (time.monotonic() - started) / count
            log(f"step {step + 1}: loss {total / count + math.log(SCALE):.3f}, {pace:.2f} s/step")
            total, started = 0.0, time.monotonic()
    calibrate(net, head, recipe, scenes)
    log(f"gain per band, DN: {np.round(head.gain.numpy() * SCALE, 2).tolist()}")
    return head


@torch.no_grad()
def calibrate(net: CoarseNet, head: Head, recipe: Recipe, scenes: list[TrainingScene]) -> None:
    """Scale each band so that its errors are, over what is predicted, of size one.

    On fresh patches of whole scenes as users have them: no band missing, no gain, the degradations and noise levels
    mixed as in training. Size is the geometric mean of the root mean square and of what 68.3 % of the errors stay
    within: the same for a Gaussian. Errors have heavier tails, for which the one covers too many pixels and the other
    says too little of the large errors.
    """
    how = Augmentation(gain=0.0, dropped=0.0, shifted=0.0, air=(0.0, 0.0), sensor=0.5)
    patches = Patches(scenes, recipe.gsd, seeded(recipe.seed, 2), how)
    ratios: list[Tensor] = []
    for step in range(CALIBRATION):
        number, size, border = recipe.patches(step)
        inputs, truth, _ = patches.batch(number, size)
        restored, features = restored_with_features(net, inputs)
        ratio = inner(restored - truth, border) / inner(head(features), border)
        ratios.append(ratio.abs().clamp(max=TAIL).transpose(0, 1).flatten(1))
    found = torch.cat(ratios, dim=1).double()
    head.gain *= size_of(found).float()


def size_of(ratios: Tensor) -> Tensor:
    """Return the geometric mean of the root mean square and the 68.3 % quantile of each row, (bands, N)."""
    rank = max(1, math.ceil(WITHIN_ONE * ratios.shape[1]))
    return (ratios.square().mean(dim=1).sqrt() * ratios.kthvalue(rank, dim=1).values).sqrt()


@torch.no_grad()
def validate_head(net: CoarseNet, head: Head, gsd: int, scenes: list[TrainingScene]) -> dict[str, dict[str, Any]]:
    """Pool whole scenes under each protocol, and return the scores of each band.

    Returns
    -------
    dict
        By protocol: lists over the bands of the shares within one and two standard errors, and of Spearman's rank
        correlation of predicted with absolute error.
    """
    out: dict[str, dict[str, Any]] = {}
    for protocol in PROTOCOLS:
        pooled = []
        for inputs, _, truth in scored(scenes, gsd, protocol):
            restored, features = restored_with_features(net, inputs)
            pair = torch.stack([restored[0] * SCALE - torch.from_numpy(truth), head(features)[0] * SCALE])
            pooled.append(inner(pair, SCORE_BORDER).flatten(2))
        if pooled:
            bands = list(zip(*torch.cat(pooled, dim=2).numpy(), strict=True))
            out[protocol] = {
                "within 1": np.round([coverage(error, scale, 1) for error, scale in bands], 3).tolist(),
                "within 2": np.round([coverage(error, scale, 2) for error, scale in bands], 3).tolist(),
                "Spearman": np.round([rank_correlation(scale, abs(error)) for error, scale in bands], 3).tolist(),
            }
    return out


def export_head(
    net: CoarseNet,
    head: Head,
    init: Model,
    recipe: Recipe,
    scores: Mapping[str, Mapping[str, Any]],
    path: Path,
) -> None:
    """Write the network's own file with the head as a second output, and check both outputs.

    Parameters
    ----------
    net, head : CoarseNet, Head
    init : Model
        The file of `net`, whose card is extended. What it does for ``sr`` stays as it is, node by node.
    recipe : Recipe
    scores : mapping
        What :func:`validate_head` gives, for the card.
    path : Path

    Raises
    ------
    ModelError
        If ``sr`` is not bit for bit that of `init`, or the standard errors differ from torch's by more than
        :data:`TOLERANCE`.
    """
    assert init.path is not None
    network, _, _ = init.card.training.partition(" Standard errors: ")  # of a head that this one replaces
    card = replace(
        init.card,
        uncertainty=True,
        training=(
            f"{network} Standard errors: a head of {head.last.in_channels} channels on the frozen network, "
            f"{recipe.steps} steps, Gaussian likelihood, calibrated per band"
        ),
        scores=dict(init.card.scores) | {f"{k}, {p}": v for p, own in scores.items() for k, v in own.items()},
    )
    g = Graph.read(init.path)
    one = g.constant(np.array(1, np.float32))
    first = weights(head.first)
    first = Conv(first.weight / head.size.numpy()[None, :, None, None], first.bias)  # features as the trunk gives them
    x = g.conv(g.trained()[-1].input[0], first)
    for layer in (head.middle, head.last):
        x = g.conv(g.add("Relu", [x]), weights(layer))
    x = g.add("DepthToSpace", [x], blocksize=head.scale, mode="CRD")
    # positive and monotone by operations that round correctly: 1 + x above 0, 1 / (1 - x) below
    below = g.add("Add", [g.add("Relu", [g.add("Neg", [x])]), one])
    x = g.add("Add", [g.add("Relu", [x]), g.add("Div", [one, below])])
    x = g.add("Mul", [x, g.constant(head.gain.numpy().reshape(1, -1, 1, 1))])
    g.add("Clip", [x, *(g.constant(np.array(bound, np.float32)) for bound in BOUNDS)])
    g.save(card, path, partial(_check_outputs, net, head, init.path))


def _check_outputs(net: CoarseNet, head: Head, init: Path, path: Path) -> None:
    """Compare both outputs of a file with those of the network's own file and of torch."""
    ort = import_onnxruntime()
    feed = random_inputs(net)
    old, new = (ort.InferenceSession(str(p), providers=["CPUExecutionProvider"]) for p in (init, path))
    restored, errors = new.run([RESTORED, STANDARD_ERROR], feed)
    if not np.array_equal(old.run([RESTORED], feed)[0].view(np.uint32), restored.view(np.uint32)):
        raise ModelError(f"the file restores other values than {init}; expected the same bits")
    with torch.no_grad():
        _, features = restored_with_features(net, [torch.from_numpy(array) for array in feed.values()])
        worst = float(np.abs(errors / head(features).numpy() - 1).max())
    if not worst <= TOLERANCE:
        raise ModelError(f"the file differs from the head by {worst:.2g} of its result, more than {TOLERANCE:g}")
