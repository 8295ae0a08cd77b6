"""Standard errors beside the restored bands: numbers, forms, files, scores. Models are toys whose errors are known."""

from __future__ import annotations

import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dask
import numpy as np
import pytest
import rasterio
import xarray as xr
from scenes import RED_EDGE, SIXTY, as_float, native
from scipy import stats
from toy_models import CARD_20, CARD_60, save, with_errors

import xr_s2sr
from xr_s2sr import plot
from xr_s2sr.bands import uncertainty_of
from xr_s2sr.cli import main
from xr_s2sr.errors import InputError, ModelError
from xr_s2sr.quality import reliability

pytestmark = pytest.mark.filterwarnings("ignore:Consolidated metadata:UserWarning")

#: In the unit of the network, 0.2 reflectance: 0.004 reflectance, 40 DN.
CONSTANT = 0.02
BANDS = [*RED_EDGE, *SIXTY]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def plain(folder: Path) -> list[Path]:
    return [save(folder / "plain20.onnx"), save(folder / "plain60.onnx", CARD_60)]


@pytest.fixture(scope="module")
def constant(folder: Path, plain: list[Path]) -> list[Path]:
    return [with_errors(path, folder / f"constant-{path.name}", CONSTANT) for path in plain]


@pytest.fixture(scope="module")
def varied(folder: Path, plain: list[Path]) -> list[Path]:
    return [with_errors(path, folder / f"varied-{path.name}") for path in plain]


@pytest.fixture
def scene() -> xr.Dataset:
    ds = native((60, 72))
    ds.B05[3, 4] = 0  # nodata
    ds.B05[9, 9] = 65535  # saturated
    ds.B02[20, 30] = 0  # of the guide
    return ds


def scaled(ds: xr.Dataset) -> xr.Dataset:
    """The same pixels, with attributes that say how they are still to be scaled."""
    for da in ds.data_vars.values():
        da.attrs |= {"scale_factor": 1e-4, "add_offset": -0.1, "_FillValue": 0}
    return ds


def names(bands: Any) -> list[str]:
    return [uncertainty_of(band) for band in bands]


def test_every_restored_band_gets_one_and_no_other(scene: xr.Dataset, constant: list[Path]) -> None:
    sr = scene.s2sr.upsample(model=constant, uncertainty=True)
    assert {name for name in sr.data_vars if str(name).endswith("_uncertainty")} == {*names(BANDS)}
    assert list(scene.s2sr.upsample("B11", model=constant[0], uncertainty=True).data_vars) == ["B11", "B11_uncertainty"]


def test_the_bands_stay_bit_for_bit(scene: xr.Dataset, plain: list[Path], constant: list[Path]) -> None:
    sr = scene.s2sr.upsample(model=plain)
    for asked in (False, True):
        with_head = scene.s2sr.upsample(model=constant, uncertainty=asked)
        for band in BANDS:
            np.testing.assert_array_equal(with_head[band], sr[band])


def test_one_standard_error_in_the_unit_of_the_band(constant: list[Path]) -> None:
    dn = native((60, 72))
    for ds, expected, units in (
        (dn, 40, "DN"),
        (as_float(dn), 0.004, "1"),
        (scaled(native((60, 72))), 40, "1"),  # still to be scaled
    ):
        error = ds.s2sr.upsample("B05", model=constant[0], uncertainty=True)["B05_uncertainty"]
        assert error.dtype == np.float32
        np.testing.assert_allclose(error, expected, rtol=1e-6)
        assert error.attrs["units"] == units
    assert error.attrs["scale_factor"] == 1e-4
    assert "add_offset" not in error.attrs
    shifted = dn.s2sr.upsample("B05", model=constant[0], uncertainty=True, offset=-100)
    np.testing.assert_allclose(shifted["B05_uncertainty"], 40, rtol=1e-6)


