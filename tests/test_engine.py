"""Model files, their cards, and the reader of metadata in them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper
from toy_models import CARD_20, CARD_60, relabel, save, without_halo, write

from xr_s2sr import models
from xr_s2sr.bands import BY_GSD
from xr_s2sr.errors import EngineError, ModelError, S2SRError
from xr_s2sr.inference import engine
from xr_s2sr.models import CARD_KEY, ModelCard, load
from xr_s2sr.protobuf import external_file, metadata_props


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def toy(folder: Path) -> models.Model:
    return load(save(folder / "toy.onnx"))


# -- model files -------------------------------------------------------------------------------------------------------


def test_load_by_path(folder: Path, toy: models.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    assert toy.path is not None
    assert load(str(toy.path)) is load(toy.path)
    assert toy.card == CARD_20
    assert len(toy.sha256) == 64
    assert str(toy) == f"toy-20m 1 (sha256 {toy.sha256[:12]})"
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("USERPROFILE", str(folder))
    assert load("~/toy.onnx") == toy


def test_load_by_name(folder: Path, toy: models.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "WEIGHTS", folder)
    assert models.packaged()["toy"] == folder / "toy.onnx"
    assert load("toy") == toy


@pytest.mark.parametrize(("gsd", "name"), models.DEFAULTS.items())
def test_packaged_models(gsd: int, name: str) -> None:
    if name not in models.packaged():
        pytest.skip("no packaged weights in this checkout")
    model = load(name)
    assert (model.card.name, model.card.gsd, model.card.targets) == (name, gsd, BY_GSD[gsd])
    assert model.card.halo is not None
    assert engine.runner(model, "cpu").device == "cpu"


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    path = save(tmp_path / "net.onnx")
    before = load(path)
    relabel(path, replace(CARD_20, name="another, longer name"), path)
    assert load(path).card.name == "another, longer name"
    assert load(path).sha256 != before.sha256


def test_no_such_model(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no model 's2sr-19m': it is neither a file nor one of .*bicubic"):
        load("s2sr-19m")
    with pytest.raises(ModelError, match="neither a file"):
        load(tmp_path)


@pytest.mark.parametrize("data", [b"hello, I am no model", b"\x89PNG\r\n\x1a\n", b"PK\x03\x04" * 9, b"\xff" * 30])
def test_not_onnx(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(data)
    with pytest.raises(ModelError, match="is not an ONNX file"):
        load(path)


def test_truncated(tmp_path: Path, toy: models.Model) -> None:
    assert toy.path is not None
    path = tmp_path / "net.onnx"
    path.write_bytes(toy.path.read_bytes()[:5000])
    with pytest.raises(ModelError, match="is not an ONNX file"):
        load(path)


def identity() -> list[onnx.NodeProto]:
    return [helper.make_node("Identity", ["b10"], ["sr"])]


def test_no_card(tmp_path: Path) -> None:
    path = write(tmp_path / "net.onnx", None, identity(), [], bands=4)
    with pytest.raises(ModelError, match="carries no model card; expected JSON under 'xr_s2sr'"):
        load(path)
    path.write_bytes(b"")
    with pytest.raises(ModelError, match="carries no model card"):
        load(path)


# -- cards -------------------------------------------------------------------------------------------------------------


texts = st.text(max_size=30)
subsets = st.sampled_from([10, 20, 60]).flatmap(
    lambda gsd: st.lists(st.sampled_from(BY_GSD[gsd]), min_size=1, unique=True).map(tuple)
)
cards = st.builds(
    ModelCard,
    name=texts,
    version=texts,
    inputs=st.dictionaries(texts, subsets, min_size=1, max_size=3),
    targets=subsets,
    scale=st.floats(1e-6, 1e6),
    halo=st.none() | st.integers(0, 500),
    multiple=st.sampled_from([1, 2, 3, 6]),
    training=texts,
    degradation=texts,
    licence=texts,
    scores=st.dictionaries(texts, st.floats(allow_nan=False) | texts, max_size=3),
)


@given(cards)
def test_card_round_trip(card: ModelCard) -> None:
    again = ModelCard.from_json(card.to_json())
    assert again == card
    assert hash(again) == hash(card)
    later = json.dumps({**json.loads(card.to_json()), "of a later version": [1, 2]})
    assert ModelCard.from_json(later) == card


def test_card_tells_its_bands() -> None:
    assert CARD_20.gsd == 20
    assert CARD_60.gsd == 60
    assert CARD_60.bands == (*BY_GSD[10], *BY_GSD[20], *BY_GSD[60])
    assert without_halo(CARD_20).halo is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"targets": ("B05", "B99")}, r"names the bands \['B99'\]; expected ids such as B05"),
        ({"targets": ()}, "expected ids such as B05"),
        ({"inputs": {}}, "expected ids such as B05"),
        ({"targets": ("B05", "B01")}, "mixes resolutions in its targets"),
        ({"inputs": {"b10": ("B02", "B05")}}, "mixes resolutions in its input 'b10'"),
        ({"inputs": {"b10": ()}}, "mixes resolutions in its input 'b10'"),
        ({"multiple": 4}, "asks for a multiple of 4; expected 1, 2, 3 or 6"),
        ({"multiple": 0}, "asks for a multiple of 0"),
        ({"scale": 0.0}, "has the scale 0.0; expected a number above 0"),
        ({"scale": float("nan")}, "has the scale nan"),
        ({"scale": json.loads("Infinity")}, "has the scale inf"),
        ({"scale": True}, "has the scale True"),
        ({"halo": -1}, "has the halo -1; expected an integer from 0 to 10980"),
        ({"halo": 10**9}, "has the halo 1000000000"),
        ({"halo": 10.5}, "has the halo 10.5"),
        ({"halo": False}, "has the halo False"),
        ({"name": 5}, "has the name 5"),
    ],
)
def test_card_is_checked(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        replace(CARD_20, **change)


@pytest.mark.parametrize("text", ["", "null", "3", "[]", '"text"', "{}", '{"inputs": 1}', '{"inputs": [["b10"]]}'])
def test_not_a_card(text: str) -> None:
    with pytest.raises(ModelError, match=r"the model card cannot be read .* expected the JSON of a ModelCard"):
        ModelCard.from_json(text)


@pytest.mark.parametrize(
    "change", [{"scale": "0.2"}, {"halo": "12"}, {"multiple": None}, {"targets": 5}, {"targets": [["B05"]]}]
)
def test_card_of_wrong_types(change: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match=r"the model card cannot be read|the card of 'toy-20m' .* expected"):
        ModelCard.from_json(json.dumps({**json.loads(CARD_20.to_json()), **change}))


@pytest.mark.parametrize("text", ["[" * 100_000, '{"scores": ' * 100_000])
def test_a_card_of_absurd_json(text: str) -> None:
    with pytest.raises(ModelError, match="the model card cannot be read"):
        ModelCard.from_json(text)


def test_errors_are_builtins_too() -> None:
    assert issubclass(ModelError, S2SRError)
    assert issubclass(ModelError, ValueError)
    assert issubclass(EngineError, RuntimeError)


# -- the protobuf reader -----------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.dictionaries(texts, st.text(max_size=300), max_size=5), st.integers(0, 2**62))
def test_props_as_onnx_reads_them(props: dict[str, str], version: int) -> None:
    graph = helper.make_graph(identity(), "g", [], [], [helper.make_tensor("w", 1, [3], [0.5, 1, 2])])
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
