"""The few fields of an ONNX file that matter before it is run, read without onnx (numbers: onnx.proto3)."""

from __future__ import annotations

from collections.abc import Iterator


def metadata_props(data: bytes) -> Iterator[tuple[str, str]]:
    """Yield the key/value pairs of field 14 (metadata_props) of an ONNX ModelProto (onnx.proto3)."""
    for number, value in _fields(data):
        if number == 14:
            entry = dict(_fields(value))
            yield bytes(entry.get(1, b"")).decode(), bytes(entry.get(2, b"")).decode()


#: Every field that leads to a tensor, by the messages of onnx.proto3 that hold it.
INSIDE = {
    "ModelProto": {7: "GraphProto", 20: "TrainingInfoProto", 25: "FunctionProto"},
    "TrainingInfoProto": {1: "GraphProto", 2: "GraphProto"},
    "FunctionProto": {7: "NodeProto", 11: "AttributeProto"},
    "GraphProto": {1: "NodeProto", 5: "TensorProto", 15: "SparseTensorProto"},
    "NodeProto": {5: "AttributeProto"},
    "AttributeProto": {
        5: "TensorProto",
        6: "GraphProto",
        10: "TensorProto",
        11: "GraphProto",
        22: "SparseTensorProto",
        23: "SparseTensorProto",
    },
    "SparseTensorProto": {1: "TensorProto", 2: "TensorProto"},
}
_EXTERNAL = 13  # TensorProto.external_data
#: Messages within messages, as deep as protobuf's own readers go.
DEEPEST = 100


def external_file(data: bytes) -> str | None:
    """Return the name of the first file beside the model that a tensor's values are kept in, or None.

    Raises
    ------
    ValueError, IndexError
        If the bytes are not an ONNX file.
    """
    waiting = [("ModelProto", memoryview(data), 0)]
    while waiting:
        kind, message, depth = waiting.pop()
        if depth > DEEPEST:
            raise ValueError(f"messages within messages, more than {DEEPEST} deep")
        for number, value in _fields(message):
            if kind == "TensorProto" and number == _EXTERNAL:
                entry = {key: bytes(text).decode(errors="replace") for key, text in _fields(value)}
                return entry.get(2, "") or "?"
            if number in INSIDE.get(kind, {}):
                waiting.append((INSIDE[kind][number], value, depth + 1))
    return None


def without_output(data: bytes, name: str) -> bytes:
    """Return an ONNX file without one of its outputs, and without the nodes that only this one needs.

    ONNX Runtime runs every node of a file, whichever outputs are asked for; weights that no node needs it drops itself.

    Raises
    ------
    ValueError, IndexError
        If the bytes are not an ONNX file.
    """
    return b"".join(
        _field(7, _pruned(value, name)) if number == 7 and value is not None else bytes(raw)
        for number, raw, value in _records(data)
    )


def _pruned(graph: memoryview, name: str) -> bytes:
    """Return a GraphProto without an output and the nodes that only this one needs."""
    records = list(_records(graph))
    outputs = {text for number, value in _fields(graph) if number == 12 for text in _texts(value, 1)}
    needed, all_needed, kept = outputs - {name}, False, []
    for number, raw, value in reversed(records):  # nodes come after those that they need
        if value is not None and number == 1:
            if not all_needed and needed.isdisjoint(_texts(value, 2)):
                continue
            needed.update(_texts(value, 1))
            all_needed |= _has_graphs(value)
        if value is None or number != 12 or name not in _texts(value, 1):
            kept.append(bytes(raw))
    return b"".join(reversed(kept))


def _has_graphs(node: memoryview) -> bool:
    """Tell whether a node has branches or a loop, which may read any result without naming it among the inputs."""
    return any(kind in (6, 11) for number, value in _fields(node) if number == 5 for kind, _ in _fields(value))


def _texts(message: memoryview, field: int) -> list[str]:
    """Return the texts of one field of a message."""
    return [bytes(value).decode(errors="replace") for number, value in _fields(message) if number == field]


def _field(number: int, payload: bytes) -> bytes:
    """Return a field of wire type 2."""
    key, size, head = number << 3 | 2, len(payload), bytearray()
    for value in (key, size):
        while value > 127:
            head.append(value & 127 | 128)
            value >>= 7
        head.append(value)
    return bytes(head) + payload


def _fields(data: bytes | memoryview) -> Iterator[tuple[int, memoryview]]:
    """Walk the fields of a protobuf message; yields those of wire type 2 (bytes, strings, messages)."""
    yield from ((number, value) for number, _, value in _records(data) if value is not None)


def _records(data: bytes | memoryview) -> Iterator[tuple[int, memoryview, memoryview | None]]:
    """Walk all fields of a protobuf message: number, bytes of the field, and its value if it is of wire type 2."""
    data, at = memoryview(data), 0
    while at < len(data):
        start = at
        key, at = _varint(data, at)
        if not 8 <= key < 2**32:  # other readers drop what is above 32 bits, and so see another field
            raise ValueError(f"a field of the number {key >> 3}")
        wire = key & 7
        if wire == 0:
            _, at = _varint(data, at)
            yield key >> 3, data[start:at], None
            continue
        if wire == 2:
            size, at = _varint(data, at)
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
        else:
            raise ValueError(f"wire type {wire}")
        if at + size > len(data):
            raise ValueError("a field runs over the end")
        yield key >> 3, data[start : at + size], data[at : at + size] if wire == 2 else None
        at += size


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    """Read a number of variable length; also return where it ends."""
    value = shift = 0
    while True:
        if shift > 63:  # ten bytes hold 64 bits; more is not a number, and takes quadratic time
            raise ValueError("a number of more than 64 bits")
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