def test_nodata_is_where_the_band_is_not_measured(scene: xr.Dataset, varied: list[Path]) -> None:
    for kind, blank in ((True, np.isnan), ("uint16", lambda error: error == 0)):
        sr = scene.s2sr.upsample(model=varied, uncertainty=kind)
        for band in BANDS:
            np.testing.assert_array_equal(blank(sr[uncertainty_of(band)]), sr[band].isin([0, 65535]))
        assert int((sr.B05 == 65535).sum()) == 4
        assert int((sr.B05 == 0).sum()) == 5


def test_steps_of_a_tenth_dn(scene: xr.Dataset, varied: list[Path]) -> None:
    exact, steps = (scene.s2sr.upsample("B07", model=varied[0], uncertainty=kind) for kind in (True, "uint16"))
    packed = steps.B07_uncertainty
    assert packed.dtype == np.uint16
    assert packed.attrs["scale_factor"] == pytest.approx(0.1)
    valid = (packed.values > 0) & (exact.B07_uncertainty.values < 6553)
    assert valid.mean() > 0.9
    difference = (packed * packed.attrs["scale_factor"] - exact.B07_uncertainty).values[valid]
    assert abs(difference).max() <= 0.05 + np.spacing(np.float32(6553))  # half a step, and the rounding of float32
    reflectance = as_float(native((60, 72))).s2sr.upsample("B07", model=varied[0], uncertainty="uint16")
    assert reflectance.B07_uncertainty.attrs["scale_factor"] == pytest.approx(1e-5)


def test_a_small_error_is_not_nodata_and_a_large_one_does_not_wrap(folder: Path, plain: list[Path]) -> None:
    for value, stored in ((1e-7, 1), (4.0, 65534)):  # 0.0002 DN and 8000 DN, of 0.1 DN
        model = with_errors(plain[0], folder / f"{stored}.onnx", value)
        packed = native((60, 72)).s2sr.upsample("B05", model=model, uncertainty="uint16").B05_uncertainty
        assert np.unique(packed).tolist() == [stored]


def test_tiled_is_untiled_and_lazy_is_eager(varied: list[Path]) -> None:
    ds = native((180, 180), lead={"time": [0, 1]})
    ds.B06[1, 20, 20] = 0
    whole = ds.s2sr.upsample(model=varied, uncertainty=True, tile=720)
    tiled = ds.s2sr.upsample(model=varied, uncertainty=True, tile=36, threads=2)
    lazy = ds.chunk(y=66, x=90).s2sr.upsample(model=varied, uncertainty=True, chunks=60)
    assert all(dask.is_dask_collection(lazy[name]) for name in names(BANDS))
    xr.testing.assert_identical(whole, tiled)
    xr.testing.assert_identical(whole, lazy.compute())
    part = lazy.B06_uncertainty[1, 70:110, 30:90].compute()
    np.testing.assert_array_equal(part, whole.B06_uncertainty[1, 70:110, 30:90])
    assert float(whole.B05_uncertainty.std()) > 1, "the test would not see a shift"


def test_blended_windows_blend_the_errors_too(constant: list[Path]) -> None:
    error = native((120, 120)).s2sr.upsample("B05", model=constant[0], uncertainty=True, tile=36, margin=6)
    np.testing.assert_allclose(error.B05_uncertainty, 40, rtol=1e-5)


def test_the_chunks_of_two_forms_do_not_share_a_name(varied: list[Path]) -> None:
    ds = native((60, 72)).chunk()
    a, b, c = (ds.s2sr.upsample("B05", model=varied[0], uncertainty=kind) for kind in (False, True, "uint16"))
    assert len({one.B05.data.name for one in (a, b, c)}) == 3


@pytest.mark.parametrize("chunked", [False, True])
def test_cf_attributes(constant: list[Path], chunked: bool) -> None:
    ds = native((60, 72))
    ds.B05.attrs |= {"standard_name": "toa_bidirectional_reflectance", "ancillary_variables": "quality"}
    ds = ds.chunk() if chunked else ds
    sr = ds.s2sr.upsample(["B05", "B06"], model=constant[0], uncertainty=True)
    assert sr.B05.attrs["ancillary_variables"] == "quality B05_uncertainty"
    assert sr.B06.attrs["ancillary_variables"] == "B06_uncertainty"
    assert sr.B05_uncertainty.attrs["standard_name"] == "toa_bidirectional_reflectance standard_error"
    assert "standard_name" not in sr.B06_uncertainty.attrs
    assert sr.B06_uncertainty.attrs["long_name"] == "standard error of band B06"
    assert sr.B06_uncertainty.attrs["s2sr_model"] == "toy-20m 1"
    assert sr.B06_uncertainty.attrs["s2sr_native_gsd"] == 20
    assert "ancillary_variables" not in ds.B06.attrs
    assert "ancillary_variables" not in ds.s2sr.upsample("B06", model=constant[0]).B06.attrs


