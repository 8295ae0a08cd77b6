"""NetCDF and Zarr that are damaged or made up: one error that names the file, at once or when pixels are read."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from safe_products import Product, write_product, zipped

import xr_s2sr
from xr_s2sr import cli
from xr_s2sr.errors import InputError, ProductError
from xr_s2sr.io.open_any import open_any

pytest.importorskip("zarr")
pytest.importorskip("netCDF4")
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore::UserWarning")


@pytest.fixture(scope="module")
def scene() -> xr.Dataset:
    return xr_s2sr.tutorial.synthetic_scene(60)[0]


@pytest.fixture(params=[2, 3])
def store(request: pytest.FixtureRequest, scene: xr.Dataset, tmp_path: Path) -> Path:
    scene.to_zarr(tmp_path / "scene.zarr", zarr_format=request.param, consolidated=False)
    return tmp_path / "scene.zarr"


def metadata(store: Path) -> Path:
    """The file that describes B05."""
    return next(path for name in (".zarray", "zarr.json") if (path := store / "B05" / name).exists())


def chunk(store: Path) -> Path:
    return next(
        p for p in sorted((store / "B05").rglob("*")) if p.is_file() and p != metadata(store) and p.name[0] != "."
    )


def use(path: Path, chunks: int | None) -> xr.Dataset:
    sr: xr.Dataset = open_any(path, chunks=chunks).s2sr.upsample(["B05"], model="bicubic").compute()
    return sr


@pytest.mark.parametrize("chunks", [None, 60])
@pytest.mark.parametrize("content", [b"", b"garbage" * 100, bytes(10)])
def test_garbage_in_a_chunk(content: bytes, chunks: int | None, store: Path) -> None:
    chunk(store).write_bytes(content)
    with pytest.raises(InputError, match=r"'B05' in .*scene.zarr cannot be read: .*; expected a whole Dataset.*again"):
        use(store, chunks)


def test_what_is_whole_is_read_as_ever(store: Path, scene: xr.Dataset) -> None:
    ds = open_any(store)
    plain = xr.open_dataset(store, engine="zarr", consolidated=False, decode_coords="all", chunks=None)
    for band in scene.data_vars:
        np.testing.assert_array_equal(ds[band], scene[band])
        np.testing.assert_array_equal(ds[band][1:4, 2], scene[band][1:4, 2])
        np.testing.assert_array_equal(ds[band][[3, 1], 2:4], scene[band][[3, 1], 2:4])
        assert ds[band].attrs == plain[band].attrs
        assert ds[band].encoding == plain[band].encoding
    pytest.importorskip("dask")
    np.testing.assert_array_equal(use(store, 60).B05, scene.s2sr.upsample(["B05"], model="bicubic").B05)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"3", b"\xff\xfe", b'{"zarr_format": 9}', b"[" * 100000])
def test_metadata_that_are_none(content: bytes, store: Path) -> None:
    metadata(store).write_bytes(content)
    with pytest.raises(InputError, match=r"scene.zarr\S* (cannot be read|holds B01)|missing|asked for B05"):
        use(store, None)


@pytest.mark.parametrize(
    ("key", "value"),
    [("shape", "x"), ("shape", [10**30, 2]), ("shape", None), ("shape", [-1, 5]), ("fill_value", "zz")],
)
def test_metadata_that_make_no_sense(key: str, value: Any, store: Path) -> None:
    found = json.loads(metadata(store).read_text())
    metadata(store).write_text(json.dumps(found | {key: value}))
    with pytest.raises(InputError, match=r"scene.zarr cannot be read: "):
        use(store, None)


@pytest.mark.parametrize(
    "change",
    [
        lambda raw: b"",
        lambda raw: raw[: len(raw) // 2],
        lambda raw: raw[:8],
        lambda raw: b"CDF\x01" + b"\xff" * 200,
        lambda raw: raw[:8] + bytes(byte ^ (k % 97 == 0) for k, byte in enumerate(raw[8:])),
    ],
)
def test_a_corrupt_netcdf(change: Callable[[bytes], bytes], scene: xr.Dataset, tmp_path: Path) -> None:
    scene.to_netcdf(tmp_path / "scene.nc", encoding={name: {"zlib": True} for name in scene.data_vars})
    path = tmp_path / "scene.nc"
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(InputError, match=r"scene.nc cannot be read: .*; expected a whole Dataset"):
        use(path, None)


def test_the_command_says_it_in_one_line(store: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("dask")
    chunk(store).write_bytes(b"garbage")
    assert cli.main(["upsample", str(store), "--model", "bicubic", "-o", str(tmp_path / "sr.tif")]) == 1
    said = capfd.readouterr().err
    assert said.startswith("xr-s2sr: 'B05' in ")
    assert said.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["scene.zarr"]


@pytest.mark.parametrize("name", ["a}b.zip", "a{b.zip", "a{b}.zip", "}a{.ZIP", "x}y/z.zip"])
def test_a_zip_whose_path_holds_a_brace(name: str, scene: xr.Dataset, tmp_path: Path) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    zipped(write_product(tmp_path, Product(scene)), path)
    np.testing.assert_array_equal(xr_s2sr.open_safe(path).B05, scene.B05)


def test_a_zip_whose_name_gdal_does_not_read(scene: xr.Dataset, tmp_path: Path) -> None:
    path = zipped(write_product(tmp_path, Product(scene)), tmp_path / "a.zip").rename(tmp_path / "a}b")
    with pytest.raises(ProductError, match=r"has braces that do not close each other.*Rename it: mv '.*' product.zip"):
        xr_s2sr.open_safe(path)
    np.testing.assert_array_equal(xr_s2sr.open_safe(path.rename(tmp_path / "product.zip")).B05, scene.B05)
