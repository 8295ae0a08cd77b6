"""A network in fp16: its weights and arithmetic, with casts where it meets the world, which stays in float32.

Works on the bytes of the ONNX file (numbers: onnx.proto3), so that neither onnx nor another file is needed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
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
TENSOR_TYPE, TENSOR_FLOATS, TENSOR_NAME, TENSOR_RAW = 2, 4, 8, 9

#: Operators whose further inputs are float32 whatever the first is.
FLOAT_ARGUMENTS = (b"Resize", b"Upsample")


def half_precision(model: bytes) -> bytes:
    """Return an ONNX model that computes in fp16 and has the inputs, outputs and metadata of the one given.

    Raises
    ------
    ModelError
        If it holds branches or loops, or weights that fp16 cannot hold.
    """
    return _join((n, w, _graph(v) if n == MODEL_GRAPH and isinstance(v, bytes) else v) for n, w, v in _fields(model))


def _graph(graph: bytes) -> bytes:
    fields = [field for field in _fields(graph) if field[0] != GRAPH_VALUE]  # types that no longer hold
    nodes = [[*_fields(v)] for n, _, v in fields if n == GRAPH_NODE and isinstance(v, bytes)]
    tensors = {_text(v, TENSOR_NAME) for n, _, v in fields if n == GRAPH_TENSOR and isinstance(v, bytes)}
    ports = {
        kind: [_text(v, 1) for n, _, v in fields if n == kind and isinstance(v, bytes)]
        for kind in (GRAPH_INPUT, GRAPH_OUTPUT)
    }
    outside = {*ports[GRAPH_INPUT], *ports[GRAPH_OUTPUT]} - tensors
    kept: set[bytes] = set()
    for node in nodes:
        if _value(node, NODE_TYPE) in FLOAT_ARGUMENTS:
            kept |= {v for n, _, v in node if n == NODE_INPUT and isinstance(v, bytes)} & tensors
    inner = [_join(_node(node, outside)) for node in nodes]
    into = [_cast(name, name + b"/half", FLOAT16) for name in ports[GRAPH_INPUT] if name in outside]
    out = [_cast(name + b"/half", name, FLOAT) for name in ports[GRAPH_OUTPUT]]
    rest: list[Field] = []
    for n, w, v in fields:
        if n == GRAPH_TENSOR and isinstance(v, bytes) and _text(v, TENSOR_NAME) not in kept:
            v = _tensor(v)
        if n != GRAPH_NODE:
            rest.append((n, w, v))
    return _join([*((GRAPH_NODE, 2, node) for node in (*into, *inner, *out)), *rest])


def _node(node: list[Field], outside: set[bytes]) -> Iterator[Field]:
    """A node that reads and writes the fp16 forms of the graph's inputs and outputs."""
    for n, w, v in node:
        if n in (NODE_INPUT, NODE_OUTPUT) and isinstance(v, bytes) and v in outside:
            v = v + b"/half"
        elif n == NODE_ATTRIBUTE and isinstance(v, bytes):
            v = _attribute(v, cast=_value(node, NODE_TYPE) == b"Cast")
        yield n, w, v


def _attribute(attribute: bytes, cast: bool) -> bytes:
    fields = [*_fields(attribute)]
    if any(n == ATTRIBUTE_GRAPH for n, _, _ in fields):
        raise ModelError('a model with branches or loops cannot be run in fp16; expected a plain one: precision="fp32"')
    to = cast and _value(fields, ATTRIBUTE_NAME) == b"to"
    return _join(
        (n, w, _tensor(v) if n == ATTRIBUTE_TENSOR and isinstance(v, bytes) else v)
        if not (to and n == ATTRIBUTE_INT and v == FLOAT)
        else (n, w, FLOAT16)
        for n, w, v in fields
    )


def _tensor(tensor: bytes) -> bytes:
    """A tensor of floats as fp16; any other as it is."""
    fields = [*_fields(tensor)]
    if _value(fields, TENSOR_TYPE) != FLOAT:
        return tensor
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
    rest = [field for field in fields if field[0] not in (TENSOR_TYPE, TENSOR_FLOATS, TENSOR_RAW)]
    return _join([*rest, (TENSOR_TYPE, 0, FLOAT16), (TENSOR_RAW, 2, halves.tobytes())])


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
