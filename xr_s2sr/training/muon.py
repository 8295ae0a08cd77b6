"""Muon: momentum whose matrices are orthogonalised, for the convolutions between first and last layer.

After K. Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks"
(https://kellerjordan.github.io/posts/muon), with the step size of Liu et al. 2025 (arXiv:2502.16982), which makes
Adam's rates fit. On these networks it needs a third of AdamW's steps. ``torch.optim.Muon`` takes no convolutions.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

#: Of the quintic Newton-Schulz iteration; found by Jordan et al. for speed, not for exact convergence.
QUINTIC = (3.4445, -4.7750, 2.0315)


def orthogonalise(matrix: Tensor, rounds: int = 5) -> Tensor:
    """Nearly the orthogonal factor of a matrix's polar decomposition: singular values between about 0.7 and 1.2."""
    a, b, c = QUINTIC
    x = matrix / (matrix.norm() + 1e-7)
    wide: Tensor = x if x.shape[0] <= x.shape[1] else x.T
    for _ in range(rounds):
        gram = wide @ wide.T
        wide = a * wide + (b * gram + c * gram @ gram) @ wide
    return wide if x.shape[0] <= x.shape[1] else wide.T


class Muon(torch.optim.Optimizer):
    """Nesterov momentum, orthogonalised, with decoupled weight decay.

    Parameters
    ----------
    parameters : iterable of Parameter
        Convolution weights (out, in, y, x), each seen as a matrix (out, in * y * x).
    lr : float
        As for AdamW.
    momentum, weight_decay : float
    """

    def __init__(
        self, parameters: Iterable[nn.Parameter], lr: float, momentum: float = 0.95, weight_decay: float = 0.01
    ) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One update of every parameter that has a gradient."""
        for group in self.param_groups:
            beta = group["momentum"]
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                if not state:
                    state["momentum"] = torch.zeros_like(weight)
                state["momentum"].lerp_(weight.grad, 1 - beta)
                ahead = weight.grad.lerp(state["momentum"], beta).flatten(1)
                # root mean square 0.2, that of Adam's updates
                update = orthogonalise(ahead) * (0.2 * max(ahead.shape) ** 0.5)
                weight.mul_(1 - group["lr"] * group["weight_decay"])
                weight.add_(update.reshape(weight.shape), alpha=-group["lr"])
