"""Single steps: gradients far out of the ordinary, the running mean; and Muon, against numpy's polar factor."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the train extra is not installed")
pytest.importorskip("onnx", reason="the train extra is not installed")

from xr_s2sr.training.degradation import seeded  # noqa: E402
from xr_s2sr.training.steps import Muon, Steps, orthogonalise  # noqa: E402


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


@pytest.mark.parametrize("shape", [(16, 40), (40, 16)])
def test_orthogonalise_is_near_the_polar_factor(shape: tuple[int, int]) -> None:
    matrix = torch.from_numpy(np.random.default_rng(0).standard_normal(shape))
    u, _, vt = np.linalg.svd(matrix.numpy(), full_matrices=False)
    found = orthogonalise(matrix).numpy()
    values = np.linalg.svd(found, compute_uv=False)
    assert values.min() > 0.5
    assert values.max() < 1.3
    # the same singular vectors: in their basis the result is diagonal
    inner = u.T @ found @ vt.T
    np.testing.assert_allclose(inner - np.diag(np.diag(inner)), 0, atol=1e-6)


def test_muon_steps_by_the_rate() -> None:
    weight = torch.nn.Parameter(torch.zeros(8, 2, 3, 3))
    optimiser = Muon([weight], lr=0.1)
    weight.grad = torch.randn(8, 2, 3, 3, generator=torch.Generator().manual_seed(0))
    optimiser.step()
    size = float(weight.detach().square().mean().sqrt())
    # 0.2 times the rate, as far as singular values of 0.7 to 1.2 and 8 of 18 directions go
    assert size == pytest.approx(0.2 * 0.1, rel=0.3)
    assert float((weight.detach() * weight.grad).sum()) < 0
