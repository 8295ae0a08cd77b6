"""Simulated scenes: their pixels, their places, and that everything else takes them for what they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from affine import Affine
from scenes import DIMS, FINE, GSD, LEFT, RED_EDGE, TOP, TWELVE, native

import xr_s2sr
from xr_s2sr import quality
from xr_s2sr.bands import MTF
from xr_s2sr.errors import ArgumentTypeError, BandError, GridError, InputError, LazyError


@pytest.mark.parametrize(
    ("factor", "protocol"), [(2, "sensor"), (6, "sensor"), (2, "paper"), (2, "mtf"), (6, "mtf"), (3, "paper")]
)
def test_pixels_are_those_of_the_plain_function(factor: int, protocol: str) -> None:
    ds = native((108, 144))
    low = ds.s2sr.degrade(factor, protocol=protocol)
    assert list(low.data_vars) == list(TWELVE)
    for band in TWELVE:
        h, w = (n // (6 * factor) * 6 * factor * 10 // GSD[band] for n in (108, 144))
        want = quality.degrade(ds[band].values[:h, :w].astype(float), factor, protocol, band=band)
        assert low[band].dtype == np.float32
        np.testing.assert_allclose(low[band], want, rtol=1e-6)


@pytest.mark.parametrize("ascending", [False, True])
def test_coordinates_are_the_centres_of_the_new_pixels(ascending: bool) -> None:
    ds = native((72, 60), ascending=ascending)
    low = ds.s2sr.degrade(2)
    for gsd, dims in DIMS.items():
        for dim in dims:
            pairs = ds[dim].values.reshape(-1, 2)
            np.testing.assert_array_equal(low[dim], pairs.mean(1))
            assert low[dim].attrs == ds[dim].attrs
        band = next(b for b in TWELVE if GSD[b] == gsd)
        assert abs(float(low[band][dims[1]].diff(dims[1])[0])) == 2 * gsd
    assert low.rio.crs == ds.rio.crs
    if not ascending:
        assert low.rio.transform() == Affine(20, 0, LEFT, 0, -20, TOP)


def test_a_slice_is_cut_to_whole_pixels_that_nest() -> None:
    ds = native((108, 120))
    cut = ds.isel(y=slice(5, None), x=slice(None, 109), x_20m=slice(4, None))
    low = cut.s2sr.degrade(2)
    # rows 6 to 102 and columns 12 to 108 of the 10 m grid are whole 120 m pixels
    inner = ds.isel(
        {d: slice(6 * 10 // g, 102 * 10 // g) for g, (d, _) in DIMS.items()}
        | {d: slice(12 * 10 // g, 108 * 10 // g) for g, (_, d) in DIMS.items()}
    )
    xr.testing.assert_identical(low, inner.s2sr.degrade(2))
    assert float(low.x_60m[0]) - 60 == float(low.x[0]) - 10 == LEFT + 120
    # without 60 m bands nothing asks for 60 m pixels
    assert cut.drop_vars(["B01", "B09"]).s2sr.degrade(2).sizes["y"] == 50


def test_leading_dims_and_coords_stay() -> None:
    times = np.array(["2024-01-01", "2024-02-01"], "datetime64[ns]")
    ds = native(lead={"time": times}).assign_coords(cloud=("time", [0.1, 0.2]))
    low = ds.s2sr.degrade(2)
    assert low.B11.dims == ("time", "y_20m", "x_20m")
    np.testing.assert_array_equal(low.B11.time, times)
    assert list(low.B11.cloud) == [0.1, 0.2]
    one = ds.isel(time=1).s2sr.degrade(2)
    np.testing.assert_array_equal(low.B11[1], one.B11)


def test_what_is_no_band_is_left_out() -> None:
    ds = native().assign(SCL=(DIMS[20], np.zeros((30, 36), np.uint8)))
    assert "SCL" not in ds.s2sr.degrade(2)


@pytest.mark.parametrize("protocol", ["sensor", "paper", "mtf"])
def test_the_cirrus_band_is_left_out(protocol: str) -> None:
    """It is not restored, so that there is nothing to score: the rest is as if it were not there."""
    ds = native((72, 72))
    for name in ("B10", "cirrus"):
        # invalid, and covering less: neither matters
        ten = (DIMS[60], np.zeros((12, 12), np.uint16))
        xr.testing.assert_identical(
            ds.assign({name: ten}).s2sr.degrade(2, protocol=protocol), ds.s2sr.degrade(2, protocol=protocol)
        )
    with pytest.raises(BandError, match="no Sentinel-2 band"):
        ds[["B01"]].rename(B01="B10").s2sr.degrade(2, protocol=protocol)


def with_attrs(ds: xr.Dataset, **attrs: object) -> xr.Dataset:
    for da in ds.data_vars.values():
        da.attrs.update(attrs)
    return ds


def test_units_stay_and_are_written_down(tmp_path: Path) -> None:
    dn = native((72, 72))
    shifted = with_attrs(native((72, 72)) + 1000, nodata=0)
    reflectance = native((72, 72), dtype="float64", scale=1e-4)
    percent = with_attrs(native((72, 72), dtype="float64", scale=1e-2), units="%")
    low = dn.s2sr.degrade(2)
    assert low.B11.attrs["scale_factor"] == pytest.approx(1e-4)
    assert "nodata" not in shifted.s2sr.degrade(2).B11.attrs
    assert "scale_factor" not in reflectance.s2sr.degrade(2).B11.attrs
    np.testing.assert_allclose(low.B11 * 1e-4, reflectance.s2sr.degrade(2).B11, atol=1e-4)
    np.testing.assert_allclose(low.B11, shifted.s2sr.degrade(2, offset=-1000).B11 - 1000, rtol=1e-5)
    np.testing.assert_allclose(low.B11, percent.s2sr.degrade(2).B11 * 100, atol=1)
    # all of them are the same scene to upsample
    want = low.s2sr.upsample("B11", model="bicubic").B11
    for other, gain, shift in (
        (shifted.s2sr.degrade(2, offset=-1000), 1, -1000),
        (reflectance.s2sr.degrade(2), 1e4, 0),
        (percent.s2sr.degrade(2), 1e2, 0),
    ):
        np.testing.assert_allclose(
            other.s2sr.upsample("B11", model="bicubic").B11 * gain + shift, want, atol=1, equal_nan=False
        )
    low.to_netcdf(tmp_path / "low.nc")
    with xr.open_dataset(tmp_path / "low.nc", decode_coords="all") as back:
        assert back.s2sr.validate().ok
        np.testing.assert_allclose(back.s2sr.upsample("B11", model="bicubic").B11 * 1e4, want, rtol=1e-5)


@pytest.mark.parametrize(
    ("factor", "protocol", "reach"), [(2, "sensor", 4), (2, "paper", 2), (2, "mtf", 4), (3, "paper", 1)]
)
def test_nan_is_where_something_invalid_went_in_and_nowhere_else(factor: int, protocol: str, reach: int) -> None:
    ds = native((108, 108))
    clean = ds.s2sr.degrade(factor, protocol=protocol).B11
    assert not clean.isnull().any()
    ds.B11.values[20, 31] = 0
    ds.B11.values[40, 7] = 65535  # saturated
    got = ds.s2sr.degrade(factor, protocol=protocol).B11
    invalid = np.zeros((54 // factor, 54 // factor), bool)
    for y, x in ((20, 31), (40, 7)):
        for i in range(54 // factor):
            for j in range(54 // factor):
                rows = i * factor - reach <= y < (i + 1) * factor + reach
                invalid[i, j] |= rows and j * factor - reach <= x < (j + 1) * factor + reach
    n = got.shape[0]
    np.testing.assert_array_equal(got.isnull(), invalid[:n, :n])
    np.testing.assert_array_equal(got.where(~got.isnull(), 0), clean.where(~got.isnull(), 0))


@pytest.mark.parametrize("satellite", MTF)
def test_the_satellites_mtf_is_used_band_by_band(satellite: str) -> None:
    ds = native((72, 72))
    low = ds.s2sr.degrade(2, protocol="mtf", satellite=satellite)
    for band in ("B05", "B12", "B04", "B01"):
        sigma = quality.degradation_sigma(2, "mtf", MTF[satellite][band])
        # the Gaussian leaves this contrast of the shortest wave
        assert np.exp(-((np.pi * sigma / 2) ** 2) / 2) == pytest.approx(MTF[satellite][band])
        want = quality.degrade(ds[band].values.astype(float), 2, sigma=sigma)
        np.testing.assert_allclose(low[band], want, rtol=1e-6)
    assert low.B05.attrs["s2sr_degradation"] == f"mtf ({satellite})"
    assert set(MTF[satellite]) == set(TWELVE)


def test_satellites_differ() -> None:
    """ESA's point spread functions of 2C: B11 .29 across and .21 along the track; S2A's table has .22."""
    assert MTF["S2C"]["B11"] == pytest.approx(np.sqrt(0.292 * 0.213), abs=0.005)
    ds = native((72, 72))
    sharp, soft = (ds.s2sr.degrade(2, protocol="mtf", satellite=name).B11 for name in ("S2C", "S2A"))
    assert float(sharp.std()) > float(soft.std())


@pytest.mark.parametrize(
    ("factor", "protocol", "band", "mtf"),
    [
        (2, "sensor", "B11", 0.14),
        (6, "sensor", "B01", 0.22),
        (2, "paper", "B11", 0.3301),
        (2, "paper", "B02", 0.3994),
        (6, "paper", "B01", 0.6404),
        (2, "mtf", "B05", 0.1542),
        (6, "mtf", "B09", 0.1893),
    ],
)
def test_says_how_blurred_a_band_is(factor: int, protocol: str, band: str, mtf: float) -> None:
    """The band's own MTF, the Gaussian's and the mean's, multiplied at the larger pixels' Nyquist frequency.

    B11 in "paper": 0.14 ** (1 / 4) for its own, exp(-2 (0.5 pi / 4) ** 2) for the Gaussian, exp(-(pi / 4) ** 2 / 2) for
    the mean of two; and "sensor" is made so that nothing changes.
    """
    low = native((72, 72)).s2sr.degrade(factor, protocol=protocol)
    assert low[band].attrs["s2sr_mtf"] == mtf


def test_the_blur_adds_up_and_of_a_satellite_it_is_its_own() -> None:
    ds = native((72, 72))
    assert ds.s2sr.degrade(2, protocol="mtf", satellite="S2A").B05.attrs["s2sr_mtf"] == 0.2012
    twice = ds.s2sr.degrade(2, protocol="paper").s2sr.degrade(3, protocol="paper")
    assert twice.B11.attrs["s2sr_mtf"] == pytest.approx(0.5772, abs=1e-4)


@pytest.mark.parametrize("protocol", ["sensor", "paper", "mtf"])
def test_the_adaptive_step_is_told_the_blur(protocol: str) -> None:
    """By the attrs alone: the same as saying it."""
    low = native((72, 72)).s2sr.degrade(2, protocol=protocol)[[*FINE, "B11"]]
    told = {band: low[band].attrs["s2sr_mtf"] for band in low.data_vars}
    untold = low.copy()
    for variable in untold.data_vars.values():
        del variable.attrs["s2sr_mtf"]
    sr, said, silent = (
        ds.s2sr.upsample("B11", model="bicubic", adapt=True, mtf=mtf).B11.values
        for ds, mtf in ((low, None), (untold, told), (untold, None))
    )
    np.testing.assert_array_equal(sr, said)
    assert np.array_equal(sr, silent) == (protocol == "sensor")  # the blur of real products is that of "sensor"


def test_a_simulated_scene_is_a_scene() -> None:
    ds = native((144, 144))
    low = ds.s2sr.degrade(2)
    report = low.s2sr.validate()
    assert report.ok
    assert "degraded by 2: its pixels are 2 times larger" in str(report)
    assert "on 72 x 72 pixels of 20 m" in str(report)
    sr = low.s2sr.upsample(model="bicubic")
    assert sr.B11.shape == low.B02.shape == ds.B11.shape
    np.testing.assert_array_equal(sr.x, ds.x_20m)
    assert sr.B11.attrs["s2sr_native_gsd"] == 40
    assert sr.B01.attrs["s2sr_native_gsd"] == 120


def test_degrading_again_goes_on() -> None:
    ds = native((144, 144))
    twice = ds.s2sr.degrade(2).s2sr.degrade(3)
    assert twice.B11.attrs["s2sr_degraded_by"] == 6
    np.testing.assert_array_equal(twice.x_60m, ds.s2sr.degrade(6).x_60m)
    assert twice.s2sr.upsample("B01", model="bicubic").B01.attrs["s2sr_native_gsd"] == 360


def test_the_attribute_must_fit_the_pixels() -> None:
    low = native((72, 72)).s2sr.degrade(2)
    del low.B11.attrs["s2sr_degraded_by"]  # the guide's counts
    assert low.s2sr.validate().ok
    mixed = native((72, 72))
    for band in FINE:
        mixed[band].attrs["s2sr_degraded_by"] = 2
    with pytest.raises(
        GridError, match="10 m band with a spacing of 10 along 'y'; expected 20, as the scene was degra"
    ):
        mixed.s2sr.upsample(model="bicubic")
    for wrong in (0, "two", 2.0, [2, 3]):
        low.B02.attrs["s2sr_degraded_by"] = wrong
        with pytest.raises(GridError, match="expected an integer of 1 or more, as degrade"):
            low[["B02", "B05"]].s2sr.upsample(model="bicubic")
    forgotten = native((72, 72)).s2sr.degrade(2).drop_attrs()
    with pytest.raises(GridError, match=r"spacing of 20 along 'y'; expected 10\. Load each band"):
        forgotten.s2sr.upsample(model="bicubic")


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda ds: ds.s2sr.degrade(1), InputError, "factor=1 is too small; expected 2 or more"),
        (lambda ds: ds.s2sr.degrade(2.0), ArgumentTypeError, "factor=2.0 is a float; expected an integer"),
        (
            lambda ds: ds.s2sr.degrade(2, protocol="wald"),
            InputError,
            "protocol='wald' is unknown; choose one of 'sensor', 'paper', 'mtf'",
        ),
        (
            lambda ds: ds.s2sr.degrade(2, protocol="paper", satellite="S2A"),
            InputError,
            "neither of which protocol='paper' uses; expected protoc",
        ),
        (
            lambda ds: ds.s2sr.degrade(2, protocol="mtf", satellite="S2X"),
            InputError,
            "satellite='S2X' is unknown; choose one of 'S2A', 'S2C'",
        ),
        (lambda ds: ds.s2sr.degrade(12), GridError, "share 60 x 72 pixels of 10 m, too few to degrade 'B01' by 12"),
        (
            lambda ds: ds.chunk().s2sr.degrade(2),
            LazyError,
            r"is a dask array; this method computes in memory. .*isel\(...\).load\(\)",
        ),
        (lambda ds: xr_s2sr.degrade(ds.B02, 2), BandError, r"'B02' .* no dimension whose labels are bands"),
    ],
)
def test_refusals(scene: xr.Dataset, call: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call(scene)  # type: ignore[operator]


def test_needs_a_guide_like_everything_else(scene: xr.Dataset) -> None:
    with pytest.raises(InputError, match="missing B02, B03, B04, B08, the 10 m bands"):
        scene[list(RED_EDGE)].s2sr.degrade(2)
