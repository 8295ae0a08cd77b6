"""Single steps: what a gradient far out of the ordinary does, and the running mean."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest

torch = pytest.importorskip("torch", reason="the train extra is not installed")
pytest.importorskip("onnx", reason="the train extra is not installed")

from xr_s2sr.training.degradation import seeded  # noqa: E402
from xr_s2sr.training.steps import Steps  # noqa: E402


@pytest.fixture
def steps() -> Steps:
    net = torch.nn.Linear(2, 1, bias=False)
    with torch.no_grad():
        net.weight[:] = 1.0
    return Steps(net, copy.deepcopy(net), [torch.optim.SGD(net.parameters(), lr=9.0)], seeded(0))


def scaled(steps: Steps, factor: float) -> Callable[[], torch.Tensor]:
    """An error whose gradient is `factor` times (0.6, 0.8)."""
    return lambda: factor * (steps.net.weight[0] * torch.tensor([0.6, 0.8])).sum()


def weights(net: torch.nn.Module) -> list[float]:
    return [round(float(w), 4) for w in net.weight.detach()[0]]


def test_a_step_follows_the_rate_and_the_mean_follows_the_weights(steps: Steps) -> None:
    steps.step("", scaled(steps, 0.5), rate=0.1, weight=0.25)
    assert weights(steps.net) == [0.97, 0.96]  # 0.5 x 0.1 x (0.6, 0.8)
    assert weights(steps.average) == [0.9925, 0.99]
    assert steps.summary() == (pytest.approx(0.5 * 1.4), 1, 0)
    assert steps.summary() == (0.0, 0, 0)


def test_long_gradients_are_shortened(steps: Steps) -> None:
    """Three times the usual is the most; the first may have length 1."""
    steps.step("", scaled(steps, 4.0), 0.1, 0.0)
    assert weights(steps.net) == [0.94, 0.92]
    steps.step("", scaled(steps, 16.0), 0.1, 0.0)  # usual: 4
    assert weights(steps.net) == [0.22, -0.04]  # three times that


@pytest.mark.parametrize("factor", [50.0, float("nan"), float("inf")])
def test_extraordinary_batches_are_left_out(steps: Steps, factor: float) -> None:
    steps.step("", scaled(steps, 1.0), 0.1, 0.0)
    before = weights(steps.net)
    steps.step("", scaled(steps, factor), 0.1, 0.0)
    assert weights(steps.net) == before
    mean, counted, skipped = steps.summary()
    assert (counted, skipped) == (1, 1)
    assert mean == pytest.approx(1.4)
    steps.step("", scaled(steps, 1.0), 0.1, 0.0)
    assert weights(steps.net) != before