@pytest.mark.parametrize("kind", [True, "uint16"])
@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("form", ["nc", "zarr"])
def test_files_give_back_the_values(
    scene: xr.Dataset, varied: list[Path], tmp_path: Path, kind: Any, chunked: bool, form: str
) -> None:
    sr = (scene.chunk() if chunked else scene).s2sr.upsample(["B05", "B11"], model=varied[0], uncertainty=kind)
    path = tmp_path / f"sr.{form}"
    sr.to_netcdf(path) if form == "nc" else sr.to_zarr(path)
    with xr.open_dataset(path, engine="zarr" if form == "zarr" else None, chunks={}) as back:
        for band in ("B05", "B11"):
            error, expected = back[uncertainty_of(band)].load(), sr[uncertainty_of(band)].load()
            step = expected.attrs.get("scale_factor", 1.0)
            np.testing.assert_allclose(error, xr.where(expected > 0, expected * step, np.nan), rtol=1e-6)
            assert back[band].attrs["ancillary_variables"] == error.name
            assert error.attrs["long_name"] == f"standard error of band {band}"
            assert error.attrs["units"] == "DN"


@pytest.mark.parametrize("kind", [True, "uint16"])
@pytest.mark.parametrize("keys", [("scale_factor", "add_offset"), ("scale", "offset")])
@pytest.mark.parametrize("scale", [1e-4, 2e-4])
def test_errors_of_dn_with_a_scale_are_reflectance_once_scaled(
    constant: list[Path], scale: float, keys: tuple[str, str], kind: Any
) -> None:
    """As of a SAFE product: the number that is stored, times the scale that its own attributes name."""
    ds = native((60, 72))
    for da in ds.data_vars.values():
        da.attrs |= {**dict(zip(keys, (scale, -0.1), strict=True)), "_FillValue": 0}
    error = ds.s2sr.upsample("B05", model=constant[0], uncertainty=kind)["B05_uncertainty"]
    np.testing.assert_allclose(error * error.attrs["scale_factor"], 0.004, rtol=1e-3)
    assert error.attrs["units"] == "1"


def test_a_scaled_band_and_its_error_are_decoded_alike(constant: list[Path], tmp_path: Path) -> None:
    ds = scaled(native((60, 72)))
    ds.s2sr.upsample("B05", model=constant[0], uncertainty=True).to_netcdf(tmp_path / "sr.nc")
    with xr.open_dataset(tmp_path / "sr.nc") as back:
        assert float(back.B05.mean()) == pytest.approx(1e-4 * float(ds.B05.mean()) - 0.1, abs=0.2)
        np.testing.assert_allclose(back.B05_uncertainty, 0.004, rtol=1e-6)


def test_encoded_reflectance_stays_plain(constant: list[Path], tmp_path: Path) -> None:
    scaled(native((60, 72))).to_netcdf(tmp_path / "ds.nc")
    with xr.open_dataset(tmp_path / "ds.nc") as ds:
        sr = ds.s2sr.upsample("B05", model=constant[0], uncertainty=True)
        assert not {"scale_factor", "add_offset", "dtype"} & {*sr.B05_uncertainty.encoding}
        sr.to_netcdf(tmp_path / "sr.nc")
    with xr.open_dataset(tmp_path / "sr.nc") as back:
        np.testing.assert_allclose(back.B05_uncertainty, 0.004, rtol=1e-6)


