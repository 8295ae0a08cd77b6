"""Before and after side by side, read back from matplotlib's artists, against indexing and percentiles of one's own."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import xarray as xr

import xr_s2sr
from xr_s2sr.errors import ArgumentTypeError, BandError, DependencyError, GridError, InputError
from xr_s2sr.plot import NODATA_COLOUR, compare

matplotlib = pytest.importorskip("matplotlib")
SIZE = 60
LEFT, TOP = 399_960.0, 5_600_040.0


@pytest.fixture(autouse=True)
def agg() -> Iterator[None]:
    matplotlib.use("Agg")
    yield
    matplotlib.pyplot.close("all")


@pytest.fixture(scope="module")
def ds() -> xr.Dataset:
    return xr_s2sr.tutorial.synthetic_scene(SIZE, seed=1)[0]


@pytest.fixture(scope="module")
def sr(ds: xr.Dataset) -> xr.Dataset:
    return ds.s2sr.upsample(model="bicubic")


def pictures(figure: Any) -> list[Any]:
    """The images that the figure shows, row by row, without colour bars."""
    return [ax.images[0] for ax in figure.axes if ax.images]


def native(ds: xr.Dataset, band: str, offset: float = 0.0) -> np.ndarray:
    """Reflectance of native pixels on the 10 m grid, NaN where there is none."""
    counts = ds[band].values.astype(float)
    factor = SIZE // len(counts)
    return np.kron(np.where(counts > 0, (counts + offset) / 1e4, np.nan), np.ones((factor, factor)))


@pytest.mark.parametrize("band", ["B11", "B01"])
def test_band(ds: xr.Dataset, sr: xr.Dataset, band: str) -> None:
    figure = ds.s2sr.plot(sr, band)
    before, after = pictures(figure)
    np.testing.assert_allclose(before.get_array().filled(np.nan), native(ds, band), rtol=1e-12)
    restored = sr[band].values.astype(float)
    np.testing.assert_allclose(after.get_array().filled(np.nan), np.where(restored > 0, restored / 1e4, np.nan))
    limits = np.nanpercentile(native(ds, band), (2, 98))
    np.testing.assert_allclose(before.get_clim(), limits)
    assert after.get_clim() == before.get_clim()
    assert before.cmap.name == "cividis"
    assert before.cmap.get_bad() == pytest.approx([*(part / 255 for part in NODATA_COLOUR), 1])
    gsd = xr_s2sr.BANDS[band].gsd
    assert [ax.get_title() for ax in figure.axes[:2]] == [f"{band}, native {gsd} m", f"{band}, restored to 10 m"]
    assert figure.axes[2].get_ylabel() == f"reflectance in {band}"
    np.testing.assert_allclose(before.get_extent(), [399.96, 400.56, 5599.44, 5600.04])
    assert (figure.axes[0].get_xlabel(), figure.axes[0].get_ylabel()) == ("easting [km]", "northing [km]")


def test_without_a_result_it_is_restored_first(ds: xr.Dataset, sr: xr.Dataset) -> None:
    scaled = ds.map(lambda v: v.astype("float32"), keep_attrs=True)
    restored = scaled.s2sr.upsample(["B11"], units="dn")
    expected = pictures(scaled.s2sr.plot(restored, "B11", units="dn"))
    for shown, other in zip(pictures(scaled.s2sr.plot(bands="B11", units="dn")), expected, strict=True):
        np.testing.assert_array_equal(shown.get_array().filled(np.nan), other.get_array().filled(np.nan))
    true_colour = ds.s2sr.plot(composite="true colour")  # no network: these are native in both
    before, after = pictures(true_colour)
    np.testing.assert_array_equal(before.get_array(), after.get_array())
    assert xr_s2sr.plot.swipe(ds, composite="true colour").html == (
        xr_s2sr.plot.swipe(ds, sr, composite="true colour").html
    )


def test_without_a_result_it_restores_no_more_than_can_be_seen(ds: xr.Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xr_s2sr.plot.view.MOST_PIXELS", 48)
    monkeypatch.setattr("xr_s2sr.plot.view.upsample", lambda *args, **kwargs: pytest.fail("restored"))
    with pytest.raises(
        GridError, match=r"the scene has 60 x 60 pixels at 10 m; expected at most 48 a side without a r"
    ):
        ds.s2sr.plot()
    with pytest.raises(GridError, match=r"the leading dimensions .* in the scene; expected one date"):
        ds.expand_dims(time=[0, 1]).s2sr.plot()


@pytest.mark.parametrize("inline", [True, False])
def test_jupyter_shows_a_figure_once(
    ds: xr.Dataset, sr: xr.Dataset, inline: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The inline backend shows what is open when a cell ends; what the cell returns, IPython shows besides."""
    display = pytest.importorskip("IPython.display")
    shown: list[object] = []
    monkeypatch.setattr(display, "display", shown.append)
    backend = "module://matplotlib_inline.backend_inline" if inline else "agg"
    monkeypatch.setattr(matplotlib.pyplot, "get_backend", lambda: backend)
    figure = ds.s2sr.plot(sr, "B11")
    assert hasattr(figure, "_ipython_display_") == inline
    assert matplotlib.pyplot.get_fignums() == [figure.number]  # which is what it shows at the end of the cell
    if inline:
        figure._ipython_display_()
        assert not shown
        matplotlib.pyplot.close(figure)
        figure._ipython_display_()  # in a later cell
        assert [image.format for image in shown] == ["png"]
    assert pickle.loads(pickle.dumps(figure)).axes


