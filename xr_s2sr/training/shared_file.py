"""The file of a network for the 20 m bands and of a branch for the 60 m bands that goes on from its trunk."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from xr_s2sr.bands import BY_GSD
from xr_s2sr.errors import ModelError
from xr_s2sr.inference.engine import import_onnxruntime
from xr_s2sr.models.card import RESTORED, STANDARD_ERROR, Model, ModelCard
from xr_s2sr.models.onnx_graph import add_60m_bands
from xr_s2sr.training.export import branch_layers, random_inputs, weights
from xr_s2sr.training.networks import SharedNet
from xr_s2sr.training.uncertainty import BOUNDS, Frozen, Head


def export_shared(
    net: SharedNet, head: Head | None, init: Model, card: ModelCard, path: Path, *, tolerance: float = 1e-4
) -> ModelCard:
    """Write the file of `init` with the 60 m bands as further outputs, and check them.

    Parameters
    ----------
    net : SharedNet
    head : Head, optional
        For the standard errors of the 60 m bands, if the file of `init` gives those of the 20 m bands.
    init : Model
        Whose network `net` goes on from.
    card : ModelCard
        Of `net`: its targets become those of both.
    path : Path
    tolerance : float
        Largest difference from torch, in units of the network; of the standard errors, ten times as much of their size.

    Returns
    -------
    ModelCard
        That of the file.

    Raises
    ------
    ModelError
        If the 20 m bands are not bit for bit those of `init`, or the 60 m bands differ by more.
    """
    assert init.path is not None
    card = replace(card, targets=(*init.card.targets, *BY_GSD[60]), uncertainty=head is not None)
    parts = None if head is None else (head.layers(), head.gain.numpy(), BOUNDS)
    path.parent.mkdir(parents=True, exist_ok=True)
    add_60m_bands(init.path, [weights(layer) for layer in branch_layers(net)], parts, card, path)
    ort = import_onnxruntime()
    feed = random_inputs(net.inputs, 96)
    old, new = (ort.InferenceSession(str(p), providers=["CPUExecutionProvider"]) for p in (init.path, path))
    outputs = [RESTORED] if head is None else [RESTORED, STANDARD_ERROR]
    before = old.run(outputs, {name: feed[name] for name in init.card.inputs})
    after = new.run(outputs, feed)
    for was, now in zip(before, after, strict=True):
        if not np.array_equal(was.view(np.uint32), now[:, : len(init.card.targets)].copy().view(np.uint32)):
            raise ModelError(f"{path} gives other values for the 20 m bands than {init.path}; expected the same bits")
    restored, features = Frozen(net)([torch.from_numpy(array) for array in feed.values()])
    worst = [float(np.abs(after[0][:, len(init.card.targets) :] - restored.numpy()).max()) / tolerance]
    if head is not None:
        with torch.no_grad():
            ratio = after[1][:, len(init.card.targets) :] / head(features).numpy()
        worst.append(float(np.abs(ratio - 1).max()) / tolerance / 10)
    if not max(worst) <= 1:
        raise ModelError(f"{path} differs from the network by {max(worst):.2g} times the tolerance of {tolerance:g}")
    return card
