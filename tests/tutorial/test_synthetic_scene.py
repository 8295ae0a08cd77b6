"""The synthetic scene: same seed, same pixels; native bands that an independent sensor model agrees with."""

from __future__ import annotations

import numpy as np
import pytest
import rioxarray  # noqa: F401  (registers .rio)
import xarray as xr
from scipy.ndimage import gaussian_filter

from xr_s2sr.bands import BANDS, BY_GSD, EFFECTIVE_MTF, NOMINAL_MTF
from xr_s2sr.errors import InputError, S2SRError
from xr_s2sr.tutorial import synthetic_scene

SIZE = 240
ALL_BANDS = {band: gsd for gsd, bands in BY_GSD.items() for band in bands}


@pytest.fixture(scope="module")
def scene() -> tuple[xr.Dataset, xr.Dataset]:
    return synthetic_scene(SIZE, seed=3)


def test_same_seed_same_scene() -> None:
    for once, again in zip(synthetic_scene(60, seed=5), synthetic_scene(60, seed=5), strict=True):
        xr.testing.assert_identical(once, again)


def test_other_seed_other_scene() -> None:
    (ds, truth), (other_ds, other_truth) = synthetic_scene(60, seed=1), synthetic_scene(60, seed=2)
    for band in ALL_BANDS:
        assert (ds[band].values != other_ds[band].values).mean() > 0.8
        assert (truth[band].values != other_truth[band].values).mean() > 0.8