def test_composite_has_one_stretch_by_band(ds: xr.Dataset, sr: xr.Dataset) -> None:
    figure = compare(ds, sr, percentiles=(5, 90))  # swir is the default
    before, after = (picture.get_array() for picture in pictures(figure))
    for k, band in enumerate(("B12", "B8A", "B04")):
        image = native(ds, band)
        low, high = np.nanpercentile(image, (5, 90))
        for shown, values in ((before, image), (after, sr[band].values / 1e4)):
            exact = 255 * np.clip((values - low) / (high - low), 0, 1)
            valid = np.isfinite(native(ds, "B01"))
            assert (abs(shown[..., k] - exact)[valid] < 0.5 + 1e-9).all()  # rounded, either way at a half
    assert (before[-1, -1] == NODATA_COLOUR).all()
    title = figure.axes[0].get_title()
    low, high = np.nanpercentile(native(ds, "B12"), (5, 90))
    assert title.startswith("B12 B8A B04 (swir), native 20 and 10 m\nreflectance ")
    assert f"{low:.2f}–{high:.2f}, " in title


def test_fine_bands_are_those_of_the_scene(ds: xr.Dataset, sr: xr.Dataset) -> None:
    """A result that was asked for single bands holds none of 10 m."""
    figure = compare(
        ds, sr[["B11"]].isel(y=slice(7, 30), x=slice(5, 41)), composite="true colour", percentiles=(0, 100)
    )
    before, after = (picture.get_array() for picture in pictures(figure))
    np.testing.assert_array_equal(before, after)
    red = native(ds, "B04")[7:30, 5:41]
    grey = np.rint(255 * (red - red.min()) / (red.max() - red.min()))
    np.testing.assert_array_equal(before[..., 0], grey)
    assert figure.axes[1].get_title().startswith("B04 B03 B02 (true colour), native 10 m")


def test_a_part_of_the_result_is_all_that_is_shown(ds: xr.Dataset, sr: xr.Dataset) -> None:
    figure = compare(ds, sr.isel(y=slice(7, 30), x=slice(5, 41)), ["B01", "B05"])
    images = pictures(figure)
    for k, band in enumerate(("B01", "B05")):
        np.testing.assert_allclose(images[2 * k].get_array(), native(ds, band)[7:30, 5:41])
        np.testing.assert_allclose(images[2 * k + 1].get_array(), sr[band].values[7:30, 5:41] / 1e4)
        np.testing.assert_allclose(images[2 * k].get_clim(), np.percentile(native(ds, band)[7:30, 5:41], (2, 98)))
    expected = [(LEFT + 50) / 1e3, (LEFT + 410) / 1e3, (TOP - 300) / 1e3, (TOP - 70) / 1e3]
    np.testing.assert_allclose(images[0].get_extent(), expected)


