"""The steps of a training: as they are written on a CPU, as recorded CUDA graphs on a GPU.

A step of these small networks is a thousand small kernels; started one by one, the GPU waits for most of the time.
Recorded once, with its patches, and replayed, a step takes as long as its arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

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

    def forget(self) -> None:
        """Forget what was recorded: to be called when weights or states of optimisers were replaced."""
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
