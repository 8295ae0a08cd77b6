"""The few bytes of protobuf that hold a model card, read without onnx."""

from __future__ import annotations

from collections.abc import Iterator


def metadata_props(data: bytes) -> Iterator[tuple[str, str]]:
    """Yield the key/value pairs of field 14 (metadata_props) of an ONNX ModelProto (onnx.proto3)."""
    for number, value in _fields(data):
        if number == 14:
            entry = dict(_fields(value))
            yield entry.get(1, b"").decode(), entry.get(2, b"").decode()


def _fields(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Walk the fields of a protobuf message; yields those of wire type 2 (bytes, strings, messages)."""
    at = 0
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


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if shift > 63:  # ten bytes hold 64 bits; more is no number, and takes quadratic time
            raise ValueError("a number of more than 64 bits")
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
