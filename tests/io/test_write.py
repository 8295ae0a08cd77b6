"""Results as files: values, georeferencing, one pass over the blocks, and nothing half-written."""

from __future__ import annotations

import os
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import rasterio.shutil
import rioxarray
import xarray as xr
from eopf_products import product
from holders import at_10_m, stacked
from rasterio._env import get_gdal_config
from scenes import FINE, LEFT, TOP, centres, native

import xr_s2sr
from xr_s2sr.errors import ArgumentTypeError, BandError, InputError, S2SRWarning, WriteError
from xr_s2sr.io import readable, write
from xr_s2sr.io.write import save, to_cog
from xr_s2sr.replacing import replaced
from xr_s2sr.targets import check_apart

dask = pytest.importorskip("dask.array")
config = pytest.importorskip("dask.config")


class Stop(BaseException):
    """As an interrupt is: no Exception."""


@pytest.fixture
def sr() -> xr.Dataset:
    """Variables of a result: two restored bands between two that were there."""
    ds = native((120, 144), bands=FINE)
    return ds.assign(B11=ds.B03 + 1, B05=ds.B04 + 2).drop_vars(["B03", "B04"])


def counted(sr: xr.Dataset, size: int = 48) -> tuple[xr.Dataset, list[tuple[int, int]]]:
    """The same in dask, all variables from one block of all; and where blocks were computed."""
    names, seen = list(sr.data_vars), []
    stack = np.stack([sr[name].values for name in names])

    def block(block_info: Any = None) -> np.ndarray:
        _, rows, cols = block_info[None]["array-location"]
        seen.append((rows[0], cols[0]))
        return stack[:, rows[0] : rows[1], cols[0] : cols[1]]

    chunks = ((len(names),), *(tuple([size] * (n // size) + [n % size] * bool(n % size)) for n in stack.shape[1:]))
    whole = dask.map_blocks(block, chunks=chunks, dtype=stack.dtype, meta=np.empty((0, 0, 0), stack.dtype))
    return sr.assign({name: (sr[name].dims, whole[k], sr[name].attrs) for k, name in enumerate(names)}), seen


@pytest.mark.parametrize("lazy", [False, True])
def test_one_cog_with_all_bands(sr: xr.Dataset, lazy: bool, tmp_path: Path) -> None:
    given, seen = counted(sr) if lazy else (sr, [])
    seen.clear()
    assert to_cog(given, tmp_path / "sr.tif") == tmp_path / "sr.tif"
    assert len(seen) == len(set(seen)) == (9 if lazy else 0)
    with rasterio.open(tmp_path / "sr.tif") as file:
        assert file.descriptions == ("B02", "B08", "B11", "B05")
        assert file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert file.crs == sr.rio.crs
        assert file.transform.almost_equals(sr.rio.transform())
        assert file.nodata == 0
        for k, name in enumerate(file.descriptions, 1):
            np.testing.assert_array_equal(file.read(k), sr[name].values)
    assert [path.name for path in tmp_path.iterdir()] == ["sr.tif"]


def with_attrs(ds: xr.Dataset, attrs: dict[str, Any]) -> xr.Dataset:
    """Each variable with these attributes besides."""
    return ds.assign({name: variable.assign_attrs(attrs) for name, variable in ds.data_vars.items()})


HELD = {
    "a data variable": lambda ds: ds.reset_coords("spatial_ref"),
    "a scalar coordinate": lambda ds: ds.drop_vars("spatial_ref").assign_coords(epsg=32632),
    "a number with a point": lambda ds: ds.drop_vars("spatial_ref").assign_attrs(crs=32632.0),
    "attributes of a band": lambda ds: with_attrs(ds.drop_vars("spatial_ref"), {"proj:epsg": 32632}),
    "parameters": lambda ds: ds.assign_coords(
        spatial_ref=((), 0, {k: v for k, v in ds.spatial_ref.attrs.items() if k not in ("crs_wkt", "spatial_ref")})
    ),
    "a broken GeoTransform": lambda ds: ds.assign_coords(
        spatial_ref=((), 0, {**ds.spatial_ref.attrs, "GeoTransform": "a b"})
    ),
}


@pytest.mark.parametrize("where", HELD)
@pytest.mark.parametrize("lazy", [False, True])
def test_the_crs_is_written_wherever_it_is(sr: xr.Dataset, where: str, lazy: bool, tmp_path: Path) -> None:
    given = HELD[where](sr.chunk() if lazy else sr)
    for suffix in (".tif", ".nc"):
        save(given, tmp_path / f"sr{suffix}")
    to_cog(given, tmp_path / "each")
    for file in ("sr.tif", "each/B11.tif"):
        with rasterio.open(tmp_path / file) as image:
            assert image.crs.to_epsg() == 32632
            assert image.transform.almost_equals(sr.rio.transform())
    with xr.open_dataset(tmp_path / "sr.nc", decode_coords="all") as back:
        assert back.rio.crs.to_epsg() == 32632


@pytest.mark.parametrize(("value", "found"), [(None, ""), ("utm", r" \(attrs\['crs'\] = 'utm'\)")])
def test_without_a_crs(sr: xr.Dataset, value: Any, found: str, tmp_path: Path) -> None:
    """The line of the warning gives it one."""
    given = with_attrs(sr.drop_vars("spatial_ref"), {"crs": value})
    for suffix in (".tif", "") if value is None else (".tif", "", ".nc"):
        with pytest.warns(S2SRWarning, match=rf"without a CRS, since nothing gives one{found}: .* Write that") as said:
            save(given, tmp_path / f"none{suffix}")
    with rasterio.open(tmp_path / "none.tif") as file:
        assert file.crs is None
        assert file.transform.almost_equals(sr.rio.transform())
    [line] = re.findall(r"sr = (sr.rio.*)$", str(said[0].message))
    to_cog(eval(line.replace("326xx", "32632"), {"sr": given}), tmp_path / "sr.tif")
    with rasterio.open(tmp_path / "sr.tif") as file:
        assert file.crs.to_epsg() == 32632


def test_a_cog_for_each_band_in_one_pass(sr: xr.Dataset, tmp_path: Path) -> None:
    given, seen = counted(sr)
    seen.clear()
    given.s2sr.to_cog(tmp_path / "sr")
    assert len(seen) == 9
    assert sorted(path.name for path in (tmp_path / "sr").iterdir()) == ["B02.tif", "B05.tif", "B08.tif", "B11.tif"]
    back = rioxarray.open_rasterio(tmp_path / "sr" / "B11.tif")
    np.testing.assert_array_equal(back.values[0], sr.B11.values)
    np.testing.assert_array_equal(back.x, sr.x)


def bands_in(path: Path) -> dict[str, np.ndarray]:
    with rasterio.open(path) as file:
        return dict(zip(file.descriptions, file.read(), strict=True))


@pytest.mark.parametrize("form", ["array", "numbered", "one", "tree"])
def test_results_in_any_form(form: str, tmp_path: Path) -> None:
    """An array, an array by band whose labels are numbers, one band, and a tree: the pixels of a Dataset's COG."""
    scene = native((60, 72))
    given = at_10_m(scene)
    expected = given.s2sr.upsample(model="bicubic")
    if form == "tree":
        sr = product(scene).s2sr.upsample(model="bicubic", into=True)
    else:
        sr = stacked(given).rename("reflectance").s2sr.upsample(model="bicubic")
    if form == "numbered":
        sr = sr.assign_coords(band=range(1, 13)).to_dataset("band")
    if form == "one":
        sr = sr.sel(band="B11").rename("B11")
    sr.s2sr.to_cog(tmp_path / "sr.tif")
    found = bands_in(tmp_path / "sr.tif")
    names = ["B11"] if form == "one" else list(expected)
    labels = [str(k) for k in range(1, 13)] if form == "numbered" else names
    labels = [name.lower() for name in names] if form == "tree" else labels
    assert sorted(found) == sorted(labels)
    for name, label in zip(names, labels, strict=True):
        np.testing.assert_array_equal(found[label], expected[name])
    sr.s2sr.to_cog(tmp_path / "each")
    assert {path.stem for path in (tmp_path / "each").iterdir()} == {*labels}


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("dtype", ["int16", "float32"])
def test_fill_values_of_native_bands_become_nodata(dtype: str, lazy: bool, tmp_path: Path) -> None:
    """A -10000 that nothing declares is nodata to the restored bands, and so it is in the file."""
    ds = native((60, 72)).astype(dtype)
    ds = ds if dtype == "int16" else (ds * 1e-4).astype("float32")
    ds.B02.values[3:9, 5:8] = -10000
    ds.B05.values[10:12, 20:22] = -10000
    before = ds.B02.values.copy()
    with pytest.warns(S2SRWarning, match="taken as nodata"):
        (ds.chunk({"y": 12}) if lazy else ds).s2sr.upsample(model="bicubic").s2sr.to_cog(tmp_path / "sr.tif")
    found = bands_in(tmp_path / "sr.tif")
    gone = found["B02"] == 0 if dtype == "int16" else np.isnan(found["B02"])
    assert np.argwhere(gone).tolist() == [[y, x] for y in range(3, 9) for x in range(5, 8)]
    np.testing.assert_array_equal(found["B02"][~gone], before[~gone])
    np.testing.assert_array_equal(found["B03"], ds.B03)
    assert min(np.nanmin(band) for band in found.values()) >= 0
    np.testing.assert_array_equal(ds.B02, before)  # what was given is left alone


def test_dn_in_floats_are_no_fill_values(tmp_path: Path) -> None:
    ds = native((60, 72), dtype="float64")
    ds.s2sr.upsample(units="dn", model="bicubic").s2sr.to_cog(tmp_path / "sr.tif")
    np.testing.assert_array_equal(bands_in(tmp_path / "sr.tif")["B02"], ds.B02)


@pytest.mark.parametrize("resolution", [10, 20])
@pytest.mark.parametrize("form", ["native", "10 m"])
def test_what_has_no_rows_may_come_first(form: str, resolution: int, tmp_path: Path) -> None:
    """Of a Dataset that begins with a CRS, a text or dates: all results, and a COG of what has rows and columns."""
    ds = native((60, 72))
    ds = ds if form == "native" else at_10_m(ds)
    first = {"crs": ((), 0, {"grid_mapping_name": "transverse_mercator"}), "note": ((), "text"), "days": ("t", [1, 2])}
    odd = xr.Dataset(first).assign(ds.data_vars).assign_coords(ds.coords)
    sr = odd.s2sr.upsample(resolution=resolution, model="bicubic", keep="all")
    assert list(sr) == [name for name in (*first, *ds) if name != "crs"]  # which is a coordinate now
    expected = ds.s2sr.upsample(resolution=resolution, model="bicubic")
    xr.testing.assert_equal(sr[list(expected)].drop_vars("crs", errors="ignore"), expected)
    with pytest.warns(S2SRWarning, match=r"holds rows and columns only: note, days. Write all: sr.to_zarr"):
        sr.s2sr.to_cog(tmp_path / "sr.tif")
    found = bands_in(tmp_path / "sr.tif")
    assert list(found) == list(expected)
    np.testing.assert_array_equal(found["B11"], expected.B11)
    with rasterio.open(tmp_path / "sr.tif") as file:
        assert file.crs.to_epsg() == 32632


def test_masks_come_along(tmp_path: Path) -> None:
    ds = native((60, 60), bands=FINE)
    ds["SCL"] = (("y", "x"), np.full((60, 60), 4, "uint8"))
    to_cog(ds, tmp_path / "sr.tif")
    with rasterio.open(tmp_path / "sr.tif") as file:
        assert file.descriptions[-1] == "SCL"
        assert (file.read(5) == 4).all()


def test_floats_and_their_gaps(tmp_path: Path) -> None:
    ds = native((60, 60), bands=FINE, dtype="float32", scale=1e-4)
    ds["B02"][3, 4] = np.nan
    to_cog(ds, tmp_path / "sr.tif")
    with rasterio.open(tmp_path / "sr.tif") as file:
        assert np.isnan(file.nodata)
        assert np.isnan(file.read(1)[3, 4])
    ds["SCL"] = (("y", "x"), np.full((60, 60), 4, "uint8"))
    with pytest.raises(InputError, match="different nodata values"):
        to_cog(ds, tmp_path / "sr.tif")
    to_cog(ds, tmp_path / "each")
    with rasterio.open(tmp_path / "each" / "SCL.tif") as file:
        assert file.dtypes == ("uint8",)


def test_scale_and_offset_are_kept(tmp_path: Path) -> None:
    ds = native((60, 60), bands=FINE)
    for band in ds.data_vars.values():
        band.attrs |= {"scale_factor": 1e-4, "add_offset": -0.1}
    to_cog(ds, tmp_path / "sr.tif")
    with rasterio.open(tmp_path / "sr.tif") as file:
        assert file.scales == (1e-4,) * 4
        assert file.offsets == (-0.1,) * 4


def test_provenance_is_in_the_tags(tmp_path: Path) -> None:
    ds, _ = xr_s2sr.tutorial.synthetic_scene(60)
    ds.s2sr.upsample(["B11"]).s2sr.to_cog(tmp_path / "sr.tif")
    with rasterio.open(tmp_path / "sr.tif") as file:
        assert file.tags(1)["s2sr_native_gsd"] == "20"
        assert file.tags(1)["s2sr_model"].startswith("s2sr-20m")


def test_programs_show_it_well(tmp_path: Path) -> None:
    """Colours by band, whatever their order; statistics without what is invalid; overviews that mix no classes."""
    ds = native((1056, 540), bands=FINE)
    ds.B03.values[:, :200] = 0
    ds.B08.values[:] = 0  # nothing valid
    ds["SCL"] = (("y", "x"), np.where(np.indices((1056, 540)).sum(0) % 2, 3, 9).astype("uint8"))
    to_cog(ds[["B02", "B03", "B04", "B08"]], tmp_path / "sr.tif")
    with rasterio.open(tmp_path / "sr.tif") as file:
        assert [colour.name for colour in file.colorinterp] == ["blue", "green", "red", "undefined"]
        assert file.overviews(1)
        green = file.tags(2)
        valid = ds.B03.values[:, 200:].astype(float)
        expected = {"MINIMUM": valid.min(), "MAXIMUM": valid.max(), "MEAN": valid.mean(), "STDDEV": valid.std()}
        assert {key: float(green[f"STATISTICS_{key}"]) for key in expected} == pytest.approx(expected)
        assert "STATISTICS_APPROXIMATE" not in green
        assert "STATISTICS_MEAN" not in file.tags(4)
    assert [path.name for path in tmp_path.iterdir()] == ["sr.tif"]  # statistics are in the file
    to_cog(ds[["B02", "SCL"]], tmp_path / "each")
    to_cog(ds[["SCL"]], tmp_path / "classes.tif")
    for name in ("each/SCL.tif", "classes.tif"):
        with rasterio.open(tmp_path / name, overview_level=0) as file:
            assert {*np.unique(file.read(1))} <= {3, 9}


@pytest.mark.parametrize("name", ["sr.zarr", "sr.nc", "sr.tif", "sr"])
@pytest.mark.filterwarnings("ignore:Consolidated metadata:UserWarning")
def test_what_was_there_is_replaced_whole(sr: xr.Dataset, name: str, tmp_path: Path) -> None:
    out = tmp_path / name
    save(sr[["B02", "B08"]], out)
    save(sr, out)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    if out.suffix in (".zarr", ".nc"):
        with xr.open_dataset(out, engine="zarr" if out.suffix == ".zarr" else None) as back:
            np.testing.assert_array_equal(back.B11, sr.B11)
    else:
        assert (len(list(out.iterdir())) == 4) if out.is_dir() else out.is_file()


@pytest.mark.parametrize("name", ["sr.zarr", "sr.nc", "sr.tif", "sr"])
@pytest.mark.parametrize("error", [Stop, OSError])
@pytest.mark.filterwarnings("ignore:Consolidated metadata:UserWarning")
def test_a_failure_leaves_what_was_there(sr: xr.Dataset, name: str, error: type[BaseException], tmp_path: Path) -> None:
    out = tmp_path / name
    save(sr[["B02"]], out)
    before = {path: path.read_bytes() for path in [out, *out.rglob("*")] if path.is_file()}

    def fail(block: np.ndarray) -> np.ndarray:
        raise error("in the middle")

    broken, _ = counted(sr)
    failing = dask.map_blocks(fail, broken.B11.data, dtype="uint16", meta=np.empty((0, 0), "uint16"))
    broken = broken.assign(B11=(("y", "x"), failing))
    with pytest.raises(error, match="in the middle"):
        save(broken, out)
    assert {path: path.read_bytes() for path in [out, *out.rglob("*")] if path.is_file()} == before
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ["sr.zarr", "sr.tif"])
@pytest.mark.filterwarnings("ignore:Consolidated metadata:UserWarning")
def test_after_a_failure_nothing_runs_on(sr: xr.Dataset, name: str, tmp_path: Path) -> None:
    """A task that outlived the error would write into what is being removed."""
    running, begun = [], threading.Event()

    def work(block: np.ndarray, block_info: Any = None) -> np.ndarray:
        if block_info[0]["chunk-location"] == (0, 0):
            begun.wait(10)
            raise OSError("in the middle")
        running.append(1)
        begun.set()
        time.sleep(0.3)
        running.pop()
        return block

    zeros = dask.zeros((60, 60), chunks=30, dtype="uint16")
    slow = dask.map_blocks(work, zeros, dtype="uint16", meta=np.empty((0, 0), "uint16"))
    fine = sr[["B02"]].isel(y=slice(0, 60), x=slice(0, 60)).assign(B11=(("y", "x"), slow))
    with config.set(num_workers=2), pytest.raises(OSError, match="in the middle"):
        save(fine, tmp_path / name)
    assert begun.is_set()
    assert not running
    assert not list(tmp_path.iterdir())


def test_refusals(sr: xr.Dataset, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"Select one date: sr.isel\(time=0\)"):
        to_cog(sr.assign(B11=sr.B11.expand_dims(time=2)), tmp_path / "sr.tif")
    with pytest.raises(InputError, match="holds no variable"):
        to_cog(xr.Dataset(), tmp_path / "sr.tif")
    with pytest.raises(ArgumentTypeError, match=r"not a list: sr = ds.s2sr.upsample\(\)"):
        to_cog([sr.B11], tmp_path / "sr.tif")  # type: ignore[arg-type]
    with pytest.raises(BandError, match=r"neither bands along a dimension nor a name"):
        to_cog(sr.B11.rename(None), tmp_path / "sr.tif")
    with pytest.raises(BandError, match=r"no node of the DataTree holds a restored band .*upsample\(into=True\)"):
        to_cog(xr.DataTree(sr), tmp_path / "sr.tif")
    with pytest.raises(InputError, match="dtype <U1; expected numbers"):
        to_cog(sr.assign(names=(("y", "x"), np.full((120, 144), "a"))), tmp_path / "sr.tif")
    with pytest.raises(InputError, match=r"does not exist; make it: mkdir -p"):
        to_cog(sr, tmp_path / "no" / "sr.tif")
    assert not list(tmp_path.iterdir())


def test_a_folder_keeps_what_is_not_ours(sr: xr.Dataset, tmp_path: Path) -> None:
    out = tmp_path / "results"
    (out / "thesis").mkdir(parents=True)
    (out / "thesis.docx").write_text("years")
    (out / "B05.tif").write_text("old")
    to_cog(sr[["B05", "B11"]], out)
    assert sorted(path.name for path in out.iterdir()) == ["B05.tif", "B11.tif", "thesis", "thesis.docx"]
    assert (out / "thesis.docx").read_text() == "years"
    with rasterio.open(out / "B05.tif") as file:
        np.testing.assert_array_equal(file.read(1), sr.B05)
    assert [path.name for path in tmp_path.iterdir()] == ["results"]


@pytest.mark.parametrize(
    ("name", "found"), [("d.tif", "a folder"), ("o.nc", "a folder"), ("o.zarr", "not a Zarr store")]
)
def test_a_folder_is_not_replaced_by_another_kind(sr: xr.Dataset, name: str, found: str, tmp_path: Path) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=found):
        save(sr, tmp_path / name)
    assert [path.name for path in tmp_path.rglob("*")] == [name, "notes.txt"]


def test_a_file_is_not_replaced_by_a_folder(sr: xr.Dataset, tmp_path: Path) -> None:
    (tmp_path / "sr").write_text("mine")
    with pytest.raises(InputError, match="is a file, expected a folder"):
        save(sr, tmp_path / "sr")
    assert (tmp_path / "sr").read_text() == "mine"


@pytest.mark.parametrize("bad", [".", "..", "/"])
def test_a_path_without_a_name_is_refused(sr: xr.Dataset, bad: str) -> None:
    with pytest.raises(InputError, match="expected the name of a file or folder"):
        to_cog(sr, bad)


def test_links_are_followed(sr: xr.Dataset, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.tif").write_text("old")
    (tmp_path / "one.tif").symlink_to(tmp_path / "real" / "a.tif")
    (tmp_path / "many").symlink_to(tmp_path / "real")
    to_cog(sr, tmp_path / "one.tif")
    to_cog(sr[["B05"]], tmp_path / "many")
    assert (tmp_path / "one.tif").is_symlink()
    assert (tmp_path / "many").is_symlink()
    assert sorted(path.name for path in (tmp_path / "real").iterdir()) == ["B05.tif", "a.tif"]
    with rasterio.open(tmp_path / "real" / "a.tif") as file:
        assert file.count == 4


@pytest.mark.parametrize("name", ["sr.tif", "sr.nc"])
@pytest.mark.parametrize("lost", [100, 5000, 20000])  # a COG ends with 4 bytes that repeat the 4 before
def test_a_part_cut_short_is_not_put_in_place(
    sr: xr.Dataset, name: str, lost: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a full disk does where the error of the last flush is lost."""
    out = tmp_path / name
    out.write_text("old")
    check = readable.check

    def cut(part: Path) -> None:
        os.truncate(part, max(1, part.stat().st_size - lost))
        check(part)

    monkeypatch.setattr(readable, "check", cut)
    with pytest.raises(WriteError, match=re.escape(str(out))):
        save(sr, out)
    assert out.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == [name]


def grown(sr: xr.Dataset, index: np.ndarray) -> xr.Dataset:
    """A larger scene, of pixels of a smaller one."""
    n = len(index)
    return sr.isel(y=index, x=index).assign_coords(y=centres(10, n, TOP, -1), x=centres(10, n, LEFT, 1))


@pytest.mark.parametrize("level", [0, 1])
@pytest.mark.parametrize("lost", ["size", "end"])
def test_a_block_that_was_not_written_is_seen(sr: xr.Dataset, level: int, lost: str, tmp_path: Path) -> None:
    """Zeros in the middle of a file: over the size before a block, or over its end and what repeats that."""
    out = tmp_path / "sr.tif"
    to_cog(grown(sr, np.arange(720) % 120), out)
    readable.check(out)
    with rasterio.open(out, **({"overview_level": 0} if level else {})) as file:
        assert level or len(file.overviews(1))
        start, size = (int(file.get_tag_item(f"BLOCK_{what}_0_0", "TIFF", bidx=1)) for what in ("OFFSET", "SIZE"))
    with out.open("r+b") as raw:
        raw.seek(start - 4 if lost == "size" else start + size - 300)
        raw.write(bytes(4 if lost == "size" else 304))
    with pytest.raises(OSError, match="truncated: block 0, 0 of band 1 is missing"):
        readable.check(out)


@pytest.mark.parametrize("lazy", [False, True])
def test_what_is_written_first_is_smaller_than_the_result(
    sr: xr.Dataset, lazy: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Chunks that cut through its blocks included; and GDAL compresses the result on all processors."""
    copy, seen = rasterio.shutil.copy, []

    def watched(source: str, out: Path, **options: Any) -> None:
        copy(source, out, **options)
        seen.append((Path(source).stat().st_size, out.stat().st_size, options["num_threads"]))

    monkeypatch.delenv("GDAL_NUM_THREADS", raising=False)
    monkeypatch.setattr(rasterio.shutil, "copy", watched)
    monkeypatch.setattr(write, "IN_MEMORY", 0)
    smooth = grown(sr, np.arange(1200) // 10)
    to_cog(smooth.chunk(y=500, x=700) if lazy else smooth, tmp_path / "sr.tif")
    [(first, result, threads)] = seen
    assert first < 1.1 * result < 0.5 * smooth.nbytes
    assert threads == "all_cpus"


def test_what_is_in_memory_takes_no_disk_besides(
    sr: xr.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same file, byte for byte, as by way of one on the disk."""
    copy, seen = rasterio.shutil.copy, []

    def watched(source: str, out: Path, **options: Any) -> None:
        copy(source, out, **options)
        seen.append(sorted(path.name for path in out.parent.iterdir()))

    to_cog(sr.chunk(), tmp_path / "lazy.tif")
    monkeypatch.setattr(rasterio.shutil, "copy", watched)
    to_cog(sr, tmp_path / "sr.tif")
    assert seen == [["all.tif"]]
    assert (tmp_path / "sr.tif").read_bytes() == (tmp_path / "lazy.tif").read_bytes()


@pytest.mark.parametrize("own", [None, "3"])
def test_gdal_has_one_thread_for_each_of_dasks(
    sr: xr.Dataset, own: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unless the user says otherwise."""
    if own is None:
        monkeypatch.delenv("GDAL_NUM_THREADS", raising=False)
    else:
        monkeypatch.setenv("GDAL_NUM_THREADS", own)
    seen = set()

    def look(block: np.ndarray) -> np.ndarray:
        seen.add(get_gdal_config("GDAL_NUM_THREADS"))
        return block

    watched = dask.map_blocks(look, sr.B11.chunk(y=60).data, dtype="uint16", meta=np.empty((0, 0), "uint16"))
    to_cog(sr.assign(B11=(("y", "x"), watched)), tmp_path / "sr.tif")
    assert {str(value) for value in seen} == {"1" if own is None else own}


def test_an_interrupt_between_two_moves_puts_the_old_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "a.zarr"
    target.mkdir()
    (target / "zarr.json").write_text("old")
    rename = Path.rename

    def interrupted(self: Path, other: Path) -> Path:
        if self.name == "new.zarr":
            raise KeyboardInterrupt("between two renames")
        return rename(self, other)

    def write() -> None:
        with replaced(target, "zarr", lambda part: None) as part:
            (part / "new.zarr").mkdir()
            (part / "new.zarr" / "zarr.json").write_text("new")

    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt, match="between two renames"):
        write()
    assert (target / "zarr.json").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["a.zarr"]


@pytest.mark.parametrize("name", ["sr.tif", "sr.zarr"])
@pytest.mark.filterwarnings("ignore:Consolidated metadata:UserWarning")
def test_threads_that_write_one_target(sr: xr.Dataset, name: str, tmp_path: Path) -> None:
    out = tmp_path / name
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: save(sr, out), range(6)))
    assert [path.name for path in tmp_path.iterdir()] == [name]
    readable.check(out)


@pytest.mark.parametrize("name", ["sr.tif", "sr.zarr", "sr.nc", "sr"])
def test_a_folder_that_cannot_be_written_to(sr: xr.Dataset, name: str) -> None:
    if not Path("/proc/self").is_dir():
        pytest.skip("needs /proc, where nobody can make files")
    with pytest.raises(WriteError, match=f"/proc/self/{name} could not be written"):
        save(sr, Path("/proc/self") / name)


@pytest.mark.parametrize(("out", "relation"), [("box", "is the input"), ("box/sr", "lies in"), (".", "holds")])
def test_output_and_input_are_apart(out: str, relation: str, tmp_path: Path) -> None:
    (tmp_path / "box").mkdir()
    with pytest.raises(InputError, match=relation):
        check_apart([tmp_path / "box"], tmp_path / out)
    check_apart([tmp_path / "box"], tmp_path / "box_10m.tif")
