"""The networks: residual CNNs that work on the coarse grid of their targets.

After Lanaras et al. 2018 (DSen2): residual blocks and an additive skip of the upsampled input. Unlike DSen2 the
10 m bands are brought to the coarse grid by a strided convolution (the same as space-to-depth and a 3 x 3
convolution) and the result leaves by depth-to-space, which costs a quarter and sees twice as far.

All upsampling is done by convolutions with fixed weights and depth-to-space: every output pixel is computed by
the same operations wherever it lies in a window, so tiled and untiled results agree bit for bit.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F


def bilinear_phases(bands: int, factor: int) -> Tensor:
    """Weights (bands * factor**2, bands, 3, 3) that make ``pixel_shuffle(conv(x))`` a bilinear upsampling."""
    taps = np.zeros((factor, 3))
    for phase in range(factor):
        offset = (phase + 0.5) / factor - 0.5  # of the fine pixel's centre, in coarse pixels
        for tap in (-1, 0, 1):
            taps[phase, tap + 1] = max(0.0, 1.0 - abs(offset - tap))
    one = np.einsum("ai,bj->abij", taps, taps).reshape(factor * factor, 3, 3)
    weight = np.zeros((bands, factor * factor, bands, 3, 3), dtype=np.float32)
    for band in range(bands):
        weight[band, :, band] = one
    return torch.from_numpy(weight.reshape(bands * factor * factor, bands, 3, 3))


class Block(nn.Module):
    """conv 3x3, ReLU, conv 3x3, plus the input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        with torch.no_grad():  # starts close to the identity: deep stacks then train without normalisation
            self.second.weight.mul_(0.1)

    def forward(self, x: Tensor) -> Tensor:
        residual: Tensor = self.second(torch.relu(self.first(x)))
        return x + residual


class CoarseNet(nn.Module):
    """Shared trunk of both networks.

    Parameters
    ----------
    targets : int
        Number of output bands.
    scale : int
        Output pixels per pixel of the grid that the trunk works on (the 20 m grid).
    width, depth : int
        Channels, and residual blocks.
    """

    #: names of the inputs; factor between the skip's input and the output grid
    inputs: tuple[str, ...]
    skip_factor: int
    skip: Tensor
    #: blocks in bfloat16, for the first and longest part of a training
    bf16_blocks = False

    def __init__(self, targets: int, scale: int, width: int, depth: int) -> None:
        super().__init__()
        self.width, self.depth, self.scale = width, depth, scale
        self.guide = nn.Conv2d(4, width, 6, stride=2, padding=2)
        self.coarse = nn.Conv2d(6, width, 3, padding=1, bias=False)
        self.blocks = nn.ModuleList(Block(width) for _ in range(depth))
        self.tail = nn.Conv2d(width, targets * scale * scale, 3, padding=1)
        with torch.no_grad():
            self.tail.weight.mul_(0.1)

    def trunk(self, x: Tensor) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.bf16_blocks):
            for block in self.blocks:
                x = block(x)
        return F.pixel_shuffle(self.tail(x.float()), self.scale)


class Net20(CoarseNet):
    """20 m bands to 10 m: b10 (N, 4, 2h, 2w) and b20 (N, 6, h, w) give (N, 6, 2h, 2w)."""

    inputs = ("b10", "b20")
    skip_factor = 2

    def __init__(self, width: int = 64, depth: int = 8) -> None:
        super().__init__(6, 2, width, depth)
        self.register_buffer("skip", bilinear_phases(6, 2))

    def forward(self, b10: Tensor, b20: Tensor) -> Tensor:
        skip = F.conv2d(F.pad(b20, (1, 1, 1, 1), mode="replicate"), self.skip)
        return self.trunk(self.guide(b10) + self.coarse(b20)) + F.pixel_shuffle(skip, 2)


class Net60(CoarseNet):
    """60 m bands to 10 m: b10 (N, 4, 6h, 6w), b20 (N, 6, 3h, 3w), b60 (N, 2, h, w) give (N, 2, 6h, 6w)."""

    lift: Tensor

    inputs = ("b10", "b20", "b60")
    skip_factor = 6

    def __init__(self, width: int = 64, depth: int = 6) -> None:
        super().__init__(2, 2, width, depth)
        self.coarsest = nn.Conv2d(2, width, 3, padding=1, bias=False)
        self.register_buffer("skip", bilinear_phases(2, 6))
        self.register_buffer("lift", bilinear_phases(2, 3))

    def forward(self, b10: Tensor, b20: Tensor, b60: Tensor) -> Tensor:
        padded = F.pad(b60, (1, 1, 1, 1), mode="replicate")
        lifted = F.pixel_shuffle(F.conv2d(padded, self.lift), 3)
        x = self.guide(b10) + self.coarse(b20) + self.coarsest(lifted)
        return self.trunk(x) + F.pixel_shuffle(F.conv2d(padded, self.skip), 6)


NETWORKS: dict[int, type[Net20] | type[Net60]] = {20: Net20, 60: Net60}
