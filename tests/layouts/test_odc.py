"""odc-stac, really: items over local files, loaded at 10 m in one go, or at each resolution and combined."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from holders import COMMON, at_10_m, in_the_south, same_pixels, stac_item, with_offset
from rasterio.warp import transform_bounds
from real_scenes import real
from scenes import FINE, RED_EDGE, SIXTY, TWELVE, native

import xr_s2sr
from xr_s2sr import tutorial
from xr_s2sr.errors import GridError
from xr_s2sr.layouts.normalize import to_native

odc_stac = pytest.importorskip("odc.stac", reason="odc-stac is not installed")
odc_geo = pytest.importorskip("odc.geo")

pytestmark = [
    pytest.mark.filterwarnings("ignore:The 'shapely.ops:DeprecationWarning"),  # odc-geo, with shapely 2.2
    pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning"),  # odc-loader, within dask
]

CUBIC = {"model": "bicubic"}
WHEN = ("2021-06-01T10:00:00Z", "2021-06-11T10:00:00Z")


@pytest.fixture(scope="module")
def scene() -> xr.Dataset:
    return tutorial.synthetic_scene(120)[0]


def later(scene: xr.Dataset, k: int) -> xr.Dataset:
    """The scene, k DN brighter where it is valid."""
    return (scene + k).where(scene > 0, 0).astype("uint16")


@pytest.fixture(scope="module")
def items(scene: xr.Dataset, tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    scl = scene.B05.copy(data=np.arange(3600).reshape(60, 60).astype("uint8") % 11 + 1)
    folder = tmp_path_factory.mktemp("stac")
    return [
        stac_item(folder / str(k), later(scene, k).assign(SCL=scl).rio.write_crs(32633), when)
        for k, when in enumerate(WHEN)
    ]


@pytest.fixture(scope="module")
def dated(scene: xr.Dataset) -> xr.Dataset:
    """The scenes of the items in native form."""
    return xr.concat([later(scene, k) for k in (0, 1)], "time", coords="minimal", compat="override")


def test_one_load_at_10_m(items: list[Any], dated: xr.Dataset) -> None:
    cube = odc_stac.load(items, bands=[*TWELVE, "SCL"], resolution=10)
    sr = cube.s2sr.upsample()
    same_pixels(sr[list(TWELVE)], dated.s2sr.upsample()[list(TWELVE)])
    xr.testing.assert_identical(sr.SCL.variable, cube.SCL.variable)
    assert list(sr.data_vars) == list(cube.data_vars)
    assert sr.sizes == cube.sizes
    assert sr.rio.crs.to_epsg() == 32633
    for dim in ("time", "y", "x"):
        assert sr.indexes[dim].equals(cube.indexes[dim])


@pytest.mark.parametrize("crop", [(10, 30, 700, 650), (50, 10, 450, 470)])
def test_a_window_anywhere(items: list[Any], scene: xr.Dataset, crop: tuple[int, ...]) -> None:
    """Pixels are those of the whole scene, but near its new borders."""
    left, top = float(scene.x[0]) - 5, float(scene.y[0]) + 5
    box = {"x": (left + crop[0], left + crop[2]), "y": (top - crop[3], top - crop[1])}
    cube = odc_stac.load(items[:1], bands=list(TWELVE), resolution=10, crs="EPSG:32633", **box)
    assert (cube.x[0] - scene.x[0]) % 60 != 0
    assert cube.s2sr.validate()
    sr = cube.isel(time=0).s2sr.upsample(**CUBIC)
    assert sr.sizes == cube.isel(time=0).sizes
    inner = sr.isel(y=slice(13, -13), x=slice(13, -13))
    same_pixels(inner[list(TWELVE)], scene.s2sr.upsample(**CUBIC)[list(TWELVE)].sel(y=inner.y, x=inner.x))


@pytest.mark.parametrize("resampling", ["bilinear", "cubic", "lanczos"])
def test_smooth_is_refused_with_the_line(items: list[Any], resampling: str, no_pixels: None) -> None:
    cube = odc_stac.load(items[:1], bands=list(TWELVE), resolution=10, resampling=resampling)
    with pytest.raises(
        GridError, match=r"odc.stac.load\(items, bands=\[.B01.\], resolution=60\).*resampling=\"nearest\""
    ):
        cube.s2sr.upsample()


def test_reprojected_is_refused(items: list[Any], no_pixels: None) -> None:
    cube = odc_stac.load(items[:1], bands=list(TWELVE), resolution=10, crs="EPSG:32632")
    with pytest.raises(GridError, match="interpolated or reprojected"):
        cube.s2sr.upsample()


def test_three_loads(items: list[Any], dated: xr.Dataset) -> None:
    """The fix that the refusal of smooth pixels names."""
    ds10 = odc_stac.load(items, bands=list(FINE), resolution=10)
    ds20 = odc_stac.load(items, bands=[*RED_EDGE, "SCL"], resolution=20)
    ds60 = odc_stac.load(items, bands=list(SIXTY), resolution=60)
    ds = xr_s2sr.combine(ds10, ds20, ds60)
    assert ds.B11.dims == ("time", "y_20m", "x_20m")
    assert ds.B01.dims == ("time", "y_60m", "x_60m")
    assert ds.rio.crs.to_epsg() == 32633
    assert ds.B05.attrs == ds20.B05.attrs
    assert ds.s2sr.validate()
    with pytest.warns(xr_s2sr.S2SRWarning, match="left out, .*: SCL"):
        sr = ds.s2sr.upsample()
    same_pixels(sr[list(TWELVE)], dated.s2sr.upsample()[list(TWELVE)])
    cube = odc_stac.load(items, bands=["SCL"], resolution=10)
    same_pixels(ds.s2sr.upsample(keep="all", **CUBIC).SCL, cube.SCL)
    same_pixels(xr_s2sr.combine(ds60, ds20, ds10).s2sr.upsample("B05"), sr[["B05"]])  # in any order
    same_pixels(xr_s2sr.combine(ds10, ds20).s2sr.upsample("B05"), sr[["B05"]])


def test_dates_that_differ(items: list[Any]) -> None:
    ds10 = odc_stac.load(items, bands=list(FINE), resolution=10)
    ds20 = odc_stac.load(items[:1], bands=list(RED_EDGE), resolution=20)
    with pytest.raises(
        GridError, match=r"'B02' has 2 values along 'time', 'B05' 1, and 1 are shared; .* xr.align"
    ) as told:
        xr_s2sr.combine(ds10, ds20)
    line = str(told.value).split("share: ")[1].split("= ")[1]
    ds10, ds20 = eval(line, {"xr": xr, "ds10": ds10, "ds20": ds20})
    assert xr_s2sr.combine(ds10, ds20).s2sr.validate()


def test_lazy_load_is_laid_out_without_reading(items: list[Any]) -> None:
    cube = odc_stac.load(items, bands=list(TWELVE), resolution=10, chunks={"y": 60, "x": 60})
    report = cube.s2sr.validate()
    assert "assumed: the tiling grid of Sentinel-2" in str(report)
    xr.testing.assert_equal(to_native(cube).ds.compute(), to_native(cube.compute()).ds)


def test_earth_search(items: list[Any], scene: xr.Dataset, tmp_path: Path) -> None:
    """Common names; raw DN whose offset the item tells and odc-stac does not apply."""
    scene = with_offset(scene)
    item = stac_item(tmp_path / "aws", scene, names=COMMON)
    cube = odc_stac.load([item], bands=list(COMMON.values()), resolution=10)
    expected = scene.s2sr.upsample(offset=-1000)
    sr = cube.s2sr.upsample(offset=-1000)
    for band, name in COMMON.items():
        np.testing.assert_array_equal(sr[name][0], expected[band])
    assert dict(cube.s2sr.bands) == COMMON


# -- the south, where 60 m pixels are no multiples of 60 m ------------------------------------------------------------


def test_the_south(tmp_path: Path) -> None:
    ds = in_the_south(native((96, 96)))
    item = stac_item(tmp_path / "south", ds)
    x0, y0 = 300_000, 6_300_040
    area = {"crs": "EPSG:32756", "x": (x0 + 70, x0 + 800), "y": (y0 - 800, y0 - 130)}
    ds10 = odc_stac.load([item], bands=list(FINE), resolution=10, **area)
    ds20 = odc_stac.load([item], bands=list(RED_EDGE), resolution=20, **area)
    ds60 = odc_stac.load([item], bands=list(SIXTY), resolution=60, **area)
    snapped = xr_s2sr.combine(ds10, ds20, ds60)
    assert "anchor=odc.geo.yx_(40 / 60, 0)" in str(snapped.s2sr.validate())
    with pytest.raises(GridError, match=r"'B01' starts at y = \d+, a multiple of 60 m; expected Sentinel-2's own"):
        snapped.s2sr.upsample()
    assert list(snapped.s2sr.upsample("B05", **CUBIC)) == ["B05"]

    fixed = odc_stac.load([item], bands=list(SIXTY), resolution=60, anchor=odc_geo.yx_(40 / 60, 0), **area)
    together = xr_s2sr.combine(ds10, ds20, fixed)
    assert together.s2sr.validate()
    np.testing.assert_array_equal(
        together.B01[0], ds.B01.sel(y_60m=together.y_60m, x_60m=together.x_60m)
    )  # native pixels, not resampled
    # and one load at 10 m needs no anchor
    cube = odc_stac.load([item], bands=list(TWELVE), resolution=10, **area)
    sr = together.s2sr.upsample(**CUBIC)
    inner = sr.isel(y=slice(13, -13), x=slice(13, -13))
    same_pixels(cube.s2sr.upsample(**CUBIC).sel(y=inner.y, x=inner.x)[list(TWELVE)], inner[list(TWELVE)])


def test_by_longitude_and_latitude(items: list[Any], scene: xr.Dataset) -> None:
    left, top = float(scene.x[0]) - 5, float(scene.y[0]) + 5
    box = transform_bounds("EPSG:32633", "EPSG:4326", left + 130, top - 900, left + 950, top - 170)
    loads = [
        odc_stac.load(items, bands=bands, resolution=gsd, bbox=box)
        for gsd, bands in ((10, list(FINE)), (20, list(RED_EDGE)), (60, list(SIXTY)))
    ]
    assert xr_s2sr.combine(*loads).s2sr.validate()


@pytest.mark.parametrize("name", ["synthetic", "hvn2_usa"])
def test_real_pixels(name: str, tmp_path: Path) -> None:
    ds = real(name)
    cube = odc_stac.load([stac_item(tmp_path / "item", ds)], bands=list(TWELVE), resolution=10)
    same_pixels(cube.isel(time=0).s2sr.upsample(), ds.s2sr.upsample()[list(TWELVE)])
    shifted = at_10_m(ds, slice(7, None), slice(3, None))
    assert "row 5, column 3" in str(shifted.s2sr.validate())
