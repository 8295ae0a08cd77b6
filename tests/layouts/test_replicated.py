"""Bands that were repeated onto a finer grid: recognised from their pixels, decimated exactly, or refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr
from holders import at_10_m, in_the_south, same_pixels
from hypothesis import given, settings
from hypothesis import strategies as st
from scenes import GSD, RED_EDGE, SIXTY, TOP, enlarged, native

from xr_s2sr.errors import GridError, RadiometryError, S2SRWarning
from xr_s2sr.layouts import replicated
from xr_s2sr.layouts.normalize import to_native
from xr_s2sr.layouts.replicated import NativeGrids, outer_edge
from xr_s2sr.scene.grid import Axis
from xr_s2sr.scene.names import read_names

CUBIC = {"model": "bicubic"}


def native_grids(ds: xr.Dataset) -> NativeGrids:
    return replicated.native_grids(ds, read_names(ds).bands)


def cell_starts(n: int, factor: int, first: int) -> list[int]:
    """Where cells start within n pixels, the first of which is pixel `first` of a tile."""
    return [at for at in range(-factor, n) if (at + first) % factor == 0 and at > -factor]


@settings(max_examples=60)
@given(
    row=st.integers(0, 11),
    col=st.integers(0, 11),
    height=st.integers(7, 30),
    width=st.integers(7, 30),
    dtype=st.sampled_from(["uint16", "float32", "float64", ">i4"]),
    up=st.booleans(),
)
def test_any_window(row: int, col: int, height: int, width: int, dtype: str, up: bool) -> None:
    """The cells are those of the native grid, also where only a part of them is left."""
    ds = native((48, 48))
    cut = at_10_m(ds, slice(row, row + height), slice(col, col + width), dtype)
    decimated = native_grids(cut.sortby("y") if up else cut)
    assert not decimated.gaps
    out = decimated.ds.sortby([dim for dim in decimated.ds.dims if str(dim).startswith("y")], ascending=False)
    for band in (*RED_EDGE, *SIXTY):
        gsd = GSD[band]
        f = gsd // 10
        rows = slice(row // f, -(-(row + height) // f))
        cols = slice(col // f, -(-(col + width) // f))
        expected = ds[band].isel({f"y_{gsd}m": rows, f"x_{gsd}m": cols})
        assert out[band].dtype == np.dtype(dtype)
        assert out[band].dims == (f"y_{gsd}m", f"x_{gsd}m")
        np.testing.assert_array_equal(out[band], expected)
        for dim in expected.dims:
            np.testing.assert_array_equal(out[dim], expected[dim])
    assert len(decimated.notes) == 2
    assert "copies of 60 m pixels" in decimated.notes[0]
    assert "assumed" not in "".join(decimated.notes)


@settings(max_examples=40)
@given(st.data())
def test_masked_pixels_hide_nothing(data: st.DataObject) -> None:
    """Whatever is masked, a cell keeps its value where any of its pixels is left."""
    ds = native((24, 24), dtype="float32")
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    mask = rng.random((24, 24)) < data.draw(st.sampled_from([0.05, 0.3, 0.7]))
    row, col = data.draw(st.integers(0, 5)), data.draw(st.integers(0, 5))
    cube = at_10_m(ds).where(xr.DataArray(~mask, dims=("y", "x"))).isel(y=slice(row, None), x=slice(col, None))
    decimated = native_grids(cube)
    assert set(decimated.gaps) == {*RED_EDGE, *SIXTY}
    for band in ("B05", "B01"):
        f = GSD[band] // 10
        left = ~mask[row:, col:]
        out = decimated.ds[band]
        cells = np.zeros(out.shape, bool)
        at = [(np.arange(n) + s) // f - s // f for n, s in zip(left.shape, (row, col), strict=True)]
        np.logical_or.at(cells, np.ix_(*at), left)
        expected = ds[band].values[row // f :, col // f :]
        np.testing.assert_array_equal(out, np.where(cells, expected, np.nan))


def test_the_result_is_that_of_native_bands() -> None:
    """Bit for bit, with the packaged models; the form is that of the cube."""
    ds = native((60, 72), lead={"time": [0, 1]})
    cube = at_10_m(ds)
    expected, sr = ds.s2sr.upsample(), cube.s2sr.upsample()
    same_pixels(sr, expected)
    assert {*sr.dims} == {"time", "y", "x"}
    assert [sr[band].attrs["long_name"] for band in sr] == [f"band {band}" for band in sr]
    assert list(sr.data_vars) == list(cube.data_vars)


@pytest.mark.parametrize(("row", "col"), [(1, 0), (0, 5), (7, 3), (4, 2)])
def test_a_window_of_the_cube(row: int, col: int) -> None:
    """Covers every pixel of the window; inside, away from the border, it is the whole cube's."""
    ds = native((96, 96))
    whole = at_10_m(ds).s2sr.upsample(**CUBIC)
    window = at_10_m(ds, slice(row, None), slice(col, 80 + col)).s2sr.upsample(**CUBIC)
    assert window.B01.shape == (96 - row, 80)
    inner = {"y": slice(24, -24), "x": slice(24, -24)}
    a = window.isel(inner)
    same_pixels(a, whole.sel(y=a.y, x=a.x))


