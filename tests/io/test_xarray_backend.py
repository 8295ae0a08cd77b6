"""xr_s2sr.open, and the engine "s2sr" of xarray: one scene, and a cube of dates."""

from __future__ import annotations

import importlib.metadata
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from safe_products import Product, write_product, zipped

import xr_s2sr
from xr_s2sr.errors import ArgumentTypeError, InputError, RadiometryError
from xr_s2sr.io.xarray_backend import S2SRBackend

REGRESSION: Any = {"model": "bicubic", "adapt": True}
DECLARED = {"s2sr": "xr_s2sr.io.xarray_backend:S2SRBackend"}


@pytest.fixture(scope="module")
def scene() -> xr.Dataset:
    return xr_s2sr.tutorial.synthetic_scene(60)[0]


def brighter(scene: xr.Dataset) -> xr.Dataset:
    """DN + 1000 where valid, as from baseline 04.00 on."""
    return scene.map(lambda v: v.where(v == 0, v + 1000).astype(v.dtype), keep_attrs=True)


@pytest.fixture(scope="module")
def product(scene: xr.Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_product(tmp_path_factory.mktemp("products"), Product(brighter(scene)))


def test_the_engine_is_declared() -> None:
    root = Path(__file__).parents[2]
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["entry-points"]["xarray.backends"] == DECLARED
    installed = {
        point.name: point.value
        for point in importlib.metadata.distribution("xr_s2sr").entry_points
        if point.group == "xarray.backends"
    }
    if not installed:
        pytest.skip("the package is installed from another tree, or from before it had an engine")
    assert installed == DECLARED
    assert isinstance(xr.backends.list_engines()["s2sr"], S2SRBackend)


@pytest.mark.parametrize("form", ["folder", "zip", "metadata"])
def test_open_and_the_engine_are_open_safe(product: Path, tmp_path: Path, form: str) -> None:
    path = {"folder": product, "metadata": product / "MTD_MSIL2A.xml"}.get(form) or zipped(product, tmp_path / "s.zip")
    expected = xr_s2sr.open_safe(path)
    xr.testing.assert_identical(xr_s2sr.open(str(path)), expected)
    xr.testing.assert_identical(xr.open_dataset(path, engine=S2SRBackend), expected)
    left = xr.open_dataset(path, engine=S2SRBackend, drop_variables=["SCL", "B10"], bands="B05")
    xr.testing.assert_identical(left, xr_s2sr.open_safe(path, "B05").drop_vars("SCL"))


def test_what_it_guesses(product: Path, tmp_path: Path) -> None:
    """Products of Sentinel-2 alone, by their metadata."""
    guess = S2SRBackend().guess_can_open
    for path in (product, str(product), product / "MTD_MSIL2A.xml", zipped(product, tmp_path / "renamed.zip")):
        assert guess(path)
    other = tmp_path / "S1A_IW_GRDH_1SDV.SAFE"
    other.mkdir()
    (other / "manifest.safe").write_text("<xfdu/>")
    (tmp_path / "notes.zip").write_bytes(b"no zip")
    for thing in (other, tmp_path, tmp_path / "notes.zip", tmp_path / "none.SAFE", "https://x.org/a.zip", b"CDF", None):
        assert not guess(thing)


def test_reflectance_where_it_is_asked_for(product: Path) -> None:
    ds = xr_s2sr.open(product)
    decoded = xr.open_dataset(product, engine=S2SRBackend, mask_and_scale=True)
    expected = ds.B05.values * 1e-4 - 0.1
    np.testing.assert_allclose(decoded.B05, np.where(ds.B05 > 0, expected, np.nan), rtol=0, atol=1e-12)
    assert decoded.B05.encoding["dtype"] == np.uint16
    assert decoded.SCL.dtype == np.uint8
    assert {held.radiometry.scale for held in decoded.s2sr.validate().info.bands.values()} == {1.0}


def cube(*paths: Path, **options: object) -> xr.Dataset:
    return xr.open_mfdataset(paths, engine=S2SRBackend, combine="nested", concat_dim="time", **options)  # type: ignore[arg-type]


@pytest.mark.filterwarnings("ignore:In a future version of xarray:FutureWarning")
def test_a_cube_of_dates_with_one_offset(product: Path, scene: xr.Dataset, tmp_path: Path) -> None:
    pytest.importorskip("dask")
    darker = scene.map(lambda v: (v * 0.8).astype(v.dtype), keep_attrs=True)
    other = write_product(tmp_path, Product(brighter(darker), baseline="05.10"))
    ds = cube(product, other, bands="B05")
    assert ds.B05.dims == ("time", "y_20m", "x_20m")
    assert ds.B05.chunks is not None
    sr = ds.s2sr.upsample("B05", model="bicubic")
    for k, path in enumerate((product, other)):
        alone = xr_s2sr.open(path, "B05").s2sr.upsample("B05", model="bicubic")
        np.testing.assert_array_equal(sr.B05[k], alone.B05)


@pytest.mark.filterwarnings("ignore:In a future version of xarray:FutureWarning")
def test_a_cube_of_dates_with_several_offsets(product: Path, scene: xr.Dataset, tmp_path: Path) -> None:
    """Joined, xarray keeps the attributes of the first date: its offset would count for all."""
    pytest.importorskip("dask")
    old = write_product(tmp_path, Product(scene, baseline="02.05", offsets={}))
    ds = cube(product, old, bands="B05")
    with pytest.raises(RadiometryError, match=r"the offsets -1000, 0, .* upsample\(offset=ds.dn_offset\)"):
        ds.s2sr.upsample("B05")
    held = ds.s2sr.validate(offset=ds.dn_offset).info.bands["B05"]
    assert [held.at((k, 0, 0)).offset for k in (0, 1)] == [-0.1, 0]
    sr = ds.s2sr.upsample("B05", offset=ds.dn_offset, **REGRESSION)
    reflectance = cube(product, old, bands="B05", mask_and_scale=True).s2sr.upsample("B05", **REGRESSION)
    for k, path in enumerate((product, old)):
        np.testing.assert_array_equal(sr.B05[k], xr_s2sr.open(path, "B05").s2sr.upsample("B05", **REGRESSION).B05)
        one = xr.open_dataset(path, engine=S2SRBackend, mask_and_scale=True, bands="B05")
        np.testing.assert_array_equal(reflectance.B05[k], one.s2sr.upsample("B05", **REGRESSION).B05)


def test_paths_in_the_place_of_a_scene(product: Path) -> None:
    """What is to be called instead is said, with the path itself."""
    with pytest.raises(ArgumentTypeError, match=rf"not a str; .* Open files first: ds = xr_s2sr.open\('{product}'\)"):
        xr_s2sr.upsample(str(product))
    for function in (xr_s2sr.validate, xr_s2sr.evaluate):
        with pytest.raises(ArgumentTypeError, match=r"not a \w*Path; .* Open files first: ds = xr_s2sr.open\("):
            function(product)
    with pytest.raises(ArgumentTypeError, match=r"not a list; .* ds = xr.open_mfdataset\(paths, engine=\"s2sr\", comb"):
        xr_s2sr.upsample([product, product])
    with pytest.raises(ArgumentTypeError, match=r"not a list; .* the files of one scene lie: ds = xr_s2sr.open\("):
        xr_s2sr.upsample(["B02.tif", "B05.tif"])
    with pytest.raises(ArgumentTypeError, match=r"not a tuple; .* ds = xr_s2sr.combine\(\*scenes\)"):
        xr_s2sr.upsample((xr.Dataset(), xr.DataArray(1)))
    with pytest.raises(ArgumentTypeError, match=r"path=\[.* is a list; expected a path"):
        xr_s2sr.open([product])  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"s3:/b/x.zarr is an address; expected a path .* ds = xr.open_zarr"):
        xr_s2sr.open("s3://b/x.zarr")
