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
from xr_s2sr.models import CARD_KEY
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


@pytest.mark.parametrize("where", ["initializer", "attribute", "branch"])
def test_weights_in_another_file_are_refused(where: str, toy: models.Model, tmp_path: Path) -> None:
    """ONNX resolves such a file against the folder of the model, or the process's own: it is not what was hashed."""
    assert toy.path is not None
    model = onnx.load(str(toy.path))
    tensor = numpy_helper.from_array(np.ones(1, np.float32), "beside")
    onnx.external_data_helper.set_external_data(tensor, "weights.bin")
    tensor.ClearField("raw_data")
    if where == "initializer":
        model.graph.initializer.append(tensor)
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