@pytest.mark.parametrize(("kind", "dtype"), [(True, "float32"), ("uint16", "uint16")])
@pytest.mark.parametrize("chunked", [False, True])
def test_one_cog_names_its_bands(
    scene: xr.Dataset, varied: list[Path], tmp_path: Path, kind: Any, dtype: str, chunked: bool
) -> None:
    sr = (scene.chunk() if chunked else scene).s2sr.upsample(["B05", "B11"], model=varied[0], uncertainty=kind)
    sr.s2sr.to_cog(tmp_path / "sr.tif")
    sr = sr.compute()
    with rasterio.open(tmp_path / "sr.tif") as tif:
        assert tif.descriptions == ("B05", "B11", "B05_uncertainty", "B11_uncertainty")
        assert set(tif.dtypes) == {dtype}
        assert tif.nodata == 0
        np.testing.assert_array_equal(tif.read(1), sr.B05)
        np.testing.assert_array_equal(tif.read(4), sr.B11_uncertainty.fillna(0))
        assert tif.scales[3] == pytest.approx(1.0 if kind is True else 0.1)
        assert tif.tags(4)["s2sr_model"] == "toy-20m 1"


def test_a_folder_of_cogs_has_a_file_each(scene: xr.Dataset, varied: list[Path], tmp_path: Path) -> None:
    sr = scene.s2sr.upsample("B05", model=varied[0], uncertainty=True)
    sr.s2sr.to_cog(tmp_path / "sr")
    assert sorted(path.name for path in (tmp_path / "sr").iterdir()) == ["B05.tif", "B05_uncertainty.tif"]
    with rasterio.open(tmp_path / "sr" / "B05_uncertainty.tif") as tif:
        np.testing.assert_array_equal(tif.read(1), sr.B05_uncertainty)


def at_10m(ds: xr.Dataset) -> xr.DataArray:
    """A DataArray as a load at 10 m gives it: coarser bands repeated."""
    fine = {}
    for name, da in ds.data_vars.items():
        k = 10 * da.shape[-1] // 72
        factor = 72 // da.shape[-1]
        assert k
        fine[name] = (("y", "x"), da.values.repeat(factor, 0).repeat(factor, 1))
    out = xr.Dataset(fine, {"y": ds.y, "x": ds.x}).to_dataarray("band")
    return out.rio.write_crs(32632)


@pytest.mark.parametrize(("dtype", "expected"), [("uint16", 40), ("float32", 0.004), ("float64", 0.004)])
def test_a_dataarray_gets_labels(constant: list[Path], dtype: str, expected: float) -> None:
    da = at_10m(native((60, 72)))
    if dtype != "uint16":
        da = (da * 1e-4).astype(dtype)
    names20 = [f"name of {band}" for band in da.band.values]
    da = da.assign_coords(title=("band", names20), common_name=("band", da.band.values))
    sr = da.s2sr.upsample(["B05", "B11"], model=constant[0], uncertainty=True)
    assert sr.dtype == dtype
    labels = ["B05", "B11", "B05_uncertainty", "B11_uncertainty"]
    assert sr.band.values.tolist() == labels
    assert sr.common_name.values.tolist() == labels
    assert sr.title.values.tolist() == ["name of B05", "name of B11"] * 2
    np.testing.assert_allclose(sr.sel(band="B11_uncertainty"), expected, rtol=1e-6)
    np.testing.assert_array_equal(sr.sel(band="B05"), da.s2sr.upsample("B05", model=constant[0]).sel(band="B05"))
    assert dict(sr.s2sr.bands) == {"B05": "B05", "B11": "B11"}


def test_a_dataarray_of_numbered_bands_goes_on_counting(constant: list[Path]) -> None:
    da = at_10m(native((60, 72)))
    da = da.assign_coords(band=np.arange(1, 13)).assign_attrs(long_name=tuple(da.band.values))
    sr = da.s2sr.upsample("B05", model=constant[0], uncertainty=True)
    assert sr.attrs["long_name"] == ("B05", "B05_uncertainty")
    assert sr.band.values.tolist() == [5, 6]


