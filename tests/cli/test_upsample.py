"""``xr-s2sr upsample``: every form in, every form out, as ``upsample`` in memory would give it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import dask
import numpy as np
import pytest
import rasterio
import xarray as xr
from holders import transform
from safe_products import Product, write_product
from scenes import FINE, RED_EDGE, native

import xr_s2sr
from xr_s2sr.cli.main import in_terms_of_options, main


@pytest.fixture(scope="module", autouse=True)
def _small(small_defaults: None) -> None:
    """Small networks by default: what a command computes is what `upsample` computes."""


@pytest.fixture(scope="module")
def zarr(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The synthetic scene as a Zarr."""
    path = tmp_path_factory.mktemp("in") / "scene.zarr"
    xr_s2sr.tutorial.synthetic_scene(180)[0].to_zarr(path, zarr_format=2)
    return path


@pytest.fixture(scope="module")
def expected() -> xr.Dataset:
    return xr_s2sr.tutorial.synthetic_scene(180)[0].s2sr.upsample()


@pytest.mark.parametrize("out", ["sr.tif", "sr.zarr", "sr.nc", "each"])
def test_zarr_to_any_form(
    zarr: Path, expected: xr.Dataset, out: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["upsample", str(zarr), "-o", str(tmp_path / out), "--chunk", "96"]) == 0
    assert f"{out}: " in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == [out]
    for name in expected.data_vars:
        if out.endswith((".zarr", ".nc")):
            with xr.open_dataset(tmp_path / out, mask_and_scale=False, decode_coords="all") as back:
                found = back[name].values
                assert back.rio.crs == expected.rio.crs
        else:
            path = tmp_path / out if out == "sr.tif" else tmp_path / out / f"{name}.tif"
            with rasterio.open(path) as file:
                found = file.read(file.descriptions.index(name) + 1)
                assert file.transform.almost_equals(expected.rio.transform())
        np.testing.assert_array_equal(found, expected[name].values)


