"""In the middle of other people's chains: pipe, where, clip, groupby, map, pickle, custom indexes."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from holders import at_10_m, same_pixels, stacked
from scenes import LEFT, RED_EDGE, SIXTY, TOP, TWELVE, enlarged, native

import xr_s2sr
from xr_s2sr.errors import S2SRWarning

pytestmark = pytest.mark.usefixtures("small_defaults")

CUBIC = {"model": "bicubic"}


@pytest.fixture(scope="module")
def dated() -> xr.Dataset:
    return native((60, 72), lead={"time": [0, 1, 2]})


@pytest.fixture(scope="module")
def cube(dated: xr.Dataset) -> xr.Dataset:
    return at_10_m(dated)


def test_pipe(dated: xr.Dataset, cube: xr.Dataset) -> None:
    expected = dated.s2sr.upsample(**CUBIC)
    same_pixels(dated.pipe(xr_s2sr.upsample, **CUBIC), expected)
    same_pixels(cube.pipe(lambda d: d.s2sr.upsample(**CUBIC)).isel(time=0), expected.isel(time=0))
    ndvi = cube.s2sr.upsample(["B8A", "B04"], **CUBIC).pipe(lambda d: (d.B8A / 1 - d.B04) / (d.B8A / 1 + d.B04))
    assert ndvi.dims == ("time", "y", "x")


def test_each_date(dated: xr.Dataset, cube: xr.Dataset) -> None:
    expected = dated.s2sr.upsample(**CUBIC)
    for scene in (dated, cube):
        by_date = scene.groupby("time").map(lambda d: d.s2sr.upsample(**CUBIC))
        same_pixels(by_date[list(TWELVE)].transpose("time", ...), expected[list(TWELVE)])
        for k, (_, one) in enumerate(scene.groupby("time")):
            same_pixels(one.s2sr.upsample("B05", **CUBIC).squeeze("time"), expected[["B05"]].isel(time=k))


def test_select_then_upsample(dated: xr.Dataset, cube: xr.Dataset) -> None:
    """A selection by coordinates of the cube, anywhere; away from its border it is the whole's."""
    whole = cube.s2sr.upsample(**CUBIC)
    part = cube.sel(time=1, x=slice(LEFT + 70, LEFT + 640), y=slice(TOP - 30, TOP - 590)).s2sr.upsample(**CUBIC)
    assert part.sizes == {"y": 56, "x": 57}
    inner = part.isel(y=slice(14, -14), x=slice(14, -14))
    same_pixels(inner, whole.sel(time=1, y=inner.y, x=inner.x))
    assert part.time == 1
    reversed_rows = cube.isel(time=0, y=slice(None, None, -1)).s2sr.upsample(**CUBIC)
    back = reversed_rows.isel(y=slice(None, None, -1)).astype(int)
    assert int(abs(back - whole.isel(time=0)).to_array().max()) <= 1  # sums are taken in another order


@pytest.mark.parametrize("form", ["dataset", "array"])
@pytest.mark.parametrize("dtype", ["float32", "uint16"])
def test_a_mask_of_10_m_pixels(dated: xr.Dataset, dtype: str, form: str) -> None:
    """Masked is masked, to the pixel; what is left is known in full."""
    ds = dated.isel(time=0).astype(dtype)
    ds = ds if dtype == "uint16" else ds * np.float32(1e-4)
    mask = np.random.default_rng(0).random((60, 72)) < 0.1
    cube = at_10_m(ds)
    holes = cube.where(xr.DataArray(~mask, dims=("y", "x")), np.nan if dtype == "float32" else 0).astype(dtype)
    guides = {band: cube[band] for band in ("B02", "B03", "B04", "B08")}
    holes = holes.assign(guides)  # the mask is that of the coarse bands only
    scene = holes if form == "dataset" else stacked(holes)
    sr = scene.s2sr.upsample()
    sr = sr if form == "dataset" else sr.to_dataset("band")
    expected = ds.s2sr.upsample()
    for band in (*RED_EDGE, *SIXTY):
        # a pixel of 20 m whose four parts are masked all is lost to the model too: look away from those
        invalid = np.isnan(sr[band].values) | (sr[band].values == 0)
        np.testing.assert_array_equal(invalid, mask)
    lost = mask.reshape(30, 2, 36, 2).all((1, 3))
    if not lost.any():
        for band in RED_EDGE:
            np.testing.assert_array_equal(sr[band].values[~mask], expected[band].values[~mask])