def test_bands_at_60_m_on_a_20_m_grid() -> None:
    ds = native((60, 60))
    repeated = ds.B01.values.repeat(3, 0).repeat(3, 1), ds.B09.values.repeat(3, 0).repeat(3, 1)
    cube = ds.drop_dims(["y_60m", "x_60m"]).assign(
        {b: (("y_20m", "x_20m"), image) for b, image in zip(("B01", "B09"), repeated, strict=True)}
    )
    same_pixels(cube.s2sr.upsample(**CUBIC)[list(ds.data_vars)], ds.s2sr.upsample(**CUBIC))


def test_mixed_with_native_bands_of_another_extent() -> None:
    """The names of the native dims are taken: others are found."""
    ds = native((60, 60))
    cube = ds.assign({"B05": at_10_m(ds).B05}).isel(x=slice(2, None))
    layout = to_native(cube)
    assert layout.ds.B05.dims == ("y_20m", "x_20m_")
    np.testing.assert_array_equal(layout.ds.B05, ds.B05[:, 1:])
    assert to_native(ds.assign({"B05": at_10_m(ds).B05})).ds.B05.dims == ("y_20m", "x_20m")


# -- where pixels cannot tell ----------------------------------------------------------------------------------------


def test_a_constant_band_follows_the_others() -> None:
    cube = at_10_m(native((60, 60)), slice(3, None), slice(1, None))
    cube["B05"] = cube.B05 * 0 + 700
    cube["B09"] = cube.B09 * 0
    layout = to_native(cube)
    assert layout.ds.B05.shape == layout.ds.B06.shape == (29, 30)
    assert layout.ds.B09.shape == layout.ds.B01.shape == (10, 10)
    assert not layout.ds.B09.any()


@pytest.mark.parametrize("south", [False, True])
@pytest.mark.parametrize("topleft", [False, True])
@pytest.mark.parametrize("ascending", [False, True])
def test_nothing_but_constants_follows_the_tiles(south: bool, topleft: bool, ascending: bool) -> None:
    ds = native((60, 60))
    cube = at_10_m(in_the_south(ds) if south else ds, slice(3, None), slice(1, None))
    if topleft:
        cube = cube.assign_coords(y=cube.y + 5, x=cube.x - 5)
    if ascending:
        cube = cube.sortby("y")
    flat = cube.assign({band: cube[band] * 0 + 700 for band in (*RED_EDGE, *SIXTY)})
    told, assumed = native_grids(cube), native_grids(flat)
    assert "assumed: the tiling grid of Sentinel-2" in assumed.notes[0]
    for dim in ("y_20m", "x_20m", "y_60m", "x_60m"):
        np.testing.assert_array_equal(assumed.ds[dim], told.ds[dim])


