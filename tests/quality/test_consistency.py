"""``consistency``: the result, seen through the sensor, against what the sensor saw."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from eopf_products import product
from holders import at_10_m, stacked
from scenes import DIMS, GSD, RED_EDGE, SIXTY, crop, native

from xr_s2sr import consistency, quality, tutorial
from xr_s2sr.errors import ArgumentTypeError, BandError, GridError, InputError

NOISE = dict.fromkeys(RED_EDGE, 4.0) | dict.fromkeys(SIXTY, 3.5)


@pytest.fixture(scope="module")
def known() -> tuple[xr.Dataset, xr.Dataset]:
    """A scene without holes, and its 10 m truth: seen through the protocol's Gaussian, with noise of `NOISE`."""
    ds, truth = tutorial.synthetic_scene(240)
    ds, truth = crop(ds, 180, 180), truth.isel(y=slice(180), x=slice(180))
    rng = np.random.default_rng(0)
    for band in (*RED_EDGE, *SIXTY):
        image = quality.degrade(truth[band].values.astype(float), GSD[band] // 10, "sensor", band=band, noise=False)
        noisy = image + NOISE[band] * rng.standard_normal(image.shape)
        ds[band] = ds[band].copy(data=np.rint(noisy).astype(np.uint16))
    part = {d: slice(0, 160 * 10 // g) for g, dims in DIMS.items() for d in dims}
    return ds.isel(part), truth.isel(y=slice(0, 160), x=slice(0, 160))


def test_the_truth_agrees_but_for_the_sensors_noise(known: tuple[xr.Dataset, xr.Dataset]) -> None:
    ds, truth = known
    got = truth.s2sr.consistency(ds)
    assert list(got.band.values) == ["B01", "B05", "B06", "B07", "B8A", "B09", "B11", "B12"]
    assert got.attrs == {"protocol": "sensor"}
    assert got["rmse"].attrs["units"] == "DN"
    for band in got.band.values:
        one = got.sel(band=band)
        assert float(one["rmse"]) == pytest.approx(NOISE[str(band)], rel=0.2)
        assert abs(float(one["bias"])) < 0.6
        cells = 26 if band in SIXTY else 80
        assert int(one["pixels"]) == (cells - 4) ** 2  # two at each side, which the Gaussian reaches over
    paper = truth.s2sr.consistency(ds, protocol="paper")
    assert (paper["rmse"] > 2 * got["rmse"]).all()
    assert (truth.s2sr.consistency(ds, protocol="mtf")["rmse"] > 1.1 * got["rmse"]).all()
    assert consistency(truth[["B05"]], ds, protocol="mtf", satellite="S2A").attrs == {"protocol": "mtf (S2A)"}
    with pytest.raises(InputError, match=r"satellite='S2A' has an MTF of its own.*protocol=\"mtf\", satellite='S2A'"):
        consistency(truth[["B05"]], ds, satellite="S2A")


def test_bias_and_what_it_is_relative_to(known: tuple[xr.Dataset, xr.Dataset]) -> None:
    ds, truth = known
    plain = truth[["B05"]].s2sr.consistency(ds)
    moved = (truth[["B05"]] + 100).s2sr.consistency(ds, units="dn")
    assert float(moved["bias"][0]) == pytest.approx(float(plain["bias"][0]) + 100, abs=1e-6)
    mean = float(ds.B05[2:-2, 2:-2].mean())
    assert float(moved["relative_bias"][0]) == pytest.approx(float(moved["bias"][0]) / mean)
    assert float(moved["relative_rmse"][0]) == pytest.approx(float(moved["rmse"][0]) / mean)


def test_reflectance_is_scored_in_dn(known: tuple[xr.Dataset, xr.Dataset]) -> None:
    ds, truth = known
    want = truth.s2sr.consistency(ds)
    scaled = [(x.where(x > 0) * 1e-4).drop_attrs() for x in (truth, ds)]
    for got in (scaled[0].s2sr.consistency(scaled[1]), scaled[0].s2sr.consistency(ds)):
        np.testing.assert_allclose(got["rmse"], want["rmse"], rtol=1e-4)


def test_a_part_is_found_by_its_coordinates(known: tuple[xr.Dataset, xr.Dataset]) -> None:
    ds, truth = known
    got = truth[["B11"]].isel(y=slice(13, 90), x=slice(6, None)).s2sr.consistency(ds.isel(x_20m=slice(5, 60)))
    # native rows 7 to 45 and columns 5 to 60 are whole; two more at each side are mirrored
    image = quality.degrade(truth.B11.values[14:90, 10:120].astype(float), 2, "sensor", band="B11", noise=False)[
        2:-2, 2:-2
    ]
    error = image - ds.B11.values[9:43, 7:58]
    assert int(got["pixels"][0]) == error.size
    assert float(got["rmse"][0]) == pytest.approx(float(np.sqrt((error**2).mean())))


def test_invalid_pixels_count_nowhere(known: tuple[xr.Dataset, xr.Dataset]) -> None:
    ds, truth = (x[["B02", "B05"]].copy(deep=True) for x in known)
    want = truth.s2sr.consistency(ds)
    ds.B05.values[30, 30] = 0
    got = truth.s2sr.consistency(ds)
    assert int(got["pixels"][0]) == int(want["pixels"][0]) - 1
    truth.B05.values[100, 100] = 0  # the Gaussian reaches 3 pixels of 10 m, 4 x 4 of 20 m
    got = truth.s2sr.consistency(ds)
    assert int(got["pixels"][0]) == int(want["pixels"][0]) - 1 - 16
    assert float(got["rmse"][0]) == pytest.approx(float(want["rmse"][0]), rel=0.05)
    ds.B05.values[:] = 0
    with pytest.raises(GridError, match="no native pixel of 'B05' can be compared"):
        truth.s2sr.consistency(ds)


def test_dates_and_degraded_scenes() -> None:
    ds = native((72, 72), lead={"time": [1, 2]})
    sr = ds.s2sr.upsample(["B05"], model="bicubic")
    both = sr.s2sr.consistency(ds)
    assert int(both["pixels"][0]) == 2 * 32**2
    with pytest.raises(GridError, match=r"'B05' has the leading dimensions \{'time': 1\} in the result"):
        sr.isel(time=[0]).s2sr.consistency(ds)
    low = native((144, 144)).s2sr.degrade(2)
    assert low.s2sr.upsample(["B05"], model="bicubic").s2sr.consistency(low).sizes == {"band": 1}


@pytest.mark.parametrize("crop", [{}, {"y": slice(0, 9)}])
def test_too_little_in_common(scene: xr.Dataset, restored: xr.Dataset, crop: dict[str, slice]) -> None:
    if not crop:
        restored = restored.assign_coords(x=restored.x + 6000)
    with pytest.raises(
        GridError, match=r"the result covers \d whole native pixels of 'B05' along one axis; expected 5"
    ):
        restored[["B05"]].isel(crop).s2sr.consistency(scene)


def test_any_form(scene: xr.Dataset, restored: xr.Dataset) -> None:
    """Of an array, of one band, and of trees with the result in them or beside: as of Datasets."""
    expected = restored.s2sr.consistency(scene)
    xr.testing.assert_equal(consistency(restored.B05, scene), expected.sel(band=["B05"]))
    da = stacked(at_10_m(scene))
    xr.testing.assert_equal(da.s2sr.upsample(model="bicubic").s2sr.consistency(da), expected)
    turned = scene.transpose("x", "y", "x_20m", "y_20m", "x_60m", "y_60m", missing_dims="ignore")
    assert turned.B05.dims == ("x_20m", "y_20m")
    xr.testing.assert_equal(turned.s2sr.upsample(model="bicubic").s2sr.consistency(turned), expected)
    tree = product(scene)
    beside, inside = (tree.s2sr.upsample(model="bicubic", into=into) for into in (False, True))
    for sr in (beside, inside):
        xr.testing.assert_equal(sr.s2sr.consistency(tree), expected)


def test_the_cirrus_band_has_the_nominal_blur(scene: xr.Dataset) -> None:
    """No satellite's table tells that of B10, which comes back if it is asked for."""
    ds = scene.assign(B10=scene.B09)
    sr = ds.s2sr.upsample(["B10", "B11"], model="bicubic")
    nominal, of_satellite = (sr.s2sr.consistency(ds, protocol="mtf", satellite=which) for which in (None, "S2A"))
    differs = of_satellite["rmse"] != nominal["rmse"]
    assert list(differs.sel(band=["B10", "B11"])) == [False, True]


def test_refusals(scene: xr.Dataset, restored: xr.Dataset) -> None:
    with pytest.raises(BandError, match=r"holds no 20 m or 60 m band restored to 10 m .* expected sr.s2sr.consistency"):
        scene.s2sr.consistency(restored)
    with pytest.raises(BandError, match=r"the first Dataset \(B05\) holds no 20 m .* \(B02, B11\) holds natively"):
        restored[["B05"]].s2sr.consistency(scene[["B02", "B11"]])
    with pytest.raises(ArgumentTypeError, match=r"expected what upsample\(\) gave, not a NoneType"):
        consistency(None, scene)  # type: ignore[arg-type]
    with pytest.raises(BandError, match=r"'B05' .* has no dimension whose labels are bands"):
        restored.s2sr.consistency(scene.B05)
    with pytest.raises(InputError, match="protocol='none' is unknown"):
        restored.s2sr.consistency(scene, protocol="none")
    with pytest.raises(GridError, match="EPSG:32633 in the result and in EPSG:32632 in the scene; expected one CRS"):
        restored.rio.write_crs(32633).s2sr.consistency(scene)
    with pytest.raises(GridError, match="does not nest in the 10 m grid"):
        restored.assign_coords(x=restored.x + 3).s2sr.consistency(scene)
