"""Trained networks as ONNX files with a card, and back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import xr_s2sr

torch = pytest.importorskip("torch", reason="the train extra is not installed")
pytest.importorskip("onnx", reason="the train extra is not installed")

from toy_networks import NETS, paper, small  # noqa: E402

from xr_s2sr.errors import ModelError  # noqa: E402
from xr_s2sr.models import onnx_graph  # noqa: E402
from xr_s2sr.training import export, networks  # noqa: E402


@pytest.mark.parametrize("which", NETS)
def test_export_matches_torch_and_carries_its_card(which: str, tmp_path: Path) -> None:
    net, path = NETS[which](), tmp_path / "net.onnx"
    card = export.card_for(net, "toy", "1", licence="Apache-2.0")
    export.to_onnx(net, card, path, tolerance=1e-3)
    assert export.difference(net, path) < 1e-3
    assert xr_s2sr.models.load(path).card == card
    with pytest.raises(ModelError, match="differs from the network by"):
        export.to_onnx(net, card, path, tolerance=0)


@pytest.mark.parametrize("which", ["20", "60", "paper 20", "paper 60"])
def test_weights_come_back_from_the_model_file(which: str, tmp_path: Path) -> None:
    gsd = int(which[-2:])
    make = paper if "paper" in which else small
    net, path = make(gsd), tmp_path / "net.onnx"
    export.to_onnx(net, export.card_for(net, "toy", "1"), path, tolerance=1e-3)
    fresh = make(gsd, seed=1)
    export.start_from(fresh, path)
    for (name, a), b in zip(net.named_parameters(), fresh.parameters(), strict=True):
        if not name.startswith("proxy"):  # of use in training alone: not in the file
            torch.testing.assert_close(a, b, rtol=0, atol=1e-6)
    with pytest.raises(ModelError, match="do not fit the network to be trained"):
        export.start_from(networks.NETWORKS[20](16, 2), path)


def test_a_shallower_network_starts_with_evenly_spread_blocks(tmp_path: Path) -> None:
    deep, path = networks.NETWORKS[20](8, 5).eval(), tmp_path / "deep.onnx"
    export.to_onnx(deep, export.card_for(deep, "toy", "1"), path)
    shallow = networks.NETWORKS[20](8, 3)
    export.start_from(shallow, path)
    for i, block in zip((0, 2, 4), shallow.blocks, strict=True):
        torch.testing.assert_close(block.first.weight, deep.blocks[i].first.weight)
    torch.testing.assert_close(shallow.tail.weight, deep.tail.weight)
    with pytest.raises(ModelError, match="do not fit"):
        export.start_from(networks.NETWORKS[20](8, 6), path)


@pytest.mark.parametrize("gsd", [20, 60])
def test_a_model_files_network_is_read_with_its_size(gsd: int, tmp_path: Path) -> None:
    net, path = networks.NETWORKS[gsd](8, 3).eval(), tmp_path / "net.onnx"
    export.to_onnx(net, export.card_for(net, "toy", "1"), path)
    back = export.trained(path)
    assert type(back) is type(net)
    assert (back.width, back.depth) == (8, 3)
    assert export.difference(back.eval(), path) < 1e-4
    other, paper_path = paper(20), tmp_path / "paper.onnx"
    export.to_onnx(other, export.card_for(other, "toy", "1"), paper_path, tolerance=1e-3)
    with pytest.raises(ModelError, match="not one of the package's own networks"):
        export.trained(paper_path)


def test_a_file_of_version_0_2_is_read_with_all_its_blocks(tmp_path: Path) -> None:
    """It has no regression among its inputs."""
    net, path, g = small(20), tmp_path / "old.onnx", onnx_graph.Graph()
    guide, coarse, tail = map(export.weights, (net.guide, net.coarse, net.tail))
    x = g.add("Add", [g.conv("b10", guide, stride=2, padding=2), g.conv("b20", coarse)])
    for block in net.blocks:
        inner = g.add("Relu", [g.conv(x, export.weights(block.first))])
        x = g.add("Add", [x, g.conv(inner, export.weights(block.second))])
    x = g.add("DepthToSpace", [g.conv(x, tail)], blocksize=2, mode="CRD")
    g.add("Add", [x, g.bilinear("b20", 6, 2)])
    g.save(replace(export.card_for(net, "old", "1"), regressed=()), path)
    back = export.trained(path)
    assert (back.width, back.depth) == (8, 2)
    assert not back.regressed.weight.any()
    for mine, theirs in zip(net.blocks.parameters(), back.blocks.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs)


def test_packaged_weights_are_a_start() -> None:
    net = networks.NETWORKS[20](32, 4)
    export.start_from(net, "s2sr-20m")
    assert export.difference(net, xr_s2sr.models.load("s2sr-20m").path) < 1e-5


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    torch.save({"average": small(20).state_dict()}, tmp_path / "checkpoint.pt")
    export.start_from(small(20, seed=1), tmp_path / "checkpoint.pt")
    with pytest.raises(ModelError, match=r"lacks .*expected one of the same architecture and size"):
        export.start_from(networks.NETWORKS[20](16, 2), tmp_path / "checkpoint.pt")
    with pytest.raises(ModelError, match=r"lacks .*expected one of the same architecture and size"):
        export.start_from(networks.NETWORKS[20](8, 3), tmp_path / "checkpoint.pt")
