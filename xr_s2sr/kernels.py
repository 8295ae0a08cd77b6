"""The compiled loops over pixels. They carry no policy: their arguments say what to scale, fill or clip.

Rows are handled as slices, which the compiler turns into vector instructions. numba compiles again what was edited in
this file only, so a loop calls none of another file and takes no constant from one.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

import numba
import numpy as np

F = TypeVar("F", bound=Callable[..., Any])


def jit(function: F) -> F:
    """Compile a function without the GIL; cached on disk if numba finds a folder that it can write to.

    Not parallel: windows are spread over Python threads, and numba's own threads inside of those can abort a process.
    Divisions as numpy's: a check for 0 would keep them from becoming vector instructions. Nor do loops assign one slice
    to another, whose shapes numba would compare: to compile the sentence of that error takes seconds.
    """
    compiled: Any = numba.njit(nogil=True, error_model="numpy")(function)
    with suppress(RuntimeError):  # "no locator available": a read-only installation
        compiled.enable_caching()
    return compiled  # type: ignore[no-any-return]


#: Codes of a pixel, from good to bad. SATURATED is invalid for a network but keeps its mark in the result.
VALID, SATURATED, INVALID = 0, 1, 2
#: In :func:`fill`, of a pixel that is about to be filled.
QUEUED = 3


@jit
def rounded(validity: Any) -> Any:  # pragma: no cover
    """Return the bounds of valid pixels (nodata, low, high, top) in float32."""
    nodata, low, high, top = validity
    return np.float32(nodata), np.float32(low), np.float32(high), np.float32(top)


@jit
def classify(value: Any, bounds: Any) -> int:  # pragma: no cover
    """Return the code of a pixel, all in float32; :func:`xr_s2sr.scene.validity.classify` is the same in numpy."""
    nodata, low, high, top = bounds
    state = VALID if (low <= value) & (value <= high) else INVALID  # NaN and -inf lie nowhere
    if value >= top:
        state = SATURATED
    if value == nodata:
        state = INVALID
    return state


@jit
def any_invalid(source: Any, validity: Any) -> bool:  # pragma: no cover
    """Tell whether any pixel is not VALID."""
    bounds = rounded(validity)
    for i in range(source.shape[0]):
        line = source[i]
        bad = 0
        for j in range(line.shape[0]):
            bad += classify(np.float32(line[j]), bounds) != VALID
        if bad:
            return True
    return False


@jit
def impossible(source: Any, validity: Any) -> tuple[int, float, float]:  # pragma: no cover
    """Count, smallest and largest of the numbers that are INVALID without being nodata: NaN and inf do not count."""
    bounds = rounded(validity)
    count, smallest, largest = 0, np.inf, -np.inf
    for i in range(source.shape[0]):
        line = source[i]
        for j in range(line.shape[0]):
            value = np.float32(line[j])
            if classify(value, bounds) == INVALID and value != bounds[0] and abs(line[j]) < np.inf:
                count += 1
                smallest, largest = min(smallest, line[j]), max(largest, line[j])
    return count, smallest, largest


@jit
def mirror(i: int, n: int) -> int:  # pragma: no cover
    """Index into n samples repeated as numpy's 'symmetric' does: ... 1 0 | 0 1 ... n-1 | n-1 n-2 ..."""
    i = i % (2 * n)
    return i if i < n else 2 * n - 1 - i


@jit
def gather(source: Any, corner: Any, unit: Any, validity: Any, out: Any, codes: Any) -> int:  # pragma: no cover
    """Read one band's window: pad symmetrically, scale to float32, tell invalid pixels.

    Parameters
    ----------
    source : array, shape (y, x)
        Any real dtype.
    corner : (int, int)
        Row and column of the window's upper left pixel in the source; may be negative.
    unit : (float, float)
        Gain and bias: out = source * gain + bias.
    validity : (float, float, float, float)
        See :class:`xr_s2sr.scene.validity.Validity`.
    out : float32 array, shape (h, w)
        Invalid pixels are left as 0.
    codes : uint8 array, shape (h, w)

    Returns
    -------
    int
        Number of pixels that are not VALID.
    """
    rows, cols = source.shape
    h, w = out.shape
    row, col = corner
    gain32, bias32, bounds = np.float32(unit[0]), np.float32(unit[1]), rounded(validity)
    bad = 0
    inner_start = min(max(0, -col), w)
    inner_stop = max(inner_start, min(w, cols - col))
    for i in range(h):
        line = source[mirror(row + i, rows)]
        target, code = out[i], codes[i]
        for j in range(inner_start):
            target[j] = np.float32(line[mirror(col + j, cols)])
        inner = line[col + inner_start : col + inner_stop]
        for j in range(inner.shape[0]):
            target[inner_start + j] = np.float32(inner[j])
        for j in range(inner_stop, w):
            target[j] = np.float32(line[mirror(col + j, cols)])
        for j in range(w):
            value = target[j]
            state = classify(value, bounds)
            code[j] = state
            bad += state != VALID
            target[j] = value * gain32 + bias32
    if bad:
        for i in range(h):
            for j in range(w):
                if codes[i, j] != VALID:
                    out[i, j] = 0
    return bad


