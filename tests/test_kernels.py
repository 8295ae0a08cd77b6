"""Each numba loop against a plain numpy twin."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from twin_codes import DTYPES, Codes, Float32, twin_codes

from xr_s2sr import kernels, quality
from xr_s2sr.interpolation import cubic_taps
from xr_s2sr.kernels import INVALID, SATURATED, VALID, any_invalid
from xr_s2sr.scene.validity import LARGEST, Validity


def random_band(rng: np.random.Generator, shape: tuple[int, int], dtype: str) -> NDArray[np.generic]:
    """Pixels with every kind of mark: 0, the dtype's ends, NaN and both infinities."""
    if np.dtype(dtype).kind == "f":
        band = rng.normal(0, 1, shape).astype(dtype)
        marks = np.array([math.nan, math.inf, -math.inf, -9999, 0], dtype)
    else:
        info = np.iinfo(dtype)
        band = rng.integers(info.min, min(info.max, 20000), shape, dtype)
        marks = np.array([info.min, info.max, 0], dtype)
    where = rng.random(shape) < 0.3
    band[where] = rng.choice(marks, shape)[where]
    return band


def twin_gather(
    source: NDArray[np.generic], row: int, col: int, shape: tuple[int, int], gain: float, bias: float,
    validity: Validity,
) -> tuple[Float32, Codes]:  # fmt: skip
    with np.errstate(over="ignore"):
        values = source.astype(np.float32)
    # image, mirror image, image and so on; np.pad in numpy 1 goes wrong where they are more than two
    for axis, start in enumerate((row, col)):
        pair = np.concatenate([values, np.flip(values, axis)], axis)
        values = np.take(pair, range(start, start + shape[axis]), axis, mode="wrap")
    codes = twin_codes(values, validity)
    image = np.zeros(shape, np.float32)
    valid = codes == VALID
    image[valid] = values[valid] * np.float32(gain) + np.float32(bias)
    return image, codes


def check_gather(source: NDArray[np.generic], row: int, col: int, shape: tuple[int, int], validity: Validity) -> None:
    gain, bias = 0.37, -0.21
    image, codes = np.full(shape, np.nan, np.float32), np.full(shape, 9, np.uint8)
    bad = kernels.gather(source, (row, col), (gain, bias), validity, image, codes)
    expected, expected_codes = twin_gather(source, row, col, shape, gain, bias, validity)
    np.testing.assert_array_equal(codes, expected_codes)
    np.testing.assert_array_equal(image, expected)
    assert bad == np.count_nonzero(expected_codes)


@pytest.mark.parametrize("dtype", DTYPES)
@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 2**32 - 1),
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    corner=st.tuples(st.integers(-30, 30), st.integers(-30, 30)),
    shape=st.tuples(st.integers(1, 24), st.integers(1, 24)),
    validity=st.builds(
        Validity,
        st.sampled_from([0.0, math.nan, -9999.0]),
        st.sampled_from([-LARGEST, -0.5]),
        st.sampled_from([LARGEST, 150.0]),
        st.sampled_from([math.inf, 200.0]),
    ),
)
def test_gather_pads_as_numpy_symmetric(
    dtype: str,
    seed: int,
    size: tuple[int, int],
    corner: tuple[int, int],
    shape: tuple[int, int],
    validity: Validity,
) -> None:
    source = random_band(np.random.default_rng(seed), size, dtype)
    check_gather(source, *corner, shape, validity)


@pytest.mark.parametrize("view", ["rows", "columns", "transposed", "read-only"])
def test_gather_reads_any_view(view: str) -> None:
    whole = random_band(np.random.default_rng(1), (16, 14), "uint16")
    if view == "read-only":
        whole.flags.writeable = False
    source = {"rows": whole[::2], "columns": whole[:, 1::3], "transposed": whole.T, "read-only": whole}[view]
    check_gather(source, -5, 3, (20, 24), Validity(0.0, top=65535.0))


