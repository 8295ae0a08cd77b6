"""The networks: sizes, names of the weights, receptive fields."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the train extra is not installed")
pytest.importorskip("onnx", reason="the train extra is not installed")

from toy_networks import NETS, paper  # noqa: E402

from xr_s2sr.training import export, loop, networks  # noqa: E402


@pytest.mark.parametrize("factor", [2, 3, 6])
def test_fixed_phases_are_a_bilinear_upsampling(factor: int) -> None:
    x = torch.rand(1, 2, 5, 7)
    padded = torch.nn.functional.pad(x, (1, 1, 1, 1), mode="replicate")
    got = torch.nn.functional.pixel_shuffle(
        torch.nn.functional.conv2d(padded, networks.bilinear_phases(2, factor)), factor
    )
    want = torch.nn.functional.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)
    torch.testing.assert_close(got, want)


def test_a_checkpoint_of_the_first_trainings_still_fits() -> None:
    """The names under which weights were saved since the beginning."""
    ends = ["guide.weight", "guide.bias", "coarse.weight", "tail.weight", "tail.bias"]
    block = [f"blocks.0.{part}.{kind}" for part in ("first", "second") for kind in ("weight", "bias")]
    assert set(networks.Net20(8, 1).state_dict()) == {*ends, *block, "skip", "regressed.weight", "share.weight"}
    assert set(networks.Net60(8, 1).state_dict()) - {
        "proxy_coarsest.weight",
        "proxy_tail.weight",
        "proxy_tail.bias",
    } == {*ends, *block, "skip", "coarsest.weight", "lift"}


@pytest.mark.parametrize(
    ("architecture", "gsd", "parameters"),
    [  # 9 * in * out + out of each 3x3 convolution: the first, two a block, the last
        ("dsen2", 20, 9 * 128 * (10 + 12 * 128 + 6) + 13 * 128 + 6),
        ("dsen2", 60, 9 * 128 * (12 + 12 * 128 + 2) + 13 * 128 + 2),
        ("vdsen2", 20, 9 * 256 * (10 + 64 * 256 + 6) + 65 * 256 + 6),
        ("vdsen2", 60, 9 * 256 * (12 + 64 * 256 + 2) + 65 * 256 + 2),
    ],
)
def test_the_papers_networks_have_the_papers_size(architecture: str, gsd: int, parameters: int) -> None:
    recipe = loop.Recipe.default(gsd, architecture)
    with torch.device("meta"):
        net = networks.DSen2(recipe.gsd, recipe.width, recipe.depth)
    assert sum(p.numel() for p in net.parameters()) == parameters
    assert round(parameters / 1e6, 1) == {"dsen2": 1.8, "vdsen2": 37.8}[architecture]  # section 3.3 of the paper
    assert (
        export.halo(net)
        == {("dsen2", 20): 16, ("dsen2", 60): 18, ("vdsen2", 20): 68, ("vdsen2", 60): 72}[architecture, gsd]
    )


@pytest.mark.parametrize(("gsd", "names"), [(20, ("b10", "b20")), (60, ("b10", "b20", "b60"))])
def test_the_papers_network_is_that_of_the_paper(gsd: int, names: tuple[str, ...]) -> None:
    """Against plain numpy: concatenation, scaled residual blocks, additive skip."""
    keras_files = pytest.importorskip("keras_files", reason="the import extra is not installed", exc_type=ImportError)
    net = paper(gsd)
    rng = np.random.default_rng(0)
    shapes = {"b10": (4, 12, 12), "b20": (6, 6, 6), "b60": (2, 2, 2)}
    inputs = {name: rng.random(shapes[name], np.float32) for name in names}
    layers = [
        ("", conv.weight.detach().numpy().transpose(2, 3, 1, 0), conv.bias.detach().numpy()) for conv in net.layers
    ]
    with torch.no_grad():
        got = net(*(torch.from_numpy(array)[None] for array in inputs.values()))[0].numpy()
    np.testing.assert_allclose(got, keras_files.dsen2(inputs, layers), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("which", NETS)
def test_halo_is_the_receptive_field(which: str) -> None:
    """A changed 60 m cell of input moves the output up to the halo around it, and nothing beyond."""
    net = NETS[which]()
    halo, cells = export.halo(net), 19
    rng = np.random.default_rng(0)
    sizes = {"b10": (4, 6), "b20": (6, 3), "b60": (2, 1)}
    given = [sizes[name] for name in net.inputs] + [(len(net.regressed_bands), 6)] * bool(net.regressed_bands)
    base = [torch.from_numpy(rng.random((1, c, k * cells, k * cells), np.float32)) for c, k in given]
    with torch.no_grad():
        before = net(*base)[0]
        reached = torch.zeros(before.shape[1:], dtype=torch.bool)
        for i, (_, k) in enumerate(given):
            changed = [x.clone() for x in base]
            changed[i][..., 9 * k : 10 * k, 9 * k : 10 * k] += 10
            reached |= (net(*changed)[0] != before).any(dim=0)
    rows = torch.where(reached.any(dim=1))[0]
    # the cell spans pixels 54..59; windows start on whole cells, so distances count from its edges
    assert 54 - int(rows.min()) <= halo
    assert int(rows.max()) - 59 <= halo
    assert 54 - int(rows.min()) > halo - 6


def test_bands_that_play_others_leave_the_layers_of_b01_and_b09_alone() -> None:
    net = networks.NETWORKS[60](8, 1)
    inputs = torch.rand(1, 4, 12, 12), torch.rand(1, 6, 6, 6), torch.rand(1, 2, 2, 2)
    torch.testing.assert_close(net(*inputs, True), net(*inputs))  # they start as the real ones' twins
    net(*inputs, True).square().mean().backward()
    assert net.tail.weight.grad is None
    assert net.coarsest.weight.grad is None
    assert net.proxy_tail.weight.grad is not None
    assert net.guide.weight.grad is not None
