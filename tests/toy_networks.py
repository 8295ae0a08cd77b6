"""Small networks with random weights. Skips the importing module where torch is absent."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="the train extra is not installed")

from xr_s2sr.training import networks  # noqa: E402


def small(gsd: int, seed: int = 0) -> networks.CoarseNet:
    torch.manual_seed(seed)
    net = networks.NETWORKS[gsd](8, 2)
    with torch.no_grad():  # as loud as a trained one, so that far influences are not lost in rounding
        for p in net.parameters():
            p.normal_(0, 0.2)
    return net


def paper(gsd: int, seed: int = 0) -> networks.DSen2:
    torch.manual_seed(seed)
    net = networks.DSen2(gsd, 8, 2)
    with torch.no_grad():
        for p in net.parameters():
            p.normal_(0, 0.2)
    return net


NETS = {
    "coarse 20": lambda: small(20),
    "coarse 60": lambda: small(60),
    "dsen2 20": lambda: paper(20),
    "dsen2 60": lambda: paper(60),
}
