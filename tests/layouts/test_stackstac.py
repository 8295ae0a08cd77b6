"""stackstac, really, and cubo's form of it: one DataArray (time, band, y, x) of floats."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from holders import COMMON, at_10_m, same_pixels, stac_item, stac_items, stacked, with_offset
from scenes import GSD, TWELVE, native

import xr_s2sr
from xr_s2sr import tutorial
from xr_s2sr.errors import BandError, RadiometryError
from xr_s2sr.layouts.normalize import to_native

stackstac = pytest.importorskip("stackstac", reason="stackstac is not installed")

CUBIC = {"model": "bicubic"}
WHEN = ("2024-06-01T10:00:00Z", "2024-06-11T10:00:00Z")


@pytest.fixture(scope="module")
def scene() -> xr.Dataset:
    return with_offset(tutorial.synthetic_scene(120)[0])


@pytest.fixture(scope="module")
def items(scene: xr.Dataset, tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    return stac_items(tmp_path_factory.mktemp("stac"), scene, WHEN)


def natively(da: xr.DataArray, scene: xr.Dataset) -> xr.Dataset:
    """The pixels of one date in native form."""
    bands = {}
    for band in TWELVE:
        f = GSD[band] // 10
        bands[band] = scene[band].copy(data=da.sel(band=band).values[::f, ::f]).drop_attrs()
    return xr.Dataset(bands)


@pytest.mark.parametrize("xy_coords", ["topleft", "center"])
def test_stack(items: list[Any], scene: xr.Dataset, xy_coords: str) -> None:
    """Reflectance as floats, NaN where nothing is; coordinates come back as they were given."""
    da = stackstac.stack(items, resolution=10, epsg=32633, xy_coords=xy_coords).compute()
    assert da.dtype == np.float64
    assert bool(da.isnull().any())
    assert float(da.x[0]) == float(scene.x[0]) - (5 if xy_coords == "topleft" else 0)
    sr = da.s2sr.upsample()
    assert isinstance(sr, xr.DataArray)
    assert sr.dims == da.dims
    assert sr.dtype == da.dtype
    assert sr.attrs == da.attrs
    for name, coord in da.coords.items():
        xr.testing.assert_identical(sr.coords[name].variable, coord.variable)
    expected = natively(da[0], scene).s2sr.upsample()
    for band in TWELVE:
        np.testing.assert_array_equal(sr.sel(band=band)[1], expected[band])
    np.testing.assert_array_equal(sr.sel(band="SCL"), da.sel(band="SCL"))
    gsd = dict(zip(sr.band.values.tolist(), sr.s2sr_native_gsd.values.tolist(), strict=True))
    assert gsd == {**{band: GSD[band] for band in TWELVE}, "SCL": 10}
    assert sr.s2sr_model.sel(band="B02").item() == ""
    assert sr.s2sr_model.sel(band="B05").item().startswith("s2sr-20m")


def test_some_bands(items: list[Any]) -> None:
    da = stackstac.stack(items[:1], resolution=10, epsg=32633).compute()
    sr = da.s2sr.upsample(["swir16", "B02"], **CUBIC)
    assert sr.band.values.tolist() == ["B02", "B11"]
    assert da.s2sr.upsample("B05", keep="all", **CUBIC).band.values.tolist() == ["B05", "SCL"]


def test_without_rescaling(items: list[Any], scene: xr.Dataset) -> None:
    """DN as floats: the unit must be said."""
    da = stackstac.stack(items[:1], assets=list(TWELVE), resolution=10, epsg=32633, rescale=False).compute()[0]
    with pytest.raises(RadiometryError, match=r"upsample\(units='dn'\)"):
        da.s2sr.upsample()
    sr = da.s2sr.upsample(units="dn", offset=-1000)
    expected = natively(da, scene).s2sr.upsample(units="dn", offset=-1000)
    for band in TWELVE:
        np.testing.assert_array_equal(sr.sel(band=band), expected[band])


def test_as_integers(items: list[Any], scene: xr.Dataset) -> None:
    da = stackstac.stack(
        items[:1],
        assets=list(TWELVE),
        resolution=10,
        epsg=32633,
        rescale=False,
        dtype="uint16",
        fill_value=np.uint16(0),
    ).compute()
    sr = da[0].s2sr.upsample()
    assert sr.dtype == np.uint16
    expected = scene.s2sr.upsample()
    for band in TWELVE:
        np.testing.assert_array_equal(sr.sel(band=band), expected[band])


def test_earth_search_names(scene: xr.Dataset, tmp_path: Path) -> None:
    item = stac_item(tmp_path / "aws", scene, names=COMMON)
    da = stackstac.stack([item], resolution=10, epsg=32633).compute()[0]
    assert dict(da.s2sr.bands) == {band: COMMON[band] for band in sorted(COMMON, key=list(xr_s2sr.BANDS).index)}
    expected = natively(da.assign_coords(band=[{v: k for k, v in COMMON.items()}[n] for n in da.band.values]), scene)
    np.testing.assert_array_equal(
        da.s2sr.upsample("nir08", **CUBIC)[0], expected.s2sr.upsample("B8A", **CUBIC).B8A
    )  # nir08 is B8A, nir is B08


def test_three_stacks(items: list[Any], scene: xr.Dataset) -> None:
    """One a resolution: combined they are the native scene; corners instead of centres are refused with the fix."""
    groups = {gsd: [band for band in TWELVE if GSD[band] == gsd] for gsd in (10, 20, 60)}

    def load(xy_coords: str) -> xr.Dataset:
        return xr_s2sr.combine(
            *(
                stackstac.stack(items[:1], assets=bands, resolution=gsd, epsg=32633, xy_coords=xy_coords).compute()[0]
                for gsd, bands in groups.items()
            )
        )

    expected = scene.s2sr.upsample(**CUBIC)
    sr = load("center").s2sr.upsample(**CUBIC)
    assert sr.sizes == expected.sizes
    assert float(abs(sr.B11 - (expected.B11.where(expected.B11 > 1) * 1e-4 - 0.1)).max()) < 1e-4
    assert 'stackstac: xy_coords="center"' in str(load("topleft").s2sr.validate())


def test_lazy_stack_is_laid_out_without_reading(items: list[Any]) -> None:
    da = stackstac.stack(items, resolution=10, epsg=32633)
    report = da.s2sr.validate()
    assert "assumed: the tiling grid of Sentinel-2" in str(report)
    xr.testing.assert_equal(to_native(da).ds.compute(), to_native(da.compute()).ds)


# -- the form alone ---------------------------------------------------------------------------------------------------


@pytest.fixture
def cubo() -> xr.DataArray:
    """cubo.create: as stackstac's, with centres, without its attrs but with some of its own."""
    da = stacked(at_10_m(native((60, 60), lead={"time": [0, 1]}, crs=None).astype("float64") * 1e-4))
    return da.assign_attrs(collection="sentinel-2-l2a", epsg=32632, resolution=10, edge_size=60)


