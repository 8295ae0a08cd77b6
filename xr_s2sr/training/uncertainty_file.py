"""A trained head for standard errors: its scores on whole scenes, and the model file that it is added to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from xr_s2sr.bands import BY_GSD
from xr_s2sr.errors import ModelError
from xr_s2sr.models.card import RESTORED, STANDARD_ERROR, Model
from xr_s2sr.models.onnx_graph import Conv, add_uncertainty
from xr_s2sr.quality.degradation import PROTOCOLS
from xr_s2sr.quality.metrics import SCORE_BORDER
from xr_s2sr.quality.reliability import coverage, rank_correlation
from xr_s2sr.runtime import import_onnxruntime
from xr_s2sr.training.data import SCALE
from xr_s2sr.training.export import INPUT_GSD, weights
from xr_s2sr.training.loop import simulate
from xr_s2sr.training.networks import CoarseNet
from xr_s2sr.training.scenes import Scene
from xr_s2sr.training.uncertainty import BOUNDS, Frozen, Head, HeadRecipe


@torch.no_grad()
def validate_head(net: CoarseNet, head: Head, gsd: int, scenes: list[Scene]) -> dict[str, dict[str, Any]]:
    """Pool whole scenes under each protocol, and return the scores of each band.

    Returns
    -------
    dict
        By protocol: lists over the bands of the shares within one and two standard errors, and of Spearman's rank
        correlation of predicted with absolute error.
    """
    frozen = Frozen(net)
    out: dict[str, dict[str, Any]] = {}
    for protocol in PROTOCOLS:
        errors, scales = [], []
        for scene in scenes:
            if gsd == 60 and (scene.b60 is None or min(scene.b60.shape[-2:]) < 30):
                continue
            degraded, truth = simulate(scene, gsd, protocol)
            inputs = [torch.from_numpy((a / SCALE).astype(np.float32))[None] for a in degraded]
            restored, features = frozen(inputs)
            cut = (..., slice(SCORE_BORDER, -SCORE_BORDER), slice(SCORE_BORDER, -SCORE_BORDER))
            errors.append((restored[0].numpy() * SCALE - truth)[cut].reshape(len(truth), -1))
            scales.append((head(features)[0].numpy() * SCALE)[cut].reshape(len(truth), -1))
        if errors:
            error, scale = np.concatenate(errors, axis=1), np.concatenate(scales, axis=1)
            out[protocol] = {
                "within 1": np.round([coverage(e, s, 1) for e, s in zip(error, scale, strict=True)], 3).tolist(),
                "within 2": np.round([coverage(e, s, 2) for e, s in zip(error, scale, strict=True)], 3).tolist(),
                "Spearman": np.round(
                    [rank_correlation(s, abs(e)) for e, s in zip(error, scale, strict=True)], 3
                ).tolist(),
            }
    return out


def export_head(
    net: CoarseNet,
    head: Head,
    init: Model,
    recipe: HeadRecipe,
    scores: Mapping[str, Mapping[str, Any]],
    path: Path,
    *,
    tolerance: float = 1e-3,
) -> None:
    """Write the network's own file with the head as a second output, and check both outputs.

    Parameters
    ----------
    net, head : CoarseNet, Head
    init : Model
        The file of `net`, whose card is extended.
    recipe : HeadRecipe
    scores : mapping
        What :func:`validate_head` gives, for the card.
    path : Path
    tolerance : float
        Largest relative difference of the standard errors from torch's.

    Raises
    ------
    ModelError
        If ``sr`` is not bit for bit that of `init`, or the standard errors differ by more.
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
    first = weights(head.first)
    first = Conv(first.weight / head.size.numpy()[None, :, None, None], first.bias)  # features as the trunk gives them
    layers = first, weights(head.middle), weights(head.last)
    check = partial(_check_outputs, net, head, init.path, tolerance)
    add_uncertainty(init.path, layers, head.gain.numpy(), BOUNDS, card, path, check)


def _check_outputs(net: CoarseNet, head: Head, init: Path, tolerance: float, path: Path) -> None:
    """Compare both outputs of a file with those of the network's own file and of torch."""
    ort = import_onnxruntime()
    rng, feed = np.random.default_rng(0), {}
    for name in net.inputs:
        pixels = 480 // INPUT_GSD[name]
        feed[name] = rng.random((1, len(BY_GSD[INPUT_GSD[name]]), pixels, pixels), np.float32)
    old, new = (ort.InferenceSession(str(p), providers=["CPUExecutionProvider"]) for p in (init, path))
    restored, errors = new.run([RESTORED, STANDARD_ERROR], feed)
    if not np.array_equal(old.run([RESTORED], feed)[0].view(np.uint32), restored.view(np.uint32)):
        raise ModelError(f"the file restores other values than {init}; expected the same bits")
    with torch.no_grad():
        _, features = Frozen(net)([torch.from_numpy(array) for array in feed.values()])
        worst = float(np.abs(errors / head(features).numpy() - 1).max())
    if not worst <= tolerance:
        raise ModelError(f"the file differs from the head by {worst:.2g} of its result, more than {tolerance:g}")