@pytest.mark.parametrize(
    ("dtype", "nodata"),
    [("int32", 2.0**31 - 1), ("int32", -(2.0**31)), ("float64", -9999.9), ("float64", -1.7976931348623157e308)],
)
def test_nodata_that_float32_cannot_hold(dtype: str, nodata: float) -> None:
    """The comparison is made in float32 on both sides; else such a pixel would pass for a valid one."""
    source, validity = np.array([[1, nodata], [2, 3]], dtype), Validity(nodata)
    with np.errstate(over="ignore"):
        check_gather(source, 0, 0, (2, 2), validity)
    image, codes = np.empty((2, 2), np.float32), np.empty((2, 2), np.uint8)
    assert kernels.gather(source, (0, 0), (1.0, 0.0), validity, image, codes) == 1
    assert codes.tolist() == [[VALID, INVALID], [VALID, VALID]]
    assert any_invalid(source, validity)
    assert not any_invalid(source[1:], validity)


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, math.nan]), st.sampled_from([math.inf, 2.0]))
def test_any_invalid(seed: int, nodata: float, top: float) -> None:
    rng = np.random.default_rng(seed)
    source = rng.normal(0, 1, (3, 4)).astype(np.float32)
    if rng.random() < 0.7:
        source[rng.integers(3), rng.integers(4)] = rng.choice([0, 2, 3, math.nan, math.inf, -math.inf])
    validity = Validity(nodata, top=top)
    assert any_invalid(source, validity) == bool(twin_codes(source, validity).any())


def twin_fill(image: Float32, codes: Codes, reach: int, constant: float) -> Float32:
    """Round by round: invalid pixels take the mean of the known ones among their 8 neighbours."""
    values = np.where(codes == VALID, image.astype(np.float64), np.nan)
    for _ in range(reach):
        around = np.pad(values, 1, constant_values=np.nan)
        h, w = values.shape
        stack = np.array([around[i : i + h, j : j + w] for i in range(3) for j in range(3)])
        count = np.isfinite(stack).sum(0)
        mean = np.nansum(stack, 0) / np.maximum(count, 1)
        values = np.where(np.isnan(values) & (count > 0), mean, values)
    return np.where(np.isnan(values), constant, values).astype(np.float32)


fills = st.tuples(st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(1, 12), st.integers(0, 4), st.floats(0, 1))


@settings(deadline=None)
@given(fills)
def test_fill(case: tuple[int, int, int, int, float]) -> None:
    seed, h, w, reach, share = case
    rng = np.random.default_rng(seed)
    image = rng.normal(0, 1, (h, w)).astype(np.float32)
    codes = np.where(rng.random((h, w)) < share, rng.integers(1, 3, (h, w)), VALID).astype(np.uint8)
    filled = image.copy()
    kernels.fill(filled, codes.copy(), reach, 0.5)
    np.testing.assert_array_equal(filled[codes == VALID], image[codes == VALID])
    np.testing.assert_allclose(filled, twin_fill(image, codes, reach, 0.5), rtol=1e-5, atol=1e-6)


@settings(deadline=None)
@given(fills, st.integers(0, 11), st.integers(0, 11))
def test_fill_looks_no_farther_than_its_reach(case: tuple[int, int, int, int, float], i: int, j: int) -> None:
    seed, h, w, reach, share = case
    i, j = i % h, j % w
    rng = np.random.default_rng(seed)

    def scene() -> tuple[Float32, Codes]:
        return rng.normal(0, 1, (h, w)).astype(np.float32), (rng.random((h, w)) < share).astype(np.uint8)

    (image, codes), (other, other_codes) = scene(), scene()
    near = np.maximum(abs(np.arange(h)[:, None] - i), abs(np.arange(w) - j)) <= reach
    other, other_codes = np.where(near, image, other), np.where(near, codes, other_codes)
    kernels.fill(image, codes, reach, 0.5)
    kernels.fill(other, other_codes, reach, 0.5)
    assert image[i, j] == other[i, j]


def twin_merge(guides: tuple[int, ...], own: int) -> int:
    if INVALID in (*guides, own):
        return INVALID
    if own == SATURATED:
        return SATURATED
    return INVALID if SATURATED in guides else VALID


@pytest.mark.parametrize("bands", [0, 1, 2, 3])
def test_merge_codes_truth_table(bands: int) -> None:
    table = list(itertools.product((VALID, INVALID, SATURATED), repeat=bands + 1))
    guide = np.array([line[:-1] for line in table], np.uint8).T.reshape(bands, 1, len(table))
    own = np.array([[line[-1] for line in table]], np.uint8)
    out = np.full((1, len(table)), 9, np.uint8)
    kernels.merge_codes(guide, own, 1, 0, 0, out)
    assert out[0].tolist() == [twin_merge(line[:-1], line[-1]) for line in table]