def test_result_beyond_the_native_band(ds: xr.Dataset, sr: xr.Dataset) -> None:
    before, _ = pictures(compare(ds.isel(y_20m=slice(3, None), x_20m=slice(None, -4)), sr, "B11"))
    shown, known = before.get_array().filled(np.nan), native(ds, "B11")
    assert np.isnan(shown[:6]).all()
    assert np.isnan(shown[:, -8:]).all()
    np.testing.assert_allclose(shown[6:, :-8], known[6:, :-8])


def test_north_is_up_and_west_is_left(ds: xr.Dataset, sr: xr.Dataset) -> None:
    turned = ds.isel({dim: slice(None, None, -1) for dim in ("y", "y_20m", "x", "x_20m")})[["B04", "B11"]]
    images = pictures(compare(turned, sr[["B11"]].isel(y=slice(None, None, -1), x=slice(None, None, -1)), "B11"))
    for image, expected in zip(images, pictures(compare(ds, sr, "B11")), strict=True):
        np.testing.assert_array_equal(image.get_array().filled(0), expected.get_array().filled(0))
        np.testing.assert_allclose(image.get_extent(), expected.get_extent())


def test_offset_and_units(ds: xr.Dataset, sr: xr.Dataset) -> None:
    before, after = pictures(compare(ds, sr, "B11", offset=-1000))
    np.testing.assert_allclose(before.get_array().filled(np.nan), native(ds, "B11", -1000))
    assert after.get_array()[0, 0] == pytest.approx((float(sr.B11[0, 0]) - 1000) / 1e4)
    reflectance = (ds / 1e4).map(lambda da: da.where(da > 0))
    before, _ = pictures(compare(reflectance, reflectance.s2sr.upsample("B11", model="bicubic"), "B11"))
    np.testing.assert_allclose(before.get_array().filled(np.nan), native(ds, "B11"))


def test_dates_cubes_and_dask(ds: xr.Dataset, sr: xr.Dataset) -> None:
    expected = [picture.get_array() for picture in pictures(compare(ds, sr, "B11"))]
    dated = ds.expand_dims(time=2)
    for scene, result in (
        (ds.chunk(), sr.chunk()),
        (ds.expand_dims("time"), sr.expand_dims("time")),
        (dated.isel(time=1), sr),
        (ds, sr[["B11", "B12"]].to_dataarray("band")),
    ):
        for picture, image in zip(pictures(compare(scene, result, "swir16")), expected, strict=True):
            np.testing.assert_allclose(picture.get_array(), image)
    with pytest.raises(GridError, match=r"leading dimensions \{'time': 2\}.*ds.isel\(time=0\).s2sr.plot\(sr.isel\(ti"):
        compare(dated, sr, "B11")


def test_flat_and_empty_bands(ds: xr.Dataset, sr: xr.Dataset) -> None:
    for value in (3000, 0):
        flat = ds.assign(B11=xr.full_like(ds.B11, value))
        before, after = pictures(compare(flat, sr, "B11"))
        low, high = before.get_clim()
        assert low < high
        assert after.get_clim() == (low, high)


def test_bands_that_are_missing(ds: xr.Dataset, sr: xr.Dataset) -> None:
    with pytest.raises(BandError, match=r"result holds no B12 \(but B05, B11\).*upsample\(\[\"B12\", ...\]\)"):
        compare(ds, sr[["B05", "B11"]])
    with pytest.raises(BandError, match=r"native scene holds no B11 \(but .*Load it too"):
        compare(ds.drop_vars("B11"), sr, "B11")
    with pytest.raises(BandError, match="B99"):
        compare(ds, sr, "B99")
    with pytest.raises(BandError, match="the result holds no band"):
        compare(ds, sr[[]], composite="true colour")


