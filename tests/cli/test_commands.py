"""The command line, as a user types it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rioxarray
import xarray as xr
from rasterio.errors import NotGeoreferencedWarning

import xr_s2sr
from xr_s2sr import cli


def test_demo_writes_scores_and_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["demo", "-o", str(tmp_path / "out"), "--size", "240"]) == 0
    said = capsys.readouterr().out
    table = {line.split()[0]: line.split() for line in said.splitlines() if line.startswith("B")}
    assert list(table) == ["B01", "B05", "B06", "B07", "B8A", "B09", "B11", "B12"]
    assert all(float(row[4]) < float(row[3]) for row in table.values())
    assert "xr-s2sr upsample YOUR.SAFE -o sr.tif" in said.partition("next, with a scene of yours:")[2]
    with rioxarray.open_rasterio(tmp_path / "out" / "sr.tif") as tif:
        assert tif.shape == (12, 240, 240)
        assert tif.rio.crs == "EPSG:32633"
        ds, _ = xr_s2sr.tutorial.synthetic_scene(240)
        sr = ds.s2sr.upsample()
        assert tif.attrs["long_name"] == tuple(band for band in xr_s2sr.BANDS if band in sr)
        for name, image in zip(tif.attrs["long_name"], tif.values, strict=True):
            assert (image == sr[name].values).all(), name
    with pytest.warns(NotGeoreferencedWarning), rasterio.open(tmp_path / "out" / "before_after.png") as png:
        picture = png.read()
    # three rows of three crops of 60 pixels, enlarged by 3, with 8 pixels between and a line of 18 above each
    assert picture.shape == (3, 3 * (18 + 180) + 2 * 8, 3 * 180 + 2 * 8)
    for row in range(3):
        for column in range(3):
            title = picture[:, row * 206 :][:, :18, column * 188 :][:, :, :180]
            assert (title == title[0]).all()
            assert 0.02 < (title < 128).mean() < 0.4
    colours = np.ptp(picture[:, 18:198].astype(int), axis=0)
    assert (colours > 30).mean() > 0.5  # a composite
    assert (np.ptp(picture[:, -180:].astype(int), axis=0) == 0).all()  # B01 is grey


def test_errors_take_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["demo", "--size", "61"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("xr-s2sr: size is 61")
    assert said.count("\n") == 1
    with pytest.raises(xr_s2sr.S2SRError, match="multiple of 6"):
        cli.main(["--debug", "demo", "--size", "61"])


def test_version_and_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        cli.main(["--version"])
    assert capsys.readouterr().out.strip() == f"xr-s2sr {xr_s2sr.__version__}"
    assert cli.main([]) == 2
    said = capsys.readouterr().err
    for command in ("demo", "info", "upsample", "evaluate", "models", "import-keras", "train"):
        assert f"\n    {command} " in said or f"\n    {command}\n" in said, command
    with pytest.raises(SystemExit, match="2"):
        cli.main(["upsmaple"])
    assert "invalid choice: 'upsmaple'" in capsys.readouterr().err


def test_models_lists_what_is_packaged(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["models"]) == 0
    said = capsys.readouterr().out
    for name in xr_s2sr.models.packaged():
        assert xr_s2sr.models.load(name).sha256 in said
        assert name in said
    card = xr_s2sr.models.load("s2sr-60m").card
    mean = {protocol: card.scores[f"RMSE / bicubic, {protocol}"] for protocol in ("mtf", "paper", "sensor")}
    assert f"  RMSE / bicubic: {mean['mtf']} mtf, {mean['paper']} paper, {mean['sensor']} sensor\n" in said
    assert "Spearman" not in said


def test_models_with_scores_has_a_table_by_band(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["models", "--scores"]) == 0
    lines = capsys.readouterr().out.splitlines()
    b01, b09 = xr_s2sr.models.load("s2sr-60m").card.scores["Spearman, sensor"]
    header = next(i for i, line in enumerate(lines) if line.split() == ["B01", "B09"])
    assert f"Spearman, sensor {b01:.3f} {b09:.3f}".split() in [line.split() for line in lines[header:]]


@pytest.mark.skipif(os.name == "nt", reason="pipes end otherwise")
def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    command = [sys.executable, "-m", "xr_s2sr.cli", "models", "--scores"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.close()  # before anything is written
    _, said = process.communicate(timeout=120)
    assert (process.returncode, said) == (141, b"")


@pytest.mark.parametrize("suffix", ["nc", "zarr"])
def test_evaluate_scores_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str], suffix: str) -> None:
    ds, _ = xr_s2sr.tutorial.synthetic_scene(120)
    path = tmp_path / f"scene.{suffix}"
    if suffix == "nc":
        ds.to_netcdf(path)
    else:
        ds.to_zarr(path, zarr_format=2)
    line = ["evaluate", str(path), "--bands", "B05, swir16", "--protocol", "mtf", "-o", str(tmp_path / "scores.nc")]
    assert cli.main([*line, "--model", "bicubic"]) == 0
    scores = ds.s2sr.evaluate("bicubic", bands=["B05", "B11"], protocol="mtf")
    assert capsys.readouterr().out == f"{scores}\nwrote {tmp_path / 'scores.nc'}\n"
    with xr.open_dataset(tmp_path / "scores.nc") as back:
        xr.testing.assert_equal(back, scores.dataset)


def test_evaluate_demo(capsys: pytest.CaptureFixture[str]) -> None:
    line = ["evaluate", "demo", "--model", "bicubic", "--bands", "B01", "--protocol", "mtf", "--satellite", "S2A"]
    assert cli.main(line) == 0
    said = capsys.readouterr().out
    assert said.startswith('Wald\'s protocol, "mtf (S2A)"; degraded by 6 (60 m bands)')
    assert "B01 " in said


def test_evaluate_refuses_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "broken.nc").write_bytes(b"no NetCDF at all")
    for name, message in (
        ("scene.tif", "does not exist; expected a SAFE folder or .zip, a .nc, a .zarr, a GeoTIFF whose bands"),
        ("none.nc", "does not exist"),
        ("broken.nc", "cannot be read: "),
    ):
        assert cli.main(["evaluate", str(tmp_path / name)]) == 1
        said = capsys.readouterr().err
        assert said.startswith(f"xr-s2sr: {tmp_path / name} {message}")
        assert said.count("\n") == 1
    with pytest.raises(SystemExit, match="2"):
        cli.main(["evaluate", "demo", "--protocol", "none"])
    assert "invalid choice: 'none'" in capsys.readouterr().err


def test_the_synthetic_scene_is_a_scene_to_every_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["info", "demo"]) == 0
    ds, _ = xr_s2sr.tutorial.synthetic_scene()
    assert capsys.readouterr().out.endswith(f"{ds.s2sr.validate()}\n")
    out = tmp_path / "sr.tif"
    x, y = float(ds.x[0]) - 5, float(ds.y[0]) + 5
    part = f"{x + 60},{y - 360},{x + 300},{y - 120}"
    assert cli.main(["upsample", "demo", "--bands", "B05", "--bbox", part, "--model", "bicubic", "-o", str(out)]) == 0
    with rasterio.open(out) as file:
        # away from the part's edge, where bicubic interpolation of 20 m pixels sees the same
        whole = ds.s2sr.upsample("B05", model="bicubic")
        assert (file.read(1)[4:-4, 4:-4] == whole.B05.values[16:32, 10:26]).all()
        assert tuple(file.bounds) == (x + 60, y - 360, x + 300, y - 120)


def test_evaluate_a_part_of_the_synthetic_scene(capsys: pytest.CaptureFixture[str]) -> None:
    ds, _ = xr_s2sr.tutorial.synthetic_scene()
    x, y = float(ds.x[0]) - 5, float(ds.y[0]) + 5
    line = ["evaluate", "demo", "--bands", "B05", "--model", "bicubic", "--protocol", "paper"]
    assert cli.main([*line, "--bbox", f"{x},{y - 1200},{x + 1200},{y}"]) == 0
    part = ds.isel(y=slice(120), x=slice(120), y_20m=slice(60), x_20m=slice(60), y_60m=slice(20), x_60m=slice(20))
    assert capsys.readouterr().out == f"{part.s2sr.evaluate('bicubic', bands='B05', protocol='paper')}\n"
    assert cli.main([*line, "--bbox", "0,0,10,10"]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_a_folder_called_demo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "demo").mkdir()
    monkeypatch.chdir(tmp_path)
    assert cli.main(["info", "./demo"]) == 1
    assert "demo holds no GeoTIFF or JP2" in capsys.readouterr().err


def test_help_needs_no_network() -> None:
    """Each command loads what it needs when it is run."""
    code = (
        "import xr_s2sr.cli, sys; print(sorted({'numba', 'onnxruntime', 'torch', 'h5py', 'onnx'} & set(sys.modules)))"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def test_the_module_is_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "xr_s2sr.cli", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == f"xr-s2sr {xr_s2sr.__version__}"


@pytest.mark.parametrize("command", ["evaluate", "upsample"])
@pytest.mark.parametrize("box", ["1,2,3", "1,2,3,4,5", "1 2 3 4", "a,b,c,d", "", "420000", "1,2,,4"])
def test_a_malformed_box_is_wrong_usage(command: str, box: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        cli.main([command, "demo", "--bbox", box])
    message = f"argument --bbox: {box!r} is not a bounding box; expected four numbers with commas between them: MINX,"
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("command", ["evaluate", "upsample"])
@pytest.mark.parametrize(
    ("box", "message"), [("4,3,2,1", "is empty; expected minx < maxx"), ("nan,0,1,1", "bbox"), ("inf,0,1,1", "bbox")]
)
def test_a_box_that_is_no_area_is_refused(
    command: str, box: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([command, "demo", "--bbox", box]) == 1
    err = capsys.readouterr().err
    assert err.startswith("xr-s2sr: ")
    assert message in err
    assert err.count("\n") == 1
