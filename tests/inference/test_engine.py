"""Sessions, devices, installations; model files and their cards."""

from __future__ import annotations

import ctypes
import json
import logging
import os
import sys
import types
from collections.abc import Callable, Iterator
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

CACHED = (engine.import_onnxruntime, engine.driver_devices)
NO_GPU = engine.driver_devices() == 0


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No session and no probe of another test."""
    monkeypatch.setattr(engine, "_runners", {})
    for function in CACHED:
        function.cache_clear()
    yield
    for function in CACHED:
        function.cache_clear()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def toy(folder: Path) -> models.Model:
    return load(save(folder / "toy.onnx"))


@pytest.fixture(scope="module")
def other(folder: Path) -> models.Model:
    return load(save(folder / "other.onnx", CARD_60))


class Port:
    def __init__(self, name: str, bands: int | str) -> None:
        self.name, self.shape = name, ["N", bands, "H", "W"]


class FakeOptions:
    def __init__(self) -> None:
        self.entries: dict[str, str] = {}

    def add_session_config_entry(self, key: str, value: str) -> None:
        self.entries[key] = value


class FakeRuntime:
    """As much of the module onnxruntime as the engine uses; `broken` providers fall out of a session silently."""

    SessionOptions = FakeOptions

    def __init__(self, *available: str, broken: tuple[str, ...] = ()) -> None:
        self.available, self.broken, self.sessions = available, broken, list[Any]()

    def get_available_providers(self) -> list[str]:
        return list(self.available)

    def preload_dlls(self) -> None:
        print("Failed to load libcublas")

    def InferenceSession(self, path: str, options: FakeOptions, providers: list[Any]) -> Any:
        session = types.SimpleNamespace(
            path=path,
            options=options,
            providers=providers,
            get_inputs=lambda: [Port("b10", 4), Port("b20", 6)],
            get_outputs=lambda: [Port("sr", "C")],
            run=lambda names, feed: [np.zeros((1, 6, *feed["b10"].shape[2:]), np.float32)],
            get_providers=lambda: [
                name for p in providers if (name := p if isinstance(p, str) else p[0]) not in self.broken
            ],
        )
        self.sessions.append(session)
        return session


CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"
Install = Callable[..., FakeRuntime]


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Install:
    """Put a fake ONNX Runtime and a number of devices in the place of the machine's."""

    def put(*available: str, devices: int = 1, broken: tuple[str, ...] = ()) -> FakeRuntime:
        fake = FakeRuntime(*available, broken=broken)
        monkeypatch.setattr(engine, "import_onnxruntime", lambda: fake)
        monkeypatch.setattr(engine, "driver_devices", lambda: devices)
        return fake

    return put


# -- sessions ---------------------------------------------------------------------------------------------------------


def test_one_session_per_model_and_device(
    monkeypatch: pytest.MonkeyPatch, toy: models.Model, other: models.Model
) -> None:
    import onnxruntime as ort

    made: list[str] = []

    class Counting(ort.InferenceSession):  # type: ignore[misc]
        def __init__(self, path: str, *rest: Any, **named: Any) -> None:
            made.append(path)
            super().__init__(path, *rest, **named)

    monkeypatch.setattr(ort, "InferenceSession", Counting)
    first = engine.runner(toy, "cpu")
    assert engine.runner(toy, "cpu") is first
    assert first.device == "cpu"
    assert engine.runner(other, "cpu") is not first
    assert made == [str(toy.path), str(other.path)]
    if NO_GPU:
        assert engine.runner(toy, "auto") is first
        assert len(made) == 2


def test_a_fork_makes_its_own_session(monkeypatch: pytest.MonkeyPatch, toy: models.Model) -> None:
    first = engine.runner(toy, "cpu")
    pid = os.getpid()
    monkeypatch.setattr(engine.os, "getpid", lambda: pid + 1)
    assert engine.runner(toy, "cpu") is not first


def test_run_adds_and_takes_the_batch(toy: models.Model) -> None:
    inputs = {"b10": np.ones((4, 24, 36), np.float32), "b20": np.ones((6, 12, 18), np.float32)}
    out = engine.runner(toy, "cpu").run(inputs)
    assert out.shape == (6, 24, 36)
    assert out.dtype == np.float32


def test_a_run_has_one_thread_that_does_not_spin(install: Install, toy: models.Model) -> None:
    fake = install(CPU)
    engine.runner(toy, "cpu")
    (session,) = fake.sessions
    assert session.path == str(toy.path)
    assert session.providers == [CPU]
    assert session.options.intra_op_num_threads == session.options.inter_op_num_threads == 1
    assert session.options.entries["session.intra_op.allow_spinning"] == "0"


