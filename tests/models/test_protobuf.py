"""The protobuf reader, against onnx."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from xr_s2sr import models
from xr_s2sr.errors import ModelError
from xr_s2sr.models import CARD_KEY, protobuf
from xr_s2sr.models.protobuf import external_file, metadata_props

texts = st.text(max_size=30)


@settings(deadline=None)
@given(st.dictionaries(texts, st.text(max_size=300), max_size=5), st.integers(0, 2**62))
def test_props_as_onnx_reads_them(props: dict[str, str], version: int) -> None:
    graph = helper.make_graph(
        [helper.make_node("Identity", ["b10"], ["sr"])], "g", [], [], [helper.make_tensor("w", 1, [3], [0.5, 1, 2])]
    )
    model = helper.make_model(graph, model_version=version, doc_string="a text")
    helper.set_model_props(model, props)
    assert dict(metadata_props(model.SerializeToString())) == props


PLACES = [
    "initializer",
    "sparse values",
    "attribute",
    "attribute of several",
    "branch",
    "function",
    "default of a function",
]


@pytest.mark.parametrize("where", [*PLACES, "training"])
def test_weights_in_another_file_are_refused(where: str, toy: models.Model, tmp_path: Path) -> None:
    """ONNX resolves such a file against the folder of the model, or the process's own: it is not what was hashed."""
    assert toy.path is not None
    model = onnx.load(str(toy.path))
    tensor = numpy_helper.from_array(np.ones(1, np.float32), "beside")
    onnx.external_data_helper.set_external_data(tensor, "weights.bin")
    tensor.ClearField("raw_data")
    if where == "initializer":
        model.graph.initializer.append(tensor)
    elif where == "training":
        model.training_info.add().algorithm.initializer.append(tensor)
    elif where == "sparse values":
        model.graph.sparse_initializer.add().values.CopyFrom(tensor)
    elif where == "default of a function":
        model.functions.add(name="f").attribute_proto.append(helper.make_attribute("w", tensor))
    elif where == "function":
        model.functions.add(name="f").node.append(helper.make_node("Constant", [], ["c"], value=tensor))
    elif where == "attribute of several":
        model.graph.node.append(helper.make_node("Own", [], ["c"], domain="own", values=[tensor, tensor]))
    else:
        constant = helper.make_node("Constant", [], ["c"], value=tensor)
        if where == "branch":
            inner = helper.make_graph([constant], "inner", [], [helper.make_tensor_value_info("c", 1, [1])])
            constant = helper.make_node("If", ["condition"], ["d"], then_branch=inner, else_branch=inner)
        model.graph.node.append(constant)
    path = tmp_path / "external.onnx"
    path.write_bytes(model.SerializeToString())
    assert external_file(toy.path.read_bytes()) is None
    with pytest.raises(ModelError, match=r"keeps weights in another file \('weights.bin'\).*expected one file"):
        models.load(path)


def test_props_of_a_file(toy: models.Model) -> None:
    assert toy.path is not None
    expected = {prop.key: prop.value for prop in onnx.load(str(toy.path)).metadata_props}
    assert dict(metadata_props(toy.path.read_bytes())) == expected
    assert expected.keys() == {"author", CARD_KEY}


def test_every_way_to_a_tensor_is_walked() -> None:
    """Against the messages of the installed onnx: one that can hold a tensor, at whatever depth, is in the table."""
    fields: dict[str, dict[int, str]] = {}
    waiting = [onnx.ModelProto.DESCRIPTOR]
    while waiting:
        message = waiting.pop()
        if message.name not in fields:
            held = [field for field in message.fields if field.message_type is not None]
            fields[message.name] = {field.number: field.message_type.name for field in held}
            waiting += [field.message_type for field in held]
    leading = {"TensorProto"}
    while more := {name for name, held in fields.items() if leading & {*held.values()}} - leading:
        leading |= more
    ways = {
        name: {number: inner for number, inner in held.items() if inner in leading} for name, held in fields.items()
    }
    assert {name: held for name, held in ways.items() if held} == protobuf.INSIDE


def varint(value: int) -> bytes:
    head = bytearray()
    while value > 127:
        head.append(value & 127 | 128)
        value >>= 7
    return bytes([*head, value])


@pytest.mark.parametrize("above", [2**32, 3 * 2**32, 2**34])
def test_a_field_number_that_others_cut_to_32_bits(above: int, toy: models.Model, tmp_path: Path) -> None:
    """ONNX Runtime takes the field for external_data (13, of wire type 2)."""
    assert toy.path is not None
    tensor = b"\x08\x01\x10\x01\x42\x06beside" + varint(above + (13 << 3 | 2)) + b"\x17"
    tensor += b"\x0a\x08location\x12\x0bweights.bin" + b"\x70\x01"  # data_location: EXTERNAL
    graph = varint(5 << 3 | 2) + varint(len(tensor)) + tensor
    path = tmp_path / "net.onnx"
    path.write_bytes(toy.path.read_bytes() + varint(7 << 3 | 2) + varint(len(graph)) + graph)
    with pytest.raises(ModelError, match=r"net\.onnx is not an ONNX file \(a field of the number \d{9,}\)"):
        models.load(path)


def test_a_field_of_the_number_0(tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(b"\x02\x00")
    with pytest.raises(ModelError, match=r"is not an ONNX file \(a field of the number 0\)"):
        models.load(tmp_path / "net.onnx")


def nested(depth: int) -> bytes:
    """Graphs within graphs, in the attribute of a node each."""
    graph = b""
    for _ in range(depth):
        for number in (6, 5, 1):  # graph in attribute in node in graph
            graph = varint(number << 3 | 2) + varint(len(graph)) + graph
    return varint(7 << 3 | 2) + varint(len(graph)) + graph


def test_graphs_within_graphs(toy: models.Model, tmp_path: Path) -> None:
    assert toy.path is not None
    path = tmp_path / "net.onnx"
    path.write_bytes(toy.path.read_bytes() + nested(33))  # as deep as protobuf itself reads
    assert models.load(path).card == toy.card
    for depth in (34, 3000):
        path.write_bytes(toy.path.read_bytes() + nested(depth))
        with pytest.raises(ModelError, match=r"is not an ONNX file \(messages within messages, more than 100 deep"):
            models.load(path)
