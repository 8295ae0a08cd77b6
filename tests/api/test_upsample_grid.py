"""The coordinates, CRS and extent of the result, and dimensions in front of rows and columns."""

from __future__ import annotations

from contextlib import nullcontext

import numpy as np
import pytest
import xarray as xr
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from scenes import FINE, LEFT, RED_EDGE, TOP, TWELVE, native

from xr_s2sr import S2SRWarning
from xr_s2sr.errors import GridError

pytestmark = pytest.mark.usefixtures("small_defaults")

#: Bicubic interpolation: exact, quick, and the same code around it as with a network.
CUBIC = {"model": "bicubic"}


def test_coordinates_are_the_10_m_bands_own(scene: xr.Dataset, restored: xr.Dataset) -> None:
    scene.y.attrs["axis"] = "Y"
    sr = scene.s2sr.upsample(["B05"], **CUBIC)
    for dim in ("y", "x"):
        xr.testing.assert_identical(sr[dim], scene[dim].drop_vars("spatial_ref").assign_coords(sr[dim].coords))
        assert sr[dim].attrs == scene[dim].attrs
        assert sr.indexes[dim] is scene.indexes[dim]
    assert sr.y.attrs == {"units": "metre", "my_note": "rows", "axis": "Y"}
    assert set(sr.coords) == {"y", "x", "spatial_ref"}


def test_crs_and_transform(scene: xr.Dataset, restored: xr.Dataset) -> None:
    assert restored.rio.crs.to_epsg() == 32632
    assert restored.rio.transform() == Affine(10, 0, LEFT, 0, -10, TOP)
    assert restored.B11.rio.crs.to_epsg() == 32632
    assert restored.B11.rio.transform() == Affine(10, 0, LEFT, 0, -10, TOP)
    assert restored.rio.bounds() == (LEFT, TOP - 600, LEFT + 720, TOP)


def test_without_crs() -> None:
    sr = native((60, 60), crs=None).s2sr.upsample(**CUBIC)
    assert "spatial_ref" not in sr.coords
    assert sr.rio.crs is None
    assert sr.rio.transform() == Affine(10, 0, LEFT, 0, -10, TOP)


def test_other_dims() -> None:
    dims = {10: ("northing", "easting"), 20: ("row", "col"), 60: ("a", "b")}
    ds = native((60, 72), dims=dims)
    sr = ds.s2sr.upsample()
    assert dict(sr.sizes) == {"northing": 60, "easting": 72}
    plain = native((60, 72)).s2sr.upsample()
    for band in TWELVE:
        np.testing.assert_array_equal(sr[band], plain[band])


def test_each_band_with_dims_of_its_own() -> None:
    ds = native((60, 72))
    own = ds.assign(
        {b: ds[b].rename({f"{a}_20m": f"{a}_{b}" for a in "yx"}) for b in RED_EDGE} | {b: ds[b] for b in FINE}
    )
    xr.testing.assert_equal(own.s2sr.upsample(**CUBIC), ds.s2sr.upsample(**CUBIC))


def test_ascending_rows() -> None:
    down, up = native((60, 66)), native((60, 66), ascending=True)
    assert up.y[0] < up.y[-1]
    b, a = up.s2sr.upsample(), down.s2sr.upsample()
    xr.testing.assert_identical(b.y, up.B02.y.assign_coords(spatial_ref=b.spatial_ref))
    for band in TWELVE:
        np.testing.assert_array_equal(b[band].values[::-1], a[band].values)


slices = st.tuples(st.integers(0, 7), st.integers(0, 7), st.integers(0, 7), st.integers(0, 7))


@settings(max_examples=25)
@given(slices, slices, st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(0, 2), st.integers(0, 2)))
def test_extents_that_differ(fine: tuple[int, ...], half: tuple[int, ...], sixth: tuple[int, ...]) -> None:
    whole = native((78, 90))
    cuts = {}
    covered = [0, 78, 0, 90]
    for suffix, factor, cut in (("", 1, fine), ("_20m", 2, half), ("_60m", 6, sixth)):
        h, w = 78 // factor, 90 // factor
        cuts["y" + suffix], cuts["x" + suffix] = slice(cut[0], h - cut[1]), slice(cut[2], w - cut[3])
        here = [cut[0] * factor, (h - cut[1]) * factor, cut[2] * factor, (w - cut[3]) * factor]
        covered = [
            max(covered[0], here[0]),
            min(covered[1], here[1]),
            max(covered[2], here[2]),
            min(covered[3], here[3]),
        ]
    part = whole.isel(cuts)
    rows, cols = slice(*covered[:2]), slice(*covered[2:])
    size = covered[1] - covered[0], covered[3] - covered[2]
    all_of_it = size == (part.sizes["y"], part.sizes["x"])
    if all_of_it:
        sr = part.s2sr.upsample(**CUBIC)
    else:
        start = covered[0] - fine[0], covered[2] - fine[2]
        said = (
            f"result covers rows {start[0]}:{start[0] + size[0]} and columns {start[1]}:{start[1] + size[1]} of "
            f"{part.sizes['y']} x {part.sizes['x']} pixels at 10 m"
        )
        with pytest.warns(S2SRWarning, match=said) as caught:
            sr = part.s2sr.upsample(**CUBIC)
        assert len(caught) == 1
    assert (sr.sizes["y"], sr.sizes["x"]) == size
    full = whole.isel(y=rows, x=cols)
    np.testing.assert_array_equal(sr.y, full.y)
    np.testing.assert_array_equal(sr.x, full.x)
    assert sr.rio.transform() == Affine(10, 0, LEFT + 10 * covered[2], 0, -10, TOP - 10 * covered[0])
    for band in FINE:
        xr.testing.assert_equal(sr[band].drop_vars("spatial_ref"), full[band].drop_vars("spatial_ref"))