def test_where_all_bands(cube: xr.Dataset) -> None:
    clear = xr.DataArray(enlarged(np.random.default_rng(0).random((30, 36)) > 0.2, 2), dims=("y", "x"))
    sr = cube.where(clear).s2sr.upsample(units="dn", **CUBIC)
    for band in TWELVE:
        np.testing.assert_array_equal(np.isnan(sr[band][0]), ~clear)


def test_clip(dated: xr.Dataset, cube: xr.Dataset) -> None:
    """rioxarray cuts a polygon out of the 10 m grid, through native pixels."""
    triangle = {
        "type": "Polygon",
        "coordinates": [
            [[LEFT + 40, TOP - 30], [LEFT + 690, TOP - 110], [LEFT + 210, TOP - 580], [LEFT + 40, TOP - 30]]
        ],
    }
    cube = cube.assign({band: cube[band].assign_attrs(nodata=0) for band in TWELVE})
    clipped = cube.rio.clip([triangle])
    sr = clipped.s2sr.upsample(**CUBIC)
    assert sr.sizes == clipped.sizes
    for band in TWELVE:
        np.testing.assert_array_equal(sr[band] == 0, clipped.B02 == 0)
    box = cube.rio.clip_box(LEFT + 50, TOP - 430, LEFT + 470, TOP - 70)
    assert box.s2sr.upsample("B05", **CUBIC).sizes == box.sizes


def test_map_and_arithmetic(cube: xr.Dataset) -> None:
    """Reflectance by the user's own arithmetic."""
    reflectance = cube.map(lambda da: (da - 1000.0) * 1e-4)
    sr = reflectance.s2sr.upsample(**CUBIC)
    theirs = cube.s2sr.upsample(offset=-1000, **CUBIC)
    assert float(abs(sr.B05 - (theirs.B05 - 1000.0) * 1e-4).max()) < 6e-5


@pytest.mark.parametrize("form", ["dataset", "array", "tree"])
def test_pickle_after_use(dated: xr.Dataset, cube: xr.Dataset, form: str) -> None:
    forms = {"dataset": cube, "array": stacked(cube), "tree": xr.DataTree.from_dict({"/scene": dated})}
    scene = forms[form]
    scene.s2sr.upsample("B05", **CUBIC)
    back = pickle.loads(pickle.dumps(scene))
    same_pixels(back.s2sr.upsample("B05", **CUBIC), scene.s2sr.upsample("B05", **CUBIC))
    assert "B05" in repr(back.s2sr)


def test_the_input_is_left_alone(cube: xr.Dataset) -> None:
    before = cube.copy(deep=True)
    cube.s2sr.upsample(**CUBIC)
    stacked(cube).s2sr.upsample("B05", **CUBIC)
    xr.testing.assert_identical(cube, before)


def test_crs_index_of_xproj(cube: xr.Dataset) -> None:
    pytest.importorskip("xproj", reason="xproj is not installed")
    ds = cube.drop_vars("spatial_ref").proj.assign_crs(spatial_ref="EPSG:32632")
    report = ds.s2sr.validate()
    assert "CRS: EPSG:32632" in str(report)
    sr = ds.s2sr.upsample("B05", **CUBIC)
    assert type(sr.xindexes["spatial_ref"]) is type(ds.xindexes["spatial_ref"])
    assert sr.proj.crs.to_epsg() == 32632


