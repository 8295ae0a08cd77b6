"""What is never lost when something is written: inputs, files of another kind, and what lies outside."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import xarray as xr
from safe_products import Product, write_product, zipped
from scenes import FINE, native
from xarray.testing import assert_equal

import xr_s2sr
from xr_s2sr import cli, targets
from xr_s2sr.errors import InputError, S2SRError, WriteError
from xr_s2sr.io.write import save, to_cog
from xr_s2sr.plot import before_after

pytest.importorskip("zarr")
pytest.importorskip("netCDF4")
pytestmark = pytest.mark.filterwarnings("ignore:Consolidated metadata:UserWarning")


@pytest.fixture
def sr() -> xr.Dataset:
    """Variables of a result."""
    ds = native((60, 60), bands=FINE)
    return ds.assign(B05=ds.B04 + 2, B11=ds.B03 + 1)[["B02", "B05", "B11"]]


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, by its name; links by what they lead to."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def write_tif(path: Path, band: xr.DataArray) -> None:
    band.rio.set_spatial_dims(*band.dims[::-1]).rio.write_nodata(0).rio.to_raster(path)


# -- inputs -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """One scene in every form, and other names for it."""
    scene = xr_s2sr.tutorial.synthetic_scene(60)[0]
    scene.to_netcdf(tmp_path / "scene.nc")
    scene.to_zarr(tmp_path / "scene.zarr", zarr_format=2)
    scene[["B05"]].to_netcdf(tmp_path / "part.nc")
    product = write_product(tmp_path / "products", Product(scene)).rename(tmp_path / "A.SAFE")
    zipped(product, tmp_path / "A.zip")
    (tmp_path / "link.nc").symlink_to("scene.nc")
    (tmp_path / "more.nc").symlink_to("link.nc")
    os.link(tmp_path / "scene.nc", tmp_path / "twin.nc")
    (tmp_path / "here").symlink_to(".")
    (tmp_path / "A_link").symlink_to("A.SAFE")
    (tmp_path / "A.nc").symlink_to("A.SAFE/MTD_MSIL2A.xml")
    # a store whose one array lies elsewhere
    shutil.move(tmp_path / "scene.zarr" / "B05", tmp_path / "B05.zarr")
    (tmp_path / "scene.zarr" / "B05").symlink_to(tmp_path / "B05.zarr")
    return tmp_path


@pytest.mark.parametrize(
    ("scene", "out", "match"),
    [
        ("scene.nc", "scene.nc", "scene.nc is the input"),
        ("scene.nc", "here/scene.nc", "scene.nc is the input .*scene.nc"),
        ("scene.nc", "link.nc", "link.nc is the input .*scene.nc"),
        ("more.nc", "scene.nc", "scene.nc is the input .*more.nc"),
        ("scene.nc", "twin.nc", "twin.nc is the input .*scene.nc"),
        ("scene.zarr", "scene.zarr/scores.nc", "lies in the input"),
        ("scene.zarr", "here/scene.zarr/B02/scores.nc", "lies in the input"),
        ("A.SAFE", "A.SAFE/scores.nc", "lies in the input"),
        ("A_link", "A.SAFE/scores.nc", "lies in the input"),
        ("A.SAFE/MTD_MSIL2A.xml", "A.SAFE/GRANULE/scores.nc", "lies in the input"),
        ("A.SAFE/MTD_MSIL2A.xml", "A.SAFE/MTD_MSIL2A.xml", r"does not end in \.nc"),
        ("A.SAFE", "A.nc", r"does not end in \.nc"),
        ("A.zip", "A.zip", r"does not end in \.nc"),
        ("A.zip/A.SAFE", "A.zip", r"does not end in \.nc"),
    ],
)
def test_evaluate_keeps_its_input(
    disk: Path, scene: str, out: str, match: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    before = contents(disk)
    command = ["evaluate", str(disk / scene), "--model", "bicubic", "--bands", "B05", "-o", str(disk / out)]
    monkeypatch.setattr(xr_s2sr, "evaluate", lambda *args, **kwargs: pytest.fail("a pixel was computed"))
    assert cli.main(command) == 1
    assert re.search(match, capfd.readouterr().err)
    assert contents(disk) == before


@pytest.mark.parametrize(
    ("scene", "out", "match"),
    [
        ("scene.nc", "scene.nc", "is the input"),
        ("scene.nc", "more.nc", "is the input"),
        ("scene.zarr", "scene.zarr", "is the input"),
        ("scene.zarr", "B05.zarr", "is the input|is a folder but not a Zarr store"),
        ("scene.zarr", "here", "holds the input"),
        ("A.SAFE/MTD_MSIL2A.xml", "A.SAFE", "is the input|holds the input"),
        ("A.SAFE/MTD_MSIL2A.xml", "A.SAFE/GRANULE/sr.tif", "lies in the input"),
        ("A.zip/A.SAFE", "A.zip", "is the input|holds the input"),
    ],
)
def test_upsample_keeps_its_input(
    disk: Path, scene: str, out: str, match: str, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("dask")
    before = contents(disk)
    assert cli.main(["upsample", str(disk / scene), "--model", "bicubic", "-o", str(disk / out)]) == 1
    assert re.search(match, capfd.readouterr().err)
    assert contents(disk) == before


@pytest.mark.parametrize("bands", ["B05", "B11"])
def test_a_folder_of_links_to_where_the_output_goes(
    bands: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """B05.tif is a link to another name; writing B11 would replace the file that is read as B05."""
    pytest.importorskip("dask")
    scene = xr_s2sr.tutorial.synthetic_scene(60)[0]
    (tmp_path / "orig").mkdir()
    (tmp_path / "links").mkdir()
    for band in (*FINE, "B05", "B8A"):
        name = {"B05": "B11", "B8A": "B05"}.get(band, band)
        write_tif(tmp_path / "orig" / f"{name}.tif", scene[band])
        (tmp_path / "links" / f"{band}.tif").symlink_to(tmp_path / "orig" / f"{name}.tif")
    before = contents(tmp_path)
    line = ["upsample", str(tmp_path / "links"), "--model", "bicubic", "--bands", "B05,B8A"]
    assert cli.main([*line, "-o", str(tmp_path / "orig")]) == 1
    assert re.search("orig/B05.tif is the input .*links/B8A.tif; name another output", capfd.readouterr().err)
    assert contents(tmp_path) == before
    assert cli.main([*line, "-o", str(tmp_path / "sr")]) == 0  # elsewhere it goes
    assert sorted(path.name for path in (tmp_path / "sr").iterdir()) == ["B05.tif", "B8A.tif"]


@pytest.mark.parametrize("lazy", [False, True])
def test_in_python_too(lazy: bool, tmp_path: Path) -> None:
    """What xarray or rioxarray remember of where a band was read."""
    import rioxarray

    ds = xr_s2sr.tutorial.synthetic_scene(60)[0]
    (tmp_path / "a").mkdir()
    bands = {}
    for band in (*FINE, "B05"):
        write_tif(tmp_path / "a" / f"{band}.tif", ds[band])
        image = rioxarray.open_rasterio(tmp_path / "a" / f"{band}.tif").isel(band=0, drop=True)
        bands[band] = image.rename(dict(zip(image.dims, ds[band].dims, strict=True)))
    held = xr.Dataset({name: image.variable for name, image in bands.items()}, ds.coords)
    held = held.chunk() if lazy else held
    before = contents(tmp_path)
    for wanted in (None, ["B05"]):
        sr = held.s2sr.upsample(wanted, model="bicubic")
        with pytest.raises(InputError, match=r"a/B0\d.tif is the input; name another output"):
            sr.s2sr.to_cog(tmp_path / "a")
    sr.s2sr.to_cog(tmp_path / "b")
    assert {name: text for name, text in contents(tmp_path).items() if name.startswith("a")} == before


# -- files of another kind --------------------------------------------------------------------------------------------


def test_a_model_is_not_written_over_another_file(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("h5py")
    pytest.importorskip("onnx")
    weights = shutil.copy(Path(__file__).parents[1] / "fixtures" / "dsen2_keras.h5", tmp_path / "net.h5")
    for name in ("scene.tif", "thesis", "net.onnx"):
        (tmp_path / name).write_text("years")
    before = contents(tmp_path)
    for out, match in (
        (["-o", str(tmp_path / "scene.tif")], r"does not end in \.onnx, so it is not replaced; .* such as scene.onnx"),
        (["-o", str(tmp_path / "thesis")], r"thesis is there already and does not end in \.onnx"),
        (["-o", str(tmp_path / "net.h5")], "is the file to import"),
        ([], r"net.onnx is there already; .* To replace it, name it: keras\(.*, or -o .*net.onnx"),
    ):
        assert cli.main(["import-keras", str(weights), *out]) == 1
        assert re.search(match, capfd.readouterr().err)
        assert contents(tmp_path) == before
    assert cli.main(["import-keras", str(weights), "-o", str(tmp_path / "net.onnx")]) == 0  # the line that is offered
    assert xr_s2sr.models.load(tmp_path / "net.onnx").card.targets[0] == "B05"


@pytest.mark.parametrize("name", ["sr.tif", "before_after.png"])
def test_the_demo_keeps_the_files_of_a_folder(name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / name).write_text("years")
    assert cli.main(["demo", "-o", str(tmp_path), "--size", "60"]) == 1
    assert re.search(
        f"{name} is there already, so it is not replaced; give a folder without it", capfd.readouterr().err
    )
    assert contents(tmp_path) == {name: b"years"}


@pytest.mark.parametrize("name", ["notes.txt", "scene.tif", "a"])
def test_a_picture_replaces_pictures_only(name: str, tmp_path: Path) -> None:
    rows = [(np.ones((6, 6)), np.ones((12, 12)), 2)]
    (tmp_path / name).write_text("years")
    with pytest.raises(InputError, match=r"does not end in \.png, so it is not replaced; give another name, such as"):
        before_after(rows, tmp_path / name)
    assert (tmp_path / name).read_text() == "years"
    before_after(rows, tmp_path / "a.PNG")
    before_after(rows, tmp_path / "a.PNG")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([name, "a.PNG"])


@pytest.mark.skipif(sys.platform == "win32", reason="no FIFOs")
@pytest.mark.parametrize("name", ["sr.tif", "sr.nc", "sr.zarr", "sr"])
def test_a_device_is_not_replaced(name: str, sr: xr.Dataset, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(InputError, match=f"{name} is a device or the like, expected a f"):
        save(sr, tmp_path / name)
    assert (tmp_path / name).is_fifo()


@pytest.mark.parametrize("foreign", ["notes.txt", "B02/notes.txt", "B02/0.0.bak", "thesis/chapter.docx", ".git/HEAD"])
@pytest.mark.parametrize("form", [2, 3])
def test_a_store_that_holds_what_is_no_zarr_is_kept(foreign: str, form: int, sr: xr.Dataset, tmp_path: Path) -> None:
    out = tmp_path / "sr.zarr"
    sr.chunk(x=30, y=30).to_zarr(out, zarr_format=form)
    (out / foreign).parent.mkdir(exist_ok=True)
    (out / foreign).write_text("years")
    before = contents(tmp_path)
    with pytest.raises(InputError, match=f"also holds {foreign}, which is no part of a Zarr store, so it is not repl"):
        save(sr, out)
    assert contents(tmp_path) == before
    (out / foreign).unlink()
    save(sr[["B02"]], out)
    with xr.open_zarr(out) as back:
        assert_equal(back.drop_vars("spatial_ref", errors="ignore").B02.load(), sr.B02.drop_vars("spatial_ref"))


def test_a_store_that_is_replaced_while_it_is_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left of the old one, while another writer removes it, says nothing of the new one."""
    target, old, iterdir = tmp_path / "a.zarr", tmp_path / "old", Path.iterdir
    target.mkdir()
    (target / ".zattrs").write_text("{}")

    def swapped(self: Path) -> Any:
        listed = list(iterdir(self))
        if not old.exists():
            target.rename(old)
            target.mkdir()
            (target / "zarr.json").write_text("{}")
        return iter(listed)

    monkeypatch.setattr(Path, "iterdir", swapped)
    assert targets.check_target(target, "zarr") == target


