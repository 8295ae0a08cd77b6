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
    """Nearly the orthogonal factor of matrices' polar decompositions: singular values between about 0.7 and 1.2."""
    a, b, c = QUINTIC
    x = matrix / (matrix.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    wide: Tensor = x if x.shape[-2] <= x.shape[-1] else x.mT
    for _ in range(rounds):
        gram = wide @ wide.mT
        wide = a * wide + (b * gram + c * gram @ gram) @ wide
    return wide if x.shape[-2] <= x.shape[-1] else wide.mT


class Muon(torch.optim.Optimizer):
    """Nesterov momentum, orthogonalised, with decoupled weight decay.

    Parameters
    ----------
    parameters : iterable of Parameter
        Convolution weights (out, in, y, x), each seen as a matrix (out, in * y * x).
    lr : float or Tensor
        As for AdamW.
    momentum, weight_decay : float
    """

    def __init__(
        self, parameters: Iterable[nn.Parameter], lr: float | Tensor, momentum: float = 0.95, weight_decay: float = 0.01
    ) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One update of every parameter that has a gradient."""
        for group in self.param_groups:
            beta = group["momentum"]
            alike: dict[torch.Size, list[tuple[Tensor, Tensor]]] = {}
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                if not state:
                    state["momentum"] = torch.zeros_like(weight)
                state["momentum"].lerp_(weight.grad, 1 - beta)
                ahead = weight.grad.lerp(state["momentum"], beta).flatten(1)
                alike.setdefault(weight.shape, []).append((weight, ahead))
            for shape, pairs in alike.items():  # matrices of one shape are orthogonalised together
                matrices = torch.stack([ahead for _, ahead in pairs])
                # root mean square 0.2, that of Adam's updates
                update = orthogonalise(matrices) * (0.2 * max(matrices.shape[1:]) ** 0.5) * group["lr"]
                for (weight, _), own in zip(pairs, update.unbind(), strict=True):
                    weight.mul_(1 - group["lr"] * group["weight_decay"]).sub_(own.reshape(shape))
