"""Conversion of Keras HDF5 files of the DSen2 family and of AESR to ONNX files."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from os import PathLike
from pathlib import Path

import h5py
import numpy as np

from xr_s2sr import arguments
from xr_s2sr.errors import InputError, ModelError
from xr_s2sr.models.card import Model, ModelCard
from xr_s2sr.models.onnx_graph import Conv, Float32, Graph, dsen2, fine_halo
from xr_s2sr.models.published import git_blob
from xr_s2sr.models.registry import load
from xr_s2sr.targets import check_apart

#: Channel order of the published networks. Their comments say B02 B03 B04 B08; their reader follows the files.
INPUTS = {
    "b10": ("B04", "B03", "B02", "B08"),
    "b20": ("B05", "B06", "B07", "B8A", "B11", "B12"),
    "b60": ("B01", "B09"),
}
EXPECTED = (
    "expected DSen2 (3x3 convolutions: one, two for each residual block, one) or AESR (convolutions 3x3, 3x3 and 5x5, "
    "two transposed 3x3), from 10 bands to 6 or from 12 to 2"
)


#: Numbers in all weights together; VDSen2 has 38 million.
MOST_NUMBERS = 2**26
#: Arrays of weights; VDSen2 has 132.
MOST_ARRAYS = 2000


@dataclass(frozen=True)
class Layer:
    """Weights as Keras keeps them: kernel (y, x, in, out), or (y, x, out, in) if transposed; bias (out,)."""

    name: str
    kernel: Float32
    bias: Float32
    transposed: bool

    def conv(self) -> Conv:
        """Return the convolution that does the same (at stride 1, a transposed one is one with its kernel turned)."""
        if self.transposed:
            return Conv(self.kernel[::-1, ::-1].transpose(2, 3, 0, 1), self.bias)
        return Conv(self.kernel.transpose(3, 2, 0, 1), self.bias)


def convert(
    path: str | PathLike[str],
    out: str | PathLike[str] | None,
    *,
    name: str | None,
    scaling: float,
    licence: str,
    training: str | None,
    degradation: str,
) -> Model:
    """See :func:`xr_s2sr.importers.keras`."""
    path, default = arguments.path("path", path, "weights.hdf5").expanduser(), out is None
    layers = in_order(read(path))
    out = path.with_suffix(".onnx") if out is None else arguments.path("out", out, "my.onnx").expanduser()
    if out.resolve() == path.resolve():
        raise ModelError(f'{out} is the file to import; give the ONNX file another name: keras("{path}", "my.onnx")')
    check_apart([path], out)
    if default and out.exists():
        raise InputError(
            f"{out} is there already; expected nothing in its place, as it was not named. To replace it, name it: "
            f'keras("{path}", "{out}"), or -o {out}'
        )
    convs = [layer.conv() for layer in layers]
    names = {(10, 6): ("b10", "b20"), (12, 2): ("b10", "b20", "b60")}.get((convs[0].bands, convs[-1].channels))
    is_aesr = like_aesr(layers)
    if names is None or not (is_aesr or like_dsen2(layers)) or not chained(convs):
        raise ModelError(f"{path} holds a network that is not known: {listed(layers)}; {EXPECTED}")
    depth, width = len(convs) // 2 - 1, convs[0].channels
    kind = "AESR (UP42)" if is_aesr else f"DSen2, {depth} residual blocks of {width} channels"
    radius = sum(conv.radius for conv in convs)
    card = ModelCard(
        name or out.stem,
        "1",
        {key: INPUTS[key] for key in names},
        INPUTS[names[-1]],
        scale=0.2,
        halo=fine_halo(radius, names),
        training=training or f"{kind}, weights imported from {path.name} (git blob {git_blob(path.read_bytes())})",
        degradation=degradation,
        licence=licence,
    )
    graph = aesr(card, convs) if is_aesr else dsen2(card, convs, scaling)
    graph.save(card, out)
    return load(out)


def read(path: Path) -> list[Layer]:
    """Read the convolutions of a file, in order.

    Raises
    ------
    ModelError
        If there is no such file, or it is not an HDF5 file of Keras.
    """
    if not path.is_file():
        raise ModelError(f"{path} is not a file; give the Keras HDF5 file: xr_s2sr.importers.keras('weights.hdf5')")
    try:
        with h5py.File(path, "r") as file:
            arrays = limited(saved(file.get("model_weights", file)), file.filename)
    except (OSError, KeyError, ValueError, TypeError, AttributeError) as error:  # no HDF5, or not laid out by Keras
        raise ModelError(f"{path} cannot be read ({error}); expected an HDF5 file that Keras wrote") from error
    pairs = list(zip(arrays[::2], arrays[1::2], strict=False))
    if not pairs or len(arrays) % 2 or any((k.ndim, b.ndim) != (4, 1) for (_, k), (_, b) in pairs):
        found = shorten("; ".join(f"{name} {shape(array)}" for name, array in arrays) or "no weights")
        raise ModelError(f"{path} holds {found}; {EXPECTED}")
    if not all(np.isfinite(array).all() for _, array in arrays):
        raise ModelError(f"{path} holds NaN or inf among its weights; expected finite ones. Save it anew")
    return [Layer(name, kernel, bias, "transpose" in name) for (name, kernel), (_, bias) in pairs]


def saved(group: h5py.Group) -> Iterator[tuple[str, h5py.Dataset]]:
    """Yield names and datasets of all weights, in the order of the layers."""
    if "layer_names" in group.attrs:  # Keras's HDF5 format, 1 to 3
        for layer in map(text, group.attrs["layer_names"]):
            for weight in map(text, group[layer].attrs["weight_names"]):
                yield weight, group[layer][weight]
        return
    # Keras 3's .weights.h5: groups are named by kind and counted, and come back sorted as text
    layers = group.get("layers", {})
    for layer in sorted(layers, key=counted):
        variables = layers[layer].get("vars", {})
        for index in sorted(variables, key=int):
            yield f"{layer}/{index}", variables[index]


def limited(weights: Iterable[tuple[str, h5py.Dataset]], file: str) -> list[tuple[str, Float32]]:
    """Read weights of a file, if they are in it, and not too many.

    A few bytes can declare terabytes, or name one array a thousand times; and HDF5 follows paths to any other file.
    """
    arrays: list[tuple[str, Float32]] = []
    left = MOST_NUMBERS
    for name, dataset in weights:
        if dataset.dtype.kind not in "fiu":
            raise ValueError(f"{name} is of {dataset.dtype}, not of numbers")
        if dataset.file.filename != file or dataset.external or dataset.is_virtual:
            raise ValueError(f"{name} is kept in another file")
        # a chunk is unpacked whole, however little of it is the array's
        left -= max(dataset.size, math.prod(dataset.chunks or ()))
        if left < 0:
            raise ValueError(
                f"up to {name}, it declares {MOST_NUMBERS - left} numbers, of which {MOST_NUMBERS} are taken at most"
            )
        if len(arrays) == MOST_ARRAYS:
            raise ValueError(f"it names more than {MOST_ARRAYS} arrays of weights")
        arrays.append((name, np.asarray(dataset, np.float32)))
    return arrays


def counted(name: str) -> tuple[str, int]:
    """Sort "conv2d_10" after "conv2d_9", and "conv2d" before both."""
    stem, _, number = name.rpartition("_")
    return (stem, int(number)) if number.isdigit() else (name, 0)


def text(name: bytes | str) -> str:
    return name.decode() if isinstance(name, bytes) else name


def shape(array: Float32) -> str:
    return "x".join(map(str, array.shape))


def shorten(found: str, most: int = 300) -> str:
    return found if len(found) <= most else f"{found[:most]} ..."


def listed(layers: list[Layer]) -> str:
    return shorten("; ".join(f"{layer.name} {shape(layer.kernel)}" for layer in layers))


# -- which network it is -----------------------------------------------------------------------------------------


def in_order(layers: list[Layer]) -> list[Layer]:
    """Return AESR's layers as they follow each other, also where a file sorts them by kind."""
    plain, turned = ([layer for layer in layers if layer.transposed == kind] for kind in (False, True))
    return [*plain[:2], *turned, *plain[2:]] if (len(plain), len(turned)) == (3, 2) else layers