@jit
def fill(image: Any, codes: Any, reach: int, constant: float) -> None:  # pragma: no cover
    """Grow valid pixels into invalid ones, in place, so that the network sees nothing foreign beside them.

    Each of `reach` rounds gives the invalid pixels that touch valid ones (8 neighbours) the mean of those; what
    is left becomes `constant`. A pixel depends on nothing farther than `reach`.

    Parameters
    ----------
    image : float32 array, shape (h, w)
    codes : uint8 array, shape (h, w)
        Overwritten.
    """
    h, w = image.shape
    unknown = 0
    for i in range(h):
        for j in range(w):
            unknown += codes[i, j] != VALID
    now, later = np.empty((unknown, 2), np.int32), np.empty((unknown, 2), np.int32)
    count = 0
    for i in range(h):
        for j in range(w):
            if codes[i, j] != VALID:
                touching = False
                for y in range(max(0, i - 1), min(h, i + 2)):
                    for x in range(max(0, j - 1), min(w, j + 2)):
                        touching |= codes[y, x] == VALID
                if touching:
                    now[count, 0], now[count, 1] = i, j
                    count += 1
    for k in range(count):
        codes[now[k, 0], now[k, 1]] = QUEUED
    for _ in range(reach):
        for k in range(count):
            i, j = now[k, 0], now[k, 1]
            total, neighbours = np.float32(0), 0
            for y in range(max(0, i - 1), min(h, i + 2)):
                for x in range(max(0, j - 1), min(w, j + 2)):
                    if codes[y, x] == VALID:
                        total += image[y, x]
                        neighbours += 1
            image[i, j] = total / np.float32(neighbours)
        # only what touches a pixel of this round can be reached by the next
        following = 0
        for k in range(count):
            i, j = now[k, 0], now[k, 1]
            codes[i, j] = VALID
            for y in range(max(0, i - 1), min(h, i + 2)):
                for x in range(max(0, j - 1), min(w, j + 2)):
                    if codes[y, x] != VALID and codes[y, x] != QUEUED:
                        later[following, 0], later[following, 1] = y, x
                        codes[y, x] = QUEUED
                        following += 1
        now, later, count = later, now, following
    for i in range(h):
        for j in range(w):
            if codes[i, j] != VALID:
                image[i, j] = np.float32(constant)


