"""``resolution=20``: 60 m bands restored and averaged, 20 m bands as they are, 10 m bands averaged; numpy twins."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr
from scenes import FINE, GSD, RED_EDGE, SIXTY, TIMES, TWELVE, as_float, cube, native, spoil

import xr_s2sr
from xr_s2sr.errors import GridError, InputError, ModelError, S2SRWarning

pytestmark = pytest.mark.usefixtures("small_defaults")

CUBIC = {"model": "bicubic"}


def quarters(image: np.ndarray) -> np.ndarray:
    """The four 10 m pixels of each 20 m pixel along a new first axis, one by one."""
    h, w = image.shape[-2] // 2, image.shape[-1] // 2
    return np.stack([image[..., i : 2 * h : 2, j : 2 * w : 2] for i in (0, 1) for j in (0, 1)])


def twin(image: np.ndarray) -> np.ndarray:
    """Means by loops over pixels of uint16 DN: 0 where one is 0, else 65535 where one is, else rounded half to even."""
    out = np.empty((image.shape[0] // 2, image.shape[1] // 2), np.uint16)
    for i, j in np.ndindex(*out.shape):
        four = [int(image[2 * i + a, 2 * j + b]) for a in (0, 1) for b in (0, 1)]
        out[i, j] = 0 if 0 in four else 65535 if 65535 in four else round(sum(four) / 4)
    return out


@pytest.fixture(scope="module")
def ds() -> xr.Dataset:
    return native((60, 72))


@pytest.fixture(scope="module")
def sr(ds: xr.Dataset) -> xr.Dataset:
    return ds.s2sr.upsample(resolution=20)


def test_bands_by_their_gsd(ds: xr.Dataset, sr: xr.Dataset) -> None:
    at_10_m = ds.s2sr.upsample()
    assert list(sr.data_vars) == list(ds.data_vars)
    for band in RED_EDGE:
        xr.testing.assert_identical(sr[band].variable, ds[band].variable)
    for band in (*FINE, *SIXTY):
        np.testing.assert_array_equal(sr[band], twin(at_10_m[band].values))


def test_coordinates_are_those_of_the_20_m_bands(ds: xr.Dataset, sr: xr.Dataset) -> None:
    for band in TWELVE:
        assert sr[band].dims == ("y_20m", "x_20m")
    for dim in ("y_20m", "x_20m"):
        xr.testing.assert_identical(sr[dim].variable, ds[dim].variable)
    assert {*sr.coords} == {"y_20m", "x_20m", "spatial_ref"}
    assert sr.rio.crs == ds.rio.crs
    gdal = [float(number) for number in sr.spatial_ref.attrs["GeoTransform"].split()]
    assert gdal == [300_000, 20, 0, 4_900_020, 0, -20]


def test_attributes_and_encodings_are_kept(ds: xr.Dataset) -> None:
    ds = ds.copy()
    for band in TWELVE:
        ds[band].attrs |= {"resolution": GSD[band], "note": band}
        ds[band].encoding |= {"_FillValue": 0, "chunksizes": (5, 5)}
    sr = ds.s2sr.upsample(resolution=20)
    assert sr.attrs == ds.attrs
    for band in TWELVE:
        assert sr[band].attrs["note"] == band
        assert sr[band].attrs["resolution"] == 20
        assert sr[band].dtype == np.uint16
        assert sr[band].encoding["_FillValue"] == 0
        assert sr[band].encoding["grid_mapping"] == "spatial_ref"
    assert "chunksizes" not in sr.B02.encoding
    assert "chunksizes" not in sr.B01.encoding
    assert sr.B02.attrs["s2sr_native_gsd"] == 10
    assert sr.B01.attrs["s2sr_native_gsd"] == 60
    assert sr.B01.attrs["s2sr_model"].startswith("s2sr-60m")
    assert "s2sr_model" not in sr.B02.attrs


def test_a_mean_is_valid_where_its_four_pixels_are(ds: xr.Dataset) -> None:
    bad = spoil(ds)
    bad["B02"][10:12, 20:24] = [[700, 65535, 700, 65535], [700, 700, 0, 700]]
    sr, at_10_m = bad.s2sr.upsample(resolution=20), bad.s2sr.upsample()
    assert sr.B02[5, 10:12].values.tolist() == [65535, 0]
    for band in RED_EDGE:
        np.testing.assert_array_equal(sr[band], bad[band])
    for band in (*FINE, *SIXTY):
        np.testing.assert_array_equal(sr[band], twin(at_10_m[band].values))
        assert 0 in sr[band]


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_floats(ds: xr.Dataset, dtype: str) -> None:
    bad = as_float(spoil(ds.isel()), dtype)
    bad["B03"][6, 6] = np.inf
    bad["B03"][9, 9] = -np.inf
    sr, at_10_m = bad.s2sr.upsample(resolution=20), bad.s2sr.upsample()
    for band in (*FINE, *SIXTY):
        four = quarters(at_10_m[band].values.astype(np.float64))
        gone = ~(np.isfinite(four) | np.isposinf(four)).all(0)
        expected = np.where(gone, np.nan, np.where(np.isposinf(four).any(0), np.inf, four.mean(0))).astype(dtype)
        assert sr[band].dtype == dtype
        np.testing.assert_array_equal(sr[band], expected)
    assert np.isinf(sr.B03[3, 3])
    assert np.isnan(sr.B03[4, 4])


def test_a_valid_mean_is_never_nodata(ds: xr.Dataset) -> None:
    """-1 and 1 around nodata 0; 6999 and 7001 around nodata 7000."""
    given = ds.astype("int16")
    given["B02"][:2, :2] = [[-1, 1], [1, -1]]
    given["B03"].attrs["_FillValue"] = 7000
    given["B03"][:2, :4] = [[6999, 7001, 7000, 3], [7001, 6999, 3, 3]]
    sr = given.s2sr.upsample("B02", resolution=20), given.s2sr.upsample("B03", resolution=20)
    assert sr[0].B02[0, 0] == 1
    assert sr[1].B03[0, :2].values.tolist() == [6999, 7000]


def test_undeclared_fill_values_are_no_part_of_a_mean() -> None:
    ds = native((60, 60), (*FINE, "B05"), dtype="int16")
    ds["B02"][10, 10] = -9999
    with pytest.warns(S2SRWarning, match=r"taken as nodata.*-9999 in 'B02' \(1 pixels\)"):
        sr = ds.s2sr.upsample(resolution=20)
    assert sr.B02[5, 5] == 0
    assert (sr.B02 == 0).sum() == 1


def test_decoded_integers_can_be_written_again(ds: xr.Dataset, tmp_path: Any) -> None:
    counts = spoil(ds)
    for band in TWELVE:
        counts[band].encoding |= {"scale_factor": 1e-4, "add_offset": -0.1, "_FillValue": 0, "dtype": "uint16"}
        counts[band] = counts[band].copy(data=counts[band].where(counts[band] > 0) * 1e-4 - 0.1)
    counts.s2sr.upsample(resolution=20).to_netcdf(tmp_path / "sr.nc")
    with xr.open_dataset(tmp_path / "sr.nc", mask_and_scale=False) as back:
        four = quarters(spoil(ds).B02.values)
        saturated, gone = (four == 65535).any(0), (four == 0).any(0)
        assert (back.B02.values[gone] == 0).all()
        assert (back.B02.values[saturated & ~gone] == 65535).all()
        plain = ~saturated & ~gone
        assert np.abs(back.B02.values[plain] - four.mean(0)[plain]).max() <= 0.5001


def test_standard_errors_are_the_mean_of_four(ds: xr.Dataset) -> None:
    """As if the errors of the four were one: the largest that the error of a mean can be."""
    bad = spoil(ds)
    sr, at_10_m = (bad.s2sr.upsample(uncertainty=True, resolution=gsd) for gsd in (20, 10))
    assert [name for name in sr.data_vars if str(name).endswith("_uncertainty")] == [
        "B01_uncertainty",
        "B09_uncertainty",
    ]
    for band in SIXTY:
        error = sr[f"{band}_uncertainty"]
        four = quarters(at_10_m[f"{band}_uncertainty"].values.astype(np.float64))
        np.testing.assert_array_equal(error, four.mean(0).astype(np.float32))
        np.testing.assert_array_equal(error.isnull(), sr[band].isin([0, 65535]))
        assert error.dims == ("y_20m", "x_20m")
        assert sr[band].attrs["ancillary_variables"] == error.name
    steps = bad.s2sr.upsample(uncertainty="uint16", resolution=20).B01_uncertainty
    fine = bad.s2sr.upsample("B01", uncertainty="uint16").B01_uncertainty
    four = quarters(fine.values.astype(np.float64))
    np.testing.assert_array_equal(steps, np.where((four == 0).any(0), 0, np.rint(four.mean(0))))
    assert steps.dtype == np.uint16


@pytest.mark.parametrize("chunks", [{"y": 17, "x": 23, "y_20m": 11}, {"y": 25, "x": 25}, {}])
def test_lazily_the_same_bit_for_bit(ds: xr.Dataset, chunks: dict[str, int]) -> None:
    import dask

    def refuse(*args: Any, **kwargs: Any) -> None:
        pytest.fail("computed")

    bad = spoil(ds).assign(SCL=(ds.B05 % 12).astype("uint8"))
    bad["qa"] = ds.B02 % 7
    bad["angle"] = ds.B01.astype("float32") / 100
    settings = {"resolution": 20, "uncertainty": True, "keep": "all"}
    with dask.config.set(scheduler=refuse):
        later = bad.chunk(chunks).s2sr.upsample(**settings)
        some = bad.chunk(chunks).s2sr.upsample(resolution=20, chunks=24, keep="all")
    xr.testing.assert_identical(later.compute(), bad.s2sr.upsample(**settings))
    assert some.B01.chunks == some.B02.chunks == ((12, 12, 6), (12, 12, 12))
    np.testing.assert_array_equal(some.B01, later.B01)


def test_chunks_end_at_whole_pixels() -> None:
    """So that no task waits for the chunk beside it."""
    from xr_s2sr.inference.lazy import chunk_sides
    from xr_s2sr.spans import Span

    fine = xr.DataArray(np.zeros((2193, 2193), bool), dims=("y", "x")).chunk(y=731, x=730)
    covered = Span(0, 2193), Span(0, 2193)
    assert chunk_sides(fine, covered, None, 1) == (731, 730)
    assert chunk_sides(fine, covered, None, 2) == (1098, 730)


def test_without_models_lazily() -> None:
    ds = native((60, 60), (*FINE, *RED_EDGE))
    later = ds.chunk(y=17).s2sr.upsample(resolution=20, chunks=24)
    assert later.B02.chunks == ((12, 12, 6), (12, 12, 6))
    xr.testing.assert_identical(later.compute(), ds.s2sr.upsample(resolution=20))
    with pytest.raises(InputError, match="chunks=24 is for dask arrays"):
        ds.s2sr.upsample(resolution=20, chunks=24)


def test_dates_with_offsets_of_their_own() -> None:
    """-4500 in int16 is a reflectance of -0.45 without an offset, and impossible with one of -1000."""
    ds = cube(dtype="int16")
    ds["B02"][:, 0, 0] = -4500
    offset = xr.DataArray([0, -1000, -1000], {"time": TIMES}, dims="time")
    with pytest.warns(S2SRWarning, match="taken as nodata"):
        sr = ds.s2sr.upsample(resolution=20, offset=offset)
    four = quarters(ds.B02.values.astype(np.float64))[:, :, 0, 0]
    assert sr.B02[:, 0, 0].values.tolist() == [np.rint(four[:, 0].mean()), 0, 0]
    np.testing.assert_array_equal(sr.B02[:, 1:], np.rint(quarters(ds.B02.values.astype(float)).mean(0))[:, 1:])
    with pytest.warns(S2SRWarning, match="taken as nodata"):
        later = ds.chunk(time=2, y=20).s2sr.upsample(resolution=20, offset=offset).compute()
    xr.testing.assert_identical(later, sr)


def test_other_variables(ds: xr.Dataset) -> None:
    """The scene classification on its own 20 m pixels, a mask at 10 m, angles at 60 m."""
    held = ds.assign(SCL=(ds.B05 % 12).astype("uint8"), qa=ds.B02 % 7, angle=ds.B01.astype("float32"), height=3.0)
    with pytest.warns(S2SRWarning, match="not bands and not on the 10 m or 20 m grid: angle. Bring"):
        sr = held.s2sr.upsample(resolution=20, **CUBIC)
    assert {*sr.data_vars} == {*TWELVE, "SCL", "qa", "height"}
    xr.testing.assert_identical(sr.SCL.variable, held.SCL.variable)
    np.testing.assert_array_equal(sr.qa, held.qa[::2, ::2])
    assert sr.qa.dims == sr.SCL.dims
    every = held.s2sr.upsample("B02", resolution=20, keep="all", **CUBIC)
    assert {*every.data_vars} == {"B02", "SCL", "qa", "angle", "height"}
    np.testing.assert_array_equal(every.angle, held.angle.values.repeat(3, 0).repeat(3, 1))
    assert list(held.s2sr.upsample(["B05", "B02"], resolution=20, **CUBIC).data_vars) == ["B02", "B05"]


def test_only_whole_pixels() -> None:
    """10 m bands cut anywhere: what is left of a 20 m pixel at the border is left out."""
    whole = native((60, 72))
    cut = whole.isel(y=slice(3, 48), x=slice(1, None))
    sr = cut.s2sr.upsample(resolution=20, **CUBIC)  # without a warning
    expected = whole.s2sr.upsample(resolution=20, **CUBIC).isel(y_20m=slice(2, 24), x_20m=slice(1, None))
    for band in (*FINE, *RED_EDGE):
        xr.testing.assert_equal(sr[band], expected[band])
    assert sr.B01.shape == (22, 35)
    with pytest.warns(S2SRWarning, match="covers rows 1:45 and columns 1:11 of 45 x 71"):
        cut.isel(x_20m=slice(0, 6)).s2sr.upsample("B05", resolution=20, **CUBIC)
    with pytest.raises(GridError, match=r"45 x 2 pixels of 10 m in common, which hold no whole pixel of 20 m"):
        whole.isel(y=slice(3, 48), x=slice(1, 3)).s2sr.upsample(resolution=20, **CUBIC)


def test_without_20_m_bands(ds: xr.Dataset) -> None:
    """Their grid is that between the 60 m pixels; its dims have a name of their own, then that of the 10 m ones."""
    scene = ds[[*FINE, *SIXTY]]
    sr = scene.s2sr.upsample(resolution=20)
    assert sr.B01.dims == ("y", "x")
    for dim in ("y", "x"):
        np.testing.assert_array_equal(sr[dim], ds[f"{dim}_20m"])
        assert sr[dim].attrs == ds[dim].attrs
    np.testing.assert_array_equal(sr.B01, twin(scene.s2sr.upsample("B01").B01.values))
    one = scene.s2sr.upsample("B02", resolution=20)
    np.testing.assert_array_equal(one.B02, twin(ds.B02.values))


def test_a_60_m_band_that_cannot_be_restored(ds: xr.Dataset) -> None:
    with pytest.warns(S2SRWarning, match="B01 left out: missing B09"):
        sr = ds.drop_vars("B09").s2sr.upsample(resolution=20)
    assert {*sr.data_vars} == {*FINE, *RED_EDGE}


def test_refusals(ds: xr.Dataset) -> None:
    with pytest.raises(InputError, match="resolution=15 is unknown; choose one of 10, 20"):
        ds.s2sr.upsample(resolution=15)
    with pytest.raises(ModelError, match=r"restores B05, .*none of which is left to restore \(B01, B09\)"):
        ds.s2sr.upsample(resolution=20, model="s2sr-20m")
    with pytest.raises(GridError, match="no band of 20 m or 60 m tells where pixels of 20 m lie"):
        ds[list(FINE)].s2sr.upsample("B02", resolution=20)


def test_a_result_at_20_m_is_not_taken_for_a_scene(sr: xr.Dataset) -> None:
    with pytest.raises(
        GridError, match=r"'B02' is a 10 m band with a spacing of 20.*averaged it already: upsample the nat"
    ):
        sr.s2sr.upsample()


def test_simulated_scenes(ds: xr.Dataset) -> None:
    small = native((360, 360)).s2sr.degrade(2)
    coarse = small.s2sr.upsample(resolution=20, **CUBIC)
    assert coarse.B02.attrs["s2sr_native_gsd"] == 10 * small.B02.attrs["s2sr_degraded_by"]
    np.testing.assert_array_equal(coarse.B02, quarters(small.B02.values.astype(np.float64)).mean(0).astype(np.float32))


def test_command_line_and_python_agree(tmp_path: Any, capsys: pytest.CaptureFixture[str]) -> None:
    from xr_s2sr.cli import main

    scene = xr_s2sr.tutorial.synthetic_scene(120)[0]
    scene.to_netcdf(tmp_path / "in.nc")
    arguments = ["-o", str(tmp_path / "sr.nc"), "--resolution", "20", "--chunk", "60"]
    assert main(["upsample", str(tmp_path / "in.nc"), *arguments]) == 0
    assert "60 x 60 pixels of 20 m" in capsys.readouterr().out
    expected = scene.s2sr.upsample(resolution=20)
    with xr.open_dataset(tmp_path / "sr.nc", mask_and_scale=False) as back:
        for name in expected.data_vars:
            np.testing.assert_array_equal(back[name], expected[name])
