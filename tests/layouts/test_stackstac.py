"""stackstac, really, and cubo's form of it: one DataArray (time, band, y, x) of floats."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import xarray as xr
from holders import COMMON, at_10_m, same_pixels, stac_item, stac_items, stacked, with_offset
from scenes import GSD, TWELVE, native

import xr_s2sr
from xr_s2sr import tutorial
from xr_s2sr.cli import main
from xr_s2sr.errors import BandError, GridError, RadiometryError
from xr_s2sr.layouts.normalize import to_native

stackstac = pytest.importorskip("stackstac", reason="stackstac is not installed")

CUBIC = {"model": "bicubic"}
WHEN = ("2021-06-01T10:00:00Z", "2021-06-11T10:00:00Z")


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


def loads(items: list[Any], dates: dict[int, slice] | None = None) -> list[xr.DataArray]:
    """A stack a resolution, with what stackstac attaches to each: gsd, raster:bands, titles."""
    return [
        stackstac.stack(
            items[(dates or {}).get(gsd, slice(None))],
            assets=[band for band in TWELVE if GSD[band] == gsd],
            resolution=gsd,
            epsg=32633,
            xy_coords="center",
        ).compute()
        for gsd in (10, 20, 60)
    ]


def test_three_stacks_of_two_dates(items: list[Any], scene: xr.Dataset) -> None:
    """What is attached to each stack differs: what is true of all stays, the rest is said of none."""
    stacks = loads(items)
    assert stacks[0].gsd.item() != stacks[1].gsd.item()
    ds = xr_s2sr.combine(*stacks)
    assert "gsd" not in ds.coords
    assert ds.id.dims == ("time",)
    assert ds.platform.item() == "sentinel-2a"
    for stack in stacks:
        for band in stack.band.values:
            np.testing.assert_array_equal(ds[band], stack.sel(band=band))
    one = xr_s2sr.combine(stacks[0], stacks[1].sel(band="B11"))
    assert "band" not in one.coords
    np.testing.assert_array_equal(one.B11, ds.B11)
    sr = ds.s2sr.upsample("B11", **CUBIC)
    same_pixels(
        sr.isel(time=1)[["B11"]],
        natively(at_10_m(ds.isel(time=1)).to_array("band"), scene).s2sr.upsample("B11", **CUBIC),
    )


def test_jitter_of_coordinates(items: list[Any]) -> None:
    """As everywhere else, a hundredth of a pixel is no other place; a tenth is."""
    fine, *others = loads(items)
    expected = xr_s2sr.combine(fine, *others)
    near, far = (fine.sel(band=["B04", "B08"]).assign_coords(x=fine.x + by, y=fine.y - by) for by in (1e-6, 1.0))
    ds = xr_s2sr.combine(fine.sel(band=["B02", "B03"]), near, *others)
    same_pixels(ds[["B02", "B04"]], expected[["B02", "B04"]])
    with pytest.raises(GridError, match=r"0 are shared; expected the same pixels. Load both over the same area"):
        xr_s2sr.combine(fine.sel(band=["B02", "B03"]), far, *others)


@pytest.mark.parametrize("change", ["fewer", "turned round", "one twice"])
def test_other_dates(items: list[Any], change: str) -> None:
    """The line of the error keeps those that both have."""
    ds10, ds20, _ = loads(items, {20: slice(1, None)} if change == "fewer" else None)
    if change == "turned round":
        ds20 = ds20.isel(time=[1, 0])
    if change == "one twice":
        ds10, ds20 = ds10.isel(time=[0, 0, 1]), ds20.isel(time=[0, 0])
    with pytest.raises(
        GridError, match=r"are shared; expected the same, in one order. Keep what they share: "
    ) as found:
        xr_s2sr.combine(ds10, ds20)
    space = {"xr": xr, "np": np, "ds10": ds10, "ds20": ds20}
    exec(str(found.value).partition("share: ")[2], space)
    ds = xr_s2sr.combine(space["ds10"], space["ds20"])
    kept = {"fewer": ([1], [0]), "turned round": ([0, 1], [1, 0]), "one twice": ([0, 1], [0, 1])}[change]
    for given, dates in zip((ds10, ds20), kept, strict=True):
        for band in given.band.values:
            np.testing.assert_array_equal(ds[band], given.sel(band=band)[dates])


def test_no_date_in_common(items: list[Any]) -> None:
    ds10, ds20, _ = loads(items)
    first, second = ds10.time.values
    with pytest.raises(GridError, match=r"0 are shared; expected the same. Load both of the same items"):
        xr_s2sr.combine(ds10.sel(time=[first]), ds20.sel(time=[second]))
    with pytest.raises(
        GridError, match=r"'B02' and 'B05' are of 2021-06-01T10:00:00 and 2021-06-11T10.*; expected one d"
    ):
        xr_s2sr.combine(ds10.sel(time=first), ds20.sel(time=second))


def test_other_processing_baselines(items: list[Any]) -> None:
    """On them depends the offset: what one load has is not that of the other."""
    key = "s2:processing_baseline"
    ds10, ds20, _ = (da.assign_coords({key: ("time", ["04.00", "05.09"])}) for da in loads(items))
    assert xr_s2sr.combine(ds10, ds20)[key].values.tolist() == ["04.00", "05.09"]
    with pytest.raises(RadiometryError, match=r"'B02' and 'B05' differ in 's2:processing_baseline', on which the off"):
        xr_s2sr.combine(ds10, ds20.assign_coords({key: ("time", ["02.14", "05.09"])}))


@pytest.mark.parametrize("resolution", [10, 20])
@pytest.mark.parametrize("given", ["down", "up", "with a CRS", "without what stackstac says"])
def test_corners_are_written_where_the_pixels_lie(
    items: list[Any], scene: xr.Dataset, given: str, resolution: Any, tmp_path: Path
) -> None:
    """The result has the corners that it was given; a file's pixels lie where the scene's do."""
    da = stackstac.stack(items[:1], assets=list(TWELVE), resolution=10, epsg=32633)[0].compute()
    if given == "up":
        da = da.sortby("y")
    elif given == "with a CRS":
        da = da.rio.write_crs(32633)
    elif given != "down":
        da = da.drop_attrs()
    assert "note: coordinates are upper left corners of pixels" in str(da.s2sr.validate())
    sr = da.s2sr.upsample(resolution=resolution, **CUBIC)
    assert float(sr.x[0]) == scene.rio.bounds()[0]
    ds = sr.to_dataset("band")
    for part, gone in ((ds, 0), (ds.isel(x=slice(3, None)), 3)):
        part.s2sr.to_cog(tmp_path / "sr.tif", stac=True)
        left, bottom, right, top = scene.rio.bounds()
        left += gone * resolution
        place = (
            [resolution, 0, left, 0, resolution, bottom]
            if given == "up"
            else [resolution, 0, left, 0, -resolution, top]
        )
        with rasterio.open(tmp_path / "sr.tif") as file:
            assert list(file.transform)[:6] == place
            assert file.crs.to_epsg() == 32633
            assert [min(file.bounds[1::2]), max(file.bounds[1::2])] == [bottom, top]
            assert (file.bounds.left, file.bounds.right) == (left, right)
        item = json.loads((tmp_path / "sr.json").read_text())
        assert item["assets"]["data"]["proj:transform"] == place
        np.testing.assert_allclose(
            sorted(item["assets"]["data"]["proj:bbox"]), sorted([left, bottom, right, top]), rtol=0, atol=0
        )


def test_centres_on_multiples_of_ten_are_centres(tmp_path: Path) -> None:
    """Native coarse bands tell: beside them, corners would not nest."""
    ds = native((60, 60)).drop_vars("spatial_ref")
    ds = ds.assign_coords({dim: ds[dim] - 5 for dim in ds.dims}).rio.write_crs(32632)
    assert float(ds.x[0]) % 10 == 0
    sr = ds.s2sr.upsample("B05", **CUBIC)
    sr.s2sr.to_cog(tmp_path / "sr.tif")
    with rasterio.open(tmp_path / "sr.tif") as file:
        assert file.transform.c == float(ds.x[0]) - 5


def test_corners_by_the_command_line(items: list[Any], scene: xr.Dataset, tmp_path: Path) -> None:
    da = stackstac.stack(items[:1], assets=list(TWELVE), resolution=10, epsg=32633)[0].compute()
    ds = da.to_dataset("band").drop_attrs()
    ds.drop_vars([key for key in ds.coords if ds[key].dtype == object]).to_netcdf(tmp_path / "stack.nc")
    for out in ("sr.tif", "sr.nc"):
        assert main(["upsample", str(tmp_path / "stack.nc"), "-o", str(tmp_path / out), "--model", "bicubic"]) == 0
    with rasterio.open(tmp_path / "sr.tif") as file:
        assert file.bounds == scene.rio.bounds()
        assert file.crs.to_epsg() == 32633
    with xr.open_dataset(tmp_path / "sr.nc", decode_coords="all") as back:
        np.testing.assert_array_equal(back.x, da.x)
        back.s2sr.to_cog(tmp_path / "again.tif")
    with rasterio.open(tmp_path / "again.tif") as file:
        assert file.bounds == scene.rio.bounds()


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
