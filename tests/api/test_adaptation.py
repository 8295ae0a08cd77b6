"""The adaptive step through `upsample`: what it gains, tiles and chunks, holes, its arguments and what they refuse."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr
from scipy.ndimage import shift

import xr_s2sr
from xr_s2sr.bands import BY_GSD
from xr_s2sr.errors import ArgumentTypeError, BandError, InputError

COARSE = [*BY_GSD[20], *BY_GSD[60]]


@pytest.fixture(scope="module")
def scene() -> tuple[xr.Dataset, xr.Dataset]:
    return xr_s2sr.tutorial.synthetic_scene(size=240)


@pytest.fixture(scope="module")
def ds(scene: tuple[xr.Dataset, xr.Dataset]) -> xr.Dataset:
    return scene[0]


@pytest.fixture(scope="module")
def sr(ds: xr.Dataset) -> xr.Dataset:
    return ds.s2sr.upsample()


def errors(sr: xr.Dataset, truth: xr.Dataset) -> dict[str, float]:
    inner = {"x": slice(12, -12), "y": slice(12, -12)}
    return {b: float(np.sqrt(((sr[b].astype(float) - truth[b].astype(float)) ** 2).isel(inner).mean())) for b in COARSE}


def test_it_is_the_default_of_packaged_models_and_pays(
    ds: xr.Dataset, scene: tuple[xr.Dataset, xr.Dataset], sr: xr.Dataset
) -> None:
    network = ds.s2sr.upsample(adapt=False)
    xr.testing.assert_identical(sr, ds.s2sr.upsample(adapt=True))
    adapted, plain = errors(sr, scene[1]), errors(network, scene[1])
    assert np.mean([adapted[b] / plain[b] for b in COARSE]) < 0.85
    assert adapted["B09"] < 0.75 * plain["B09"]
    for band in COARSE:
        assert sr[band].attrs["s2sr_adapted"] == 1
        assert "s2sr_adapted" not in network[band].attrs
        assert sr[band].dtype == ds[band].dtype


def part_of(ds: xr.Dataset) -> xr.Dataset:
    """132 x 120 pixels, with something of each of the holes below."""
    rows, cols = (72, 204), (36, 156)
    pieces = {}
    for suffix, factor in (("", 1), ("_20m", 2), ("_60m", 6)):
        pieces |= {dim + suffix: slice(a // factor, b // factor) for dim, (a, b) in (("y", rows), ("x", cols))}
    return ds.isel(pieces)


@pytest.mark.parametrize("tile", [60, 102])
def test_tiles_leave_no_trace(ds: xr.Dataset, tile: int) -> None:
    part = part_of(ds)
    xr.testing.assert_equal(part.s2sr.upsample(tile=tile), part.s2sr.upsample())


def moved(ds: xr.Dataset) -> xr.Dataset:
    """Return the scene with its coarse bands a quarter of their pixels lower and further to the right."""
    out = ds.copy(deep=True)
    for band in COARSE:
        image = shift(ds[band].values.astype(float), 0.25, order=5, mode="nearest")
        out[band] = ds[band].copy(data=image.round().astype(ds[band].dtype))
    return out


def test_bands_that_are_off_are_registered(ds: xr.Dataset, scene: tuple[xr.Dataset, xr.Dataset]) -> None:
    network, adapted = (errors(moved(ds).s2sr.upsample(adapt=adapt), scene[1]) for adapt in (False, True))
    assert np.mean([adapted[band] / network[band] for band in BY_GSD[20]]) < 0.65


def holed(ds: xr.Dataset) -> xr.Dataset:
    """Nodata in a 10 m band, a 20 m band and a 60 m band, and a saturated pixel."""
    ds = ds.copy(deep=True)
    ds.B03[100:130, 40:90] = 0
    ds.B11[20:40, 60:75] = 0
    ds.B11[50, 50] = 65535
    ds.B01[30:34, 5:9] = 0
    return ds


@pytest.mark.parametrize("change", [lambda ds: ds, holed, lambda ds: holed(moved(ds))], ids=["whole", "holed", "moved"])
def test_lazy_is_eager(ds: xr.Dataset, change: Callable[[xr.Dataset], xr.Dataset]) -> None:
    part = part_of(change(ds))
    eager = part.s2sr.upsample()
    lazy = part.chunk(x=66, y=90, x_20m=35, y_20m=50).s2sr.upsample(chunks=72)
    assert lazy.B11.chunks == ((66, 66), (60, 60))
    corner = {"x": slice(50, 60), "y": slice(10, 60)}
    xr.testing.assert_equal(lazy.isel(corner).compute(), eager.isel(corner))
    xr.testing.assert_equal(lazy.compute(), eager)
    xr.testing.assert_equal(part.s2sr.upsample(tile=60), eager)


def test_holes_stay_where_they_are_and_change_little_around_them(ds: xr.Dataset, sr: xr.Dataset) -> None:
    got = holed(ds).s2sr.upsample()
    invalid = np.zeros((240, 240), bool)
    invalid[100:130, 40:90] = True
    for band in COARSE:
        own = invalid | (sr[band].values == 0)
        if band == "B11":
            own[40:80, 120:150] = True
        if band == "B01":
            own[180:204, 30:54] = True
        np.testing.assert_array_equal(got[band].values == 0, own)
        # next to a hole the result is another, but no other than networks and windows there make it
        change = np.abs(got[band].astype(float) - sr[band]).values[~own]
        assert np.median(change) <= 2
        assert np.quantile(change, 0.99) < 0.3 * float(sr[band].astype(float).std())
    assert (got.B11.values[100:102, 100:102] == 65535).all()


def test_the_interior_of_a_part_is_that_of_the_whole(ds: xr.Dataset, sr: xr.Dataset) -> None:
    """Of parts that begin at whole 60 m, as regressions are solved once for each of these."""
    part = ds.isel(x=slice(12, None), x_20m=slice(6, None), y=slice(0, 234), y_20m=slice(0, 117))
    got = part.s2sr.upsample(["B05", "B11"])
    inside = {
        "x": slice(ds.x[84], None),
        "y": slice(None, ds.y[161]),
    }  # network and regression reach less than 72 pixels
    for band in ("B05", "B11"):
        np.testing.assert_array_equal(got[band].sel(inside), sr[band].sel(inside))


def test_a_single_60_m_band_is_that_of_all(ds: xr.Dataset, sr: xr.Dataset) -> None:
    """Its guides are restored whether they were asked for or not."""
    xr.testing.assert_equal(ds.s2sr.upsample("B09").B09, sr.B09)


@pytest.mark.parametrize("first", [0, 2, 4])
def test_bands_are_the_same_alone_and_with_others(ds: xr.Dataset, first: int) -> None:
    """Also where the scene begins inside of a pixel of 60 m: regressions lie on the lattice of the CRS."""
    part = ds.isel(x=slice(first, None), x_20m=slice(first // 2, None), y=slice(0, 132), y_20m=slice(0, 66))
    part = part.isel(x=slice(0, 150), x_20m=slice(0, 75), x_60m=slice(0, 26), y_60m=slice(0, 22))
    models = ["s2sr-20m-fast", "s2sr-60m"]
    both = part.s2sr.upsample(["B05", "B11", "B09"], model=models, uncertainty=True)
    alone = part.s2sr.upsample(["B05"], model="s2sr-20m-fast", uncertainty=True)
    for name in ("B05", "B05_uncertainty"):
        xr.testing.assert_identical(both[name], alone[name])
    lazy = part.chunk(x=90, y=90, x_20m=45, y_20m=45, x_60m=15, y_60m=15)
    lazily = lazy.s2sr.upsample(["B05", "B11", "B09"], model=models, uncertainty=True, chunks=72)
    xr.testing.assert_equal(lazily.compute(), both)


def test_a_single_20_m_band_needs_no_other(ds: xr.Dataset) -> None:
    alone = ds[["B02", "B03", "B04", "B08", "B11"]]
    assert alone.s2sr.upsample().B11.attrs["s2sr_missing_inputs"] == "B05 B06 B07 B8A B12"


def test_60_m_bands_without_20_m_ones(ds: xr.Dataset) -> None:
    alone = ds[["B02", "B03", "B04", "B08", "B01", "B09"]]
    got, network = alone.s2sr.upsample(), alone.s2sr.upsample(adapt=False)
    assert got.B01.attrs["s2sr_adapted"] == 1
    assert not np.array_equal(got.B01, network.B01)


def test_interpolation_followed_by_it_is_the_regression_alone(
    ds: xr.Dataset, scene: tuple[xr.Dataset, xr.Dataset]
) -> None:
    plain, adapted = (ds.s2sr.upsample(model="bicubic", adapt=adapt) for adapt in (None, True))
    before, after = errors(plain, scene[1]), errors(adapted, scene[1])
    assert all(after[band] < 0.6 * before[band] for band in COARSE)
    assert adapted.B05.attrs["s2sr_model"].startswith("bicubic")
    without = ds.drop_vars("B08")
    without.s2sr.upsample("B05", model="bicubic")
    with pytest.raises(BandError, match="missing B08"):
        without.s2sr.upsample("B05", model="bicubic", adapt=True)


def test_the_blur_that_it_assumes(ds: xr.Dataset, sr: xr.Dataset) -> None:
    sharper = ds.s2sr.upsample(["B11", "B12"], mtf={"swir16": 0.4})
    assert not np.array_equal(sharper.B11, sr.B11)
    # B12's network sees the regression of B11, which the blur decides
    change = [abs(sharper[band].astype(float) - sr[band]).mean() for band in ("B11", "B12")]
    assert 0 < change[1] < 0.2 * change[0]
    with pytest.raises(
        InputError, match=r"mtf has 1.5 for B11; expected a number between 0 and 1: mtf=\{'B11': 0.25\}"
    ):
        ds.s2sr.upsample(mtf={"B11": 1.5})
    with pytest.raises(ArgumentTypeError, match=r"mtf=0\.3 is a float; expected one value a band"):
        ds.s2sr.upsample(mtf=0.3)
    with pytest.raises(BandError, match="'B13' is not a Sentinel-2 band"):
        ds.s2sr.upsample(mtf={"B13": 0.3})
    with pytest.raises(InputError, match="adapt"):
        ds.s2sr.upsample(adapt="yes")


def test_a_simulated_scene_says_its_blur(ds: xr.Dataset) -> None:
    """Variances add up, in native pixels: of the product (MTF 0.27), the Gaussian, and the mean of 2 x 2 pixels."""
    native = -2 * np.log(0.27) / np.pi**2
    for protocol, sigma in (("paper", 0.5), ("mtf", 1.0)):
        small = ds.s2sr.degrade(2, protocol=protocol)
        seen = (native + sigma**2 + 0.25) / 4
        assert small.B05.attrs["s2sr_mtf"] == pytest.approx(np.exp(-(np.pi**2) * seen / 2), abs=1e-4)
    # the sensor's blur repeats itself
    assert ds.s2sr.degrade(2).B05.attrs["s2sr_mtf"] == pytest.approx(0.27, abs=1e-3)
    small.B05.attrs["s2sr_mtf"] = "sharp"
    with pytest.raises(InputError, match=r"s2sr_mtf='sharp'.*expected a number between 0 and 1"):
        small.s2sr.upsample("B05")


@pytest.mark.parametrize("protocol", ["sensor", "paper", "mtf"])
def test_evaluate_scores_it(ds: xr.Dataset, protocol: str) -> None:
    scores = ds.s2sr.evaluate({"adapted": None, "pure": "bicubic"}, bands=["B05", "B11"], protocol=protocol)
    rmse = scores["rmse"]
    assert (rmse.sel(model="adapted") < 0.75 * rmse.sel(model="bicubic")).all()
