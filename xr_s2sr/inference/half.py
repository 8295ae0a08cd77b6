"""A network whose wide convolutions compute in fp16; all else, and what it meets the world with, stays in float32.

A wide convolution is one of many input channels: these take nearly all of the time, and their results are corrections
that are small beside the bands. What is added to the bands, and what divides or cancels, as the back-projection does,
needs more digits than fp16 has.

Works on the bytes of the ONNX file (numbers: onnx.proto3), so that neither onnx nor another file is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from xr_s2sr.errors import ModelError

#: Field number, wire type, and value: an integer for type 0, else bytes.
Field: TypeAlias = tuple[int, int, "int | bytes"]

FLOAT, FLOAT16 = 1, 10
MODEL_GRAPH = 7
GRAPH_NODE, GRAPH_TENSOR, GRAPH_INPUT, GRAPH_OUTPUT, GRAPH_VALUE = 1, 5, 11, 12, 13
NODE_INPUT, NODE_OUTPUT, NODE_TYPE, NODE_ATTRIBUTE = 1, 2, 4, 5
ATTRIBUTE_NAME, ATTRIBUTE_INT, ATTRIBUTE_TENSOR, ATTRIBUTE_GRAPH, ATTRIBUTE_TYPE = 1, 3, 5, 6, 20
TENSOR_DIMS, TENSOR_TYPE, TENSOR_FLOATS, TENSOR_NAME, TENSOR_RAW = 1, 2, 4, 8, 9

#: Ends the names of values in fp16.
HALF = b"/half"
#: Input channels, in each group, from which on a convolution is a wide one.
WIDE = 16
#: Operators that compute in fp16 where they stand between wide convolutions.
BETWEEN = (b"Relu", b"LeakyRelu", b"PRelu", b"Add", b"Mul")


@dataclass
class Node:
    """A node of the graph: the names of what it reads and writes."""

    fields: list[Field]

    @property
    def kind(self) -> bytes:
        kind = _value(self.fields, NODE_TYPE)
        return kind if isinstance(kind, bytes) else b""

    def names(self, which: int) -> list[bytes]:
        return [v for n, _, v in self.fields if n == which and isinstance(v, bytes) and v]

    def renamed(self, names: Callable[[bytes], bytes]) -> bytes:
        """Write the node with other names of what it reads and writes."""
        ports = NODE_INPUT, NODE_OUTPUT
        return _join((n, w, names(v) if n in ports and isinstance(v, bytes) else v) for n, w, v in self.fields)

    @property
    def has_graphs(self) -> bool:
        attributes = (v for n, _, v in self.fields if n == NODE_ATTRIBUTE and isinstance(v, bytes))
        return any(n == ATTRIBUTE_GRAPH for attribute in attributes for n, _, _ in _fields(attribute))


def half_precision(model: bytes) -> bytes:
    """Return an ONNX model whose wide convolutions compute in fp16, with the same inputs, outputs and metadata.

    Raises
    ------
    ModelError
        If it holds branches or loops, or weights of wide convolutions that fp16 cannot hold.
    """
    return _join((n, w, _graph(v) if n == MODEL_GRAPH and isinstance(v, bytes) else v) for n, w, v in _fields(model))


def _graph(graph: bytes) -> bytes:
    fields = [field for field in _fields(graph) if field[0] != GRAPH_VALUE]  # types that no longer hold
    nodes = [Node([*_fields(v)]) for n, _, v in fields if n == GRAPH_NODE and isinstance(v, bytes)]
    if any(node.has_graphs for node in nodes):
        raise ModelError('a model with branches or loops cannot be run in fp16; expected a plain one: precision="fp32"')
    tensors = {_text(v, TENSOR_NAME): v for n, _, v in fields if n == GRAPH_TENSOR and isinstance(v, bytes)}
    half = in_half(nodes, tensors)
    read = {name for k in half for name in nodes[k].names(NODE_INPUT)}
    made = {name for k in half for name in nodes[k].names(NODE_OUTPUT)}
    outputs = {_text(v, 1) for n, _, v in fields if n == GRAPH_OUTPUT and isinstance(v, bytes)}
    elsewhere = outputs.union(*(nodes[k].names(NODE_INPUT) for k in range(len(nodes)) if k not in half))
    given = [_text(v, 1) for n, _, v in fields if n == GRAPH_INPUT and isinstance(v, bytes)]
    written = [_cast(name, name + HALF, FLOAT16) for name in given if name in read - tensors.keys()]
    for k, node in enumerate(nodes):
        written.append(node.renamed(_with_half) if k in half else node.renamed(lambda name: name))
        for name in node.names(NODE_OUTPUT):
            if name in made & elsewhere:
                written.append(_cast(name + HALF, name, FLOAT))
            elif name in read - made:
                written.append(_cast(name, name + HALF, FLOAT16))
    rest: list[Field] = [field for field in fields if field[0] not in (GRAPH_NODE, GRAPH_TENSOR)]
    kept = [v for name, v in tensors.items() if name in elsewhere or name not in read]
    copies = [_tensor(v) for name, v in tensors.items() if name in read]
    return _join([*((GRAPH_NODE, 2, v) for v in written), *((GRAPH_TENSOR, 2, v) for v in (*kept, *copies)), *rest])


def in_half(nodes: list[Node], tensors: Mapping[bytes, bytes]) -> set[int]:
    """Return the nodes that compute in fp16: wide convolutions, and what stands between them."""
    wide = set()
    for k, node in enumerate(nodes):
        weight = tensors.get(([*node.names(NODE_INPUT), b"", b""])[1], b"")
        if node.kind == b"Conv" and len(dims := _dims(weight)) == 4 and dims[1] >= WIDE:
            wide.add(k)
    reached, after = {name for k in wide for name in nodes[k].names(NODE_OUTPUT)}, set(wide)
    for k, node in enumerate(nodes):  # nodes are in the order of their results
        if node.kind in BETWEEN and reached & {*node.names(NODE_INPUT)}:
            after.add(k)
            reached |= {*node.names(NODE_OUTPUT)}
    wanted, chosen = {name for k in wide for name in nodes[k].names(NODE_INPUT)}, set(wide)
    for k in sorted(after - wide, reverse=True):
        if wanted & {*nodes[k].names(NODE_OUTPUT)}:
            chosen.add(k)
            wanted |= {*nodes[k].names(NODE_INPUT)}
    return chosen


def _with_half(name: bytes) -> bytes:
    return name + HALF if name else name


def _dims(tensor: bytes) -> list[int]:
    """Return the shape of a tensor: its numbers come one by one, or packed."""
    dims: list[int] = []
    for n, _, v in _fields(tensor):
        if n == TENSOR_DIMS and isinstance(v, int):
            dims.append(v)
        elif n == TENSOR_DIMS and isinstance(v, bytes):
            at = 0
            while at < len(v):
                number, at = _read(v, at)
                dims.append(number)
    return dims


def _tensor(tensor: bytes) -> bytes:
    """A tensor of floats as fp16, by the name of its fp16 form."""
    fields = [*_fields(tensor)]
    data = b"".join(
        v if isinstance(v, bytes) else b"" for n, _, v in fields if n in (TENSOR_FLOATS, TENSOR_RAW)
    )  # packed floats and raw data are the same bytes
    values = np.frombuffer(data, "<f4")
    with np.errstate(over="ignore"):
        halves = values.astype("<f2")
    if not np.isfinite(halves).all():
        name = _text(tensor, TENSOR_NAME).decode(errors="replace")
        raise ModelError(
            f"the weights {name!r} reach {abs(values).max():g}; expected at most 65504, which is what fp16 holds. Use "
            'precision="fp32"'
        )
    rest = [field for field in fields if field[0] not in (TENSOR_TYPE, TENSOR_FLOATS, TENSOR_RAW, TENSOR_NAME)]
    halved = _text(tensor, TENSOR_NAME) + HALF
    return _join([*rest, (TENSOR_NAME, 2, halved), (TENSOR_TYPE, 0, FLOAT16), (TENSOR_RAW, 2, halves.tobytes())])


def _cast(source: bytes, target: bytes, to: int) -> bytes:
    attribute = _join([(ATTRIBUTE_NAME, 2, b"to"), (ATTRIBUTE_INT, 0, to), (ATTRIBUTE_TYPE, 0, 2)])
    return _join(
        [(NODE_INPUT, 2, source), (NODE_OUTPUT, 2, target), (NODE_TYPE, 2, b"Cast"), (NODE_ATTRIBUTE, 2, attribute)]
    )


def _value(fields: Iterable[Field], number: int) -> int | bytes | None:
    return next((v for n, _, v in fields if n == number), None)


def _text(message: bytes, number: int) -> bytes:
    value = _value(_fields(message), number)
    return value if isinstance(value, bytes) else b""


def _fields(data: bytes) -> Iterator[Field]:
    """Walk the fields of a protobuf message."""
    at = 0
    while at < len(data):
        key, at = _read(data, at)
        wire = key & 7
        if wire == 0:
            number, at = _read(data, at)
            yield key >> 3, wire, number
            continue
        size = {1: 8, 5: 4}.get(wire)
        if size is None:
            size, at = _read(data, at)
        yield key >> 3, wire, data[at : at + size]
        at += size


def _read(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at


def _join(fields: Iterable[Field]) -> bytes:
    """Write a protobuf message."""
    parts: list[bytes] = []
    for number, wire, value in fields:
        parts.append(_varint(number << 3 | wire))
        if isinstance(value, int):
            parts.append(_varint(value))
        else:
            parts += [_varint(len(value)), value] if wire == 2 else [value]
    return b"".join(parts)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)
