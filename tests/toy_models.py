"""Small ONNX models in the shape of ours, with random or with plain weights, for the engine's tests."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from xr_s2sr.bands import BANDS, BY_GSD
from xr_s2sr.models import CARD_KEY, ModelCard

WIDTH, DEPTH = 8, 2
CARD_20 = ModelCard(
    "toy-20m", "1", {"b10": BY_GSD[10], "b20": BY_GSD[20]}, BY_GSD[20], halo=2 * (2 * DEPTH + 2), licence="none"
)
CARD_60 = ModelCard(
    "toy-60m",
    "1",
    {"b10": BY_GSD[10], "b20": BY_GSD[20], "b60": BY_GSD[60]},
    BY_GSD[60],
    halo=6 * (-(-(2 * DEPTH + 2) // 3) + 1),
    licence="none",
)

#: 20 m and 60 m bands by one network; its 60 m bands may be missing, too.
CARD_BOTH = replace(CARD_60, name="toy-both", targets=(*BY_GSD[20], *BY_GSD[60]), optional=(*BY_GSD[20], *BY_GSD[60]))


def save(path: Path, card: ModelCard = CARD_20, *, gain: float = 0.5, seed: int = 0) -> Path:
    """Write a network: strided guide, residual blocks on the 20 m grid, depth-to-space, bilinear skip.

    Parameters
    ----------
    path : Path
    card : ModelCard
        Its inputs and targets make the graph; the rest is only carried.
    gain : float
        Size of the random weights. Small: what is far away counts little. 0: bilinear interpolation.
    """
    rng = np.random.default_rng(seed)
    nodes: list[onnx.NodeProto] = []
    weights: list[onnx.TensorProto] = []

    def constant(array: NDArray[Any]) -> str:
        weights.append(numpy_helper.from_array(array, f"w{len(weights)}"))
        return weights[-1].name

    def add(kind: str, *inputs: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(kind, inputs, [f"t{len(nodes)}"], **attributes))
        return str(nodes[-1].output[0])

    def conv(x: str, bands: int, out: int, side: int = 3, stride: int = 1) -> str:
        weight = gain * rng.normal(0, bands**-0.5 / side, (out, bands, side, side)).astype(np.float32)
        pads = [(side - stride) // 2] * 4
        return add("Conv", x, constant(weight), kernel_shape=[side, side], strides=[stride, stride], pads=pads)

    def bilinear(x: str, bands: int, factor: int) -> str:
        padded = add("Pad", x, constant(np.array([0, 0, 1, 1, 0, 0, 1, 1], np.int64)), mode="edge")
        phases = add("Conv", padded, constant(bilinear_weights(bands, factor)), kernel_shape=[3, 3])
        return add("DepthToSpace", phases, blocksize=factor, mode="CRD")

    count = {name: len(bands) for name, bands in card.inputs.items()}
    targets = len(card.targets)
    x = add("Add", conv("b10", count["b10"], WIDTH, 6, 2), conv("b20", count["b20"], WIDTH))
    if "b60" in count:
        x = add("Add", x, conv(bilinear("b60", count["b60"], 3), count["b60"], WIDTH))
    if card.regressed:
        x = add("Add", x, conv("regressed", len(card.regressed), WIDTH, 6, 2))
    for _ in range(DEPTH):
        x = add("Add", x, conv(add("Relu", conv(x, WIDTH, WIDTH)), WIDTH, WIDTH))
    x = add("DepthToSpace", conv(x, WIDTH, targets * 4), blocksize=2, mode="CRD")
    gsds = {BANDS[band].gsd for band in card.targets}
    skips = [bilinear(f"b{gsd}", count[f"b{gsd}"], gsd // 10) for gsd in sorted(gsds)]
    skip = add("Concat", *skips, axis=1) if len(skips) > 1 else skips[0]
    nodes.append(helper.make_node("Add", [x, skip], ["sr"]))
    return write(path, card, nodes, weights)


def bilinear_weights(bands: int, factor: int) -> NDArray[np.float32]:
    """Weights of a convolution that, with depth-to-space, is a bilinear upsampling of every band."""
    offset = (np.arange(factor) + 0.5) / factor - 0.5
    taps = np.maximum(0, 1 - abs(offset[:, None] - np.array([-1, 0, 1])))
    phases = np.einsum("ai,bj->abij", taps, taps).reshape(factor**2, 3, 3)
    weight = np.einsum("cd,pij->cpdij", np.eye(bands), phases)
    return weight.reshape(bands * factor**2, bands, 3, 3).astype(np.float32)


def write(
    path: Path, card: ModelCard | None, nodes: list[onnx.NodeProto], weights: list[onnx.TensorProto], bands: int = 0
) -> Path:
    """Write nodes that go from the card's inputs to ``sr``, with the card; `bands` overrides the output's number."""
    named = card or CARD_20

    def port(name: str, channels: int, gsd: int) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", channels, f"H{gsd}", f"W{gsd}"])

    inputs = [port(name, len(ids), BANDS[ids[0]].gsd) for name, ids in named.inputs.items()]
    inputs += [port("regressed", len(named.regressed), 10)] * bool(named.regressed)
    graph = helper.make_graph(nodes, named.name, inputs, [port("sr", bands or len(named.targets), 10)], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    if card is not None:
        helper.set_model_props(model, {"author": "tests", CARD_KEY: card.to_json()})
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, str(path))
    return path


def with_errors(path: Path, to: Path, constant: float | None = None, *, seed: int = 1) -> Path:
    """The same network with standard errors: a constant, or 0.01 + |3 x 3 convolution of its features|."""
    model = onnx.load(str(path))
    [props] = [p for p in model.metadata_props if p.key == CARD_KEY]
    card = replace(ModelCard.from_json(props.value), uncertainty=True)
    graph, n = model.graph, len(card.targets)

    def add(kind: str, *inputs: str, to: str, **attributes: Any) -> str:
        graph.node.append(helper.make_node(kind, inputs, [to], **attributes))
        return to

    def weight(name: str, array: NDArray[Any]) -> str:
        graph.initializer.append(numpy_helper.from_array(np.asarray(array, np.float32), name))
        return name

    if constant is not None:
        x, least = add("Mul", "sr", weight("e_zero", 0), to="e0"), constant
    else:
        rng = np.random.default_rng(seed)
        last = [node for node in graph.node if node.op_type == "DepthToSpace"][-2]
        features = next(node for node in graph.node if last.input[0] in node.output).input[0]
        kernel = weight("e_kernel", rng.normal(0, 0.1, (4 * n, WIDTH, 3, 3)))
        add("Conv", features, kernel, to="e0", kernel_shape=[3, 3], pads=[1] * 4)
        x, least = add("Abs", add("DepthToSpace", "e0", to="e1", blocksize=2, mode="CRD"), to="e2"), 0.01
    add("Add", x, weight("e_least", least), to="uncertainty")
    graph.output.append(helper.make_tensor_value_info("uncertainty", TensorProto.FLOAT, ["N", n, "H10", "W10"]))
    helper.set_model_props(model, {CARD_KEY: card.to_json()})
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, str(to))
    return to


def relabel(path: Path, card: ModelCard, to: Path) -> Path:
    """The same graph under another card."""
    model = onnx.load(str(path))
    helper.set_model_props(model, {CARD_KEY: card.to_json()})
    onnx.save(model, str(to))
    return to


def without_halo(card: ModelCard) -> ModelCard:
    """A card that does not know its receptive field."""
    return replace(card, halo=None)