def like_aesr(layers: list[Layer]) -> bool:
    kinds = [(layer.kernel.shape[:2], layer.transposed) for layer in layers]
    return kinds == [((3, 3), False), ((3, 3), False), ((3, 3), True), ((3, 3), True), ((5, 5), False)]


def like_dsen2(layers: list[Layer]) -> bool:
    width = layers[0].kernel.shape[3]
    return (
        {(layer.kernel.shape[:2], layer.transposed) for layer in layers} == {((3, 3), False)}
        and len(layers) % 2 == 0
        and all(layer.kernel.shape[2] == width for layer in layers[1::2])
    )


def chained(convs: list[Conv]) -> bool:
    """Return True if every convolution takes the channels that the one before gives, and biases fit."""
    fits = all(two.bands == one.channels for one, two in pairwise(convs))
    return fits and all(conv.bias is not None and conv.bias.shape == (conv.channels,) for conv in convs)


def aesr(card: ModelCard, convs: list[Conv]) -> Graph:
    """Build UP42's encoder-decoder: two convolutions down, two transposed up, each added to its mirror; no skip."""
    g = Graph()
    x = g.add("Concat", list(g.fine_inputs(card).values()), axis=1)
    one = g.add("Relu", [g.conv(x, convs[0])])
    two = g.add("Relu", [g.conv(one, convs[1])])
    up = g.add("Add", [two, g.add("Relu", [g.conv(two, convs[2])])])
    top = g.add("Add", [one, g.add("Relu", [g.conv(up, convs[3])])])
    g.conv(top, convs[4])
    return g
