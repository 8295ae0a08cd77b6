"""Where pixels lie: coordinates read, spacing checked, the way out of each mistake named."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from scenes import LEFT, TOP, centres

from xr_s2sr.errors import GridError
from xr_s2sr.scene.grid import Axis, Grid, read_axis, read_grid, spatial_dims


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
    """The step is whole, so that places far from here, such as the origin of the CRS, are where they were."""
    jitter = np.random.default_rng(seed).uniform(-1e-3, 1e-3, n)
    axis = read_axis(line(centres(10, n, LEFT, 1) + jitter), "x")
    assert axis.step == 10
    assert axis.edge == pytest.approx(LEFT, abs=1e-3)


@pytest.mark.parametrize("step", [10.01, 9.9, 0.00009, 0.25])
def test_a_step_that_is_not_whole_stays(step: float) -> None:
    assert read_axis(line(500_000 + step * np.arange(120)), "x").step == pytest.approx(step, rel=1e-6)


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
    what = rf"'B05' is a {gsd} m band with a spacing of {spacing:g} along 'y'; expected {gsd}"
    message = what + r"(\. Load|\. Sentinel-2 has no pixels|, or exact)"
    with pytest.raises(GridError, match=message):
        read_grid(raster(spacing), gsd)


def test_only_one_axis_wrong() -> None:
    with pytest.raises(GridError, match="a 20 m band with a spacing of 10 along 'x'; expected 20"):
        read_grid(raster(20, x=centres(10, 7, LEFT, 1)), 20)


def test_degrees() -> None:
    step = 10 / 111_320
    degrees = raster(10, y=48 - step * np.arange(5), x=11 + step * np.arange(7))
    message = (
        r"looks like degrees; expected metres on a UTM grid.*odc\.stac\.load\(items, bands=bands, resolution=10\)$"
    )
    with pytest.raises(GridError, match=message) as caught:
        read_grid(degrees, 10)
    # its bands would be interpolated, and refused next
    assert "reproject(" not in str(caught.value)


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