@pytest.mark.usefixtures("packaged_defaults")
@pytest.mark.parametrize(
    "cut",
    [
        {"y": slice(6, None), "x": slice(5, None)},
        {"y_20m": slice(3, -3), "x_20m": slice(2, None)},
        {"y_60m": slice(1, None), "x_60m": slice(0, -1)},
        {"y": slice(1, -1), "x_20m": slice(1, -4), "y_60m": slice(1, -1)},
    ],
)
def test_interior_is_that_of_the_whole(cut: dict[str, slice]) -> None:
    """60 pixels and more from where something was cut off, nothing has changed: the halo reaches no farther."""
    whole = native((156, 156))
    kept = whole.isel(cut)
    with pytest.warns(S2SRWarning, match="the bands' extents differ") if any("_" in d for d in cut) else nullcontext():
        sr = kept.s2sr.upsample(adapt=False)
    full = whole.s2sr.upsample(adapt=False)
    inside = {"y": slice(TOP - 10 * 66, TOP - 10 * 84), "x": slice(LEFT + 10 * 66, LEFT + 10 * 84)}
    for band in TWELVE:
        a, b = sr[band].sel(inside), full[band].sel(inside)
        assert a.shape == (18, 18)
        np.testing.assert_array_equal(a, b)


def test_no_overlap(scene: xr.Dataset, no_pixels: None) -> None:
    apart = scene.isel(y=slice(0, 20), y_20m=slice(20, None))
    message = (
        "the resolutions do not overlap, counted in 10 m pixels: .*'B05' rows 40:60, columns 0:72|"
        "the resolutions do not overlap.*rows 40:60.*Select the same area in each"
    )
    with pytest.raises(GridError, match=message):
        apart.s2sr.upsample(["B05"])
    assert not apart.s2sr.validate()


def test_every_date_is_its_own_run() -> None:
    time = np.array(["2021-06-01", "2021-06-11"], "datetime64[ns]")
    ds = native((60, 66), lead={"time": time}).assign_attrs(stack=True)
    ds = ds.assign_coords(cloudy=("time", [True, False]))
    sr = ds.s2sr.upsample()
    for band in TWELVE:
        assert sr[band].dims == ("time", "y", "x")
    xr.testing.assert_identical(sr.time, ds.B02.time.assign_coords(sr.time.coords))
    np.testing.assert_array_equal(sr.cloudy, [True, False])
    for k in range(2):
        alone = ds.isel(time=k).s2sr.upsample()
        xr.testing.assert_identical(sr.isel(time=k), alone)
    assert (sr.B05[0].values != sr.B05[1].values).any()


def test_two_leading_dims_and_one_of_length_one() -> None:
    ds = native((60, 60), bands=(*FINE, "B05"), lead={"run": [7], "time": [0, 1]})
    sr = ds.s2sr.upsample("B05", **CUBIC)
    assert sr.B05.dims == ("run", "time", "y", "x")
    assert sr.B05.shape == (1, 2, 60, 60)
    np.testing.assert_array_equal(sr.run, [7])


def test_leading_dims_that_differ(scene: xr.Dataset, no_pixels: None) -> None:
    scene["B05"] = scene.B05.expand_dims(time=[0, 1])
    message = r"'B05' has the leading dimensions \{'time': 2\}, 'B02' \{\}; expected the same. Select one date"
    with pytest.raises(GridError, match=message):
        scene.s2sr.upsample(**CUBIC)


def test_no_date_at_all() -> None:
    ds = native((60, 60), lead={"time": np.array([], "datetime64[ns]")})
    sr = ds.s2sr.upsample(**CUBIC)
    assert sr.B05.shape == (0, 60, 60)