def test_grids_that_do_not_match(ds: xr.Dataset, sr: xr.Dataset) -> None:
    with pytest.raises(
        GridError, match=r"'B11' has pixels of 20 m in the result; expected 10 m.*native scene comes first"
    ):
        compare(ds, ds, "B11")
    with pytest.raises(GridError, match=r"does not nest"):
        compare(ds, sr.assign_coords(x=sr.x + 3), "B11")
    with pytest.raises(GridError, match=r"no pixel in common"):
        compare(ds, sr.assign_coords(x=sr.x + 6000), "B11")
    with pytest.raises(GridError, match=r"in EPSG:32634 in the result and in EPSG:32633.*before reprojecting"):
        compare(ds, sr.drop_vars("spatial_ref").rio.write_crs("EPSG:32634"), "B11")
    wide = xr.DataArray(
        np.ones((1, 3001), "uint16"), {"y": [0.0], "x": 10.0 * np.arange(3001)}, ("y", "x"), "B11"
    ).to_dataset()
    with pytest.raises(GridError, match=r"1 x 3001 pixels; expected at most 3000.*sr.isel\(y=slice\(0, 600\), x="):
        compare(ds, wide, "B11")


def test_arguments_that_cannot_be_used(ds: xr.Dataset, sr: xr.Dataset) -> None:
    with pytest.raises(InputError, match=r"composite='infrared' is unknown; choose one of 'true colour', 'swir'"):
        compare(ds, sr, composite="infrared")
    with pytest.raises(InputError, match=r"names 2 bands; expected three"):
        compare(ds, sr, composite=("B12", "B11"))
    for wrong in ((98, 2), (2,), 5, (-1, 50)):
        with pytest.raises(InputError, match=r"percentiles=.*expected two numbers from 0 to 100"):
            compare(ds, sr, percentiles=wrong)  # type: ignore[arg-type]
    with pytest.raises(ArgumentTypeError, match="expected the Dataset that upsample"):
        compare(ds, "B11")  # type: ignore[arg-type]
    with pytest.raises(ArgumentTypeError, match="expected an xarray Dataset"):
        compare(None, sr)  # type: ignore[arg-type]


def test_without_matplotlib(ds: xr.Dataset, sr: xr.Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(DependencyError, match="pip install matplotlib"):
        compare(ds, sr)


def test_figure_can_be_saved(ds: xr.Dataset, sr: xr.Dataset, tmp_path: Any) -> None:
    figure = compare(ds, sr, ["B11"], composite=("nir", "red", "green"), width=4)
    figure.savefig(tmp_path / "a.png", dpi=50)
    assert (tmp_path / "a.png").stat().st_size > 5000
    assert figure.get_figwidth() == 4
    assert [ax.get_title().split(",")[0] for ax in figure.axes[:4]] == ["B08 B04 B03"] * 2 + ["B11"] * 2


def test_bad_input_computes_nothing(ds: xr.Dataset, sr: xr.Dataset) -> None:
    """Dask arrays that cannot be computed: every refusal comes before any pixel."""

    def fail(block: np.ndarray) -> np.ndarray:
        raise AssertionError("a pixel was computed")

    def forbid(scene: xr.Dataset) -> xr.Dataset:
        return scene.chunk().map(lambda da: da.copy(data=da.data.map_blocks(fail, dtype=da.dtype)))

    lazy, result = forbid(ds), forbid(sr)
    with pytest.raises(AssertionError, match="a pixel was computed"):
        compare(lazy, result, "B11")
    with pytest.raises(GridError, match="does not nest"):
        compare(lazy, result.assign_coords(x=sr.x + 3), "B11")
    with pytest.raises(GridError, match="no pixel in common"):
        compare(lazy, result.assign_coords(x=sr.x + 6000), ["B05", "B11"])
    with pytest.raises(BandError, match="the result holds no B11"):
        compare(lazy, result[["B05"]], ["B05", "B11"])
    with pytest.raises(InputError, match="percentiles"):
        compare(lazy, result, "B11", percentiles=(5, 5))


def test_only_what_is_shown_is_computed(ds: xr.Dataset, sr: xr.Dataset) -> None:
    seen = []

    def note(block: np.ndarray, block_info: Any = None) -> np.ndarray:
        if block_info:
            seen.append(tuple(block_info[0]["chunk-location"]))
        return block

    lazy = ds.copy()
    lazy["B11"] = ds.B11.chunk(10)  # 3 x 3 chunks of 200 m
    lazy["B11"] = lazy.B11.copy(data=lazy.B11.data.map_blocks(note, dtype="uint16"))
    compare(lazy, sr.isel(y=slice(22, 38), x=slice(45, 58)), "B11")
    assert set(seen) == {(1, 2)}
