"""The few fields of an ONNX file that matter before it is run, read without onnx (numbers: onnx.proto3)."""

from __future__ import annotations

from collections.abc import Iterator


def metadata_props(data: bytes) -> Iterator[tuple[str, str]]:
    """Yield the key/value pairs of field 14 (metadata_props) of an ONNX ModelProto (onnx.proto3)."""
    for number, value in _fields(data):
        if number == 14:
            entry = dict(_fields(value))
            yield bytes(entry.get(1, b"")).decode(), bytes(entry.get(2, b"")).decode()


#: Fields that lead from a message to those that it holds, by name of the message, down to tensors.
_INSIDE = {
    "model": {7: "graph", 25: "function"},
    "function": {7: "node"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
}
_EXTERNAL = 13  # TensorProto.external_data


def external_file(data: bytes) -> str | None:
    """Return the name of the first file beside the model that a tensor's values are kept in, or None.

    Raises
    ------
    ValueError, IndexError
        If the bytes are not an ONNX file.
    """
    waiting = [("model", memoryview(data))]
    while waiting:
        kind, message = waiting.pop()
        for number, value in _fields(message):
            if kind == "tensor" and number == _EXTERNAL:
                entry = {key: bytes(text).decode(errors="replace") for key, text in _fields(value)}
                return entry.get(2, "") or "?"
            if number in _INSIDE.get(kind, {}):
                waiting.append((_INSIDE[kind][number], value))
    return None


def _fields(data: bytes | memoryview) -> Iterator[tuple[int, memoryview]]:
    """Walk the fields of a protobuf message; yields those of wire type 2 (bytes, strings, messages)."""
    data, at = memoryview(data), 0
    while at < len(data):
        key, at = _varint(data, at)
        wire = key & 7
        if wire == 0:
            _, at = _varint(data, at)
            continue
        if wire == 2:
            size, at = _varint(data, at)
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
        else:
            raise ValueError(f"wire type {wire}")
        if at + size > len(data):
            raise ValueError("a field runs over the end")
        if wire == 2:
            yield key >> 3, data[at : at + size]
        at += size


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if shift > 63:  # ten bytes hold 64 bits; more is not a number, and takes quadratic time
            raise ValueError("a number of more than 64 bits")
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