def test_cubo(cubo: xr.DataArray) -> None:
    report = cubo.s2sr.validate()
    assert report
    assert "CRS: EPSG:32632" in str(report)
    assert "note: a DataArray: bands along 'band'" in str(report)
    sr = cubo.s2sr.upsample(**CUBIC)
    assert sr.attrs == cubo.attrs
    assert to_native(cubo.chunk()).ds.B05.chunks is not None  # the CRS is enough to place the cells


def test_a_dataset_that_holds_the_stack(cubo: xr.DataArray) -> None:
    """da.to_dataset(name=...), as it comes back from a NetCDF."""
    ds = cubo.to_dataset(name="reflectance").assign(cloud=("time", [3.0, 4.0]))
    sr = ds.s2sr.upsample(**CUBIC)
    assert list(sr.data_vars) == ["cloud", "reflectance"] or list(sr.data_vars) == ["reflectance", "cloud"]
    xr.testing.assert_identical(sr.reflectance.variable, cubo.s2sr.upsample(**CUBIC).variable)
    one = ds.s2sr.upsample("B05", **CUBIC)
    assert one.reflectance.band.values.tolist() == ["B05"]


@pytest.mark.parametrize("dims", [("y", "x", "band", "time"), ("band", "x", "y", "time"), ("time", "y", "band", "x")])
def test_any_order_of_dims(cubo: xr.DataArray, dims: tuple[str, ...]) -> None:
    expected = cubo.s2sr.upsample(**CUBIC)
    sr = cubo.transpose(*dims).s2sr.upsample(**CUBIC)
    assert sr.dims == dims
    xr.testing.assert_identical(sr.transpose(*expected.dims), expected)


def test_names_from_another_coordinate(cubo: xr.DataArray) -> None:
    names = [COMMON[band] for band in cubo.band.values]
    da = cubo.assign_coords(band=range(len(names)), common_name=("band", names))
    assert da.s2sr.bands["B8A"] == "nir08"
    same_pixels(da.s2sr.upsample(**CUBIC), cubo.s2sr.upsample(**CUBIC))


def test_restored_bands_are_known_as_such(cubo: xr.DataArray) -> None:
    sr = cubo.s2sr.upsample(**CUBIC)
    assert "bicubic 1 has restored it already" in str(sr.s2sr.validate()).replace("bicubic 1.0", "bicubic 1")
    assert float(sr.s2sr.consistency(cubo).relative_rmse.max()) < 0.2


def test_evaluate_and_degrade(cubo: xr.DataArray) -> None:
    ds = native((180, 180))
    da = stacked(at_10_m(ds))
    scores = [scene.s2sr.evaluate("bicubic", bands="B05")["rmse"] for scene in (da, ds)]
    xr.testing.assert_identical(*scores)
    assert da.s2sr.degrade(2).B05.dims == ("y_20m", "x_20m")


def test_a_band_twice(cubo: xr.DataArray) -> None:
    da = cubo.isel(band=[0, 1, 2, 3, 4, 4])
    with pytest.raises(BandError, match=r"positions 4, 5 along 'band' are all band B05. Keep one: da = da.isel\("):
        da.s2sr.upsample()
    assert not da.s2sr.validate()
    assert "are all band B05" in repr(da.s2sr)


def test_other_labels_may_repeat(cubo: xr.DataArray) -> None:
    da = cubo.assign_coords(band=[*cubo.band.values[:-2], "cloud", "cloud"])
    sr = da.s2sr.upsample(**CUBIC)
    assert sr.band.values.tolist() == da.band.values.tolist()
    np.testing.assert_array_equal(sr[:, -1], da[:, -1])


def test_pickle(cubo: xr.DataArray) -> None:
    cubo.s2sr.validate()
    pickle.loads(pickle.dumps(cubo))
