"""Where pixels lie: coordinates read, spacing and nesting checked, the way out of each mistake named."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr
from affine import Affine
from holders import in_the_south
from hypothesis import given
from hypothesis import strategies as st
from scenes import DIMS, LEFT, SIXTY, TOP, centres, native

from xr_s2sr.errors import GridError, S2SRWarning
from xr_s2sr.scene.crs import georeference, read_crs, tile_origin
from xr_s2sr.scene.grid import Axis, Grid, nest, read_axis, read_grid, spatial_dims


def line(values: Any, dim: str = "x") -> xr.DataArray:
    values = np.asarray(values)
    return xr.DataArray(np.zeros(len(values)), {dim: values}, (dim,), "B05")


def grid(gsd: int, row: float, col: float, shape: tuple[int, int] = (5, 7), up: bool = False) -> Grid:
    """A grid whose outer corner lies `row` down and `col` right (in metres) of the origin."""
    sign = 1 if up else -1
    return Grid(
        Axis("y", TOP + sign * (row + gsd / 2), sign * gsd, shape[0]),
        Axis("x", LEFT + col + gsd / 2, gsd, shape[1]),
    )


def raster(gsd: int, shape: tuple[int, int] = (5, 7), y: Any = None, x: Any = None, name: str = "B05") -> xr.DataArray:
    y = centres(gsd, shape[0], TOP, -1) if y is None else y
    x = centres(gsd, shape[1], LEFT, 1) if x is None else x
    return xr.DataArray(np.zeros((len(y), len(x))), {"y": y, "x": x}, ("y", "x"), name)


@given(st.sampled_from([10, 20, 60]), st.integers(2, 50), st.integers(-(10**6), 10**6), st.booleans())
def test_axis(gsd: int, n: int, start: int, descending: bool) -> None:
    step = -gsd if descending else gsd
    axis = read_axis(line(start + step * (np.arange(n) + 0.5)), "x")
    assert (axis.dim, axis.size, axis.step) == ("x", n, pytest.approx(step))
    assert axis.first == start + step / 2
    assert axis.edge == start


@given(st.sampled_from([np.int64, np.int32, np.float32]), st.integers(2, 40))
def test_axis_of_other_types(dtype: Any, n: int) -> None:
    axis = read_axis(line((5 + 10 * np.arange(n)).astype(dtype)), "x")
    assert (axis.first, axis.step, axis.edge) == (5.0, 10.0, 0.0)


@given(st.integers(2, 60), st.integers(0, 2**32 - 1))
def test_jitter_is_no_misalignment(n: int, seed: int) -> None:
    jitter = np.random.default_rng(seed).uniform(-1e-6, 1e-6, n)
    axis = read_axis(line(centres(10, n, LEFT, 1) + jitter), "x")
    assert axis.step == pytest.approx(10, abs=1e-5)
    assert axis.edge == pytest.approx(LEFT, abs=1e-4)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([5.0, 25.0, 15.0, 35.0], r"'B05': the coordinate 'x' is not equally spaced .*ds = ds.sortby\(\"x\"\)"),
        ([5.0, 15.0, 35.0], "not equally spaced .off by up to 5 at a mean spacing of 15"),
        ([5.0, np.nan, 25.0], "holds NaN or inf; expected the pixel centres in metres"),
        ([5.0, 15.0, np.inf], "holds NaN or inf"),
        ([5.0, 5.0, 5.0], "is constant; expected the pixel centres"),
        ([5.0], r"one pixel along 'x', so its spacing cannot be told; use a larger slice"),
        (["a", "b"], "holds <U1, expected metres as numbers"),
        (np.array(["2020-01-01", "2020-01-02"], "datetime64[ns]"), "holds datetime64.ns., expected metres"),
        (np.array([], float), "is empty: dimension 'x' has no pixels"),
    ],
)
def test_axis_refused(values: Any, message: str) -> None:
    with pytest.raises(GridError, match=message):
        read_axis(line(values), "x")


def test_axis_without_coordinate() -> None:
    bare = xr.DataArray(np.zeros((3, 4)), dims=("y", "x"), name="B05")
    with pytest.raises(GridError, match=r"'B05' has no coordinate along 'x'.*ds.assign_coords\(\{\"x\": .*arange\(4\)"):
        read_axis(bare, "x")


def test_one_pixel_takes_the_direction_of_the_10_m_grid() -> None:
    one = raster(60, (1, 1), name="B01")
    found = read_grid(one, 60, like=grid(10, 0, 0))
    assert (found.y.step, found.x.step) == (-60, 60)
    assert found.transform == Affine(60, 0, LEFT, 0, -60, TOP)


@given(st.sampled_from([10, 20, 60]), st.integers(2, 9), st.integers(2, 9), st.integers(-40, 40), st.integers(-40, 40))
def test_grid(gsd: int, h: int, w: int, row: int, col: int) -> None:
    top, left = TOP - 10 * row, LEFT + 10 * col
    found = read_grid(raster(gsd, y=centres(gsd, h, top, -1), x=centres(gsd, w, left, 1)), gsd)
    assert found.shape == (h, w)
    assert found.gsd == gsd
    assert found.transform == Affine(gsd, 0, left, 0, -gsd, top)


@pytest.mark.parametrize(("gsd", "spacing"), [(10, 20), (20, 10), (60, 20), (20, 60), (10, 10.5), (60, 30), (20, 1)])
def test_wrong_spacing(gsd: int, spacing: float) -> None:
    message = rf"'B05' is a {gsd} m band with a spacing of {spacing:g} along 'y'; expected {gsd}(. Load|, or exact)"
    with pytest.raises(GridError, match=message):
        read_grid(raster(spacing), gsd)


def test_only_one_axis_wrong() -> None:
    with pytest.raises(GridError, match="a 20 m band with a spacing of 10 along 'x'; expected 20"):
        read_grid(raster(20, x=centres(10, 7, LEFT, 1)), 20)


def test_degrees() -> None:
    step = 10 / 111_320
    degrees = raster(10, y=48 - step * np.arange(5), x=11 + step * np.arange(7))
    with pytest.raises(GridError, match=r"looks like degrees; expected metres on a UTM grid.*reproject\("):
        read_grid(degrees, 10)


def test_columns_before_rows() -> None:
    with pytest.raises(GridError, match=r"columns before rows. Turn it: ds = ds.transpose\(..., \"y\", \"x\"\)"):
        spatial_dims(raster(10).transpose("x", "y"))


@pytest.mark.parametrize("dims", [("time", "y", "x"), ("northing", "easting"), ("row", "col"), ("y_20m", "x_20m")])
def test_spatial_dims(dims: tuple[str, ...]) -> None:
    assert spatial_dims(xr.DataArray(np.zeros((1,) * len(dims)), dims=dims)) == dims[-2:]


def test_time_last() -> None:
    late = xr.DataArray(np.zeros((2, 2, 2)), dims=("y", "x", "time"), name="B05")
    with pytest.raises(GridError, match=r"dimensions must come last. Move it: ds = ds.transpose\(\"time\", ...\)"):
        spatial_dims(late)


@pytest.mark.parametrize("dims", [(), ("x",)])
def test_too_few_dims(dims: tuple[str, ...]) -> None:
    with pytest.raises(GridError, match="needs two spatial dimensions"):
        spatial_dims(xr.DataArray(np.zeros((2,) * len(dims)), dims=dims, name="B05"))


# -- nesting -----------------------------------------------------------------------------------------------------------


@given(st.sampled_from([1, 2, 6]), st.integers(-99, 99), st.integers(-99, 99), st.booleans())
def test_nesting_at_any_whole_pixel(factor: int, row: int, col: int, up: bool) -> None:
    fine, coarse = grid(10, 0, 0, up=up), grid(10 * factor, 10 * row, 10 * col, up=up)
    assert nest(fine, coarse, factor, ("B02", "B05")) == (row, col)


@given(st.sampled_from([2, 6]), st.integers(-9, 9), st.floats(0.1, 0.9) | st.just(0.5), st.booleans())
def test_misaligned(factor: int, start: int, off: float, along_y: bool) -> None:
    there = 10 * (start + off)
    row, col = (there, 0.0) if along_y else (0.0, there)
    lost = min(off, 1 - off)
    message = rf"the {factor}0 m grid of 'B05' does not nest in the 10 m grid of 'B02': its edges lie 0.\d\d pixels off"
    with pytest.raises(GridError, match=message) as caught:
        nest(grid(10, 0, 0), grid(10 * factor, row, col), factor, ("B02", "B05"))
    assert f"lie {lost:.2f} pixels off along {'y' if along_y else 'x'!r}" in str(caught.value)


@given(st.sampled_from([2, 6]), st.integers(-9, 9), st.booleans())
def test_topleft_registered(factor: int, start: int, up: bool) -> None:
    """Corners called centres: the 10 m and the coarse coordinates then have values in common."""
    sign = 1 if up else -1
    fine = Grid(Axis("y", TOP, 10 * sign, 5), Axis("x", LEFT, 10, 5))
    gsd = 10 * factor
    coarse = Grid(
        Axis("y_c", TOP + sign * 10 * start, gsd * sign, 5),
        Axis("x_c", LEFT + 10 * start, gsd, 5),
    )
    with pytest.raises(GridError, match=r"share coordinates along 'y', as upper left corners would") as caught:
        nest(fine, coarse, factor, ("B02", "B05"))
    assert 'xy_coords="center"' in str(caught.value)
    assert str(caught.value).endswith('for d in ("y", "x", "y_c", "x_c")})')


def test_the_fix_for_topleft_works() -> None:
    ds = native()
    shifted = ds.assign_coords(
        y=ds.y + 5, x=ds.x - 5, y_20m=ds.y_20m + 10, x_20m=ds.x_20m - 10, y_60m=ds.y_60m + 30, x_60m=ds.x_60m - 30
    )
    assert len(shifted.s2sr.validate().problems) == 2  # one for each resolution, not one for each band
    with pytest.raises(GridError, match="upper left corners") as caught:
        shifted.s2sr.upsample(model="bicubic")
    names = {"ds": shifted}
    fix = str(caught.value)
    exec(fix[fix.index("ds = ds.assign_coords") :].split(" (and")[0], names)
    xr.testing.assert_allclose(names["ds"], ds, rtol=0)
    assert names["ds"].s2sr.validate()


@pytest.mark.parametrize("axis", ["y", "x"])
def test_opposite_directions(axis: str) -> None:
    ds = native(bands=("B02", "B03", "B04", "B08", "B05", *SIXTY))
    turned = ds.sortby(f"{axis}_20m", ascending=axis == "y")
    message = rf"'B02' and 'B05' run in opposite directions along '{axis}' and '{axis}_20m'. Sort one: ds = ds.sortby"
    with pytest.raises(GridError, match=message) as caught:
        turned.s2sr.upsample("B05", model="bicubic")
    names = {"ds": turned}
    line = str(caught.value)
    exec(line[line.index("ds = ds.sortby") :].split(" (and")[0], names)
    xr.testing.assert_identical(names["ds"], ds)


# -- coarse corners beside 10 m centres --------------------------------------------------------------------------------


def registered_at_corners(ds: xr.Dataset, gsd: int) -> xr.Dataset:
    """The bands of one GSD at the upper left corners of their pixels, the others at the centres."""
    y, x = DIMS[gsd]
    return ds.assign_coords({y: ds[y] + gsd / 2, x: ds[x] - gsd / 2})


def suggested(problem: Exception, line: int = 0) -> str:
    """A line of code that a message names."""
    return [part.split(". If the shift")[0].split(" (and")[0] for part in str(problem).split(": ds = ")[1:]][line]


@pytest.mark.parametrize("ascending", [False, True])
@pytest.mark.parametrize("place", [lambda ds: ds, in_the_south])
@pytest.mark.parametrize(("gsd", "band", "by"), [(20, "B05", "10"), (60, "B01", "30")])
def test_coarse_corners_beside_fine_centres(gsd: int, band: str, by: str, place: Any, ascending: bool) -> None:
    ds = place(native())
    scene = registered_at_corners(ds, gsd)
    if ascending:
        ds, scene = (d.sortby(["y", "y_20m", "y_60m"]) for d in (ds, scene))
    message = rf"'{band}' has the extent of 'B02', but shifted by half a pixel .* seem to be upper left corners"
    [problem] = scene.s2sr.validate().problems
    with pytest.raises(GridError, match=message) as caught:
        scene.s2sr.upsample(model="bicubic")
    assert str(caught.value) == str(problem)
    assert f'"y_{gsd}m": ds["y_{gsd}m"] - {by}, "x_{gsd}m": ds["x_{gsd}m"] + {by}' in str(problem)
    mended = eval(suggested(problem), {"ds": scene})
    for dim in DIMS[gsd]:
        np.testing.assert_array_equal(mended[dim], ds[dim])
    xr.testing.assert_equal(mended.s2sr.upsample(model="bicubic"), ds.s2sr.upsample(model="bicubic"))


def test_corners_at_both_coarse_sizes_are_two_problems() -> None:
    ds = native()
    scene = registered_at_corners(registered_at_corners(ds, 20), 60)
    problems = scene.s2sr.validate().problems
    assert len(problems) == 2
    for problem in problems:
        scene = eval(suggested(problem), {"ds": scene})
    assert scene.s2sr.validate()
    xr.testing.assert_equal(scene.s2sr.upsample(model="bicubic"), ds.s2sr.upsample(model="bicubic"))


@pytest.mark.parametrize("place", [lambda ds: ds, in_the_south])
@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("gsd", [20, 60])
def test_a_crop_that_really_is_shifted(gsd: int, sign: int, place: Any) -> None:
    """Half a coarse pixel on both axes and of one extent, but the coarse edges lie on the tiling grid."""
    ds, half, size = place(native((96, 96))), gsd // 20, {10: 60, gsd: 600 // gsd}
    first = {10: 12 + (half if sign < 0 else -half), gsd: 120 // gsd}
    parts = {dim: slice(first[g], first[g] + n) for g, n in size.items() for dim in DIMS[g]}
    other = {20: ("B01", "B09"), 60: ("B05", "B06", "B07", "B8A", "B11", "B12")}[gsd]
    part = ds.drop_vars(other).isel(parts)
    report = part.s2sr.validate()
    assert report, report
    band = {20: "B05", 60: "B01"}[gsd]
    assert report.info.bands[band].start == (sign * half, sign * half)


def test_a_real_shift_off_the_tiling_grid_is_proved_by_the_line() -> None:
    """Coordinates that count from elsewhere cannot tell; leaving out the row that has no partner can."""
    ds = native((60, 60), bands=("B02", "B03", "B04", "B08", "B05"))
    moved = ds.assign_coords(y_20m=ds.y_20m + 10, x_20m=ds.x_20m - 10)
    with pytest.raises(GridError, match="If the shift is real, leave out the row") as caught:
        moved.s2sr.upsample(model="bicubic")
    assert suggested(caught.value, 1) == 'ds.isel({"y": slice(None, -1)})'
    with pytest.warns(S2SRWarning, match="rows 0:59 and columns 0:59 of 59 x 60"):
        sr = eval(suggested(caught.value, 1), {"ds": moved}).s2sr.upsample(model="bicubic")
    assert sr.B05.shape == (59, 59)


def test_half_a_pixel_along_one_axis_is_no_corner() -> None:
    ds = native(bands=("B02", "B03", "B04", "B08", "B05"))
    assert ds.assign_coords(y_20m=ds.y_20m + 10).s2sr.validate()


# -- CRS ---------------------------------------------------------------------------------------------------------------


def numbers(ds: xr.Dataset, name: str = "spatial_ref") -> list[float]:
    return [float(v) for v in ds[name].attrs["GeoTransform"].split()]


@given(st.integers(0, 20), st.integers(0, 20))
def test_geotransform_follows_the_coordinates(row: int, col: int) -> None:
    ds = native(bands=("B02",)).rio.write_transform()
    assert numbers(ds) == [LEFT, 10, 0, TOP, 0, -10]
    part = ds.isel(y=slice(row, None), x=slice(col, None))
    done = georeference(part, read_grid(ds.B02, 10).corner(row, col))
    assert numbers(done) == [LEFT + 10 * col, 10, 0, TOP - 10 * row, 0, -10]
    assert numbers(ds) == [LEFT, 10, 0, TOP, 0, -10]
    assert done.rio.transform() == Affine(10, 0, LEFT + 10 * col, 0, -10, TOP - 10 * row)


def test_no_grid_mapping_none_made_up() -> None:
    ds = native(bands=("B02",), crs=None)
    assert read_crs(ds) is None
    assert "spatial_ref" not in georeference(ds, read_grid(ds.B02, 10).transform).coords


def test_grid_mapping_of_another_name() -> None:
    ds = native(bands=("B02",), crs=None).rio.write_crs(32632, grid_mapping_name="crs")
    ds.B02.encoding["grid_mapping"] = "crs"
    done = georeference(ds.isel(y=slice(3, None)), read_grid(ds.B02, 10).corner(3, 0))
    assert numbers(done, "crs") == [LEFT, 10, 0, TOP - 30, 0, -10]
    assert "spatial_ref" not in done.coords


@pytest.mark.parametrize("key", ["crs", "epsg", "proj:epsg", "proj:code"])
@pytest.mark.parametrize("value", [32632, "EPSG:32632", "epsg:32632"])
def test_crs_of_attributes(key: str, value: Any) -> None:
    ds = native(crs=None)
    assert read_crs(ds.B02.assign_attrs({key: value})).to_epsg() == 32632
    assert read_crs(ds.B02.assign_coords({key: value})).to_epsg() == 32632
    assert read_crs(ds.assign_attrs({key: value})).to_epsg() == 32632


@pytest.mark.parametrize("key", ["crs", "epsg", "area"])
@pytest.mark.parametrize("value", ["nonsense", "", 1.5, float("nan"), {"a": 1}, [1], None])
def test_attributes_that_are_no_crs(key: str, value: Any) -> None:
    ds = native(crs=None)
    assert read_crs(ds.B02.assign_attrs({key: value})) is None
    assert read_crs(native().B02.assign_attrs({key: value})).to_epsg() == 32632
    assert ds.assign(B02=ds.B02.assign_attrs({key: value})).s2sr.validate()


@pytest.mark.parametrize(
    ("code", "origin"), [(32601, (0, 0)), (32660, (0, 0)), (32733, (1e7, 0)), (32661, None), (3857, None), (4326, None)]
)
def test_where_the_tiles_of_a_crs_count_from(code: int, origin: tuple[float, float] | None) -> None:
    assert tile_origin(read_crs(native(crs=code))) == origin
    assert tile_origin(None) is None