@pytest.mark.parametrize("text", ["{}", "[1]", "not JSON", '{"type": "Feature"}', "3"])
@pytest.mark.parametrize("form", ["sr.tif", "sr"])
def test_a_json_that_is_no_item_is_kept(text: str, form: str, sr: xr.Dataset, tmp_path: Path) -> None:
    pytest.importorskip("pystac")
    path = tmp_path / ("sr.json" if form == "sr.tif" else "sr/sr.json")
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    with pytest.raises(InputError, match=r"sr.json is there already and is no STAC item.*: mv sr.json sr_other.json"):
        sr.s2sr.to_cog(tmp_path / form, stac="2024-06-01")
    assert contents(tmp_path) == {str(path.relative_to(tmp_path)): text.encode()}
    path.rename(path.with_name("sr_other.json"))  # as the message says
    sr.s2sr.to_cog(tmp_path / form, stac="2024-06-01")
    sr.s2sr.to_cog(tmp_path / form, stac="2025-06-01")  # an item is replaced
    assert json.loads(path.read_text())["properties"]["datetime"].startswith("2025")


# -- several files: all or none ---------------------------------------------------------------------------------------


def test_a_folder_in_the_place_of_a_file_is_seen_before_anything_is_computed(sr: xr.Dataset, tmp_path: Path) -> None:
    dask = pytest.importorskip("dask")
    pytest.importorskip("dask.array")
    (tmp_path / "sr" / "B11.tif").mkdir(parents=True)
    (tmp_path / "sr" / "B02.tif").write_text("old")
    never = dask.array.from_delayed(dask.delayed(pytest.fail)("computed"), (60, 60), "uint16")
    lazy = sr.assign(B05=(("y", "x"), never))
    with pytest.raises(InputError, match=r"sr/B11.tif is a folder, expected a file or nothing in its place"):
        to_cog(lazy, tmp_path / "sr")
    assert contents(tmp_path) == {"sr/B02.tif": b"old"}