def test_integers_of_another_nodata_value_are_never_0(folder: Path, plain: list[Path]) -> None:
    da = at_10m(native((60, 72))).astype("int16").assign_attrs(_FillValue=-9999)
    da[:, :2, :2] = -9999
    model = with_errors(plain[0], folder / "tiny.onnx", 1e-7)  # 0.0002 DN
    error = da.s2sr.upsample("B05", model=model, uncertainty=True).sel(band="B05_uncertainty")
    assert np.unique(error).tolist() == [-9999, 1]


def test_a_dataarray_has_one_dtype(constant: list[Path]) -> None:
    with pytest.raises(InputError, match="stacked in one array; expected uncertainty=True"):
        at_10m(native((60, 72))).s2sr.upsample("B05", model=constant[0], uncertainty="uint16")


def test_gaps_on_10_m_pixels_are_the_errors_too(varied: list[Path]) -> None:
    ds = at_10m(native((60, 72))).to_dataset("band")
    ds.B05[7, 7] = 0  # within a native pixel
    sr = ds.s2sr.upsample("B05", model=varied[0], uncertainty=True)
    assert np.argwhere(np.isnan(sr.B05_uncertainty.values)).tolist() == [[7, 7]]
    assert np.argwhere(sr.B05.values == 0).tolist() == [[7, 7]]


def test_described_variables_are_renamed_together(constant: list[Path]) -> None:
    ds = native((60, 72))
    ds = ds.rename({band: f"band_{k}" for k, band in enumerate(ds.data_vars, 1)})
    for k, band in enumerate(native((60, 72)).data_vars, 1):
        ds[f"band_{k}"].attrs["long_name"] = str(band)
    sr = ds.s2sr.upsample("B05", model=constant[0], uncertainty=True)
    assert list(sr.data_vars) == ["band_5", "band_5_uncertainty"]
    assert sr.band_5.attrs["ancillary_variables"] == "band_5_uncertainty"


def test_columns_before_rows(constant: list[Path]) -> None:
    ds = native((60, 72)).transpose("x", "y", "x_20m", "y_20m", "x_60m", "y_60m")
    sr = ds.s2sr.upsample("B05", model=constant[0], uncertainty=True)
    assert sr.B05_uncertainty.dims == sr.B05.dims == ("x", "y")


def test_a_tree_takes_them_into_its_node(constant: list[Path]) -> None:
    ds = native((60, 72))
    groups = {10: ("B02", "B03", "B04", "B08"), 20: RED_EDGE}
    tree = xr.DataTree.from_dict(
        {
            f"/r{gsd}m": ds[list(bands)].drop_vars("spatial_ref").rename({d: d[0] for d in ds[bands[0]].dims})
            for gsd, bands in groups.items()
        }
    )
    out = tree.s2sr.upsample("B05", model=constant[0], uncertainty=True, into=True)
    np.testing.assert_allclose(out["r10m/B05_uncertainty"], 40, rtol=1e-6)


def test_models_without_it_are_refused(scene: xr.Dataset, plain: list[Path], constant: list[Path]) -> None:
    with pytest.raises(ModelError, match=r"toy-20m 1 .*restores B05, gives none; .*xr-s2sr train --uncertainty --init"):
        scene.s2sr.upsample("B05", model=plain[0], uncertainty=True)
    with pytest.raises(ModelError, match=r"B05 would be interpolated by 'bicubic', which gives none"):
        scene.s2sr.upsample("B05", model="bicubic", uncertainty=True)
    with pytest.raises(ModelError, match=r"toy-60m 1 .*restores B01, B09, gives none"):
        scene.s2sr.upsample(model=[constant[0], plain[1]], uncertainty=True)
    with pytest.raises(InputError, match="uncertainty='float16' is unknown"):
        scene.s2sr.upsample("B05", model=constant[0], uncertainty="float16")


