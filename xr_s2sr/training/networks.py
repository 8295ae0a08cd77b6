"""The networks: residual CNNs that work on the coarse grid of their targets; and the paper's own, on the fine one.

After Lanaras et al. 2018 (DSen2): residual blocks and an additive skip of the upsampled input. Unlike DSen2 the
10 m bands are brought to the coarse grid by a strided convolution (the same as space-to-depth and a 3 x 3
convolution) and the result leaves by depth-to-space, which costs a quarter and sees twice as far.

All upsampling is done by convolutions with fixed weights and depth-to-space: every output pixel is computed by
the same operations wherever it lies in a window, so tiled and untiled results agree bit for bit.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from xr_s2sr import interpolation
from xr_s2sr.bands import BY_GSD, EFFECTIVE_MTF, NOMINAL_MTF
from xr_s2sr.local_regression import CELL, CoarseBand, Regression, guide_of
from xr_s2sr.models import back_projection
from xr_s2sr.psf import psf_variance
from xr_s2sr.training.data import GROUPS, SCALE

#: Bands that are far from the 10 m bands in the spectrum. What the scene itself says of them, a network cannot know.
REGRESSED_BANDS = ("B11", "B12")
#: Places of the bands with a regression among the 20 m bands.
REGRESSED_PLANES = [BY_GSD[20].index(band) for band in REGRESSED_BANDS]


def bilinear_phases(bands: int, factor: int) -> Tensor:
    """Weights (bands * factor**2, bands, 3, 3) that make ``pixel_shuffle(conv(x))`` a bilinear upsampling."""
    return torch.from_numpy(interpolation.bilinear_phases(bands, factor))


def upsample(x: Tensor, phases: Tensor, factor: int) -> Tensor:
    """Bilinear upsampling with the weights of :func:`bilinear_phases`."""
    return F.pixel_shuffle(F.conv2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), phases), factor)


@torch.no_grad()
def regressed(b10: Tensor, b20: Tensor) -> Tensor:
    """Return the regression on the 10 m bands of :data:`REGRESSED_BANDS`.

    Parameters
    ----------
    b10 : Tensor, shape (N, 4, 2 y, 2 x)
    b20 : Tensor, shape (N, 6, y, x)

    Returns
    -------
    Tensor, shape (N, 2, 2 y, 2 x)
        Planes of 0 where a band is one.
    """
    rows, cols = b10.shape[-2:]
    out = torch.zeros(len(b10), len(REGRESSED_BANDS), rows, cols)
    for fine, coarse, planes in zip(b10.cpu().numpy(), b20.cpu().numpy(), out.numpy(), strict=True):
        guides = [guide_of(_whole(x, 2), NOMINAL_MTF[band]) for x, band in zip(fine, BY_GSD[10], strict=True)]
        step = Regression(2, SCALE / 1e4, guides)
        for band, plane in zip(REGRESSED_BANDS, planes, strict=True):
            image = _whole(coarse[BY_GSD[20].index(band)], 1)
            if image.any():
                found = step.restore(CoarseBand(image, EFFECTIVE_MTF[band], psf_variance(EFFECTIVE_MTF[band])))
                plane[:] = found[:rows, :cols]
    return out.to(b10.device)


def _whole(image: NDArray[np.float32], scale: int) -> NDArray[np.float32]:
    """Mirror an image at its end to whole cells of the regression, whose pixels are `scale` times as many."""
    cell = CELL[2] * scale
    return np.ascontiguousarray(np.pad(image, [(0, -n % cell) for n in image.shape], "symmetric"))


class Network(nn.Module):
    """A network, as far as the loop and the export know it."""

    #: GSD of the bands that it restores
    gsd: int
    #: bands whose local regression is an input of the file as well
    regressed_bands: tuple[str, ...] = ()
    width: int
    depth: int
    #: blocks in bfloat16, for the first and longest part of a training
    bf16_blocks = False

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the inputs; the last one holds the bands to restore."""
        return tuple(GROUPS[self.gsd])


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