@pytest.mark.parametrize("hard_links", [True, False])
@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
@pytest.mark.parametrize("there", [(), ("B02", "B11"), ("B02", "B05", "B11", "sr.json")])
def test_where_one_file_cannot_be_put_in_place_all_stay(
    hard_links: bool,
    error: type[BaseException],
    there: tuple[str, ...],
    sr: xr.Dataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = tmp_path / "sr"
    for name in there:
        out.mkdir(exist_ok=True)
        (out / (name if "." in name else f"{name}.tif")).write_text("old")
    before, replace = contents(tmp_path), Path.replace

    def fail(self: Path, target: Path) -> Path:
        if target.name == "B11.tif" and self.name == "B11.tif":
            raise error("no more")
        return replace(self, target)

    def no_links(*args: object, **kwargs: object) -> None:
        raise PermissionError("no hard links here")

    monkeypatch.setattr(Path, "replace", fail)
    if not hard_links:
        monkeypatch.setattr(os, "link", no_links)
    if error is OSError:
        with pytest.raises(WriteError, match="sr could not be written, what was there is kept: no more"):
            to_cog(sr, out)
    else:
        with pytest.raises(KeyboardInterrupt, match="no more"):
            to_cog(sr, out)
    assert contents(tmp_path) == before
    assert [path.name for path in tmp_path.iterdir()] == (["sr"] if there else [])


def test_an_interrupt_as_the_folder_for_the_parts_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mkdir = Path.mkdir

    def interrupted(self: Path, mode: int = 0o777) -> None:
        mkdir(self, mode)
        raise KeyboardInterrupt("just made")

    monkeypatch.setattr(Path, "mkdir", interrupted)
    with pytest.raises(KeyboardInterrupt, match="just made"):
        before_after([(np.ones((6, 6)), np.ones((12, 12)), 2)], tmp_path / "a.png")
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_put_back_is_not_thrown_away(
    sr: xr.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "sr"
    out.mkdir()
    (out / "B02.tif").write_text("old")
    replace = Path.replace

    def stuck(self: Path, target: Path) -> Path:
        if self.parent.name.startswith("old."):
            raise OSError("not back either")
        if self.name == "B05.tif":
            raise OSError("no more")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", stuck)
    with pytest.raises(WriteError, match=r"no more. .*B02.tif is new, and what was there is now in .*/old\.") as caught:
        to_cog(sr, out)
    assert "is kept" not in str(caught.value)
    kept = Path(str(caught.value).rpartition(" in ")[2])
    assert [path.read_text() for path in kept.iterdir()] == ["old"]


# -- names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["../evil", "/evil", "..", ".hidden", "a/b", "a\\b", "", "a\nb", "a\0b", "x" * 300, "\udcff"]
)
def test_names_that_lead_out_or_cannot_be_written(name: str, sr: xr.Dataset, tmp_path: Path) -> None:
    bad = sr.rename({"B05": name})
    with pytest.raises(InputError, match=r"the variable .* cannot be the name of a file; .* Rename it: ") as caught:
        to_cog(bad, tmp_path / "sr")
    assert not list(tmp_path.iterdir())
    scope: dict[str, Any] = {"sr": bad}
    exec(str(caught.value).partition("Rename it: ")[2], scope)
    to_cog(scope["sr"], tmp_path / "sr")
    assert len(list((tmp_path / "sr").iterdir())) == 3
    assert [path.name for path in tmp_path.iterdir()] == ["sr"]
    [renamed] = {*scope["sr"].data_vars} - {"B02", "B11"}
    with rasterio.open(tmp_path / "sr" / f"{renamed}.tif") as file:
        np.testing.assert_array_equal(file.read(1), sr.B05)


def test_names_that_are_one_file_on_many_disks(sr: xr.Dataset, tmp_path: Path) -> None:
    bad = sr.rename({"B05": "SCL", "B11": "scl"})
    with pytest.raises(InputError, match="'SCL' is the same file as 'scl' on many disks") as caught:
        to_cog(bad, tmp_path / "sr")
    scope: dict[str, Any] = {"sr": bad}
    exec(str(caught.value).partition("Rename it: ")[2], scope)
    to_cog(scope["sr"], tmp_path / "sr")
    assert len({path.name.casefold() for path in (tmp_path / "sr").iterdir()}) == 3


def test_names_that_met_while_they_were_written(sr: xr.Dataset, tmp_path: Path) -> None:
    odd = sr.rename({"B05": "B02.plain", "B11": "all"})
    to_cog(odd, tmp_path / "sr")
    for name, band in odd.data_vars.items():
        with rasterio.open(tmp_path / "sr" / f"{name}.tif") as file:
            np.testing.assert_array_equal(file.read(1), band)


@pytest.mark.parametrize("bad", ["\udcff.tif", "a\0.tif", "x" * 300 + ".tif", "\udcff/a.tif"])
def test_paths_that_no_library_opens(bad: str, sr: xr.Dataset, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be the name of a file; expected text in UTF-8"):
        to_cog(sr, tmp_path / bad)


def test_a_long_name_has_room_for_what_is_written_aside(sr: xr.Dataset, tmp_path: Path) -> None:
    name = "ä" * 120 + ".tif"
    to_cog(sr, tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ["sr.TIF", "sr.NC", "sr.ZARR", "sr.Tiff"])
def test_suffixes_in_capitals(name: str, sr: xr.Dataset, tmp_path: Path) -> None:
    save(sr, tmp_path / name)
    out = tmp_path / name
    if name in ("sr.NC", "sr.ZARR"):
        with xr.open_dataset(out, engine="zarr" if name == "sr.ZARR" else None, mask_and_scale=False) as back:
            np.testing.assert_array_equal(back.B05, sr.B05)
    else:
        with rasterio.open(out) as file:
            np.testing.assert_array_equal(file.read(2), sr.B05)
    save(sr, out)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_links_are_found_at_any_depth(tmp_path: Path) -> None:
    for name in ("a/b", "c/d", "e"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "a" / "b" / "to_c").symlink_to(tmp_path / "c")
    (tmp_path / "c" / "d" / "to_e").symlink_to(tmp_path / "e")
    (tmp_path / "e" / "to_a").symlink_to(tmp_path / "a")  # a circle
    (tmp_path / "a" / "nowhere").symlink_to(tmp_path / "none")
    assert targets.linked(tmp_path / "a") == {tmp_path / name for name in ("a", "c", "e", "none")}


@pytest.mark.parametrize("compress", ["jpeg", "webp", "nonsense", "", None, 3, ["deflate"], np.array(["lzw", "zstd"])])
def test_compressions_that_lose_or_are_none(compress: Any, sr: xr.Dataset, tmp_path: Path) -> None:
    with pytest.raises(S2SRError, match=r"compress=.*; choose one of 'deflate', 'zstd', .*'none'"):
        to_cog(sr.astype("uint8"), tmp_path / "sr.tif", compress=compress)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("compress", ["none", "LZW", "lerc_zstd"])
def test_compressions(compress: str, sr: xr.Dataset, tmp_path: Path) -> None:
    to_cog(sr, tmp_path / "sr.tif", compress=compress)
    with rasterio.open(tmp_path / "sr.tif") as file:
        said = file.tags(ns="IMAGE_STRUCTURE").get("COMPRESSION", "none")
        assert said.lower() == compress.lower()
        np.testing.assert_array_equal(file.read(3), sr.B11)