def test_command_line(constant: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    native((60, 72)).to_netcdf(tmp_path / "in.nc")
    common = ["upsample", str(tmp_path / "in.nc"), "--bands", "B05", "--model", str(constant[0])]
    assert main([*common, "-o", str(tmp_path / "a.nc"), "--uncertainty"]) == 0
    assert "B05, B05_uncertainty" in capsys.readouterr().out
    with xr.open_dataset(tmp_path / "a.nc") as back:
        np.testing.assert_allclose(back.B05_uncertainty, 40, rtol=1e-6)
    assert main([*common, "-o", str(tmp_path / "b.tif"), "--uncertainty", "uint16"]) == 0
    with rasterio.open(tmp_path / "b.tif") as tif:
        assert tif.descriptions == ("B05", "B05_uncertainty")
        assert np.unique(tif.read(2)).tolist() == [400]
        assert tif.scales == pytest.approx((1.0, 0.1))


# -- scores ---------------------------------------------------------------------------------------------------


def test_coverage_counts() -> None:
    error, predicted = np.array([0.5, -1.0, 1.5, -2.5]), np.ones(4)
    assert reliability.coverage(error, predicted) == 0.5
    assert reliability.coverage(error, predicted, 2) == 0.75


def test_rank_correlation_is_scipys() -> None:
    rng = np.random.default_rng(0)
    a = rng.integers(0, 9, 500)  # with ties
    b = a + rng.normal(0, 4, 500).round()
    assert reliability.rank_correlation(a, b) == pytest.approx(stats.spearmanr(a, b).statistic, abs=1e-12)
    assert reliability.rank_correlation(a, -3 * a) == pytest.approx(-1)
    assert np.isnan(reliability.rank_correlation(a, np.ones(500)))
    with pytest.raises(InputError, match="expected the same"):
        reliability.rank_correlation(a, b[1:])


def test_reliability_in_bins() -> None:
    predicted = np.array([3.0, 1.0, 4.0, 2.0, 5.0, 6.0])
    error = np.array([3.0, -1.0, 8.0, 2.0, -10.0, 12.0])
    p, o = reliability.reliability_table(error, predicted, bins=3)
    np.testing.assert_allclose(p, np.sqrt([2.5, 12.5, 30.5]))
    np.testing.assert_allclose(o, np.sqrt([2.5, (9 + 64) / 2, 122]))
    p, o = reliability.reliability_table(error[:2], predicted[:2], bins=3)
    assert np.isnan(p[2])
    assert np.isnan(o[2])


@pytest.fixture(scope="module")
def scored(varied: list[Path]) -> tuple[xr.Dataset, Any]:
    ds = native((120, 132), ["B02", "B03", "B04", "B08", *RED_EDGE])
    return ds, ds.s2sr.evaluate(varied[0], uncertainty=True)


def test_scores_are_those_by_hand(scored: tuple[xr.Dataset, Any], varied: list[Path]) -> None:
    ds, scores = scored
    small = ds.s2sr.degrade(2)
    sr = small.s2sr.upsample(list(RED_EDGE), model=varied[0], uncertainty=True)
    for band in RED_EDGE:
        inner = slice(12, -12), slice(12, -12)
        error = (sr[band].values - ds[band].values.astype(float))[inner].ravel()
        predicted = sr[uncertainty_of(band)].values[inner].ravel().astype(float)
        own = scores.sel(model="toy-20m", band=band)
        assert float(own.within_1) == pytest.approx((abs(error) <= predicted).mean(), abs=2e-4)
        assert float(own.within_2) == pytest.approx((abs(error) <= 2 * predicted).mean(), abs=2e-4)
        assert float(own.spearman) == pytest.approx(stats.spearmanr(predicted, abs(error)).statistic, abs=1e-3)
        lowest = np.sort(predicted)[: len(predicted) // 10 + 1]
        assert float(own.predicted_rmse[0]) == pytest.approx(np.sqrt((lowest**2).mean()), rel=1e-3)
        weights = [len(part) for part in np.array_split(error, 10)]
        together = np.average(own.observed_rmse.values**2, weights=weights) ** 0.5
        assert together == pytest.approx(float(own.rmse), rel=1e-6)


def test_bicubic_has_no_standard_errors(scored: tuple[xr.Dataset, Any]) -> None:
    scores = scored[1]
    for key in ("within_1", "within_2", "spearman", "predicted_rmse", "observed_rmse"):
        assert np.isnan(scores[key].sel(model="bicubic")).all()
    assert scores.observed_rmse.dims == ("model", "band", "bin")
    assert scores.observed_rmse.attrs["units"] == "DN"


def test_scores_print_with_a_second_table(scored: tuple[xr.Dataset, Any]) -> None:
    ds, scores = scored
    line = next(line for line in str(scores).splitlines() if line.startswith("toy-20m") and "B05" in line)
    assert f"{float(scores.within_1.sel(model='toy-20m', band='B05')):.2f}" in line
    assert "within 2 s.e." in scores._repr_html_()
    assert "s.e." not in str(ds.s2sr.evaluate("bicubic", bands="B05"))


def test_scores_of_a_constant(constant: list[Path]) -> None:
    ds = native((120, 132), ["B02", "B03", "B04", "B08", *RED_EDGE])
    own = ds.s2sr.evaluate(constant[0], uncertainty=True).sel(model="toy-20m")
    np.testing.assert_allclose(own.predicted_rmse, 40, rtol=1e-6)
    assert np.isnan(own.spearman).all()


def test_scores_of_60_m_bands(varied: list[Path]) -> None:
    scores = native((216, 252)).s2sr.evaluate({"toy": varied}, uncertainty=True)
    assert scores.band.values.tolist() == [*RED_EDGE, *SIXTY]
    assert np.isfinite(scores.within_1.sel(model="toy")).all()


def test_evaluation_asks_for_models_that_give_it(plain: list[Path]) -> None:
    ds = native((120, 132))
    with pytest.raises(ModelError, match="'bicubic' alone gives none"):
        ds.s2sr.evaluate("bicubic", uncertainty=True)
    with pytest.raises(ModelError, match=r"toy-20m 1 .*gives none"):
        ds.s2sr.evaluate(plain[0], bands="B05", uncertainty=True)


class Axes:
    """As much of matplotlib's as the plot uses."""

    def __init__(self) -> None:
        self.lines: list[tuple[Any, Any, str]] = []
        self.labels: dict[str, Any] = {}

    def plot(self, x: Any, y: Any, label: str = "", **style: Any) -> None:
        self.lines.append((np.asarray(x), np.asarray(y), label))

    def set(self, **labels: Any) -> None:
        self.labels |= labels

    def legend(self) -> None:
        self.labels["legend"] = True


def test_reliability_is_drawn(scored: tuple[xr.Dataset, Any]) -> None:
    scores = scored[1]
    ax = Axes()
    assert plot.reliability(scores, ax=ax) is ax
    assert [label for _, _, label in ax.lines] == [*RED_EDGE, ""]
    own = scores.sel(model="toy-20m", band="B11")
    np.testing.assert_array_equal(ax.lines[4][0], own.predicted_rmse)
    np.testing.assert_array_equal(ax.lines[4][1], own.observed_rmse)
    np.testing.assert_array_equal(ax.lines[-1][0], ax.lines[-1][1])
    assert ax.labels["xlabel"] == "predicted RMSE [DN]"
    with pytest.raises(InputError, match="'bicubic' gives no standard errors; expected one of toy-20m"):
        plot.reliability(scores.dataset, "bicubic", ax=ax)
    without = SimpleNamespace(dataset=scores.dataset.drop_vars("observed_rmse"))
    with pytest.raises(InputError, match="hold no standard errors"):
        plot.reliability(without, ax=ax)


def test_nothing_warns(scene: xr.Dataset, constant: list[Path]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        xr_s2sr.upsample(scene, ["B05"], model=constant[0], uncertainty=True)


def test_older_cards_load() -> None:
    text = CARD_20.to_json()
    assert '"uncertainty": false' in text
    old = xr_s2sr.models.ModelCard.from_json(text.replace('"uncertainty": false', '"unknown": 1'))
    assert old.uncertainty is False
    with pytest.raises(ModelError, match="has uncertainty='yes'"):
        xr_s2sr.models.ModelCard.from_json(text.replace('"uncertainty": false', '"uncertainty": "yes"'))
