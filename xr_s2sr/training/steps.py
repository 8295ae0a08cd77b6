"""The steps of a training: as they are written on a CPU, as recorded CUDA graphs on a GPU; and the optimisers.

A step of these small networks is a thousand small kernels; started one by one, the GPU waits for most of the time.
Recorded once, with its patches, and replayed, a step takes as long as its arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from xr_s2sr.training.recipe import Recipe

#: Of the quintic Newton-Schulz iteration of Muon; found by Jordan et al. for speed, not for exact convergence.
QUINTIC = (3.4445, -4.7750, 2.0315)
#: Gradients longer than this many times the usual are shortened, and batches with far longer ones are left out: one is
#: enough to undo an hour.
LONG, TOO_LONG = 3.0, 10.0


class Steps:
    """Lowers an error step by step, and keeps a running mean of the weights.

    Parameters
    ----------
    net, average : Module
        Of the same weights. The second one receives their running mean.
    optimisers : sequence of Optimizer
        With rates that are Tensors on a GPU, see :func:`make_rate`.
    generator : torch.Generator
        Draws all that is random in an error, on the device of the network.
    recorded : bool
        Record steps on a GPU: what an error calls must not leave it, as local regressions do.

    Attributes
    ----------
    loss_sum, counted, skipped : Tensor
        Sum of the errors and number of steps since the last :meth:`summary`; batches left out.
    """

    def __init__(
        self,
        net: nn.Module,
        average: nn.Module,
        optimisers: Sequence[torch.optim.Optimizer],
        generator: torch.Generator,
        *,
        recorded: bool = True,
    ) -> None:
        self.net, self.average, self.optimisers, self.generator = net, average, optimisers, generator
        self.device = generator.device
        self.recorded = recorded and self.device.type == "cuda"
        zero = torch.zeros((), device=self.device)
        self.loss_sum, self.counted, self.skipped, self.typical = (zero.clone() for _ in range(4))
        self.weight = zero.clone()
        self._recorded: dict[Hashable, Any] = {}
        self._met: set[Hashable] = set()

    def step(self, key: Hashable, error: Callable[[], Tensor], rate: float, weight: float) -> None:
        """One step.

        Parameters
        ----------
        key : hashable
            Tells errors apart: those with the same key do the same but for what the generator draws.
        error : callable
            Draws a batch and returns its error.
        rate : float
            Learning rate.
        weight : float
            Weight of the new weights in the running mean.
        """
        self.weight.fill_(weight)
        for optimiser in self.optimisers:
            for group in optimiser.param_groups:
                if isinstance(group["lr"], Tensor):
                    group["lr"].fill_(rate)
                else:
                    group["lr"] = rate
        if not self.recorded:
            self._step(error)
        elif key in self._recorded:
            self._recorded[key].replay()
        elif key in self._met:
            self._recorded[key] = self._record(error)
            self._recorded[key].replay()
        else:  # the first one reserves memory, chooses algorithms, and fills caches
            self._met.add(key)
            beside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
            beside.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(beside):
                self._step(error)
            torch.cuda.current_stream().wait_stream(beside)

    def state_dict(self) -> dict[str, Any]:
        """Return the states of the network, of the running mean and of the optimisers."""
        nets = {"net": self.net.state_dict(), "average": self.average.state_dict()}
        return nets | {"optimisers": [optimiser.state_dict() for optimiser in self.optimisers]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Put states in place, and forget what was recorded with others."""
        self.net.load_state_dict(state["net"])
        self.average.load_state_dict(state["average"])
        for optimiser, saved in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(saved)
        self._recorded.clear()
        self._met.clear()

    def summary(self) -> tuple[float, int, int]:
        """Return the mean error and the number of steps since the last summary, and all batches left out so far."""
        mean, counted = float(self.loss_sum / self.counted.clamp(min=1)), int(self.counted)
        self.loss_sum.zero_()
        self.counted.zero_()
        return mean, counted, int(self.skipped)

    def _record(self, error: Callable[[], Tensor]) -> Any:
        """Record a step as a CUDA graph."""
        graph = torch.cuda.CUDAGraph()
        graph.register_generator_state(self.generator)
        with torch.cuda.graph(graph):
            self._step(error)
        return graph

    def _step(self, error: Callable[[], Tensor]) -> None:
        """Lower the error once, and move the running mean of the weights."""
        self.net.zero_grad(set_to_none=True)
        loss = error()
        loss.backward()  # type: ignore[no-untyped-call]
        with torch.no_grad():
            self._shorten(loss.detach())
            for optimiser in self.optimisers:
                optimiser.step()
            for mean, now in zip(self.average.parameters(), self.net.parameters(), strict=True):
                mean.lerp_(now, self.weight)

    def _shorten(self, loss: Tensor) -> None:
        """Shorten a long gradient, and turn one that is far out of the ordinary into zero."""
        gradients = [p.grad for p in self.net.parameters() if p.grad is not None]
        norm, typical = torch.linalg.vector_norm(torch.stack([g.norm() for g in gradients])), self.typical
        known = typical > 0
        good = norm.isfinite() & (~known | (norm <= TOO_LONG * typical))
        longest = torch.where(known, (LONG * typical).clamp(min=1e-3), 1.0)
        factor = (longest / (norm + 1e-6)).clamp(max=1)
        for gradient in gradients:
            gradient.copy_(torch.where(good, gradient * factor, 0.0))
        followed = torch.where(known, 0.98 * typical + 0.02 * torch.minimum(norm, LONG * typical), norm)
        typical.copy_(torch.where(good, followed, 1.05 * typical))
        self.loss_sum += torch.where(good, loss, 0.0)
        self.counted += good
        self.skipped += ~good


def make_rate(rate: float, device: torch.device) -> float | Tensor:
    """Return a learning rate that recorded steps read anew: on a GPU, a Tensor."""
    return torch.tensor(rate, device=device) if device.type == "cuda" else rate


# -- optimisers ---------------------------------------------------------------------------------------------------


def make_optimisers(net: nn.Module, recipe: Recipe) -> list[torch.optim.Optimizer]:
    """Make the optimisers: Muon for the convolutions of the blocks, AdamW for the outer layers and all biases."""
    blocks = [p for name, p in net.named_parameters() if name.startswith("blocks.") and p.ndim == 4]
    chosen = {id(p) for p in blocks}
    rest = [p for p in net.parameters() if id(p) not in chosen]
    device = next(net.parameters()).device
    # a short memory of the squared gradients: with 0.999 a rare batch at the peak rate can blow the network up
    adam = torch.optim.AdamW(
        rest,
        lr=make_rate(recipe.rate, device),
        weight_decay=recipe.decay,
        betas=(0.9, 0.99),
        capturable=device.type == "cuda",
    )
    return [Muon(blocks, make_rate(recipe.rate, device)), adam]


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

    After K. Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks"
    (https://kellerjordan.github.io/posts/muon), with the step size of Liu et al. 2025 (arXiv:2502.16982), which makes
    Adam's rates fit. On these networks it needs a third of AdamW's steps. ``torch.optim.Muon`` takes no convolutions.

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