@pytest.mark.parametrize(("factor", "row", "col"), [(1, 0, 0), (2, 0, 1), (2, 1, 0), (6, 5, 2), (6, 3, 4)])
def test_merge_codes_where(factor: int, row: int, col: int) -> None:
    rng = np.random.default_rng(factor * 36 + row * 6 + col)
    h, w = 13, 9
    guide = rng.choice(np.array([0, 0, 0, 1, 2], np.uint8), (2, h, w))
    own = rng.choice(np.array([0, 0, 1, 2], np.uint8), (-(-(row + h) // factor), -(-(col + w) // factor)))
    out = np.full((h, w), 9, np.uint8)
    kernels.merge_codes(guide, own, factor, row, col, out)
    fine = own.repeat(factor, 0).repeat(factor, 1)[row : row + h, col : col + w]
    expected = [[twin_merge(tuple(guide[:, i, j]), fine[i, j]) for j in range(w)] for i in range(h)]
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize(
    ("dtype", "low", "high", "nodata", "mark"),
    [
        ("uint16", 1, 65534, 0, 65535),
        ("uint16", 0, 65534, 65535, 0),
        ("int16", -32767, 32767, -32768, 0),
        ("uint8", 1, 255, 0, 0),
        ("uint8", 0, 254, 255, 0),
    ],
)
def test_finish_integer(dtype: str, low: int, high: int, nodata: int, mark: int) -> None:
    rng = np.random.default_rng(3)
    info = np.iinfo(dtype)
    image = rng.uniform(info.min - 500, info.max + 500, (20, 30)).astype(np.float32)
    image[0, :8] = [-1e9, 1e9, -math.inf, math.inf, nodata, low, high, mark]
    image[1] = np.arange(30) + 0.5
    codes = rng.choice(np.array([VALID, VALID, INVALID, SATURATED], np.uint8), image.shape)
    codes[:2] = VALID
    out = np.full(image.shape, 7, dtype)
    kernels.finish_integer(image, (1.0, 0.0), (low, high), codes, (nodata, mark), out)
    expected = np.clip(np.rint(image.astype(np.float64)), low, high).astype(dtype)
    expected[codes == INVALID] = nodata
    expected[codes == SATURATED] = mark
    np.testing.assert_array_equal(out, expected)
    assert not (out[codes == VALID] == nodata).any()
    assert out[1, :6].tolist() == [max(low, n) for n in (0, 2, 2, 4, 4, 6)]


def test_finish_integer_scales() -> None:
    image = np.array([[0.1, 0.2, 5.0]], np.float32)
    out = np.empty((1, 3), np.uint16)
    kernels.finish_integer(image, (2000.0, 1000.0), (1.0, 65534.0), np.zeros((1, 3), np.uint8), (0, 65535), out)
    assert out.tolist() == [[1200, 1400, 11000]]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_finish_float(dtype: str) -> None:
    image = np.array([[0.1, -0.2, 7.0], [0.5, 0.6, 0.7]], np.float32)
    codes = np.array([[VALID, VALID, VALID], [INVALID, SATURATED, VALID]], np.uint8)
    out = np.empty((2, 3), dtype)
    kernels.finish_float(image, (0.2, 0.05), codes, (math.nan, math.inf), out)
    expected = (image.astype(np.float64) * 0.2 + 0.05).astype(dtype)
    expected[1, :2] = math.nan, math.inf
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("factor", [2, 6])
@pytest.mark.parametrize("shape", [(1, 1), (2, 1), (3, 5), (9, 8)])
def test_bicubic(factor: int, shape: tuple[int, int]) -> None:
    image = np.random.default_rng(4).normal(0, 1, shape).astype(np.float32)
    out = np.empty((shape[0] * factor, shape[1] * factor), np.float32)
    kernels.bicubic(image, cubic_taps(factor), factor, out)
    mirrored = quality.bicubic(np.pad(image, 4, mode="symmetric"), factor)
    cut = slice(4 * factor, -4 * factor)
    np.testing.assert_allclose(out, mirrored[cut, cut], atol=2e-6)
    inner = slice(2 * factor, -2 * factor)
    np.testing.assert_allclose(out[inner, inner], quality.bicubic(image, factor)[inner, inner], atol=2e-6)


@pytest.mark.parametrize("factor", [2, 6])
def test_cubic_taps_keep_constants(factor: int) -> None:
    taps = cubic_taps(factor)
    assert taps.shape == (factor, 5)
    np.testing.assert_allclose(taps.sum(1), 1, atol=1e-6)
    np.testing.assert_array_equal(taps, taps[::-1, ::-1])