@pytest.mark.parametrize(
    ("first", "step", "rows", "edge"),
    [
        (105, 10, True, 100),  # centres
        (105, -10, True, 110),
        (105, 10, False, 100),
        (105, -10, False, 110),
        (100, -10, True, 100),  # upper left corners: the upper edge of the upper row,
        (100, 10, True, 90),  # and of the lowest
        (100, 10, False, 100),  # the left edge of the first column,
        (100, -10, False, 110),  # and of the last
        (100, 20, True, 80),
        (110, 20, True, 100),  # 20 m pixels from 100 to 120
    ],
)
def test_outer_edge(first: float, step: float, rows: bool, edge: float) -> None:
    assert outer_edge(Axis("y" if rows else "x", first, step, 5), rows) == edge


def test_constants_follow_coarser_bands_before_the_tiles() -> None:
    """Shifted by 10 m against the tiling grid, as the 60 m bands tell."""
    cube = at_10_m(native((60, 60)), slice(3, None)).assign_coords(y=lambda d: d.y + 10)
    flat = cube.assign({band: cube[band] * 0 + 700 for band in RED_EDGE})
    assert "cells of a coarser band" in native_grids(flat).notes[1]
    assert native_grids(flat).ds.B05.shape == native_grids(cube).ds.B05.shape == (29, 30)
    flat = cube.assign({band: cube[band] * 0 + 700 for band in SIXTY})
    assert flat.s2sr.validate()  # cells fall together
    assert "cells of a finer band" in native_grids(flat).notes[0]


def test_without_a_crs_cells_start_with_the_first_pixel() -> None:
    cube = at_10_m(native((60, 60), crs=None))
    flat = cube.assign({band: cube[band] * 0 + 700 for band in (*RED_EDGE, *SIXTY)})
    assert "cells start with the first pixel" in native_grids(flat).notes[0]
    assert flat.s2sr.validate()


def test_validate_says_what_was_recognised() -> None:
    report = at_10_m(native((60, 60))).s2sr.validate()
    assert report
    assert "note: 'B01', 'B09': copies of 60 m pixels on a finer grid, decimated; the first whole one starts at" in str(
        report
    )


# -- dask: placed by coordinates, nothing read ------------------------------------------------------------------------


@pytest.mark.parametrize("south", [False, True])
@pytest.mark.parametrize(("row", "col"), [(0, 0), (3, 1), (5, 5)])
def test_lazy_cells_are_those_of_the_tile(south: bool, row: int, col: int) -> None:
    ds = native((60, 60), lead={"time": [0, 1]})
    cube = at_10_m(in_the_south(ds) if south else ds, slice(row, None), slice(col, None))
    eager, lazy = native_grids(cube), native_grids(cube.chunk(y=20, x=20))
    for band in (*RED_EDGE, *SIXTY):
        assert lazy.ds[band].chunks is not None
        xr.testing.assert_identical(lazy.ds[band].compute(), eager.ds[band])
    assert "assumed: the tiling grid of Sentinel-2" in lazy.notes[0]


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=20)
def test_lazy_cells_by_coordinates_that_jitter(seed: int) -> None:
    """The origin of the CRS, half a million pixels away, is where it was."""
    rng = np.random.default_rng(seed)
    cube = at_10_m(native((36, 36))).isel(y=slice(3, None), x=slice(4, None))
    moved = cube.assign_coords({dim: cube[dim] + rng.uniform(-1e-3, 1e-3, cube.sizes[dim]) for dim in ("y", "x")})
    eager, lazy = native_grids(cube), native_grids(moved.chunk(y=20, x=20))
    for band in RED_EDGE:
        np.testing.assert_array_equal(lazy.ds[band], eager.ds[band])


