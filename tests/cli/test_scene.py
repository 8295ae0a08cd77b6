"""The scene that a command opens: products, and parts of them."""

from __future__ import annotations

from pathlib import Path

import pytest
import xarray as xr
from safe_products import Product, corner, write_product, zipped

import xr_s2sr
from xr_s2sr import cli
from xr_s2sr.errors import InputError


def test_info_of_a_product(tmp_path: Path, scene: xr.Dataset, capsys: pytest.CaptureFixture[str]) -> None:
    root = write_product(tmp_path, Product(scene))
    assert cli.main(["info", str(zipped(root, tmp_path / "scene.zip"))]) == 0
    said = capsys.readouterr().out
    facts = dict(line.split(": ", 1) for line in said.splitlines() if ": " in line)
    assert facts["product"] == root.stem
    assert (facts["platform"], facts["processing baseline"], facts["tile"]) == ("Sentinel-2B", "05.09", "T33UVR")
    assert facts["time"] == "2023-08-23T09:55:59Z"
    assert "SCL (y_20m, x_20m)" in facts["besides bands"]
    assert str(xr_s2sr.open_safe(root).s2sr.validate()) in said


def test_info_refuses_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["info", str(tmp_path / "none.zip")]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"xr-s2sr: {tmp_path / 'none.zip'} does not exist")
    assert said.count("\n") == 1
    with pytest.raises(InputError, match="does not exist"):
        cli.main(["--debug", "info", str(tmp_path / "none.zip")])


def test_evaluate_a_part_of_a_product(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scene = xr_s2sr.tutorial.synthetic_scene(180)[0]
    root = write_product(tmp_path, Product(scene, level="L1C", offsets={}))
    left, top = corner(scene)
    bounds = left, top - 1200, left + 1200, top
    line = ["evaluate", str(root), "--bbox", ",".join(map(str, bounds)), "--model", "bicubic", "--bands", "B05"]
    assert cli.main(line) == 0
    part = scene.isel(y=slice(120), x=slice(120), y_20m=slice(60), x_20m=slice(60), y_60m=slice(20), x_60m=slice(20))
    assert capsys.readouterr().out == f"{part.s2sr.evaluate('bicubic', bands='B05')}\n"
    with pytest.raises(SystemExit, match="2"):
        cli.main([*line, "--bbox", "here"])
    assert "'here' is not a bounding box" in capsys.readouterr().err