@pytest.mark.parametrize(("band", "gsd"), ALL_BANDS.items())
def test_native_grid(scene: tuple[xr.Dataset, xr.Dataset], band: str, gsd: int) -> None:
    ds, truth = scene
    suffix = "" if gsd == 10 else f"_{gsd}m"
    da = ds[band]
    assert da.dims == ("y" + suffix, "x" + suffix)
    assert da.shape == (SIZE * 10 // gsd,) * 2
    assert truth[band].dims == ("y", "x")
    assert truth[band].shape == (SIZE, SIZE)
    x, y = da["x" + suffix].values, da["y" + suffix].values
    assert x.dtype == y.dtype == np.float64
    # Pixel centres: the corner of every grid is the same multiple of 60 m.
    assert (x[0] - gsd / 2, y[0] + gsd / 2) == (399_960, 5_600_040)
    assert (np.diff(x) == gsd).all()
    assert (np.diff(y) == -gsd).all()


@pytest.mark.parametrize("which", [0, 1])
def test_georeference_and_attrs(scene: tuple[xr.Dataset, xr.Dataset], which: int) -> None:
    ds = scene[which]
    assert set(ds.data_vars) == set(ALL_BANDS)
    assert ds.rio.crs.to_epsg() == 32633
    assert tuple(ds.rio.transform())[:6] == (10, 0, 399_960, 0, -10, 5_600_040)
    assert [float(v) for v in ds.spatial_ref.attrs["GeoTransform"].split()] == [399_960, 10, 0, 5_600_040, 0, -10]
    assert "synthetic" in ds.attrs["title"]
    assert ds.attrs["seed"] == 3
    for name, da in ds.data_vars.items():
        assert da.dtype == np.uint16
        assert da.encoding["grid_mapping"] == "spatial_ref"
        assert da.attrs["nodata"] == 0
        assert da.attrs["wavelength_nm"] == BANDS[str(name)].wavelength
    assert ds.B05.attrs["long_name"] == "red edge 1"
    assert ds.B12.attrs["long_name"] == "short-wave infrared 2"


@pytest.mark.parametrize("size", [60, 66, SIZE])
def test_nodata_corner_is_whole_60m_pixels(size: int) -> None:
    ds, truth = synthetic_scene(size, seed=3)
    nodata = ds.B01.values == 0
    assert 0.01 < nodata.mean() < 0.04
    assert nodata[-1, -1]
    assert not nodata[0].any()
    for band, gsd in ALL_BANDS.items():
        np.testing.assert_array_equal(ds[band].values == 0, np.kron(nodata, np.ones((60 // gsd,) * 2)) == 1, band)
        np.testing.assert_array_equal(truth[band].values == 0, np.kron(nodata, np.ones((6, 6))) == 1, band)


def test_cloud_is_brighter_than_reflectance_one(scene: tuple[xr.Dataset, xr.Dataset]) -> None:
    ds, truth = scene
    for band in ("B02", "B04", "B08", "B8A"):
        assert (ds[band] > 10_000).sum() >= 20
        assert 0.001 < (truth[band] > 10_000).mean() < 0.05
    assert truth.B12.max() < 10_000


def test_land_cover_spectra(scene: tuple[xr.Dataset, xr.Dataset]) -> None:
    truth = {name: da.values.astype(float) for name, da in scene[1].data_vars.items()}
    ground = (truth["B02"] > 0) & (truth["B02"] < 3000)
    ndvi = (truth["B08"] - truth["B04"]) / np.maximum(truth["B08"] + truth["B04"], 1)
    green, water = ground & (ndvi > 0.75), ground & (ndvi < -0.2)
    assert green.mean() > 0.1
    assert water.mean() > 0.01
    assert (truth["B07"][green] > 1.5 * truth["B05"][green]).mean() > 0.99
    assert np.median(truth["B11"][water]) < 300
    assert 0.9 < np.median(truth["B09"][ground] / truth["B8A"][ground]) < 1.0


def test_the_town_is_streets_and_roofs_not_single_pixels() -> None:
    truth = synthetic_scene(600, seed=3)[1]
    town = truth.B04.values[186:234, 336:384].astype(float)
    for axis in (0, 1):
        one, next_one = np.take(town, range(47), axis), np.take(town, range(1, 48), axis)
        # Independent pixels would have 0; lots of one or two pixels, as there once were, have 0.3.
        assert np.corrcoef(one.ravel(), next_one.ravel())[0, 1] > 0.55


def test_no_band_is_a_linear_function_of_the_others(scene: tuple[xr.Dataset, xr.Dataset]) -> None:
    pixels = np.stack([da.values[da.values > 0] for da in scene[1].data_vars.values()]).astype(float)
    pixels = pixels[:, pixels[1] < 3000]
    for i, band in enumerate(pixels):
        others = np.vstack([np.delete(pixels, i, 0), np.ones(pixels.shape[1])])
        coefficients = np.linalg.lstsq(others.T, band, rcond=None)[0]
        assert (band - coefficients @ others).std() > 10  # more than the DN are rounded by


@pytest.mark.parametrize(
    ("band", "noise"), [("B04", 5.0), ("B05", 4.0), ("B11", 4.0), ("B12", 4.0), ("B01", 3.5), ("B09", 3.5)]
)
def test_native_band_is_degraded_truth_and_noise(scene: tuple[xr.Dataset, xr.Dataset], band: str, noise: float) -> None:
    ds, truth = scene
    factor = ALL_BANDS[band] // 10
    # The twin: scipy's Gaussian and a plain mean, on the rounded truth. Variances of blurs add up: what products have,
    # less what the truth and the mean have.
    image = truth[band].values.astype(float)
    whole, fine = (-2 * np.log(mtf[band]) / np.pi**2 for mtf in (EFFECTIVE_MTF, NOMINAL_MTF))
    sigma = np.sqrt(factor**2 * whole - fine - (factor**2 - 1) / 12)
    blurred = gaussian_filter(image, sigma, mode="reflect") if factor > 1 else image
    n = SIZE // factor
    twin = blurred.reshape(n, factor, n, factor).mean((1, 3))
    # Beside the nodata corner the twin sees the zeros of the truth, which the scene must not.
    far = gaussian_filter((image == 0).astype(float), 4.0, truncate=6)
    inside = far.reshape(n, factor, n, factor).max((1, 3)) < 1e-9
    error = (ds[band].values - twin)[inside]
    assert inside.mean() > 0.85
    assert abs(error.mean()) < 4 * noise / np.sqrt(error.size)
    assert 0.9 * noise < error.std() < 1.1 * noise


def test_scores_of_the_scene_are_those_of_its_truth(scene: tuple[xr.Dataset, xr.Dataset]) -> None:
    """One scale up as at 10 m: the bands that gain most are the same, and gain as much."""
    ds, truth = scene
    rmse = ds.s2sr.evaluate(bands=BY_GSD[20])["rmse"]
    one_up = (rmse.sel(model="xr_s2sr") / rmse.sel(model="bicubic")).to_series()
    inner = {"x": slice(12, -12), "y": slice(12, -12)}
    known = truth.where(ds.B02 > 0).isel(inner)
    errors = [(ds.s2sr.upsample(BY_GSD[20], model=model) - known) ** 2 for model in (None, "bicubic")]
    for band in BY_GSD[20]:
        ratio = np.sqrt(float(errors[0][band].mean()) / float(errors[1][band].mean()))
        assert 0.7 < one_up[band] / ratio < 1.5, band


def test_nodata_does_not_bleed(scene: tuple[xr.Dataset, xr.Dataset]) -> None:
    ds, truth = scene
    bleeding = gaussian_filter(truth.B11.values.astype(float), 1.0).reshape(SIZE // 2, 2, SIZE // 2, 2).mean((1, 3))
    valid = ds.B11.values > 0
    beside = valid & (gaussian_filter((~valid).astype(float), 0.5) > 1e-3)
    # A scene masked first and degraded afterwards would be darker beside the mask, as the twin is.
    assert (ds.B11.values - bleeding)[beside].mean() > 30


@pytest.mark.parametrize(
    ("size", "match"),
    [
        (100, r"size is 100; expected an int, a multiple of 6 and at least 60: synthetic_scene\(102\)"),
        (54, r"size is 54; .* at least 60: synthetic_scene\(60\)"),
        (-6, r"size is -6; .* synthetic_scene\(600\)"),
        (120.0, r"size is 120.0; expected an int.* synthetic_scene\(120\)"),
        (True, r"size is True; expected an int"),
        ("600", r"size is '600'; expected an int.* synthetic_scene\(600\)"),
    ],
)
def test_size_that_cannot_be_used(size: object, match: str) -> None:
    with pytest.raises(InputError, match=match) as caught:
        synthetic_scene(size)  # type: ignore[arg-type]
    assert isinstance(caught.value, S2SRError)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("seed", [-1, 1.5, None, False])
def test_seed_that_cannot_be_used(seed: object) -> None:
    with pytest.raises(InputError, match=rf"seed is {seed!r}; expected an int of 0 or more: synthetic_scene\(seed=0\)"):
        synthetic_scene(60, seed=seed)  # type: ignore[arg-type]
