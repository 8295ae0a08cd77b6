"""Repeated pixels: the numba loops against plain numpy, over every dtype, phase and kind of mark."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from twin_codes import DTYPES, twin_codes

from xr_s2sr import kernels
from xr_s2sr.kernels import INVALID
from xr_s2sr.scene.validity import LARGEST, Validity, single

Image = NDArray[np.generic]
Bools = NDArray[np.bool_]


def kept(image: Image, validity: Validity) -> Bools:
    """Pixels that count: also saturated ones."""
    return twin_codes(single(image), validity) != INVALID


def twin_seams(image: Image, validity: Validity) -> tuple[Bools, Bools]:
    """Rows and columns that differ from the one before in a pair of pixels that both count."""
    there = kept(image, validity)
    rows, cols = (np.zeros(size, bool) for size in image.shape)
    rows[1:] = ((image[1:] != image[:-1]) & there[1:] & there[:-1]).any(axis=1)
    cols[1:] = ((image[:, 1:] != image[:, :-1]) & there[:, 1:] & there[:, :-1]).any(axis=0)
    return rows, cols


def twin_thin(
    image: Image, factor: int, corner: tuple[int, int], shape: tuple[int, int], validity: Validity
) -> tuple[Image, int, int]:
    """The first pixel that counts of each cell; pixels that differ from it, and gaps beside it."""
    there, out, differing, gaps = kept(image, validity), np.empty(shape, image.dtype), 0, 0
    for cell in np.ndindex(shape):
        starts = [at + k * factor for at, k in zip(corner, cell, strict=True)]
        part = tuple(slice(max(0, start), start + factor) for start in starts)
        pixels, good = image[part].ravel(), there[part].ravel()
        out[cell] = pixels[good][0] if good.any() else pixels[0]
        differing += int((pixels[good] != out[cell]).sum())
        gaps += int((~good).sum()) if good.any() else 0
    return out, differing, gaps


@st.composite
def repeated(draw: st.DrawFn) -> tuple[Image, int, tuple[int, int], tuple[int, int], Validity]:
    """A window of repeated pixels, some of them spoiled; factor, first cell, cells, and bounds."""
    dtype, factor = draw(st.sampled_from(DTYPES)), draw(st.sampled_from([2, 3, 6]))
    corner = draw(st.integers(1 - factor, 0)), draw(st.integers(1 - factor, 0))
    size = draw(st.integers(1, 14)), draw(st.integers(1, 14))
    shape = tuple(-((at - n) // factor) for at, n in zip(corner, size, strict=True))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    values = [0, 1, 2, 100, 255] + ([np.nan, np.inf, -np.inf, -9999.9] if "float" in dtype else [])
    native = rng.choice(np.array(values, dtype), shape)
    image = native.repeat(factor, 0).repeat(factor, 1)[-corner[0] :, -corner[1] :][: size[0], : size[1]].copy()
    spoiled = rng.random(size) < draw(st.sampled_from([0, 0.05, 0.5]))
    image[spoiled] = rng.choice(np.array(values, dtype), size)[spoiled]
    low, high = draw(st.sampled_from([(-LARGEST, LARGEST), (-0.5, 200.0), (1.5, LARGEST)]))
    validity = Validity(
        draw(st.sampled_from([np.nan, 0.0, -9999.9])), low, high, draw(st.sampled_from([255.0, np.inf]))
    )
    return image, factor, corner, (shape[0], shape[1]), validity


@settings(max_examples=300)
@given(repeated())
def test_against_numpy(made: tuple[Image, int, tuple[int, int], tuple[int, int], Validity]) -> None:
    image, factor, corner, shape, validity = made
    marks = np.zeros(image.shape[0], bool), np.zeros(image.shape[1], bool)
    kernels.cell_edges(image, validity, *marks)
    for mark, expected in zip(marks, twin_seams(image, validity), strict=True):
        np.testing.assert_array_equal(mark, expected)
    out = np.empty(shape, image.dtype)
    differing, gaps = kernels.decimate(image, factor, *corner, validity, out)
    expected_out, expected_differing, expected_gaps = twin_thin(image, factor, corner, shape, validity)
    np.testing.assert_array_equal(out, expected_out)
    assert (differing, gaps) == (expected_differing, expected_gaps)


def test_seams_are_added_to_those_of_other_bands() -> None:
    rows, cols = np.array([True, False, False]), np.array([False, False])
    kernels.cell_edges(np.array([[1, 1], [1, 1], [2, 2]], np.uint16), Validity(), rows, cols)
    assert rows.tolist() == [True, False, True]
    assert cols.tolist() == [False, False]


@pytest.mark.parametrize(("nodata", "expected"), [(np.nan, (0, 2, 0)), (0.0, (7, 0, 2))])
def test_by_hand(nodata: float, expected: tuple[int, int, int]) -> None:
    """One cell of 2 x 2: 0 0 / 7 7."""
    out = np.empty((1, 1), np.uint16)
    counts = kernels.decimate(np.array([[0, 0], [7, 7]], np.uint16), 2, 0, 0, Validity(nodata), out)
    assert (int(out[0, 0]), *counts) == expected