class BackProjection(nn.Module):
    """Adds what a result lacks to be its input again: fixed weights, see :mod:`xr_s2sr.models.back_projection`.

    Parameters
    ----------
    targets : int
        Number of bands.
    factor : int
        Output pixels per pixel of the input that is given back.
    """

    blurring: Tensor
    neighbourhood: Tensor
    sums: Tensor
    phases: Tensor

    def __init__(self, targets: int, factor: int) -> None:
        super().__init__()
        self.targets, self.factor = targets, factor
        fixed = {
            "blurring": back_projection.blurring(targets, factor),
            "neighbourhood": back_projection.neighbourhood(targets),
            "sums": back_projection.sums(targets),
            "phases": interpolation.bilinear_phases(targets, factor),
        }
        for name, weight in fixed.items():
            self.register_buffer(name, torch.from_numpy(weight), persistent=False)

    def blurred(self, z: Tensor) -> Tensor:
        """The result as a sensor would see it, under every blur: (N, targets * BLUR_COUNT, y, x)."""
        z = F.pad(z, (back_projection.radius(self.factor),) * 4, mode="replicate")
        return F.conv2d(z, self.blurring, stride=self.factor, groups=self.targets)

    def forward(self, z: Tensor, coarse: Tensor) -> Tensor:
        pad, bands = (back_projection.AROUND,) * 4, len(self.neighbourhood)
        residual = coarse.repeat_interleave(back_projection.BLUR_COUNT, dim=1) - self.blurred(z)
        energy = F.conv2d(F.pad(residual * residual, pad, mode="replicate"), self.neighbourhood, groups=bands)
        weight = (energy + back_projection.EPSILON) ** -2
        weighted, total = (F.conv2d(x, self.sums, groups=self.targets) for x in (residual * weight, weight))
        lacking = weighted / total
        return z + upsample(lacking, self.phases, self.factor)


class CoarseNet(Network):
    """Shared trunk of both networks of ours.

    Parameters
    ----------
    width, depth : int
        Channels, and residual blocks.
    """

    #: output pixels per pixel of the grid that the trunk works on (the 20 m grid)
    scale = 2
    skip: Tensor

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.width, self.depth = width, depth
        self.guide = nn.Conv2d(4, width, 6, stride=2, padding=2)
        self.coarse = nn.Conv2d(6, width, 3, padding=1, bias=False)
        self.blocks = nn.ModuleList(Block(width) for _ in range(depth))
        self.tail = nn.Conv2d(width, len(BY_GSD[self.gsd]) * self.scale**2, 3, padding=1)
        with torch.no_grad():
            self.tail.weight.mul_(0.1)

    def trunk(self, x: Tensor, tail: nn.Conv2d) -> Tensor:
        with torch.autocast(x.device.type, dtype=torch.bfloat16, enabled=self.bf16_blocks):
            for block in self.blocks:
                x = block(x)
        return F.pixel_shuffle(tail(x.float()), self.scale)


class Net20(CoarseNet):
    """20 m bands to 10 m: b10 (N, 4, 2h, 2w) and b20 (N, 6, h, w) give (N, 6, 2h, 2w).

    What local regression makes of B11 and B12, (N, 2, 2h, 2w), is an input and, by a share, a skip: the network learns
    what that lacks. It is worked out where it is not given.
    """

    gsd = 20
    regressed_bands = REGRESSED_BANDS

    def __init__(self, width: int = 64, depth: int = 8) -> None:
        super().__init__(width, depth)
        self.register_buffer("skip", bilinear_phases(6, 2))
        self.regressed = nn.Conv2d(2, width, 6, stride=2, padding=2, bias=False)
        self.share = nn.Conv2d(2, 6, 1, bias=False)
        # it begins as a network without, and so can go on from one
        nn.init.zeros_(self.regressed.weight)
        nn.init.zeros_(self.share.weight)

    def forward(self, b10: Tensor, b20: Tensor, found: Tensor | None = None) -> Tensor:
        plain = upsample(b20, self.skip, 2)
        detail = (regressed(b10, b20) if found is None else found) - plain[:, REGRESSED_PLANES]
        x = self.guide(b10) + self.coarse(b20) + self.regressed(detail)
        # no back-projection: it would give the noise back that the network has taken out
        restored: Tensor = self.trunk(x, self.tail) + plain + self.share(detail)
        return restored


