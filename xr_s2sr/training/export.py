"""A trained network as an ONNX file with its card.

The graph is written node by node: it has few kinds of nodes, and so depends on no exporter's version.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from xr_s2sr.bands import BY_GSD
from xr_s2sr.errors import ModelError
from xr_s2sr.models import CARD_KEY, ModelCard
from xr_s2sr.training.networks import CoarseNet

OPSET, IR_VERSION = 17, 8
INPUT_GSD = {"b10": 10, "b20": 20, "b60": 60}


class Graph:
    """Collects nodes and weights."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def add(self, kind: str, inputs: list[str], **attributes: Any) -> str:
        out = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [out], **attributes))
        return out

    def constant(self, array: np.ndarray) -> str:
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def conv(self, x: str, layer: nn.Conv2d) -> str:
        inputs = [x, self.constant(layer.weight.detach().numpy())]
        if layer.bias is not None:
            inputs.append(self.constant(layer.bias.detach().numpy()))
        pads = [*layer.padding, *layer.padding]
        return self.add("Conv", inputs, kernel_shape=list(layer.kernel_size), strides=list(layer.stride), pads=pads)

    def bilinear(self, x: str, weight: torch.Tensor, factor: int) -> str:
        """Edge padding, a convolution with fixed weights, depth to space."""
        padded = self.add("Pad", [x, self.constant(np.array([0, 0, 1, 1, 0, 0, 1, 1], np.int64))], mode="edge")
        phases = self.add("Conv", [padded, self.constant(weight.numpy())], kernel_shape=[3, 3])
        return self.add("DepthToSpace", [phases], blocksize=factor, mode="CRD")


def halo(net: CoarseNet) -> int:
    """Receptive-field radius in 10 m pixels, for windows that start on whole cells."""
    convolutions = 2 * net.depth + 2
    if net.skip_factor == 2:
        return 2 * convolutions
    # from a 20 m pixel `convolutions` away to the 60 m pixel that holds it, and the next one for the interpolation
    return 6 * (-(-convolutions // 3) + 1)


def to_onnx(net: CoarseNet, card: ModelCard, path: str | Path, *, tolerance: float = 1e-4) -> None:
    """Write a network and its card, and check the file against torch.

    Parameters
    ----------
    net : CoarseNet
    card : ModelCard
    path : path
    tolerance : float
        Largest difference allowed on random input, in units of the network (0.2 reflectance).

    Raises
    ------
    ModelError
        If ONNX Runtime and torch differ by more.
    """
    g = Graph()
    x = g.add("Add", [g.conv("b10", net.guide), g.conv("b20", net.coarse)])
    if net.skip_factor == 6:
        x = g.add("Add", [x, g.conv(g.bilinear("b60", net.lift, 3), net.coarsest)])  # type: ignore[arg-type]
    for block in net.blocks:
        inner = g.add("Relu", [g.conv(x, block.first)])  # type: ignore[arg-type]
        x = g.add("Add", [x, g.conv(inner, block.second)])  # type: ignore[arg-type]
    x = g.add("DepthToSpace", [g.conv(x, net.tail)], blocksize=net.scale, mode="CRD")
    skip = g.bilinear("b20" if net.skip_factor == 2 else "b60", net.skip, net.skip_factor)
    g.nodes.append(helper.make_node("Add", [x, skip], ["sr"]))

    def value(name: str, channels: int, y: str, x: str) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", channels, y, x])

    inputs = [value(n, len(b), f"H{INPUT_GSD[n]}", f"W{INPUT_GSD[n]}") for n, b in card.inputs.items()]
    graph = helper.make_graph(g.nodes, card.name, inputs, [value("sr", len(card.targets), "H10", "W10")], g.weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    model.producer_name = "xr_s2sr"
    helper.set_model_props(model, {CARD_KEY: card.to_json()})
    onnx.checker.check_model(model, full_check=True)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, str(path))
    worst = difference(net, path)
    if not worst <= tolerance:
        raise ModelError(f"{path} differs from the network by {worst:g}, more than {tolerance:g}")


def difference(net: CoarseNet, path: str | Path, size: int = 96) -> float:
    """Largest difference between torch and ONNX Runtime on random input."""
    import onnxruntime as ort

    rng = np.random.default_rng(0)
    feed = {}
    for name in net.inputs:
        gsd = INPUT_GSD[name]
        pixels = size * 10 // gsd
        feed[name] = rng.random((1, len(BY_GSD[gsd]), pixels, pixels), np.float32)
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    with torch.no_grad():
        net.bf16_blocks = False
        expected = net(*(torch.from_numpy(array) for array in feed.values())).numpy()
    return float(np.abs(session.run(["sr"], feed)[0] - expected).max())


def card_for(net: CoarseNet, name: str, version: str, **about: Any) -> ModelCard:
    """The card of one of our networks."""
    inputs = {key: BY_GSD[INPUT_GSD[key]] for key in net.inputs}
    targets = BY_GSD[20 if net.skip_factor == 2 else 60]
    return ModelCard(name, version, inputs, targets, scale=0.2, halo=halo(net), multiple=6, **about)
