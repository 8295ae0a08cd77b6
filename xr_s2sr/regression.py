"""The compiled loops of the adaptive step: guides as the sensor would see them, local regressions, shifts and detail.

All sums have a fixed order and reach a fixed way, so a pixel is the same in any window that holds its surroundings.
Rows are handled as slices, which the compiler turns into vector instructions. Indices beyond an image are clamped: what
they give is part of the margin of a window, which is cut off.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from xr_s2sr.kernels import jit

#: Weights of the smoothing that high-passes subtract, along both axes, in coarse pixels.
SMOOTHING = np.array([0.25, 0.5, 0.25], np.float32)
#: Rows whose equations are solved at once: their numbers stay in the processor's cache.
STRIP = 16


@jit
def observe(image: Any, taps: Any, factor: int, out: Any) -> None:  # pragma: no cover
    """Blur and average an image as a sensor with larger pixels does.

    Parameters
    ----------
    image : float32 array, shape (h * factor, w * factor)
    taps : float32 array, shape (factor + 2 n,)
        Weights along both axes, n fine pixels beyond the coarse one on each side; symmetric, of an even number.
    factor : int
    out : float32 array, shape (h, w)
    """
    height, width = image.shape
    last = taps.shape[0] - 1
    n = (taps.shape[0] - factor) // 2
    line = np.empty(width, np.float32)
    # every factor-th pixel of a line, replicated beyond its ends: the pixels of one weight lie side by side
    reach = -(-n // factor)
    phases = np.empty((factor, out.shape[1] + 2 * reach), np.float32)
    for i in range(out.shape[0]):
        line[:] = 0
        for a in range(last // 2 + 1):
            above = image[min(max(i * factor + a - n, 0), height - 1)]
            below = image[min(max(i * factor + last - a - n, 0), height - 1)]
            weight = taps[a]
            for x in range(width):
                line[x] += weight * (above[x] + below[x])
        for k in range(factor):
            phase = phases[k]
            for j in range(out.shape[1]):
                phase[reach + j] = line[j * factor + k]
            for j in range(reach):
                phase[j] = line[0]
                phase[reach + out.shape[1] + j] = line[width - 1]
        target = out[i]
        target[:] = 0
        for a in range(last // 2 + 1):
            first, other = a - n + reach * factor, last - a - n + reach * factor
            left, right = phases[first % factor, first // factor :], phases[other % factor, other // factor :]
            weight = taps[a]
            for j in range(target.shape[0]):
                target[j] += weight * (left[j] + right[j])


@jit
def smooth(image: Any, taps: Any, out: Any) -> None:  # pragma: no cover
    """Average an image over a window.

    Parameters
    ----------
    image, out : float32 arrays, shape (h, w)
    taps : float32 array, shape (2 n + 1,)
        Weights along both axes; symmetric.
    """
    h, w = image.shape
    n = taps.shape[0] // 2
    line = np.empty(w + 2 * n, np.float32)
    middle = taps[n]
    for i in range(h):
        inner, here, target = line[n : n + w], image[i], out[i]
        for x in range(w):
            inner[x] = middle * here[x]
        for a in range(1, n + 1):
            above, below, weight = image[max(i - a, 0)], image[min(i + a, h - 1)], taps[n + a]
            for x in range(w):
                inner[x] += weight * (above[x] + below[x])
        for x in range(n):
            line[x] = inner[0]
            line[n + w + x] = inner[w - 1]
        for x in range(w):
            target[x] = middle * inner[x]
        for a in range(1, n + 1):
            left, right, weight = line[n - a : n - a + w], line[n + a : n + a + w], taps[n + a]
            for x in range(w):
                target[x] += weight * (left[x] + right[x])


def high_pass(image: Any, taps: Any, mask: Any, out: Any) -> None:
    """Subtract a smoothed image, and put 0 where the mask, if there is one, is 0; see :func:`smooth`."""
    smooth(image, taps, out)
    np.subtract(image, out, out=out)
    if mask is not None:
        np.multiply(out, mask, out=out)


@jit
def derivative(image: Any, axis: int, taps: Any, out: Any) -> None:  # pragma: no cover
    """Differentiate an image along an axis.

    Parameters
    ----------
    image, out : float32 arrays, shape (h, w)
    axis : int
    taps : float32 array, shape (n,)
        Weights of the differences between the pixels k after and k before, for k from 1 on.
    """
    h, w = image.shape
    for i in range(h):
        target = out[i]
        target[:] = 0
        for k in range(1, taps.shape[0] + 1):
            weight = taps[k - 1]
            if axis == 0:
                above, below = image[max(i - k, 0)], image[min(i + k, h - 1)]
                for x in range(w):
                    target[x] += weight * (below[x] - above[x])
            else:
                row = image[i]
                for x in range(w):
                    target[x] += weight * (row[min(x + k, w - 1)] - row[max(x - k, 0)])


@jit
def unexplained(sums: Any, guides: int, ridge: float, floor: float, noise: float, out: Any) -> None:  # pragma: no cover
    """Take out of a band and of its two slopes what guides explain of them; give the equations of a shift that is left.

    Parameters
    ----------
    sums : float32 array, shape (P + 1, h, w)
        Of :func:`moments`, with the guides and then the slopes as regressors, averaged over windows.
    guides : int
        Number of guides.
    ridge : float
        Added to the guides' squares: this share of their mean power, ...
    floor : float
        ... and this power for each pixel that counts.
    noise : float
        Power that is added to what the guides leave of the band, by which the equations are divided.
    out : float32 array, shape (5, h, w)
        Products of the slopes (0 0, 1 0, 1 1), and of both with the band.
    """
    _, h, w = out.shape
    pairs = sums.shape[0] - 1
    size = guides + 3  # the slopes and the band are what is left in the end
    left = np.empty((pairs, w), np.float64)  # of a row of places, so that loops along it are vector instructions
    number, power, share = np.empty(w, np.float64), np.empty(w, np.float64), np.empty(w, np.float64)
    for i in range(h):
        for p in range(pairs):
            given, kept = sums[p, i], left[p]
            for x in range(w):
                kept[x] = given[x]
        counted = sums[pairs, i]
        for x in range(w):
            number[x], power[x] = max(counted[x], 1e-3), 0.0
        for k in range(guides):
            diagonal = left[k * (k + 1) // 2 + k]
            for x in range(w):
                power[x] += diagonal[x]
        for k in range(guides):
            pivot = left[k * (k + 1) // 2 + k]
            for x in range(w):
                pivot[x] += ridge * power[x] / guides + floor * number[x]
            for row in range(k + 1, size):
                own = left[row * (row + 1) // 2 + k]
                for x in range(w):
                    share[x] = own[x] / pivot[x]
                for col in range(k + 1, row + 1):
                    entry, other = left[row * (row + 1) // 2 + col], left[col * (col + 1) // 2 + k]
                    for x in range(w):
                        entry[x] -= share[x] * other[x]
        rest = left[pairs - 1]
        for x in range(w):
            share[x] = 1 / (max(rest[x], 0.0) / number[x] + noise)
        first = guides * (guides + 1) // 2 + guides
        second = first + guides + 1
        # of the slopes, then of the band with them: beside the guides in their rows
        for p, at in enumerate((first, second, second + 1, pairs - 3, pairs - 2)):
            product, target = left[at], out[p, i]
            for x in range(w):
                target[x] = share[x] * product[x]


@jit
def displacements(equations: Any, least: float, most: float, out: Any) -> None:  # pragma: no cover
    """Solve the equations of shifts.

    Parameters
    ----------
    equations : float32 array, shape (5, h, w)
        Of :func:`unexplained`, averaged over windows.
    least, most : float
        Shorter shifts are 0, longer ones are cut to `most`; between them they shrink, so that nothing jumps.
    out : float32 array, shape (2, h, w)
        Down and to the right: where in the band what belongs to a pixel is found.
    """
    _, h, w = out.shape
    for i in range(h):
        for j in range(w):
            one, both, other = equations[0, i, j], equations[1, i, j], equations[2, i, j]
            ridge = 1e-3 * (one + other) + 1e-9
            one, other = one + ridge, other + ridge
            determinant = one * other - both * both
            down = -(other * equations[3, i, j] - both * equations[4, i, j]) / determinant
            right = -(one * equations[4, i, j] - both * equations[3, i, j]) / determinant
            square = down * down + right * right
            kept = 0.0
            if square > least * least:
                kept = min(1 - least * least / square, most / math.sqrt(square))
            out[0, i, j], out[1, i, j] = kept * down, kept * right


@jit
def resample(image: Any, down: Any, right: Any, out: Any) -> None:  # pragma: no cover
    """Interpolate an image at displaced places: Lanczos' kernel of six pixels.

    Parameters
    ----------
    image, down, right, out : float32 arrays, shape (h, w)
    """
    h, w = image.shape
    along = np.empty((2, 6), np.float64)
    for i in range(h):
        for j in range(w):
            if down[i, j] == 0 and right[i, j] == 0:
                out[i, j] = image[i, j]
                continue
            places = (i + down[i, j], j + right[i, j])
            for axis in range(2):
                total = 0.0
                for k in range(6):
                    at = math.pi * (places[axis] - math.floor(places[axis]) + 2 - k)
                    along[axis, k] = 1.0 if at == 0 else 3 * math.sin(at) * math.sin(at / 3) / (at * at)
                    total += along[axis, k]
                for k in range(6):
                    along[axis, k] /= total
            first, left = math.floor(places[0]) - 2, math.floor(places[1]) - 2
            value = 0.0
            for a in range(6):
                row = min(max(first + a, 0), h - 1)
                for b in range(6):
                    value += along[0, a] * along[1, b] * image[row, min(max(left + b, 0), w - 1)]
            out[i, j] = value


@jit
def moments(y: Any, guides: Any, mask: Any, cell: int, out: Any) -> None:  # pragma: no cover
    """Sum the products that a regression needs over square cells of pixels.

    Parameters
    ----------
    y : float32 array, shape (h, w)
        The band, 0 where masked.
    guides : float32 array, shape (K, h, w)
        The same of the guides.
    mask : float32 array, shape (h, w)
        1 for pixels that count, else 0.
    cell : int
        Side of a cell.
    out : float32 array, shape (K (K + 1) / 2 + K + 2, h / cell, w / cell)
        Sums of products of two guides (0 0, 1 0, 1 1, 2 0, ...), of guides with the band, of the band's squares, and
        of the mask.
    """
    count, _, w = guides.shape
    pairs = count * (count + 1) // 2
    line = np.empty(w, np.float32)
    for i in range(out.shape[1]):
        for p in range(out.shape[0]):
            first, second = -1, -1
            if p < pairs:
                first = 0
                while (first + 1) * (first + 2) // 2 <= p:
                    first += 1
                second = p - first * (first + 1) // 2
            elif p < pairs + count:
                first = p - pairs
            line[:] = 0
            for row in range(i * cell, (i + 1) * cell):
                if p == pairs + count + 1:
                    line += mask[row]
                else:
                    one = guides[first, row] if first >= 0 else y[row]
                    other = guides[second, row] if second >= 0 else y[row]
                    for x in range(w):
                        line[x] += one[x] * other[x]
            target = out[p, i]
            for j in range(target.shape[0]):
                total = np.float32(0)
                for x in range(j * cell, (j + 1) * cell):
                    total += line[x]
                target[j] = total


def solve(sums: Any, count: int, ridge: float, floor: float, without: float, weights: Any, misfit: Any) -> None:
    """Solve the normal equations at each place, by Cholesky's factors without roots.

    Parameters
    ----------
    sums : float32 array, shape (K (K + 1) / 2 + K + 2, h, w)
        Of :func:`moments`, averaged over windows; overwritten.
    count : int
        K, the number of guides.
    ridge : float
        Added to the diagonal: this share of the guides' mean power in the window, ...
    floor : float
        ... and this power for each pixel that counts.
    without : float
        Share, in the mean that is taken, of the solution without the last guide.
    weights : float32 array, shape (K, h, w)
        The solution, of which the misfit is, or that mean.
    misfit : float32 array, shape (h, w)
        Mean square, in the window, of what the regression leaves of the band; 0 where nothing counts.
    """
    pairs, (h, w), least = count * (count + 1) // 2, misfit.shape, np.float32(1e-3)
    fewer = np.empty((count - 1 if without > 0 else 0, STRIP, w), np.float32)
    for top in range(0, h, STRIP):
        rows = slice(top, min(top + STRIP, h))
        power, number = sums[-2, rows], np.maximum(sums[-1, rows], least)
        added = np.zeros_like(power)
        for k in range(count):
            added += sums[k * (k + 1) // 2 + k, rows]
        added = np.float32(ridge) * np.float32(1 / count) * added + np.float32(floor) * number
        factorise(sums, count, added, weights, top)
        substitute(sums, len(fewer), weights, fewer, (top, rows.stop), top)
        substitute(sums, count, weights, weights, (top, rows.stop), 0)
        # of (A + l) v = b: y'y - 2 v'b + v'A v = y'y - v'b - l v'v
        solution = weights[:, rows]
        for solved, right in zip(solution, sums[pairs:-2, rows], strict=True):
            power -= solved * (right + added * solved)
        np.maximum(power / number, 0, out=misfit[rows])
        if without > 0:
            solution *= np.float32(1 - without)
            solution[:-1] += np.float32(without) * fewer[:, : len(power)]


@jit
def factorise(sums: Any, count: int, added: Any, right_sides: Any, top: int) -> None:  # pragma: no cover
    """Factorise normal equations into L D L', in place, and substitute forwards, into `right_sides`.

    See :func:`solve`, whose weights these become; `added` (n, w) is added to the diagonals of n rows from `top` on.
    """
    pairs, (n, w) = count * (count + 1) // 2, added.shape
    for i in range(top, top + n):
        more = added[i - top]
        for k in range(count):
            diagonal = sums[k * (k + 1) // 2 + k, i]
            for x in range(w):
                diagonal[x] += more[x]
        for k in range(count):
            pivot = sums[k * (k + 1) // 2 + k, i]
            for m in range(k):
                low, scale = sums[k * (k + 1) // 2 + m, i], sums[m * (m + 1) // 2 + m, i]
                for x in range(w):
                    pivot[x] -= low[x] * low[x] * scale[x]
            right, given = right_sides[k, i], sums[pairs + k, i]
            for x in range(w):
                right[x] = given[x]
            for m in range(k):
                low, solved = sums[k * (k + 1) // 2 + m, i], right_sides[m, i]
                for x in range(w):
                    right[x] -= low[x] * solved[x]
            for row in range(k + 1, count):
                entry = sums[row * (row + 1) // 2 + k, i]
                for m in range(k):
                    one, other = sums[row * (row + 1) // 2 + m, i], sums[k * (k + 1) // 2 + m, i]
                    scale = sums[m * (m + 1) // 2 + m, i]
                    for x in range(w):
                        entry[x] -= one[x] * other[x] * scale[x]
                for x in range(w):
                    entry[x] /= pivot[x]


@jit
def substitute(sums: Any, count: int, right_sides: Any, out: Any, rows: Any, shift: int) -> None:  # pragma: no cover
    """Substitute backwards in some rows of what :func:`factorise` gives, for the first `count` guides.

    The solution of row i goes to row i - shift of `out`; it may take the place of `right_sides`.
    """
    w = out.shape[2]
    for i in range(rows[0], rows[1]):
        for k in range(count - 1, -1, -1):
            right, solved, pivot = right_sides[k, i], out[k, i - shift], sums[k * (k + 1) // 2 + k, i]
            for x in range(w):
                solved[x] = right[x] / pivot[x]
            for row in range(k + 1, count):
                entry, later = sums[row * (row + 1) // 2 + k, i], out[row, i - shift]
                for x in range(w):
                    solved[x] -= entry[x] * later[x]


@jit
def add_detail(weights: Any, guide: Any, taps: Any, factor: int, out: Any) -> None:  # pragma: no cover
    """Add a guide times its weight, which is interpolated bilinearly; a factor of 1 adds the product.

    Parameters
    ----------
    weights : float32 array, shape (h, w)
    guide, out : float32 arrays, shape (h * factor, w * factor)
    taps : float32 array, shape (factor, 3)
        Weights of the coarse pixels -1 ... 1 around the one that holds a fine pixel, per phase.
    """
    h, w = weights.shape
    line = np.empty(w + 2, np.float32)
    fine = np.empty(w * factor, np.float32)
    for i in range(h):
        above, here, below = weights[max(i - 1, 0)], weights[i], weights[min(i + 1, h - 1)]
        for phase in range(factor):
            one, two, three = taps[phase, 0], taps[phase, 1], taps[phase, 2]
            inner = line[1 : w + 1]
            for j in range(w):
                inner[j] = one * above[j] + two * here[j] + three * below[j]
            line[0], line[w + 1] = inner[0], inner[w - 1]
            for k in range(factor):
                left, middle, right = taps[k, 0], taps[k, 1], taps[k, 2]
                for j in range(w):
                    fine[j * factor + k] = left * line[j] + middle * line[j + 1] + right * line[j + 2]
            source, target = guide[i * factor + phase], out[i * factor + phase]
            for x in range(w * factor):
                target[x] += fine[x] * source[x]
