"""A model whose output is not what its card promises is refused before a kernel reads it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import xarray as xr
from onnx import TensorProto, helper, numpy_helper

import xr_s2sr
from xr_s2sr import models
from xr_s2sr.errors import ModelError
from xr_s2sr.inference.engine import PROBE, runner
from xr_s2sr.inference.tiles import RegionJob
from xr_s2sr.inference.windows import Window
from xr_s2sr.models import CARD_KEY, ModelCard
from xr_s2sr.models.protobuf import metadata_props
from xr_s2sr.spans import Span


class Gives:
    """A runner that gives an array of its own."""

    def __init__(self, output: np.ndarray) -> None:
        self.output = output

    def run(self, inputs: object) -> np.ndarray:
        return self.output


@pytest.mark.parametrize(
    "output",
    [
        np.zeros((1, 1, 1), np.float32),
        np.zeros((1, 24, 24), np.float32),
        np.zeros((1, 1, 12, 12), np.float32),
        np.zeros((2, 12, 12), np.float32),
        np.zeros((1, 12, 12), np.float64),
    ],
)
def test_an_output_of_another_shape_is_refused(output: np.ndarray) -> None:
    card = ModelCard("toy", "1", {"b10": ("B02",)}, ("B05",))
    span = Span(0, 12)
    job = RegionJob(card, Gives(output), {}, {}, (span, span))
    with pytest.raises(ModelError, match=r"expected \(1, 12, 12\) \(targets, y, x\) and float32"):
        job.restore(Window((span, span), (span, span), (span, span)))


def test_an_endless_number_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="more than 64 bits"):
        list(metadata_props(b"\xff" * 300_000))


#: One 20 m band from one 10 m band, so that any node will do.
CARD = ModelCard("odd", "1", {"b10": ("B02", "B03", "B04", "B08")}, ("B05",), halo=6)


def odd_model(path: Path, kind: str, **attributes: object) -> Path:
    """A file whose output has the promised channel, rank and type by its own word, and gives something else."""
    first = helper.make_node("Slice", ["b10", "zero", "one", "one"], ["first"])
    extra = {"Resize": ["", "scales"], "Reshape": ["shape"], "Tile": ["repeats"], "Pad": ["pads"]}.get(kind, [])
    node = helper.make_node(kind, ["first", *extra], ["sr"], **attributes)
    numbers = {
        "zero": np.array([0], np.int64),
        "one": np.array([1], np.int64),
        "scales": np.array([1, 1, 2, 2], np.float32),
        "shape": np.array([1, PROBE, -1], np.int64),
        "repeats": np.array([1, 3, 1, 1], np.int64),
        "pads": np.array([0, 0, -6, -6, 0, 0, -6, -6], np.int64),
    }
    weights = [numpy_helper.from_array(value, name) for name, value in numbers.items()]
    port = helper.make_tensor_value_info("b10", TensorProto.FLOAT, ["N", 4, "H", "W"])
    out = helper.make_tensor_value_info("sr", TensorProto.FLOAT, None)
    graph = helper.make_graph([first, node], "odd", [port], [out], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, {CARD_KEY: CARD.to_json()})
    onnx.save(model, str(path))
    return path


@pytest.mark.parametrize(
    ("kind", "found"),
    [
        ("GlobalAveragePool", r"\(1, 1, 1, 1\)"),
        ("Resize", r"\(1, 1, 120, 120\)"),
        ("Reshape", r"\(1, 60, 60\)"),
        ("Tile", r"\(1, 3, 60, 60\)"),
        ("Pad", r"\(1, 1, 48, 48\)"),
    ],
)
def test_a_model_is_tried_when_it_is_opened(kind: str, found: str, tmp_path: Path, scene: xr.Dataset) -> None:
    path = odd_model(tmp_path / "odd.onnx", kind)
    with pytest.raises(ModelError, match="has the inputs and output|" + rf"gives float32 of the shape {found}"):
        runner(models.load(path), "cpu")
    with pytest.raises(ModelError, match="has the inputs and output|" + rf"gives float32 of the shape {found}"):
        xr_s2sr.upsample(scene, "B05", model=path)