# -- devices ----------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not NO_GPU, reason="this machine has a GPU")
def test_no_gpu(toy: models.Model, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(EngineError, match=r'"cuda" was asked for, but no CUDA driver.*Use device="cpu"'):
        engine.runner(toy, "cuda")
    with caplog.at_level(logging.INFO, "xr_s2sr"):
        assert engine.runner(toy).device == "cpu"
    assert "device: cpu (no CUDA driver with a device was found)" in caplog.text


@pytest.mark.parametrize("device", ["auto", "cuda"])
def test_cuda_comes_first(install: Install, toy: models.Model, device: Any, capsys: pytest.CaptureFixture[str]) -> None:
    fake = install(CUDA, CPU)
    runner = engine.runner(toy, device)
    assert runner.device == "cuda"
    assert engine.runner(toy, "cuda") is runner
    (session,) = fake.sessions
    assert [p if isinstance(p, str) else p[0] for p in session.providers] == [CUDA, CPU]
    assert capsys.readouterr().out == ""


def test_cuda_that_falls_back_is_refused(install: Install, toy: models.Model) -> None:
    install(CUDA, CPU, broken=(CUDA,))
    with pytest.raises(EngineError, match=r"fell back to CPUExecutionProvider.*pip install"):
        engine.runner(toy, "cuda")


def test_auto_takes_the_cpu_where_cuda_falls_back(
    install: Install, toy: models.Model, caplog: pytest.LogCaptureFixture
) -> None:
    fake = install(CUDA, CPU, broken=(CUDA,))
    runner = engine.runner(toy, "auto")
    assert runner.device == "cpu"
    assert "CUDA does not work" in caplog.text
    # tried once, not at every call
    assert engine.runner(toy, "auto") is engine.runner(toy, "cpu") is runner
    assert len(fake.sessions) == 2


def test_cuda_not_built_in(install: Install, toy: models.Model) -> None:
    install(CPU)
    with pytest.raises(EngineError, match=r"built without CUDA \(pip install onnxruntime-gpu\)"):
        engine.runner(toy, "cuda")
    assert engine.runner(toy, "auto").device == "cpu"


class FakeDriver:
    def __init__(self, status: int, devices: int) -> None:
        self.status, self.devices = status, devices

    def cuInit(self, flags: int) -> int:
        return self.status

    def cuDeviceGetCount(self, pointer: Any) -> int:
        pointer._obj.value = self.devices
        return 0


@pytest.mark.parametrize(("status", "devices", "expected"), [(0, 2, 2), (0, 0, 0), (100, 2, 0)])
def test_driver(monkeypatch: pytest.MonkeyPatch, status: int, devices: int, expected: int) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: FakeDriver(status, devices))
    assert engine.driver_devices() == expected


def test_no_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(ctypes, "CDLL", absent)
    assert engine.driver_devices() == 0


# -- installations ----------------------------------------------------------------------------------------------------


def test_two_distributions_are_told(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    both = {"onnxruntime": ["onnxruntime-gpu", "onnxruntime", "onnxruntime"], "numpy": ["numpy"]}
    monkeypatch.setattr(engine.metadata, "packages_distributions", lambda: both)
    engine.import_onnxruntime()
    assert "onnxruntime and onnxruntime-gpu are both installed" in caplog.text
    assert "pip uninstall -y onnxruntime onnxruntime-gpu && pip install --force-reinstall" in caplog.text
    caplog.clear()
    engine.import_onnxruntime()
    assert caplog.text == ""


def test_one_distribution_is_fine(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(engine.metadata, "packages_distributions", lambda: {"onnxruntime": ["onnxruntime-gpu"]})
    engine.import_onnxruntime()
    assert caplog.text == ""


def test_emptied_module(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", types.ModuleType("onnxruntime"))
    with pytest.raises(EngineError, match=r"module is empty.*Repair: pip install --force-reinstall --no-deps"):
        engine.import_onnxruntime()


def test_absent_module(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(EngineError, match=r"cannot be imported .*Install it: pip install onnxruntime-gpu"):
        engine.import_onnxruntime()


# -- model files ------------------------------------------------------------------------------------------------------


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


def test_onnxruntime_cannot_load(tmp_path: Path) -> None:
    model = onnx.ModelProto()
    helper.set_model_props(model, {CARD_KEY: CARD_20.to_json()})
    onnx.save(model, str(tmp_path / "net.onnx"))
    with pytest.raises(ModelError, match=r"ONNX Runtime cannot load .*net\.onnx"):
        engine.runner(load(tmp_path / "net.onnx"), "cpu")


@pytest.mark.parametrize(
    "card",
    [
        replace(CARD_20, inputs={"b10": BY_GSD[10]}),
        replace(CARD_20, inputs={"ten": BY_GSD[10], "b20": BY_GSD[20]}),
        replace(CARD_20, inputs={"b10": BY_GSD[10][:3], "b20": BY_GSD[20]}),
        replace(CARD_20, targets=BY_GSD[20][:4]),
        CARD_60,
    ],
    ids=["fewer", "other name", "three bands", "four targets", "more"],
)
def test_card_of_another_graph(tmp_path: Path, toy: models.Model, card: ModelCard) -> None:
    assert toy.path is not None
    path = relabel(toy.path, card, tmp_path / "net.onnx")
    with pytest.raises(ModelError, match=r"has the inputs and output .* its card says .*correct the card"):
        engine.runner(load(path), "cpu")


def test_graph_without_sr(tmp_path: Path, toy: models.Model) -> None:
    model = onnx.load(str(toy.path))
    model.graph.output[0].name = model.graph.node[-1].output[0] = "out"
    onnx.save(model, str(tmp_path / "net.onnx"))
    with pytest.raises(ModelError, match="has the inputs and output"):
        engine.runner(load(tmp_path / "net.onnx"), "cpu")


# -- cards ------------------------------------------------------------------------------------------------------------

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


# -- the protobuf reader ----------------------------------------------------------------------------------------------


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