@pytest.mark.parametrize("chunk", [7, 25, 60])
def test_lazy_cells_that_were_masked_in_part(chunk: int) -> None:
    """A polygon that cuts through cells: each keeps its value, and the pixels outside of the polygon their gap."""
    cube = at_10_m(native((60, 72), dtype="float32", scale=1e-4), slice(1, None), slice(2, None))
    mask = np.zeros((59, 70), bool)
    mask[10:21, 7:30] = mask[0, 5] = mask[-1, -1] = True
    coarse = [*RED_EDGE, *SIXTY]
    cube = cube.assign({band: cube[band].where(xr.DataArray(~mask, dims=("y", "x"))) for band in coarse})
    eager, lazy = cube.s2sr.upsample(**CUBIC), cube.chunk(y=chunk, x=chunk + 1).s2sr.upsample(**CUBIC)
    assert all(lazy[band].chunks is not None for band in coarse)
    xr.testing.assert_identical(lazy.compute(), eager)
    for band in coarse:
        np.testing.assert_array_equal(np.isnan(eager[band]), mask)


def test_lazy_reads_nothing() -> None:
    import dask

    def refuse(*args: Any, **kwargs: Any) -> None:
        pytest.fail("computed")

    with dask.config.set(scheduler=refuse):
        for form in (at_10_m(native((60, 60))).chunk(), at_10_m(native((60, 60))).chunk().to_array("band")):
            to_native(form)


@pytest.mark.parametrize("crs", [None, "EPSG:3857"])
def test_lazy_and_no_tile(crs: str | None) -> None:
    cube = at_10_m(native((60, 60), crs=None)).chunk()
    cube = cube if crs is None else cube.rio.write_crs(crs)
    fix = (
        "ds.rio.write_crs" if crs is None else "Load it there: .*odc.stac.load"
    )  # what is in another is not written over
    message = rf"nothing tells where its native pixels start \(CRS: {crs or 'none found'}\); expected .*{fix}"
    with pytest.raises(GridError, match=message):
        cube.s2sr.upsample()
    report = cube.s2sr.validate()
    assert not report
    assert "nothing tells where" in str(report)


# -- refused ----------------------------------------------------------------------------------------------------------


def one_pixel_off(cube: xr.Dataset) -> xr.Dataset:
    cube = cube.copy(deep=True)
    cube.B05.values[17, 30] += 1
    return cube


def rolled(cube: xr.Dataset) -> xr.Dataset:
    """One band of the six is shifted against the others."""
    return cube.assign(B05=(("y", "x"), np.roll(cube.B05.values, 1, 1)))


def smooth(cube: xr.Dataset) -> xr.Dataset:
    fine = native((60, 60)).B05.interp(y_20m=cube.y, x_20m=cube.x, kwargs={"fill_value": "extrapolate"})
    return cube.assign(B05=(("y", "x"), fine.values.astype("uint16")))


@pytest.mark.parametrize("change", [one_pixel_off, rolled, smooth])
def test_no_exact_copy(change: Any, no_pixels: None) -> None:
    cube = change(at_10_m(native((60, 60))))
    with pytest.raises(
        GridError, match=r"'B05' is a 20 m band .* odc.stac.load\(items, bands=\[\"B05\"\], resolution=20\)"
    ):
        cube.s2sr.upsample()


def test_one_smooth_band_does_not_stop_the_others() -> None:
    ds = native((60, 60))
    cube = smooth(at_10_m(ds))
    same_pixels(cube.s2sr.upsample("B11", **CUBIC), ds.s2sr.upsample("B11", **CUBIC))


def test_the_60_m_grid_that_was_snapped_in_the_south(no_pixels: None) -> None:
    ds = in_the_south(native((60, 60)))
    assert ds.s2sr.validate()
    snapped = ds.assign_coords(y_60m=ds.y_60m + 20)
    assert (float(snapped.y_60m[0]) + 30) % 60 == 0
    assert TOP % 60 == 0
    with pytest.raises(
        GridError, match=r"starts at y = 6300060, a multiple of 60 m; .* anchor=odc.geo.yx_\(40 / 60, 0\)"
    ):
        snapped.s2sr.upsample()


