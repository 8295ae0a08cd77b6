"""A model whose output is not what its card promises is refused before a kernel reads it."""

from __future__ import annotations

import numpy as np
import pytest

from xr_s2sr.errors import ModelError
from xr_s2sr.models import ModelCard
from xr_s2sr.protobuf import metadata_props
from xr_s2sr.run import Task
from xr_s2sr.windows import Span, Window


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
    task = Task(card, Gives(output), {}, {}, (span, span))
    with pytest.raises(ModelError, match=r"expected \(1, 12, 12\) \(targets, y, x\) and float32"):
        task.restore(Window((span, span), (span, span), (span, span)))


def test_an_endless_number_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="more than 64 bits"):
        list(metadata_props(b"\xff" * 300_000))
