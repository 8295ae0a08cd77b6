"""satpy's msi_safe: percent, saturated pixels as inf, the CRS in an area; and Earth Engine through xee."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyproj
import pytest
import xarray as xr
from holders import at_10_m, same_pixels, transform
from scenes import GSD, TWELVE, native

import xr_s2sr

CUBIC = {"model": "bicubic"}


@dataclass(frozen=True)
class Area:
    """What of pyresample's AreaDefinition counts here."""

    crs: pyproj.CRS
    resolution: int


@pytest.fixture
def scene() -> xr.Dataset:
    ds = native((60, 72), dtype="float64", scale=0.01, crs=None)
    ds.B04.values[10:12, 20:22] = np.inf
    ds.B11.values[8, 9] = np.inf
    return ds


@pytest.fixture
def scn(scene: xr.Dataset) -> dict[str, xr.DataArray]:
    """By band, each on (y, x), called after a dask task, with its own name among the attributes."""
    crs = pyproj.CRS("EPSG:32632")
    arrays = {}
    for band in TWELVE:
        y, x = scene[band].dims
        attrs = {
            "name": band,
            "units": "%",
            "calibration": "reflectance",
            "resolution": GSD[band],
            "area": Area(crs, GSD[band]),
        }
        da = scene[band].rename({y: "y", x: "x"} if y != "y" else {}).rename(f"array-{band}").assign_coords(crs=crs)
        arrays[band] = da.assign_attrs(attrs)
    return arrays


def test_the_bands_of_a_scene(scn: dict[str, xr.DataArray], scene: xr.Dataset) -> None:
    ds = xr_s2sr.combine(*scn.values())
    report = ds.s2sr.validate()
    assert report
    assert "CRS: EPSG:32632" in str(report)
    assert "x 0.01" in str(report)
    sr = ds.s2sr.upsample()
    expected = scene.s2sr.upsample(units="percent")
    for band in TWELVE:
        np.testing.assert_array_equal(sr[band], expected[band])
    assert bool(np.isinf(sr.B11[16:18, 18:20]).all())  # saturated in, saturated out
    assert int(np.isinf(sr.B11).sum()) == 4
    assert sr.B11.attrs["area"].resolution == 10
    assert sr.B11.attrs["resolution"] == 10
    assert sr.B11.attrs["units"] == "%"
    assert sr.rio.crs.to_epsg() == 32632


def test_the_names_of_level_2a(scn: dict[str, xr.DataArray], scene: xr.Dataset) -> None:
    """B05_L2A, but for B8A; at several pixel sizes, of which the native one counts."""
    named = [da.assign_attrs(name=band if band == "B8A" else f"{band}_L2A") for band, da in scn.items()]
    fine = scn["B02"].assign_attrs(name="B02_L2A")
    coarse = fine.coarsen(y=2, x=2).mean(keep_attrs=True).rename("array-B02-20")
    sr = xr_s2sr.combine(*named, coarse).s2sr.upsample(["B05", "B01"], **CUBIC)
    expected = scene.s2sr.upsample(["B05", "B01"], units="percent", **CUBIC)
    assert list(sr.data_vars) == ["B05_L2A", "B01_L2A"]
    for band in ("B05", "B01"):
        np.testing.assert_array_equal(sr[f"{band}_L2A"], expected[band])


def test_resampled_to_the_finest_area(scn: dict[str, xr.DataArray], scene: xr.Dataset) -> None:
    """scn.resample(resampler="native").to_xarray_dataset(): copies on the 10 m grid."""
    ds = at_10_m(scene).assign_attrs(area=scn["B02"].attrs["area"]).assign_coords(crs=scn["B02"].crs)
    ds = ds.assign({band: ds[band].assign_attrs(units="%") for band in TWELVE})
    sr = ds.s2sr.upsample(**CUBIC)
    expected = scene.s2sr.upsample(units="percent", **CUBIC)
    same_pixels(sr[list(TWELVE)], expected[list(TWELVE)])


def test_the_real_scene(scene: xr.Dataset) -> None:
    satpy = pytest.importorskip("satpy", reason="satpy is not installed")
    pyresample = pytest.importorskip("pyresample")
    from satpy.coords import add_crs_xy_coords

    scn: Any = satpy.Scene()
    for band in TWELVE:
        da, t = scene[band], transform(scene[band])
        h, w = da.shape
        extent = (t.c, t.f + h * t.e, t.c + w * t.a, t.f)
        area = pyresample.AreaDefinition("tile", "", "", "EPSG:32632", w, h, extent)
        plain = xr.DataArray(da.values, dims=("y", "x"), attrs={"area": area, "units": "%", "resolution": GSD[band]})
        scn[band] = add_crs_xy_coords(plain, area)
    sr = xr_s2sr.combine(*scn).s2sr.upsample(**CUBIC)
    expected = scene.s2sr.upsample(units="percent", **CUBIC)
    for band in TWELVE:
        np.testing.assert_array_equal(sr[band], expected[band])
    assert sr.rio.crs.to_epsg() == 32632
    fine = scn.resample(scn.finest_area(), resampler="native").to_xarray_dataset().load()
    sr = fine.s2sr.upsample(**CUBIC)
    for band in TWELVE:
        np.testing.assert_array_equal(sr[band], expected[band])


# -- Earth Engine -----------------------------------------------------------------------------------------------------


def engine(scene: xr.Dataset) -> xr.Dataset:
    """B1 ... B12 at 10 m, every pixel of Earth Engine by nearest neighbour."""
    ds = at_10_m(scene.expand_dims(time=[0, 1]))
    return ds.rename({band: band.replace("B0", "B") for band in TWELVE})


@pytest.mark.parametrize("dims", [("time", "y", "x"), ("time", "x", "y")])
def test_xee(dims: tuple[str, ...]) -> None:
    """Older versions of xee give columns before rows."""
    scene = native((60, 72), crs=None)
    ds = engine(scene).transpose(*dims).assign_attrs(crs="EPSG:32632")
    report = ds.s2sr.validate()
    assert report
    assert "CRS: EPSG:32632" in str(report)
    sr = ds.s2sr.upsample(**CUBIC)
    expected = scene.s2sr.upsample(**CUBIC)
    for band in TWELVE:
        name = band.replace("B0", "B")
        assert sr[name].dims == dims
        np.testing.assert_array_equal(sr[name].transpose("time", "y", "x")[1], expected[band])


@pytest.mark.parametrize("order", [("x", "y"), ("x_20m", "y_20m")])
def test_columns_before_rows(order: tuple[str, str]) -> None:
    scene = native((60, 72))
    turned = scene.transpose(*order, ...)
    sr = turned.s2sr.upsample(**CUBIC)
    expected = scene.s2sr.upsample(**CUBIC)
    for band in TWELVE:
        assert sr[band].dims == (("x", "y") if turned[band].dims[0] == order[0] else ("y", "x"))
        xr.testing.assert_identical(sr[band].transpose("y", "x"), expected[band])


def test_dates_last() -> None:
    scene = native((60, 60)).expand_dims(time=2)
    sr = scene.transpose("y", "x", ..., "time").s2sr.upsample(**CUBIC)
    assert sr.B02.dims == ("y", "x", "time")
    xr.testing.assert_identical(sr.transpose("time", ...), scene.s2sr.upsample(**CUBIC))
