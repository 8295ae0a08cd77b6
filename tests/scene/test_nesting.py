"""Coarse grids in fine ones: their start, misaligned ones, corners in the place of centres."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr
from holders import in_the_south
from hypothesis import given
from hypothesis import strategies as st
from scenes import DIMS, LEFT, TOP, native

from xr_s2sr.errors import GridError, S2SRWarning
from xr_s2sr.scene.grid import Axis, Grid, nest


def grid(gsd: int, row: float, col: float, shape: tuple[int, int] = (5, 7), up: bool = False) -> Grid:
    """A grid whose outer corner lies `row` down and `col` right (in metres) of the origin."""
    sign = 1 if up else -1
    return Grid(
        Axis("y", TOP + sign * (row + gsd / 2), sign * gsd, shape[0]),
        Axis("x", LEFT + col + gsd / 2, gsd, shape[1]),
    )


@given(st.sampled_from([1, 2, 6]), st.integers(-99, 99), st.integers(-99, 99), st.booleans())
def test_nesting_at_any_whole_pixel(factor: int, row: int, col: int, up: bool) -> None:
    fine, coarse = grid(10, 0, 0, up=up), grid(10 * factor, 10 * row, 10 * col, up=up)
    assert nest(fine, coarse, factor, ("B02", "B05")) == (row, col)


@pytest.mark.parametrize("jitter", [-2e-5, 2e-5])
@pytest.mark.parametrize("start", [-3, 0, 1, 7])
@pytest.mark.parametrize("factor", [2, 6])
def test_jitter_moves_nothing(factor: int, start: int, jitter: float) -> None:
    """Coordinates a little before or beyond the whole pixel, in metres: never the pixel before it."""
    coarse = grid(10 * factor, 10 * start + jitter, 10 * start + jitter)
    assert nest(grid(10, 0, 0), coarse, factor, ("B02", "B05")) == (start, start)


@pytest.mark.parametrize("resolution", [10, 20])
@pytest.mark.parametrize("seed", [0, 1])
def test_a_scene_whose_coordinates_jitter(seed: int, resolution: int) -> None:
    ds, rng = native(), np.random.default_rng(seed)
    jittered = ds.assign_coords({dim: ds[dim] + rng.uniform(-2e-5, 2e-5, ds.sizes[dim]) for dim in ds.dims})
    sr, expected = (d.s2sr.upsample(model="bicubic", resolution=resolution) for d in (jittered, ds))
    assert dict(sr.sizes) == dict(expected.sizes)
    for band in expected.data_vars:
        np.testing.assert_array_equal(sr[band], expected[band])


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


def test_opposite_directions() -> None:
    """Scenes are turned over before; see test_flips.py."""
    with pytest.raises(GridError, match=r"'B02' and 'B05' run in opposite directions along 'y' and 'y'. Sort one: ds"):
        nest(grid(10, 0, 0), grid(20, 0, 0, up=True), 2, ("B02", "B05"))


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
    assert suggested(caught.value, 1) == 'ds.drop_sel({"y": ds["y"].min()})'
    with pytest.warns(S2SRWarning, match="rows 0:59 and columns 0:59 of 59 x 60"):
        sr = eval(suggested(caught.value, 1), {"ds": moved}).s2sr.upsample(model="bicubic")
    assert sr.B05.shape == (59, 59)


def test_half_a_pixel_along_one_axis_is_no_corner() -> None:
    ds = native(bands=("B02", "B03", "B04", "B08", "B05"))
    assert ds.assign_coords(y_20m=ds.y_20m + 10).s2sr.validate()