@pytest.mark.parametrize(
    ("command", "missing", "match"),
    [
        (["upsample", "demo", "-o", "sr.nc"], ("netCDF4", "h5netcdf"), r"sr\.nc needs netCDF4 or h5netcdf .*netCDF4$"),
        (["upsample", "demo", "-o", "sr.zarr"], ("zarr",), r"sr\.zarr needs zarr .*pip install zarr$"),
        (["evaluate", "demo", "-o", "scores"], ("netCDF4", "h5netcdf"), r"scores needs netCDF4 or h5netcdf "),
        (["upsample", "demo", "-o", "sr.tif"], ("dask",), r'needs dask.*: pip install "xr_s2sr\[dask\]"$'),
    ],
)
def test_missing_packages_are_named_before_pixels_are_computed(
    command: list[str],
    missing: tuple[str, ...],
    match: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def compute(*args: object, **kwargs: object) -> None:
        pytest.fail("a pixel was computed")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(dask, "compute", compute)
    monkeypatch.setattr(xr.Dataset, "to_zarr", compute)
    monkeypatch.setattr(xr.Dataset, "to_netcdf", compute)
    monkeypatch.setattr(xr_s2sr, "evaluate", compute)
    for name in missing:
        monkeypatch.setitem(sys.modules, name, None)
    assert main(command) == 1
    said = capsys.readouterr().err
    assert said.startswith("xr-s2sr: ")
    assert re.search(match, said.rstrip())
    assert not list(tmp_path.iterdir())


def test_product_bands_and_area(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = xr_s2sr.tutorial.synthetic_scene(120)[0]
    product = write_product(tmp_path, Product(scene.map(lambda v: v.where(v == 0, v + 1000).astype(v.dtype))))
    ds = xr_s2sr.open_safe(product)
    left, upper = float(ds.x[0]) - 5, float(ds.y[0]) + 5
    box = [left + 60, upper - 600, left + 600, upper - 120]
    monkeypatch.chdir(tmp_path)
    assert main(["upsample", str(product), "--bands", "B05,swir16", "--bbox", ",".join(map(str, box))]) == 0
    [out] = tmp_path.glob("*_10m.tif")
    with rasterio.open(out) as file:
        assert set(file.descriptions) == {"B05", "B11"}
        assert tuple(file.bounds) == (box[0], box[1], box[2], box[3])
        found = file.read(file.descriptions.index("B11") + 1)
    whole = xr_s2sr.open_safe(product, bbox=box).load().s2sr.upsample(["B05", "B11"])
    np.testing.assert_array_equal(found, whole.B11.values)


def test_refusals_are_one_line(zarr: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, message in (
        ([str(tmp_path / "none.zarr")], "does not exist"),
        ([str(zarr), "--bands", "B13"], "'B13' is not a Sentinel-2 band"),
        ([str(zarr), "-o", str(tmp_path / "no" / "sr.tif")], "make it: mkdir -p"),
        ([str(zarr), "-o", str(zarr)], "is the input"),
        ([str(zarr), "--units", "percent", "-o", str(tmp_path / "sr.tif")], ": --units dn\n"),
    ):
        assert main(["upsample", *arguments]) == 1
        err = capsys.readouterr().err
        assert message in err
        assert err.startswith("xr-s2sr: ")
        assert err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_several_dates_go_to_zarr(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    native((60, 60), lead={"time": [0, 1]}).to_netcdf(tmp_path / "in.nc")
    for out in ("sr.tif", "sr"):
        assert main(["upsample", str(tmp_path / "in.nc"), "-o", str(tmp_path / out)]) == 1
        said = capsys.readouterr().err
        assert "has the dimensions time before rows and columns, which a GeoTIFF has not" in said
        option = said.split("holds them: ")[1].split(",")[0].split()
        assert option == ["-o", str(tmp_path / "sr.zarr")]
    assert main(["upsample", str(tmp_path / "in.nc"), *option]) == 0
    with xr.open_zarr(tmp_path / "sr.zarr") as back:
        assert back.B11.sizes["time"] == 2
    assert main(["upsample", str(tmp_path / "in.nc"), "-o", str(tmp_path / "SR.NC")]) == 0  # in any case of letters
    with xr.open_dataset(tmp_path / "SR.NC") as back:
        assert back.B11.sizes["time"] == 2


def test_one_of_several_dates(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    days = np.array(["2021-06-01T10:00:31", "2021-06-11T10:00:31"], "M8[ns]")
    ds = native((60, 60), lead={"time": days}).assign_coords(note=("time", [1, 2]))
    ds.to_netcdf(tmp_path / "in.nc")
    line = ["upsample", str(tmp_path / "in.nc"), "-o", str(tmp_path / "sr.tif"), "--model", "bicubic"]
    assert main(line) == 1
    assert "Or choose one date: --time 2021-06-01\n" in capsys.readouterr().err
    for wrong, found in (("2021-06", 2), ("2023", 0)):
        assert main([*line, "--time", wrong]) == 1
        said = capsys.readouterr().err
        assert f"holds {found} dates that begin with {wrong}; expected one of 2021-06-01T10:00:31, 2021-06-11T1" in said
    assert main([*line, "--time", "2021-06-11T10:00:31Z", "--stac"]) == 0
    expected = ds.isel(time=1).s2sr.upsample(model="bicubic")
    with rasterio.open(tmp_path / "sr.tif") as file:
        np.testing.assert_array_equal(file.read(), expected.to_array())
    assert '"datetime": "2021-06-11T10:00:31Z"' in (tmp_path / "sr.json").read_text()
    assert main(["info", str(tmp_path / "in.nc"), "--time", "2021-06-01"]) == 0
    assert "time: 2021-06-01T10:00:31Z" in capsys.readouterr().out
    native((60, 60)).to_netcdf(tmp_path / "one.nc")
    assert main(["info", str(tmp_path / "one.nc"), "--time", "2021"]) == 1
    assert "one.nc says of no date when it was; leave --time out" in capsys.readouterr().err


@pytest.mark.parametrize("dtype", ["int16", "float32"])
def test_a_value_that_means_no_data(dtype: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ds = native((60, 60), dtype=dtype)
    ds.B05.values[4, 5] = ds.B02.values[20, 30] = -9999
    ds.to_netcdf(tmp_path / "in.nc")
    line = ["upsample", str(tmp_path / "in.nc"), "-o", str(tmp_path / "sr.zarr"), "--model", "bicubic", "--units", "DN"]
    assert main([*line, "--nodata", "-9999"]) == 0
    with xr.open_zarr(tmp_path / "sr.zarr") as back:
        gone = np.argwhere(np.isnan(back.B05.values)).tolist()
    assert gone == [[8, 10], [8, 11], [9, 10], [9, 11]]  # interpolation reads no guide
    if dtype == "int16":
        assert main([*line, "--nodata", "0.5"]) == 1
        assert "--nodata 0.5 is no value of 'B02', which is int16; expected one of it" in capsys.readouterr().err


def test_warnings_are_one_line_in_terms_of_options(tmp_path: Path) -> None:
    """As a shell shows them, without the place in the program."""
    ds = native((60, 60))
    ds.assign(SCL=(("y_20m", "x_20m"), np.ones((30, 30), "uint8"))).to_netcdf(tmp_path / "in.nc")
    line = [str(tmp_path / "in.nc"), "-o", str(tmp_path / "sr.tif"), "--model", "bicubic"]
    run = subprocess.run([sys.executable, "-m", "xr_s2sr.cli", "upsample", *line], capture_output=True, text=True)
    assert run.returncode == 0
    ours = [row for row in run.stderr.splitlines() if "left out" in row]
    assert ours == [
        "xr-s2sr: warning: left out, as they are not bands and not on the 10 m grid: SCL. Bring them along by nearest "
        "neighbour with --keep all, or drop them first"
    ]
    assert "S2SRWarning" not in run.stderr


@pytest.mark.parametrize(
    ("python", "shell"),
    [
        ('upsample(units="dn", offset=-1000)', "--units dn --offset -1000"),
        ("upsample(adapt=False), or", "--no-adapt, or"),
        ("(and 3 more: see ds.s2sr.validate())", "(and 3 more: see xr-s2sr info)"),
        ("upsample(tile=360)", "upsample(tile=360)"),  # no option
        ('upsample(offset=xr.DataArray([...], dims="time"))', 'upsample(offset=xr.DataArray([...], dims="time"))'),
    ],
)
def test_the_terms_of_options(python: str, shell: str) -> None:
    assert in_terms_of_options(python) == shell


@pytest.mark.filterwarnings("ignore:left out, as:xr_s2sr.S2SRWarning")
def test_a_netcdf_that_begins_with_what_has_no_rows(tmp_path: Path) -> None:
    """As SNAP and GDAL write them: a scalar for metadata, one for the CRS, then bands."""
    ds = native((60, 60))
    first = {"metadata": ((), np.int8(0)), "crs": ((), np.int32(0), {"crs_wkt": ds.rio.crs.to_wkt()}), "t": ("t", [1])}
    odd = xr.Dataset(first).assign(ds.data_vars).assign_coords(ds.coords)
    odd.to_netcdf(tmp_path / "in.nc")
    assert main(["upsample", str(tmp_path / "in.nc"), "-o", str(tmp_path / "sr.tif"), "--model", "bicubic"]) == 0
    with rasterio.open(tmp_path / "sr.tif") as file:
        expected = ds.s2sr.upsample(model="bicubic")
        assert file.descriptions == tuple(expected)
        np.testing.assert_array_equal(file.read(), expected.to_array())


@pytest.mark.skipif(sys.platform == "win32", reason="no shell")
def test_two_corrections_of_one_scene(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """MAJA's FRE and SRE: the line copies one of them; -10000, which no tag declares, is nodata."""
    ds = native((60, 60), bands=[*FINE, *RED_EDGE]).astype("int16")
    ds.B02.values[3:5, 6:9], ds.B05.values[2, 2] = -10000, -10000
    for name, band in ds.data_vars.items():
        for kind in ("FRE", "SRE"):
            path = (
                tmp_path
                / "maja"
                / f"SENTINEL2A_20240601-103030-123_L2A_T32TQM_{kind}_{str(name).replace('B0', 'B')}.tif"
            )
            path.parent.mkdir(exist_ok=True)
            with rasterio.open(path, "w", "GTiff", **place(band), dtype="int16", count=1, crs=ds.rio.crs) as file:
                file.write(band.values if kind == "FRE" else band.values // 2, 1)
    line = ["upsample", str(tmp_path / "maja"), "-o", str(tmp_path / "sr.tif"), "--model", "bicubic"]
    assert main(line) == 1
    said = capsys.readouterr().err
    assert "with and without the correction of slopes" in said
    subprocess.run(said.split("a folder: ")[1], shell=True, check=True, cwd=tmp_path / "maja")
    line[1] += "/FRE"
    assert main(line) == 0
    declared = ds.assign({name: band.assign_attrs(_FillValue=-10000) for name, band in ds.data_vars.items()})
    expected = declared.s2sr.upsample(model="bicubic")
    with rasterio.open(tmp_path / "sr.tif") as file:
        assert file.nodata == -10000
        for name, band in zip(file.descriptions, file.read(), strict=True):
            np.testing.assert_array_equal(band, expected[name])


def place(band: xr.DataArray) -> dict[str, Any]:
    """Size and transform of a band, for rasterio."""
    return {"height": band.shape[0], "width": band.shape[1], "transform": transform(band)}


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scene that takes a while."""
    path = tmp_path_factory.mktemp("large") / "scene.zarr"
    native((1200, 1200)).to_zarr(path, zarr_format=2)
    return path


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT for a child there")
@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
def test_interrupted_it_leaves_nothing(name: str, code: int, large: Path, tmp_path: Path) -> None:
    """Ctrl-C, kill, or a terminal that closes: the exit code of shells, and neither a result nor a leftover."""
    # a job in the background of a shell ignores SIGINT, and so do its children
    listen = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    text = f"{listen}; import sys; from xr_s2sr.cli import main; sys.exit(main())"
    arguments = ["upsample", str(large), "-o", str(tmp_path / "sr.tif"), "--threads", "1", "--chunk", "300"]
    run = subprocess.Popen([sys.executable, "-c", text, *arguments], env={**os.environ}, stderr=subprocess.PIPE)
    started = time.monotonic()
    while not any(tmp_path.iterdir()) and run.poll() is None and time.monotonic() - started < 120:
        time.sleep(0.05)
    assert run.poll() is None
    run.send_signal(getattr(signal, name))
    _, err = run.communicate(timeout=120)
    assert run.returncode == code, err
    assert not list(tmp_path.iterdir())
