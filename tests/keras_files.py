"""HDF5 files as Keras writes them, with random weights, and what the networks in them compute, in plain numpy."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

Array = np.ndarray
#: name, kernel and bias of a layer, as Keras keeps them
Layer = tuple[str, Array, Array]


def random_layer(rng: np.random.Generator, name: str, side: int, bands: int, channels: int) -> Layer:
    kernel = rng.normal(0, (bands * side**2) ** -0.5, (side, side, bands, channels))
    return name, kernel.astype(np.float32), rng.normal(0, 0.1, channels).astype(np.float32)


def dsen2_layers(bands: int = 10, targets: int = 6, depth: int = 2, width: int = 4, seed: int = 0) -> list[Layer]:
    rng = np.random.default_rng(seed)
    sizes = [(bands, width), *[(width, width)] * (2 * depth), (width, targets)]
    return [random_layer(rng, f"conv2d_{i + 1}", 3, *size) for i, size in enumerate(sizes)]


def aesr_layers(bands: int = 10, targets: int = 6, width: int = 4, seed: int = 0) -> list[Layer]:
    rng = np.random.default_rng(seed)
    return [
        random_layer(rng, "conv2d", 3, bands, width),
        random_layer(rng, "conv2d_1", 3, width, width),
        random_layer(rng, "conv2d_transpose", 3, width, width),
        random_layer(rng, "conv2d_transpose_1", 3, width, width),
        random_layer(rng, "conv2d_2", 5, width, targets),
    ]


def write_model(path: Path, layers: Sequence[Layer], *, inside: str = "model_weights") -> Path:
    """The format of Keras's ``model.save``, some layers without weights; inside "/" that of ``save_weights``."""
    with h5py.File(path, "w") as file:
        group = file.require_group(inside)
        names = ["input_1", "input_2", "concatenate_1"]
        for name in names:
            group.create_group(name).attrs["weight_names"] = np.array([])
        for name, kernel, bias in layers:
            held = group.create_group(name)
            held.attrs["weight_names"] = np.array([f"{name}/kernel:0".encode(), f"{name}/bias:0".encode()])
            held[f"{name}/kernel:0"], held[f"{name}/bias:0"] = kernel, bias
            names.append(name)
        group.attrs["layer_names"] = np.array([name.encode() for name in names])
    return path


def write_weights_h5(path: Path, layers: Sequence[Layer]) -> Path:
    """The format of Keras 3's ``save_weights("x.weights.h5")``: by kind, counted, without names."""
    counts: dict[str, int] = {}
    with h5py.File(path, "w") as file:
        file.create_group("vars")
        file.create_group("layers/activation/vars")
        for name, kernel, bias in layers:
            kind = "conv2d_transpose" if "transpose" in name else "conv2d"
            n = counts[kind] = counts.get(kind, -1) + 1
            held = file.create_group(f"layers/{kind}_{n}/vars" if n else f"layers/{kind}/vars")
            held["0"], held["1"] = kernel, bias
    return path


# -- what the networks compute -----------------------------------------------------------------------------------


def bilinear(image: Array, factor: int) -> Array:
    """Half-pixel centres, the border repeated."""
    for axis in (-2, -1):
        n = image.shape[axis]
        at = (np.arange(n * factor) + 0.5) / factor - 0.5
        image = np.apply_along_axis(lambda line, at=at, n=n: np.interp(at, np.arange(n), line), axis, image)
    return image


def conv(x: Array, layer: Layer) -> Array:
    _, kernel, bias = layer
    side, h, w = len(kernel), *x.shape[1:]
    x = np.pad(x, [(0, 0), *[(side // 2, side // 2)] * 2])
    out = np.zeros((kernel.shape[3], h, w)) + bias[:, None, None]
    for i in range(side):
        for j in range(side):
            out += np.einsum("io,iyx->oyx", kernel[i, j].astype(np.float64), x[:, i : i + h, j : j + w])
    return out


def transposed(x: Array, layer: Layer) -> Array:
    """By its definition: every pixel spreads its value times the kernel around itself."""
    _, kernel, bias = layer
    h, w = x.shape[1:]
    out = np.zeros((kernel.shape[2], h + 2, w + 2))
    for i in range(3):
        for j in range(3):
            out[:, i : i + h, j : j + w] += np.einsum("oi,iyx->oyx", kernel[i, j].astype(np.float64), x)
    return out[:, 1:-1, 1:-1] + bias[:, None, None]


def relu(x: Array) -> Array:
    return np.maximum(x, 0)


def stack(inputs: dict[str, Array]) -> tuple[Array, Array]:
    """All inputs on the 10 m grid, and the last alone."""
    factors = {"b10": 1, "b20": 2, "b60": 6}
    fine = [array if factors[name] == 1 else bilinear(array, factors[name]) for name, array in inputs.items()]
    return np.concatenate(fine), fine[-1]


def dsen2(inputs: dict[str, Array], layers: Sequence[Layer], scaling: float = 0.1) -> Array:
    first, *inner, last = layers
    x, skip = stack(inputs)
    x = relu(conv(x, first))
    for one, two in zip(inner[::2], inner[1::2], strict=True):
        x = x + scaling * conv(relu(conv(x, one)), two)
    return conv(x, last) + skip


def aesr(inputs: dict[str, Array], layers: Sequence[Layer], **_: Any) -> Array:
    x, _ = stack(inputs)
    one = relu(conv(x, layers[0]))
    two = relu(conv(one, layers[1]))
    up = two + relu(transposed(two, layers[2]))
    return conv(one + relu(transposed(up, layers[3])), layers[4])
