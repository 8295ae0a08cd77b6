"""Muon, against the polar factor of numpy."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the train extra is not installed")
pytest.importorskip("onnx", reason="the train extra is not installed")

from xr_s2sr.training import steps  # noqa: E402


@pytest.mark.parametrize("shape", [(16, 40), (40, 16)])
def test_orthogonalise_is_near_the_polar_factor(shape: tuple[int, int]) -> None:
    matrix = torch.from_numpy(np.random.default_rng(0).standard_normal(shape))
    u, _, vt = np.linalg.svd(matrix.numpy(), full_matrices=False)
    found = steps.orthogonalise(matrix).numpy()
    values = np.linalg.svd(found, compute_uv=False)
    assert values.min() > 0.5
    assert values.max() < 1.3
    # the same singular vectors: in their basis the result is diagonal
    inner = u.T @ found @ vt.T
    np.testing.assert_allclose(inner - np.diag(np.diag(inner)), 0, atol=1e-6)


def test_muon_steps_by_the_rate() -> None:
    weight = torch.nn.Parameter(torch.zeros(8, 2, 3, 3))
    optimiser = steps.Muon([weight], lr=0.1)
    weight.grad = torch.randn(8, 2, 3, 3, generator=torch.Generator().manual_seed(0))
    optimiser.step()
    size = float(weight.detach().square().mean().sqrt())
    # 0.2 times the rate, as far as singular values of 0.7 to 1.2 and 8 of 18 directions go
    assert size == pytest.approx(0.2 * 0.1, rel=0.3)
    assert float((weight.detach() * weight.grad).sum()) < 0