def test_a_band_with_odd_metadata_is_told_as_such() -> None:
    """And does not stop the others."""
    cube = at_10_m(native((60, 60)))
    cube.B05.attrs["nodata"] = "none"
    assert cube.s2sr.upsample("B01", **CUBIC).B01.shape == (60, 60)
    cube = at_10_m(native((60, 60)))
    cube.B05.attrs["scale_factor"] = "x"
    with pytest.raises(RadiometryError, match="'B05' has scale_factor='x' in its attrs"):
        cube.s2sr.upsample("B05")
    assert cube.s2sr.upsample("B01", **CUBIC).B01.shape == (60, 60)


# -- copies on another grid than the result's --------------------------------------------------------------------------


def on_20_m(ds: xr.Dataset, rows: slice = slice(None), cols: slice = slice(None)) -> xr.Dataset:
    """60 m bands repeated onto the 20 m grid, cut with it anywhere: all coarse bands in one load at 20 m."""
    copies = {b: (("y_20m", "x_20m"), enlarged(ds[b].values, 3), ds[b].attrs) for b in SIXTY}
    return ds.drop_dims(["y_60m", "x_60m"]).assign(copies).isel(y_20m=rows, x_20m=cols)


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("up", [False, True])
@pytest.mark.parametrize("resolution", [10, 20])
def test_60_m_copies_beside_10_m_bands(resolution: int, up: bool, lazy: bool) -> None:
    """Restored from the native pixels; what was masked on 20 m pixels is masked in the result, and nothing else."""
    ds = native((60, 72))
    expected = ds.s2sr.upsample(resolution=resolution)
    copies = on_20_m(ds)
    gone = np.zeros((30, 36), bool)
    gone[7, 10], gone[12:17, 20:22] = True, True  # parts of cells
    for band in SIXTY:
        copies[band].values[gone] = 0
    masked = enlarged(gone, 20 // resolution)
    if up:
        copies = copies.isel(y=slice(None, None, -1), y_20m=slice(None, None, -1))
    sr = (copies.chunk({"y": 24, "x_20m": 10}) if lazy else copies).s2sr.upsample(resolution=resolution).compute()
    if up:
        sr = sr.isel({dim: slice(None, None, -1) for dim in sr.dims if str(dim).startswith("y")})
    for band in SIXTY:
        np.testing.assert_array_equal(sr[band] == 0, masked)
        if not up:  # sums are taken in another order
            np.testing.assert_array_equal(sr[band].values[~masked], expected[band].values[~masked])
    for band in () if up else RED_EDGE:
        np.testing.assert_array_equal(sr[band], expected[band])


@pytest.mark.parametrize("lazy", [False, True])
def test_copies_that_reach_less_far_than_the_10_m_bands(lazy: bool) -> None:
    """A 60 m pixel of which only a part was given on 20 m pixels is known in full: beyond, nothing was masked."""
    ds = native((60, 72))
    part = on_20_m(ds, slice(1, None), slice(2, -1))
    part.B01.values[3, 4] = 0
    sr = (part.chunk() if lazy else part).s2sr.upsample("B01", model="bicubic").compute()
    expected = ds.s2sr.upsample("B01", model="bicubic").B01
    assert sr.sizes == {"y": 60, "x": 72}
    gone = np.argwhere(sr.B01.values == 0).tolist()
    assert gone == [[8, 12], [8, 13], [9, 12], [9, 13]]  # row 1 + 3 and column 2 + 4 of 20 m
    there = sr.B01.values > 0
    np.testing.assert_array_equal(sr.B01.values[there], expected.values[there])


def test_10_m_copies_on_dims_of_their_own() -> None:
    ds = native((60, 72))
    cube = at_10_m(ds)[["B05"]].isel(y=slice(4, None)).rename(y="rows", x="cols")
    cube.B05.values[6, 9] = 0
    with pytest.warns(S2SRWarning, match="covers rows 4:60"):
        sr = ds.drop_vars("B05").merge(cube).s2sr.upsample("B05", model="bicubic")
    expected = ds.s2sr.upsample("B05", model="bicubic").B05.values[4:]
    assert np.argwhere(sr.B05.values == 0).tolist() == [[6, 9]]
    inner = sr.B05.values[12:]  # far from the border that is new
    np.testing.assert_array_equal(inner, expected[12:])
