"""Write a trained network to an ONNX file with its card, and check that against torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from xr_s2sr.bands import BY_GSD
from xr_s2sr.errors import ModelError
from xr_s2sr.models import back_projection, onnx_graph, registry
from xr_s2sr.models.card import REGRESSED, RESTORED, ModelCard
from xr_s2sr.models.onnx_graph import INPUT_GSD, Conv, Graph
from xr_s2sr.runtime import import_onnxruntime
from xr_s2sr.training.networks import NETWORKS, REGRESSED_PLANES, CoarseNet, DSen2, Net20, Net60, Network


def halo(net: Network) -> int:
    """Return the receptive-field radius in 10 m pixels, for windows that start on whole cells."""
    convolutions = 2 * net.depth + 2
    if isinstance(net, DSen2):
        return onnx_graph.fine_halo(convolutions, net.inputs)
    if isinstance(net, Net20):
        # what a regression lacks is seen against the interpolated band, which reaches a pixel further
        return 2 * (convolutions + 1)
    # 20 m pixels beyond the coarse one: those that the back-projection looks at, and one for every convolution
    return 2 * onnx_graph.reach(-(-back_projection.reach(6) // 2) + convolutions, 3)


def to_onnx(net: Network, card: ModelCard, path: str | Path, *, tolerance: float = 1e-4) -> None:
    """Write a network and its card, and check the file against torch before it is put in place.

    Parameters
    ----------
    net : Network
    card : ModelCard
    path : path
    tolerance : float
        Largest difference allowed on random input, in units of the network (0.2 reflectance).

    Raises
    ------
    ModelError
        If ONNX Runtime and torch differ by more.
    """
    if isinstance(net, DSen2):
        graph = onnx_graph.dsen2(card, [weights(layer) for layer in net.layers], net.scaling)
    else:
        assert isinstance(net, CoarseNet)
        graph = coarse(net)

    def check(written: Path) -> None:
        worst = difference(net, written)
        if not worst <= tolerance:
            raise ModelError(f"{path} differs from the network by {worst:g}, more than {tolerance:g}")

    graph.save(card, path, check)


def coarse(net: CoarseNet) -> Graph:
    """Build the graph of one of our own networks."""
    g, factor, targets = Graph(), net.gsd // 10, len(BY_GSD[net.gsd])

    def conv(x: str, layer: Any, **options: int) -> str:
        return g.conv(x, weights(layer), **options)

    x = g.add("Add", [conv("b10", net.guide, stride=2, padding=2), conv("b20", net.coarse)])
    skip = g.bilinear(net.inputs[-1], targets, factor)
    if isinstance(net, Net20):
        planes = g.constant(np.array(REGRESSED_PLANES))
        detail = g.add("Sub", [REGRESSED, g.add("Gather", [skip, planes], axis=1)])
        x = g.add("Add", [x, conv(detail, net.regressed, stride=2, padding=2)])
        skip = g.add("Add", [skip, conv(detail, net.share)])
    else:
        x = g.add("Add", [x, conv(g.bilinear("b60", 2, 3), net.coarsest)])
    for block in net.blocks:
        inner = g.add("Relu", [conv(x, block.first)])
        x = g.add("Add", [x, conv(inner, block.second)])
    x = g.add("DepthToSpace", [conv(x, net.tail)], blocksize=net.scale, mode="CRD")
    z = g.add("Add", [x, skip])
    if isinstance(net, Net60):
        g.back_projection(z, "b60", targets, factor)
    return g


def start_from(net: Network, init: str | Path) -> None:
    """Give a network the weights of a checkpoint, or of a model file or packaged model of ours.

    A file's network may be deeper: the one to be trained then starts with as many of its blocks, evenly spread.

    Raises
    ------
    ModelError
        If they are those of another architecture, width or lesser depth.
    """
    if Path(init).suffix == ".pt":
        state = torch.load(init, weights_only=True, map_location="cpu")["average"]
        saved = {name: weight.shape for name, weight in state.items()}
        lacking = [name for name, weight in net.state_dict().items() if saved.get(name) != weight.shape]
        # checkpoints of version 0.2 have no regression as an input
        if any(not name.startswith(("regressed", "share")) for name in lacking):
            raise ModelError(f"the checkpoint {init} lacks {lacking}; expected one of the same architecture and size")
        net.load_state_dict(state, strict=False)
        return
    model = registry.load(init)
    assert model.path is not None
    convs = onnx_graph.trained_convs(model.path)
    layers = _layers(net)
    if isinstance(net, Net20) and not model.card.regressed:  # a file of version 0.2
        layers = [layer for layer in layers if layer not in (net.regressed, net.share)]
    before, blocks = len(layers) - 1 - 2 * net.depth, (len(convs) - len(layers)) // 2 + net.depth
    if isinstance(net, CoarseNet) and blocks > net.depth:
        kept = np.linspace(0, blocks - 1, net.depth).round().astype(int)
        inner = convs[before:-1]
        convs = [*convs[:before], *(conv for i in kept for conv in inner[2 * i : 2 * i + 2]), convs[-1]]
    shapes = [tuple(conv.weight.shape) for conv in convs], [tuple(layer.weight.shape) for layer in layers]
    if shapes[0] != shapes[1]:
        raise ModelError(
            f"the weights of {model} do not fit the network to be trained: {shapes[0][:3]}... against "
            f"{shapes[1][:3]}...; expected one of the same architecture, GSD, width and depth"
        )
    with torch.no_grad():
        for conv, layer in zip(convs, layers, strict=True):
            layer.weight.copy_(torch.from_numpy(conv.weight.copy()))
            if layer.bias is not None and conv.bias is not None:
                layer.bias.copy_(torch.from_numpy(conv.bias.copy()))
    if isinstance(net, Net60):
        net.teach_proxy()


def trained(name: str | Path) -> Network:
    """Return the network of a model file or packaged model of ours."""
    model = registry.load(name)
    assert model.path is not None
    convs = onnx_graph.trained_convs(model.path)
    before = len(model.card.inputs) + 2 * bool(model.card.regressed)  # convolutions before the blocks
    if not convs or convs[0].weight.shape[1:] != (4, 6, 6):
        raise ModelError(f"{model} is not one of the package's own networks; expected one that was trained here")
    net = NETWORKS[model.card.gsd](len(convs[0].weight), (len(convs) - before - 1) // 2)
    start_from(net, name)
    return net


def _layers(net: Network) -> list[nn.Conv2d]:
    """Return the convolutions in the order of the exported graph."""
    if isinstance(net, DSen2):
        return net.layers
    assert isinstance(net, CoarseNet)
    own = [net.regressed, net.share] if isinstance(net, Net20) else [net.coarsest]
    first = [net.guide, net.coarse, *own]
    return [*first, *(conv for block in net.blocks for conv in (block.first, block.second)), net.tail]


def weights(layer: nn.Conv2d) -> Conv:
    """Return a convolution's weights as arrays."""
    bias = None if layer.bias is None else layer.bias.detach().numpy()
    return Conv(layer.weight.detach().numpy(), bias)


