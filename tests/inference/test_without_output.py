"""Standard errors cost nothing unless they are asked for: the session holds no node that only these need."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper
from toy_models import CARD_20, CARD_60, relabel, save, with_errors

from xr_s2sr.errors import ModelError
from xr_s2sr.inference import engine
from xr_s2sr.models import ModelCard, load
from xr_s2sr.models.protobuf import without_output


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("models") / "plain.onnx")


@pytest.fixture(scope="module")
def both(plain: Path) -> Path:
    return with_errors(plain, plain.with_name("both.onnx"))


def kernels(run: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> int:
    """Nodes that the session of `run`, opened in here, executes for one window."""
    opened = []

    class Profiled(ort.SessionOptions):
        def __init__(self) -> None:
            super().__init__()
            self.enable_profiling = True
            self.profile_file_prefix = str(tmp_path / "profile")

    original = ort.InferenceSession

    def session(*args: Any, **kwargs: Any) -> Any:
        opened.append(original(*args, **kwargs))
        return opened[-1]

    with monkeypatch.context() as patch:
        patch.setattr(ort, "SessionOptions", Profiled)
        patch.setattr(ort, "InferenceSession", session)
        run()
    events = json.loads(Path(opened[0].end_profiling()).read_text())
    # the engine's own trial run is in the profile too
    return len({event["name"] for event in events if event.get("cat") == "Node"})


def test_the_head_does_not_run_unless_asked_for(
    plain: Path, both: Path, fresh_engine: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    counts = [
        kernels(
            lambda path=path, asked=asked: engine.runner(load(path), "cpu", uncertainty=asked), monkeypatch, tmp_path
        )
        for path, asked in ((plain, False), (both, False), (both, True))
    ]
    assert counts[0] == counts[1]
    assert counts[2] >= counts[0] + 3


def test_restored_bands_are_those_of_the_plain_file(plain: Path, both: Path, fresh_engine: None) -> None:
    rng = np.random.default_rng(0)
    feed = {"b10": rng.random((4, 48, 60), np.float32), "b20": rng.random((6, 24, 30), np.float32)}
    expected = engine.runner(load(plain), "cpu").run(feed)
    alone = engine.runner(load(both), "cpu").run(feed)
    together = engine.runner(load(both), "cpu", uncertainty=True).run(feed)
    assert together.shape == (12, 48, 60)
    np.testing.assert_array_equal(alone.view(np.uint32), expected.view(np.uint32))
    np.testing.assert_array_equal(together[:6].view(np.uint32), expected.view(np.uint32))
    assert together[6:].min() >= 0.01


@pytest.mark.parametrize("card", [CARD_20, CARD_60])
def test_what_is_left_is_the_plain_graph(card: ModelCard, tmp_path: Path) -> None:
    plain = save(tmp_path / "plain.onnx", card)
    both = with_errors(plain, tmp_path / "both.onnx")
    left = onnx.load_from_string(without_output(both.read_bytes(), "uncertainty"))
    whole = onnx.load(str(both))
    assert left.graph.node == onnx.load(str(plain)).graph.node
    assert [port.name for port in left.graph.output] == ["sr"]
    assert left.graph.initializer == whole.graph.initializer
    whole.ClearField("graph")
    left.ClearField("graph")
    assert left == whole


def test_what_branches_read_is_kept() -> None:
    """An If node's branches read results of the outer graph without naming them among its inputs."""
    port = helper.make_tensor_value_info
    branch = helper.make_graph(
        [helper.make_node("Add", ["outer", "one"], ["a"])], "b", [], [port("a", TensorProto.FLOAT, ["N"])]
    )
    nested = helper.make_graph(
        [helper.make_node("If", ["yes"], ["c"], then_branch=branch, else_branch=branch)],
        "n",
        [],
        [port("c", TensorProto.FLOAT, ["N"])],
    )
    straight = helper.make_graph(
        [helper.make_node("Identity", ["passed"], ["d"])], "s", [], [port("d", TensorProto.FLOAT, ["N"])]
    )
    graph = helper.make_graph(
        [
            helper.make_node("Neg", ["x"], ["outer"]),
            helper.make_node("Neg", ["x"], ["passed"]),
            helper.make_node("Abs", ["x"], ["unused"]),
            helper.make_node("If", ["yes"], ["sr"], then_branch=nested, else_branch=straight),
            helper.make_node("Add", ["unused", "far"], ["uncertainty"]),
        ],
        "g",
        [port("x", TensorProto.FLOAT, ["N"]), port("yes", TensorProto.BOOL, [])],
        [port(name, TensorProto.FLOAT, ["N"]) for name in ("sr", "uncertainty")],
        [numpy_helper.from_array(np.array(k, np.float32), name) for k, name in ((1, "one"), (2, "far"))],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    left = onnx.load_from_string(without_output(model.SerializeToString(), "uncertainty"))
    # which results these are is not looked for: all before the node are kept
    assert [node.output[0] for node in left.graph.node] == ["outer", "passed", "unused", "sr"]
    onnx.checker.check_model(left, full_check=True)


def test_a_card_that_promises_too_much(plain: Path, both: Path, tmp_path: Path, fresh_engine: None) -> None:
    card = load(both).card
    with pytest.raises(ModelError, match=r"'sr': 6\} \(name: bands\), its card says .*'uncertainty': 6"):
        engine.runner(load(relabel(plain, card, tmp_path / "promised.onnx")), "cpu", uncertainty=True)


def test_errors_of_0_or_below_are_refused(plain: Path, tmp_path: Path, fresh_engine: None) -> None:
    import xr_s2sr

    ds, _ = xr_s2sr.tutorial.synthetic_scene(60)
    model = with_errors(plain, tmp_path / "zero.onnx", 0.0)
    with pytest.raises(ModelError, match="gave an uncertainty of 0; expected standard errors above 0"):
        ds.s2sr.upsample("B05", model=model, uncertainty=True)
