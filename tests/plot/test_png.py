"""The picture: read back with rasterio, its size and colours are those that were asked for."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import rasterio
import xarray as xr
from rasterio.errors import NotGeoreferencedWarning

from xr_s2sr.errors import DependencyError, InputError
from xr_s2sr.plot import NODATA_COLOUR, before_after, rgb, stretch

RNG = np.random.default_rng(0)


def read(path: Path) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path) as png:
            assert png.driver == "PNG"
            return png.read()


def test_stretch() -> None:
    grey = stretch([[-5.0, 0.0, 50.0], [100.0, 1e9, np.nan]], 0, 100)
    assert grey.dtype == np.uint8
    np.testing.assert_array_equal(grey, [[0, 0, 128], [255, 255, 0]])


def test_stretch_of_a_flat_band_is_finite() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(stretch([6, 7, 8], 7, 7), [0, 0, 255])


def test_size_gutters_and_order(tmp_path: Path) -> None:
    low, high = np.full((4, 5), 100), np.full((8, 10), 200)
    low[0, 0] = 200  # so that 100 is black and 200 white
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a PNG has no georeference, and nobody wants to hear of it
        before_after([(low, high, 2), (low, high, 2, high)], tmp_path / "a.png", zoom=3, gutter=4, percentiles=(0, 100))
    image = read(tmp_path / "a.png")
    assert image.shape == (3, 24 + 4 + 24, 30 + 4 + 30 + 4 + 30)
    assert image.dtype == np.uint8
    assert (image[:, 24:28] == 255).all()  # between the rows
    assert (image[:, :, 30:34] == 255).all()  # between the pictures
    assert (image[:, :24, 68:] == 255).all()  # where the first row has no truth
    assert (image[:, :6, :6] == 255).all()  # the native pixel of value 200: 2 x 3 wide
    assert (image[:, 6:24, :30] == 0).all()
    assert (image[:, :24, 34:64] == 255).all()


def test_nearest_neighbour_blocks(tmp_path: Path) -> None:
    native, fine = RNG.integers(1, 9000, (3, 3)), RNG.integers(1, 9000, (18, 18))
    before_after([(native, fine, 6)], tmp_path / "a.png", zoom=2, gutter=1, percentiles=(0, 100))
    image = read(tmp_path / "a.png")
    low, high = native.min(), native.max()
    np.testing.assert_array_equal(image[0, :, :36], np.kron(stretch(native, low, high), np.ones((12, 12))))
    np.testing.assert_array_equal(image[1, :, 37:], np.kron(stretch(fine, low, high), np.ones((2, 2))))


def test_stretch_comes_from_valid_native_pixels(tmp_path: Path) -> None:
    native = RNG.integers(1000, 3000, (20, 20)).astype(float)
    native[:5], native[5, 0] = 0, np.nan
    fine = np.full((40, 40), 2000.0)
    before_after([(native, fine, 2)], tmp_path / "a.png", zoom=1)
    image = read(tmp_path / "a.png")
    low, high = np.percentile(native[native > 0], (2, 98))
    assert (image[:, :, -40:] == stretch(2000.0, low, high)).all()


@pytest.mark.parametrize("nodata", [0, 65535])
def test_nodata_has_its_own_colour(tmp_path: Path, nodata: int) -> None:
    native, fine = RNG.integers(1, 9000, (6, 6)), RNG.integers(1, 9000, (12, 12)).astype(float)
    native[2, 3], fine[4:6, 6:8], fine[0, 0] = nodata, nodata, np.nan
    before_after([(native, fine, 2)], tmp_path / "a.png", zoom=1, gutter=2, nodata=nodata)
    image = read(tmp_path / "a.png")
    violet = (image == np.array(NODATA_COLOUR)[:, None, None]).all(0)
    expected = np.hstack(
        [np.kron(native == nodata, np.ones((2, 2))), np.zeros((12, 2)), (fine == nodata) | np.isnan(fine)]
    )
    np.testing.assert_array_equal(violet, expected == 1)


def test_composite_row_of_dataarrays(tmp_path: Path) -> None:
    red, green = (xr.DataArray(RNG.integers(1, 9000, (4, 4)).astype("uint16"), dims=("y_20m", "x_20m")) for _ in "ab")
    blue = xr.DataArray(RNG.integers(1, 9000, (8, 8)).astype("uint16"), dims=("y", "x"))
    composite = rgb(red, green, blue)
    assert composite.shape == (3, 8, 8)
    np.testing.assert_array_equal(composite[0], np.kron(red, np.ones((2, 2))))
    np.testing.assert_array_equal(composite[2], blue)
    before_after([(composite, composite, 1)], tmp_path / "a.png", zoom=1, gutter=0, percentiles=(0, 100))
    image = read(tmp_path / "a.png")
    assert image.shape == (3, 8, 16)
    for channel, band in zip(image, composite, strict=True):  # each channel has its own stretch
        np.testing.assert_array_equal(channel[:, :8], stretch(band, band.min(), band.max()))


def test_rgb_nodata_in_one_band_is_nodata_in_all() -> None:
    bands = RNG.integers(1, 9000, (3, 4, 4)).astype(float)
    bands[1, 2, 2], bands[2, 0, 0] = 0, np.inf
    composite = rgb(*bands)
    np.testing.assert_array_equal((composite == 0).all(0), (composite == 0).any(0))
    assert (composite == 0).sum() == 6


def test_band_without_valid_pixels(tmp_path: Path) -> None:
    before_after([(np.zeros((2, 2)), np.zeros((4, 4)), 2)], tmp_path / "a.png", zoom=1, gutter=0)
    assert (read(tmp_path / "a.png") == np.array(NODATA_COLOUR)[:, None, None]).all()


def test_rows_that_cannot_be_shown(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    with pytest.raises(InputError, match=r"rows is empty; .*before_after\(\[\(ds.B11, sr.B11, 2\)\], path\)"):
        before_after([], path)
    with pytest.raises(InputError, match=r"before \(4, 4\), factor 6, after \(8, 8\); expected after \(24, 24\)"):
        before_after([(np.ones((4, 4)), np.ones((8, 8)), 6)], path)
    with pytest.raises(InputError, match=r"before \(2, 4, 4\), factor 2.*expected after .* or \(3, y, x\)"):
        before_after([(np.ones((2, 4, 4)), np.ones((2, 8, 8)), 2)], path)
    with pytest.raises(InputError, match=r"after \(8, 8\), \(4, 4\)"):
        before_after([(np.ones((4, 4)), np.ones((8, 8)), 2, np.ones((4, 4)))], path)
    assert not path.exists()


def test_rgb_of_shapes_that_do_not_nest() -> None:
    with pytest.raises(InputError, match=r"shapes are \[\(4, 4\), \(6, 6\), \(6, 6\)\]; expected \(y, x\) each"):
        rgb(np.ones((4, 4)), np.ones((6, 6)), np.ones((6, 6)))


def test_titles_stand_above_their_pictures(tmp_path: Path) -> None:
    native, fine = np.full((20, 20), 100), np.full((40, 40), 100)
    native[0, 0] = 200
    row = (native, fine, 2)
    before_after([row], tmp_path / "a.png", zoom=1, gutter=4)
    before_after([row, row], tmp_path / "b.png", zoom=1, gutter=4, titles=[("B11", "10 m"), ("", "longer than $ this")])
    plain, titled = read(tmp_path / "a.png"), read(tmp_path / "b.png")
    assert titled.shape == (3, 2 * (18 + 40) + 4, 84)
    np.testing.assert_array_equal(titled[:, 18:58], plain)
    np.testing.assert_array_equal(titled[:, -40:], plain)
    first, second = titled[:, :18], titled[:, 62:80]
    assert all((title == title[0]).all() for title in (first, second))  # black on white
    inked = [(part[0] < 128).mean() for part in (first[..., :40], first[..., 44:], second[..., :40], second[..., 44:])]
    assert [share > 0.03 for share in inked] == [True, True, False, True]
    assert (titled[:, :18, 40:44] == 255).all()
    assert (second[0, :, -8:] < 128).any(), "cut off at its picture's edge"


def test_titles_need_matplotlib_and_pictures_do_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    row = (np.ones((4, 4)), np.ones((8, 8)), 2)
    with pytest.raises(DependencyError, match="needs matplotlib"):
        before_after([row], tmp_path / "a.png", titles=[("B11", "10 m")])
    before_after([row], tmp_path / "a.png", zoom=1, gutter=0)
    assert read(tmp_path / "a.png").shape == (3, 8, 16)


@pytest.mark.parametrize("titles", [[("B11",)], [("B11", "10 m"), ("B12", "10 m")]])
def test_titles_that_do_not_fit(tmp_path: Path, titles: list[tuple[str, ...]]) -> None:
    with pytest.raises(InputError, match=r"texts for rows of \[2\] pictures; expected one for each"):
        before_after([(np.ones((4, 4)), np.ones((8, 8)), 2)], tmp_path / "a.png", titles=titles)