class Net60(CoarseNet):
    """60 m bands to 10 m: b10 (N, 4, 6h, 6w), b20 (N, 6, 3h, 3w), b60 (N, 2, h, w) give (N, 2, 6h, 6w)."""

    gsd = 60
    lift: Tensor

    def __init__(self, width: int = 48, depth: int = 4) -> None:
        super().__init__(width, depth)
        self.coarsest = nn.Conv2d(2, width, 3, padding=1, bias=False)
        self.register_buffer("skip", bilinear_phases(2, 6))
        self.register_buffer("lift", bilinear_phases(2, 3))
        self.back = BackProjection(2, 6)
        # B01 and B09 lie apart from all other bands: those that play them enter and leave by layers of their own
        self.proxy_coarsest = nn.Conv2d(2, width, 3, padding=1, bias=False)
        self.proxy_tail = nn.Conv2d(width, 2 * self.scale**2, 3, padding=1)
        self.teach_proxy()

    def teach_proxy(self) -> None:
        """Give the layers of the bands that play B01 and B09 the weights of the real ones, as a start."""
        self.proxy_coarsest.load_state_dict(self.coarsest.state_dict())
        self.proxy_tail.load_state_dict(self.tail.state_dict())

    def forward(self, b10: Tensor, b20: Tensor, b60: Tensor, proxy: bool = False) -> Tensor:
        coarsest, tail = (self.proxy_coarsest, self.proxy_tail) if proxy else (self.coarsest, self.tail)
        x = self.guide(b10) + self.coarse(b20) + coarsest(upsample(b60, self.lift, 3))
        restored: Tensor = self.back(self.trunk(x, tail) + upsample(b60, self.skip, 6), b60)
        return restored


class ScaledBlock(nn.Module):
    """conv 3x3, ReLU, conv 3x3, scaled, plus the input."""

    def __init__(self, width: int, scaling: float) -> None:
        super().__init__()
        self.first = he_uniform(width, width)
        self.second = he_uniform(width, width)
        self.scaling = scaling

    def forward(self, x: Tensor) -> Tensor:
        residual: Tensor = self.second(torch.relu(self.first(x)))
        return x + residual * self.scaling


def he_uniform(bands: int, channels: int) -> nn.Conv2d:
    """A 3x3 convolution that starts as the authors' do."""
    conv = nn.Conv2d(bands, channels, 3, padding=1)
    nn.init.kaiming_uniform_(conv.weight, nonlinearity="relu")
    nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
    return conv


class DSen2(Network):
    """The network of Lanaras et al. 2018: all bands on the 10 m grid, residual blocks, additive skip.

    Parameters
    ----------
    gsd : {20, 60}
        Of the bands to restore; with 60, three inputs.
    width, depth : int
        Channels, and residual blocks: 128 and 6 for DSen2, 256 and 32 for VDSen2.

    Notes
    -----
    The inputs are brought to the 10 m grid in :meth:`forward`, so that they are those of our own networks.
    """

    #: of the residual blocks
    scaling = 0.1
    phases20: Tensor
    phases60: Tensor

    def __init__(self, gsd: int, width: int = 128, depth: int = 6) -> None:
        super().__init__()
        self.gsd, self.width, self.depth = gsd, width, depth
        bands, targets = (10, 6) if gsd == 20 else (12, 2)
        self.first = he_uniform(bands, width)
        self.blocks = nn.ModuleList(ScaledBlock(width, self.scaling) for _ in range(depth))
        self.last = he_uniform(width, targets)
        self.register_buffer("phases20", bilinear_phases(6, 2), persistent=False)
        self.register_buffer("phases60", bilinear_phases(2, 6), persistent=False)

    def forward(self, b10: Tensor, b20: Tensor, b60: Tensor | None = None, proxy: bool = False) -> Tensor:
        # the authors' network has no layers of their own for bands that play others: proxy changes nothing
        fine = [b10, upsample(b20, self.phases20, 2)]
        if b60 is not None:
            fine.append(upsample(b60, self.phases60, 6))
        x = torch.relu(self.first(torch.cat(fine, dim=1)))
        with torch.autocast(x.device.type, dtype=torch.bfloat16, enabled=self.bf16_blocks):
            for block in self.blocks:
                x = block(x)
        residual: Tensor = self.last(x.float())
        return residual + fine[-1]

    @property
    def layers(self) -> list[nn.Conv2d]:
        """Its convolutions in order."""
        inner = [conv for block in self.blocks for conv in (block.first, block.second)]
        return [self.first, *inner, self.last]  # type: ignore[list-item]


NETWORKS: dict[int, type[Net20] | type[Net60]] = {20: Net20, 60: Net60}

#: Width and depth of each architecture, by the GSD of the bands that it restores.
ARCHITECTURES: dict[str, dict[int, tuple[int, int]]] = {
    "coarse": {20: (32, 4), 60: (48, 4)},
    "dsen2": {20: (128, 6), 60: (128, 6)},
    "vdsen2": {20: (256, 32), 60: (256, 32)},
}


def build(architecture: str, gsd: int, width: int, depth: int) -> Network:
    """A network with fresh weights."""
    return NETWORKS[gsd](width, depth) if architecture == "coarse" else DSen2(gsd, width, depth)