def test_raster_index_of_rasterix(cube: xr.Dataset) -> None:
    rasterix = pytest.importorskip("rasterix", reason="rasterix is not installed")
    placed = cube.drop_vars(["y", "x"])
    placed["spatial_ref"].attrs["GeoTransform"] = f"{LEFT} 10 0 {TOP} 0 -10"
    ds = rasterix.assign_index(placed, x_dim="x", y_dim="y")
    assert isinstance(ds.xindexes["x"], rasterix.RasterIndex)
    np.testing.assert_array_equal(ds.x, cube.x)
    sr = ds.s2sr.upsample(**CUBIC)
    assert isinstance(sr.xindexes["x"], rasterix.RasterIndex)
    same_pixels(sr, cube.s2sr.upsample(**CUBIC))
    part = ds.isel(x=slice(3, 50), y=slice(5, 48)).s2sr.upsample("B05", **CUBIC)
    assert isinstance(part.xindexes["x"], rasterix.RasterIndex)
    assert part.B05.shape == (3, 43, 47)


def filled(ds: xr.Dataset) -> xr.Dataset:
    """With an undeclared fill value in one band."""
    ds = ds.map(lambda v: v.astype("int16"), keep_attrs=True)
    ds.B05.values[0, 0] = -9999
    return ds


CALLS: list[Callable[[xr.Dataset], object]] = [
    lambda ds: xr_s2sr.upsample(ds.drop_vars("B09")),
    lambda ds: ds.drop_vars("B09").s2sr.upsample(),
    lambda ds: ds.drop_vars("B09").pipe(xr_s2sr.upsample),
    lambda ds: ds.drop_vars("B09").chunk().s2sr.upsample(),
    lambda ds: filled(ds).s2sr.upsample("B05", **CUBIC),
    lambda ds: stacked(at_10_m(filled(ds))).s2sr.upsample("B05", **CUBIC),
    lambda ds: xr.DataTree.from_dict({"/scene": filled(ds)}).s2sr.upsample("B05", **CUBIC),
    lambda ds: filled(ds).s2sr.evaluate("bicubic", bands="B05"),
    lambda ds: filled(ds).s2sr.degrade(2),
    lambda ds: ds.s2sr.upsample("B05", **CUBIC).s2sr.consistency(filled(ds)),
    lambda ds: ds.s2sr.evaluate("bicubic"),  # too small for the 60 m bands
]


@pytest.mark.parametrize("call", CALLS)
def test_warnings_point_at_the_callers_line(scene: xr.Dataset, call: Callable[[xr.Dataset], object]) -> None:
    with pytest.warns(S2SRWarning) as told:
        call(scene)
    assert {(w.filename, w.lineno) for w in told} == {(__file__, call.__code__.co_firstlineno)}


@pytest.mark.parametrize("scheduler", ["threads", "synchronous"])
@pytest.mark.parametrize("write", [False, True])
def test_warnings_of_tasks_point_at_the_line_of_upsample(
    scene: xr.Dataset, scheduler: str, write: bool, tmp_path: Path
) -> None:
    """They are issued by dask, in another thread: the line to mend is the one that was called on the scene."""
    dask = pytest.importorskip("dask", reason="the extra dask is not installed")
    call = lambda ds: filled(ds).chunk(y=30).s2sr.upsample("B05", **CUBIC)  # noqa: E731  (one line, which is known)
    sr = call(scene)
    with pytest.warns(S2SRWarning, match="taken as nodata") as told, dask.config.set(scheduler=scheduler):
        sr.s2sr.to_cog(tmp_path / "sr.tif") if write else sr.compute()
    lines = {(w.filename, w.lineno) for w in told if w.category is S2SRWarning}  # rioxarray has a word of its own
    assert lines == {(__file__, call.__code__.co_firstlineno)}


def test_a_warning_is_shown_once_a_line(scene: xr.Dataset) -> None:
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("default")
        for _ in range(2):
            filled(scene).s2sr.upsample("B05", **CUBIC)
    assert len(told) == 1


def test_validate_does_not_warn(scene: xr.Dataset) -> None:
    """It says all in its report; warnings are errors here."""
    assert "B01 left out: missing B09" in str(scene.drop_vars("B09").s2sr.validate())
    assert filled(scene).s2sr.validate()