def difference(net: Network, path: str | Path) -> float:
    """Return the largest difference between torch and ONNX Runtime on random input."""
    ort, feed = import_onnxruntime(), random_inputs(net)
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    with torch.no_grad():
        net.bf16_blocks = False
        expected = net(*(torch.from_numpy(array) for array in feed.values())).numpy()
    return float(np.abs(session.run([RESTORED], feed)[0] - expected).max())


def random_inputs(net: Network) -> dict[str, NDArray[np.float32]]:
    """Return an input of every kind that the network's file takes, 48 pixels of 10 m a side."""
    rng, size = np.random.default_rng(0), 48
    shapes = {name: (len(BY_GSD[INPUT_GSD[name]]), size * 10 // INPUT_GSD[name]) for name in net.inputs}
    if net.regressed_bands:
        shapes[REGRESSED] = len(net.regressed_bands), size
    return {name: rng.random((1, bands, side, side), np.float32) for name, (bands, side) in shapes.items()}


def card_for(net: Network, name: str, version: str, **about: Any) -> ModelCard:
    """Make the card of a network that was trained here: bands in the order of wavelength, any 20 m band optional."""
    inputs = {key: BY_GSD[INPUT_GSD[key]] for key in net.inputs}
    return ModelCard(
        name,
        version,
        inputs,
        BY_GSD[net.gsd],
        scale=0.2,
        halo=halo(net),
        multiple=6,
        optional=BY_GSD[20],
        regressed=net.regressed_bands,
        adapt=True,
        **about,
    )