@jit
def merge_codes(guide: Any, own: Any, factor: int, row: int, col: int, out: Any) -> None:  # pragma: no cover
    """Codes of a result: invalid where its own native pixel or the guide is.

    Parameters
    ----------
    guide : uint8 array, shape (bands, y, x)
        Codes of the 10 m bands over the result; may have no bands.
    own : uint8 array, shape (y', x')
        Codes of the native band; pixel (i, j) of the result lies in ((row + i) // factor, (col + j) // factor).
    out : uint8 array, shape (y, x)
        SATURATED where the own pixel is and no guide is INVALID; INVALID where any is; else VALID.
    """
    width = out.shape[1]
    for i in range(out.shape[0]):
        line, target = own[(row + i) // factor], out[i]
        for cell in range(col // factor, -(-(col + width) // factor)):
            state = line[cell]
            for j in range(max(0, cell * factor - col), min(width, (cell + 1) * factor - col)):
                target[j] = state
        for k in range(guide.shape[0]):
            for j in range(width):
                worst = guide[k, i, j]
                if worst == INVALID or (worst == SATURATED and target[j] == VALID):
                    target[j] = INVALID


@jit
def put_marks(codes: Any, nodata: Any, mark: Any, out: Any) -> None:  # pragma: no cover
    """Write `nodata` and `mark` into a line of pixels where its codes are INVALID and SATURATED."""
    for j in range(out.shape[0]):
        if codes[j] == INVALID:
            out[j] = nodata
        elif codes[j] == SATURATED:
            out[j] = mark


@jit
def finish_integer(image: Any, unit: Any, bounds: Any, codes: Any, marks: Any, out: Any) -> None:  # pragma: no cover
    """Scale, round half to even, clip and write as integers; invalid pixels become marks.

    Parameters
    ----------
    image : float32 array, shape (h, w)
    unit : (float, float)
        Gain and bias: value = image * gain + bias.
    bounds : (float, float)
        Smallest and largest valid value.
    codes : uint8 array, shape (h, w)
    marks : (int, int)
        Written where INVALID and where SATURATED.
    out : integer array, shape (h, w)
    """
    gain32, bias32, low32, high32 = (
        np.float32(unit[0]),
        np.float32(unit[1]),
        np.float32(bounds[0]),
        np.float32(bounds[1]),
    )
    for i in range(out.shape[0]):
        source, target, code = image[i], out[i], codes[i]
        for j in range(out.shape[1]):
            value = np.rint(source[j] * gain32 + bias32)
            target[j] = min(max(value, low32), high32)
        put_marks(code, marks[0], marks[1], target)


@jit
def finish_float(image: Any, unit: Any, codes: Any, marks: Any, out: Any) -> None:  # pragma: no cover
    """As :func:`finish_integer` for floats: scale and write, no rounding, no clipping."""
    gain, bias = unit
    for i in range(out.shape[0]):
        source, target, code = image[i], out[i], codes[i]
        for j in range(out.shape[1]):
            target[j] = source[j] * gain + bias
        put_marks(code, marks[0], marks[1], target)


@jit
def bicubic(image: Any, taps: Any, factor: int, out: Any) -> None:  # pragma: no cover
    """Cubic upsampling by an integer factor, borders mirrored ('symmetric').

    Parameters
    ----------
    image : float32 array, shape (h, w)
    taps : float32 array, shape (factor, 5)
        Weights of the coarse pixels -2 ... 2 around the one that holds a fine pixel, per phase.
    out : float32 array, shape (h * factor, w * factor)
    """
    h, w = image.shape
    line = np.empty(w + 4, np.float32)  # with two mirrored pixels at each end
    inner = line[2 : w + 2]
    for i in range(h):
        for phase in range(factor):
            inner[:] = 0
            for tap in range(5):
                source, weight = image[mirror(i + tap - 2, h)], taps[phase, tap]
                for j in range(w):
                    inner[j] += source[j] * weight
            for j in (-2, -1, w, w + 1):
                line[2 + j] = inner[mirror(j, w)]
            target = out[i * factor + phase]
            for k in range(factor):
                a, b, c, d, e = taps[k, 0], taps[k, 1], taps[k, 2], taps[k, 3], taps[k, 4]
                for j in range(w):
                    total = line[j] * a + line[j + 1] * b
                    target[j * factor + k] = total + line[j + 2] * c + line[j + 3] * d + line[j + 4] * e


@jit
def cell_edges(image: Any, validity: Any, rows: Any, cols: Any) -> None:  # pragma: no cover
    """Mark the rows and columns that differ anywhere from the one before; invalid pixels differ from nothing.

    Parameters
    ----------
    image : array, shape (h, w)
    validity : (float, float, float, float)
        See :class:`xr_s2sr.scene.validity.Validity`.
    rows, cols : bool arrays, shapes (h,) and (w,)
        Set to True where there is an edge, else left alone.
    """
    bounds = rounded(validity)
    for i in range(image.shape[0]):
        for j in range(image.shape[1]):
            value = image[i, j]
            if classify(np.float32(value), bounds) == INVALID:
                continue
            if j > 0:
                left = image[i, j - 1]
                if left != value and classify(np.float32(left), bounds) != INVALID:
                    cols[j] = True
            if i > 0:
                above = image[i - 1, j]
                if above != value and classify(np.float32(above), bounds) != INVALID:
                    rows[i] = True


@jit
def decimate(
    image: Any, factor: int, row: int, col: int, validity: Any, out: Any
) -> tuple[int, int]:  # pragma: no cover
    """Take one pixel of each factor x factor cell: the first valid one.

    Parameters
    ----------
    image : array, shape (h, w)
    factor : int
    row, col : int
        Where the first cell starts, in pixels of the image: 0 or less.
    validity : (float, float, float, float)
        See :class:`xr_s2sr.scene.validity.Validity`.
    out : array, shape (h', w')
        The cells, also those of which the image holds a part only; an invalid pixel where none is valid.

    Returns
    -------
    (int, int)
        Valid pixels that differ from their cell's; invalid pixels in cells that hold a valid one.
    """
    h, w = image.shape
    bounds = rounded(validity)
    differing, gaps = 0, 0
    for k in range(out.shape[0]):
        top, bottom = max(0, row + k * factor), min(h, row + (k + 1) * factor)
        for m in range(out.shape[1]):
            left, right = max(0, col + m * factor), min(w, col + (m + 1) * factor)
            taken, valid, invalid = image[top, left], 0, 0
            for i in range(top, bottom):
                for j in range(left, right):
                    value = image[i, j]
                    if classify(np.float32(value), bounds) == INVALID:
                        invalid += 1
                        continue
                    if valid == 0:
                        taken = value
                    valid += 1
                    differing += value != taken
            if valid:
                gaps += invalid
            out[k, m] = taken
    return differing, gaps
