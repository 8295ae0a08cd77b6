"""What eight bits would cost: the convolutions of a network's blocks in int8, before and after learning with it.

    python tests/bench/int8.py --scenes DIR [--model s2sr-20m-fast] [--teacher s2sr-20m] [--steps 3000] [--threads 2]

Inputs and results of the convolutions are rounded to 256 levels, of which 0 is one, and weights to 255, per output
channel. The channels that a block reads are first brought to one size. Ranges hold 99.98 % of the values that some
patches give, and are learned later on. Rounding lets gradients pass (the straight-through estimator of Bengio et al.
2013, arXiv:1308.3432; learned ranges after Esser et al. 2020, arXiv:1902.08153). Printed: RMSE / RMSE(bicubic) on the
validation scenes, in float32, with rounding, and while the network learns with it.
"""

from __future__ import annotations

import argparse
import copy
import math
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from xr_s2sr.training.data import Patches
from xr_s2sr.training.degradation import seeded
from xr_s2sr.training.export import trained
from xr_s2sr.training.loop import inner, mean_error, teacher_mean, validate
from xr_s2sr.training.networks import Block, CoarseNet
from xr_s2sr.training.scenes import load_scenes

GSD, NUMBER, SIZE, BORDER = 20, 4, 48, 4
#: Share of the values beyond each end of a range.
BEYOND = 1e-4


def rounded(x: Tensor) -> Tensor:
    """Round, and let the gradient pass."""
    return x + (torch.round(x) - x).detach()


class Levels(nn.Module):
    """Rounds to 256 levels between two bounds, of which one is 0."""

    def __init__(self, values: Tensor) -> None:
        super().__init__()
        ordered = values.flatten()[::7].sort().values
        last = len(ordered) - 1
        self.low = nn.Parameter(ordered[round(BEYOND * last)].clone())
        self.high = nn.Parameter(ordered[round((1 - BEYOND) * last)].clone())

    def forward(self, x: Tensor) -> Tensor:
        low, high = self.low.clamp(max=0.0), self.high.clamp(min=1e-4)
        step = (high - low) / 255
        zero = rounded(-low / step)
        return (rounded((x / step + zero).clamp(0, 255)) - zero) * step


def levels_of_weights(weight: Tensor) -> Tensor:
    """Round weights to 255 levels for each output channel."""
    step = weight.abs().amax(dim=(1, 2, 3), keepdim=True) / 127
    return rounded(weight / step) * step


class RoundedBlock(nn.Module):
    """A residual block whose convolutions compute in eight bits; what they add is added in float32."""

    def __init__(self, block: Block, x: Tensor) -> None:
        super().__init__()
        self.first, self.second = block.first, block.second
        scale = 1 / x.square().mean(dim=(0, 2, 3), keepdim=True).sqrt().clamp(min=1e-3)
        self.log_scale = nn.Parameter(scale.log())
        middle = torch.relu(self.first(x))
        self.before, self.between, self.after = Levels(x * scale), Levels(middle), Levels(self.second(middle))

    def forward(self, x: Tensor) -> Tensor:
        scale = self.log_scale.exp()
        weight = levels_of_weights(self.first.weight / scale)
        middle = torch.relu(F.conv2d(self.before(x * scale), weight, self.first.bias, padding=1))
        weight = levels_of_weights(self.second.weight)
        added: Tensor = self.after(F.conv2d(self.between(middle), weight, self.second.bias, padding=1))
        return x + added


@torch.no_grad()
def round_blocks(net: CoarseNet, patches: Patches) -> None:
    """Replace the blocks of a network by rounded ones, with ranges from some patches."""
    seen: list[list[Tensor]] = [[] for _ in net.blocks]
    hooks = [
        block.register_forward_pre_hook(lambda _, inputs, values=values: values.append(inputs[0]))
        for block, values in zip(net.blocks, seen, strict=True)
    ]
    for _ in range(6):
        net(*patches.batch(16, 24)[0])
    for hook in hooks:
        hook.remove()
    net.blocks = nn.ModuleList(RoundedBlock(b, torch.cat(x)) for b, x in zip(net.blocks, seen, strict=True))


def learn(
    net: CoarseNet, teacher: CoarseNet, patches: Patches, steps: int, show: Callable[[int, CoarseNet], None]
) -> None:
    """Let a network learn with rounding, from a teacher and, less, from the truth; show the mean weights at times."""
    ranges = [p for name, p in net.named_parameters() if name.endswith(("low", "high", "log_scale"))]
    own = {id(p) for p in ranges}
    weights = [p for p in net.parameters() if id(p) not in own]
    rates = (3e-4, 3e-3)
    optimiser = torch.optim.Adam([{"params": weights}, {"params": ranges}], betas=(0.9, 0.99))
    average = copy.deepcopy(net)
    for step in range(steps):
        part = min(1.0, (step + 1) / 50) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * step / steps)))
        for group, rate in zip(optimiser.param_groups, rates, strict=True):
            group["lr"] = rate * part
        native = step % 5 == 0  # a fifth at the scale of use, where there is no truth
        if native:
            inputs, present = patches.native(NUMBER, SIZE)
        else:
            inputs, truth, present = patches.batch(NUMBER, SIZE)
        restored = inner(net(*inputs), BORDER)
        error = mean_error(restored, inner(teacher_mean([teacher], inputs, patches.generator), BORDER), present)
        if not native:
            error = 0.8 * error + 0.2 * mean_error(restored, inner(truth, BORDER), present)
        optimiser.zero_grad(set_to_none=True)
        error.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 0.05)
        optimiser.step()
        with torch.no_grad():
            for mean, new in zip(average.parameters(), net.parameters(), strict=True):
                mean.lerp_(new, max(0.002, 1 / (step + 1)))
        if (step + 1) % 500 == 0 or step + 1 == steps:
            show(step + 1, average)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=Path, required=True)
    parser.add_argument("--model", default="s2sr-20m-fast")
    parser.add_argument("--teacher", default="s2sr-20m")
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    scenes = load_scenes(arguments.scenes, splits=("train", "train-only"))
    judges = load_scenes(arguments.scenes, splits=("validation",))
    net, teacher = trained(arguments.model), trained(arguments.teacher)
    teacher.bf16_blocks = True
    patches = Patches(scenes, GSD, seeded(0))
    print("float32:", validate(net, GSD, judges), flush=True)
    round_blocks(net, patches)
    print("int8:", validate(net, GSD, judges), flush=True)

    def show(step: int, average: CoarseNet) -> None:
        print(f"int8, learned for {step} steps:", validate(average, GSD, judges), flush=True)

    learn(net, teacher, patches, arguments.steps, show)
    return 0


if __name__ == "__main__":
    sys.exit(main())
