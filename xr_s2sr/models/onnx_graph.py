"""Writing of ONNX files node by node: few kinds of nodes, and so no dependence on any exporter's version.

The only module that imports onnx; only training and the Keras import use it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from xr_s2sr.interpolation import bilinear_phases
from xr_s2sr.models import back_projection
from xr_s2sr.models.card import CARD_KEY, RESTORED, STANDARD_ERROR, ModelCard
from xr_s2sr.replacing import write_bytes

OPSET, IR_VERSION = 17, 8
#: GSD of each input of the networks that are written here.
INPUT_GSD = {"b10": 10, "b20": 20, "b60": 60}

Float32 = NDArray[np.float32]
#: Looks at a file that was written, and raises if it is not as it should be.
Check: TypeAlias = Callable[[Path], object]


@dataclass(frozen=True)
class Conv:
    """A convolution: weight (out, in, y, x) and, where it has one, bias (out,)."""

    weight: Float32
    bias: Float32 | None = None

    @property
    def channels(self) -> int:
        """Channels of its output."""
        return int(self.weight.shape[0])

    @property
    def bands(self) -> int:
        """Channels of its input."""
        return int(self.weight.shape[1])

    @property
    def radius(self) -> int:
        """Pixels that it sees to each side."""
        return int(self.weight.shape[-1]) // 2


def trained_convs(path: str | Path) -> list[Conv]:
    """Return the convolutions of a file in the order of its graph, without those of fixed weights."""
    graph = Graph.read(path)
    weights = {array.name: numpy_helper.to_array(array) for array in graph.weights}
    return [Conv(*(weights[name] for name in node.input[1:])) for node in graph.trained()]


class Graph:
    """Nodes and weights of a network under construction."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    @classmethod
    def read(cls, path: str | Path) -> Graph:
        """Read what a file needs for its restored bands: no head for their standard errors."""
        graph, stored, needed = cls(), onnx.load(str(path)).graph, {RESTORED}
        for node in reversed(stored.node):
            if needed & {*node.output}:
                graph.nodes.insert(0, node)
                needed |= {*node.input}
        graph.weights = [array for array in stored.initializer if array.name in needed]
        return graph

    def trained(self) -> list[onnx.NodeProto]:
        """Return the convolutions in order, without those of fixed weights: these alone name their groups."""
        convs = [node for node in self.nodes if node.op_type == "Conv"]
        return [node for node in convs if not any(a.name == "group" for a in node.attribute)]

    def add(self, kind: str, inputs: Sequence[str], **attributes: Any) -> str:
        """Append a node; returns the name of its output."""
        out = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [out], **attributes))
        return out

    def constant(self, array: NDArray[Any]) -> str:
        """Add an array; returns its name."""
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def conv(self, x: str, layer: Conv, *, stride: int = 1, padding: int | None = None) -> str:
        """Add a convolution, by default with as many zeros around `x` as keep its size."""
        inputs = [x, self.constant(layer.weight)]
        if layer.bias is not None:
            inputs.append(self.constant(layer.bias))
        pad = layer.radius if padding is None else padding
        kernel = list(layer.weight.shape[-2:])
        return self.add("Conv", inputs, kernel_shape=kernel, strides=[stride, stride], pads=[pad] * 4)

    def bilinear(self, x: str, bands: int, factor: int) -> str:
        """Add bilinear upsampling: edge padding, a convolution with fixed weights, depth to space."""
        phases = self.fixed(self.pad(x, 1), bilinear_phases(bands, factor))
        return self.add("DepthToSpace", [phases], blocksize=factor, mode="CRD")

    def pad(self, x: str, by: int) -> str:
        """Add padding by `by` pixels, which repeat those at the edges."""
        return self.add("Pad", [x, self.constant(np.array([0, 0, by, by, 0, 0, by, by], np.int64))], mode="edge")

    def fixed(self, x: str, weight: Float32, *, stride: int = 1, group: int = 1) -> str:
        """Add a convolution that is not trained."""
        shape = list(weight.shape[-2:])
        return self.add("Conv", [x, self.constant(weight)], kernel_shape=shape, strides=[stride, stride], group=group)

    def back_projection(self, z: str, coarse: str, targets: int, factor: int) -> str:
        """Add to `z` what it lacks to be `coarse` again; see the module of that name."""
        n, around = targets * back_projection.BLUR_COUNT, back_projection.AROUND
        x = self.pad(z, back_projection.radius(factor))
        x = self.fixed(x, back_projection.blurring(targets, factor), stride=factor, group=targets)
        band = self.constant(np.repeat(np.arange(targets), back_projection.BLUR_COUNT))
        residual = self.add("Sub", [self.add("Gather", [coarse, band], axis=1), x])
        squared = self.pad(self.add("Mul", [residual, residual]), around)
        energy = self.fixed(squared, back_projection.neighbourhood(targets), group=n)
        energy = self.add("Add", [energy, self.constant(np.array(back_projection.EPSILON, np.float32))])
        # powers and quotients only by operations that round correctly, so that every pixel is rounded alike
        weight = self.add("Div", [self.constant(np.array(1, np.float32)), self.add("Mul", [energy, energy])])
        sums = back_projection.sums(targets)
        weighted = self.fixed(self.add("Mul", [residual, weight]), sums, group=targets)
        lacking = self.add("Div", [weighted, self.fixed(weight, sums, group=targets)])
        return self.add("Add", [z, self.bilinear(lacking, targets, factor)])

    def fine_inputs(self, card: ModelCard) -> dict[str, str]:
        """Add every input of the card on the 10 m grid, bilinearly upsampled where it is coarser."""
        fine = {}
        for name, bands in card.inputs.items():
            factor = INPUT_GSD[name] // 10
            fine[name] = name if factor == 1 else self.bilinear(name, len(bands), factor)
        return fine

    def save(self, card: ModelCard, path: str | Path, check: Check | None = None) -> None:
        """Write the file: the nodes, of which the last one gives the last output of the card.

        `check` is called before the file is put in place.
        """

        def port(name: str, channels: int, gsd: int) -> onnx.ValueInfoProto:
            return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", channels, f"H{gsd}", f"W{gsd}"])

        inputs = [port(name, len(bands), gsd) for name, (bands, gsd) in card.ports.items()]
        names = (RESTORED, STANDARD_ERROR) if card.uncertainty else (RESTORED,)
        self.nodes[-1].output[0] = names[-1]
        outputs = [port(name, len(card.targets), 10) for name in names]
        graph = helper.make_graph(self.nodes, card.name, inputs, outputs, self.weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
        model.producer_name = "xr_s2sr"
        helper.set_model_props(model, {CARD_KEY: card.to_json()})
        onnx.checker.check_model(model, full_check=True)
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        write_bytes(Path(path), model.SerializeToString(), (".onnx",), check)


def dsen2(card: ModelCard, layers: Sequence[Conv], scaling: float) -> Graph:
    """Build the network of Lanaras et al. 2018 (figure 4 and the authors' code), at any depth and width.

    Parameters
    ----------
    card : ModelCard
        Its inputs are concatenated in their order; the last one, upsampled, is added to the result.
    layers : sequence of Conv
        The first convolution, two for each residual block, the last.
    scaling : float
        Of the residual blocks' second convolution.
    """
    first, *inner, last = layers
    g = Graph()
    fine = g.fine_inputs(card)
    x = g.add("Relu", [g.conv(g.add("Concat", list(fine.values()), axis=1), first)])
    factor = g.constant(np.array(scaling, np.float32))
    for one, two in zip(inner[::2], inner[1::2], strict=True):
        residual = g.conv(g.add("Relu", [g.conv(x, one)]), two)
        x = g.add("Add", [x, g.add("Mul", [residual, factor])])
    *_, skip = fine.values()
    g.add("Add", [g.conv(x, last), skip])
    return g


def fine_halo(radius: int, inputs: Iterable[str]) -> int:
    """Return the receptive-field radius in 10 m pixels of a network that works on the 10 m grid.

    Parameters
    ----------
    radius : int
        Of its convolutions together.
    inputs : iterable of str
        Their names.
    """
    return max(reach(radius, INPUT_GSD[name] // 10) for name in inputs)


def reach(radius: int, factor: int) -> int:
    """Return how many fine pixels beyond an edge the bilinear value of the `radius`-th one there depends on."""
    # its centre lies at (0.5 - radius) / factor coarse pixels from the edge, coarse centres at 0.5
    return -factor * int(np.floor((0.5 - radius) / factor - 0.5)) if factor > 1 else radius
