"""Coarse bands are registered to the 10 m bands before the network sees them, where they are off by much.

What the 10 m bands, seen as the band's sensor sees them, leave unexplained of a band is compared with its slopes: a
band that is moved by d differs from one that is not by d times its slope (Lucas and Kanade 1981). The pixels of about
half a kilometre decide together. Shifts below :data:`SHORTEST_SHIFT` are left: products are registered better than
that, and so small ones may have other causes, such as shadows that are seen by one band alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from xr_s2sr import regression
from xr_s2sr.inference.window_pixels import WindowPixels
from xr_s2sr.interpolation import linear_taps, triangle_taps
from xr_s2sr.local_regression import Scratch, counted
from xr_s2sr.psf import observation_taps, psf_variance
from xr_s2sr.regression import SMOOTHING
from xr_s2sr.spans import CELL, ceil_to_cell

Float32 = NDArray[np.float32]

#: Shifts up to this many pixels of 10 m, within which ESA holds products, are left alone.
SHORTEST_SHIFT = 0.3
#: Longer shifts, in pixels of the band, are cut to that.
LONGEST_SHIFT = 0.75
#: MTF that the guides are seen with: a blur that is not quite the band's moves nothing.
SEEN_MTF = 0.25
#: Radii of windows in cells of 60 m: for what the guides explain, and for the shift, which changes slowly.
LOCAL, WIDE = 1, 4
#: Power that is added to what the guides leave unexplained, in DN**2: places count by its inverse.
NOISE_POWER = 20.0
#: Ridge of what the guides explain: share of their mean power, and a power in DN**2.
RIDGE, FLOOR = 3e-3, 10.0
#: Derivative of sixth order (Fornberg 1988, Math. Comp. 51): the usual central difference is too flat by a third.
DERIVATIVE = np.array([3 / 4, -3 / 20, 1 / 60], np.float32)


def reach(factor: int) -> int:
    """Return how far the shift of a pixel looks, in pixels of 10 m, a multiple of 6; its resampling included."""
    blur = len(observation_taps(factor, factor**2 * psf_variance(SEEN_MTF))) - factor
    # bilinear interpolation between cells, then slopes of what is high-passed, and Lanczos' three pixels
    near = len(DERIVATIVE) + len(SMOOTHING) // 2 + 3
    return ceil_to_cell(CELL * (LOCAL + WIDE + 2) + factor * near + -(-blur // 2))


def look(factors: Iterable[int]) -> int:
    """Return how far the shifts of bands of some pixel sizes, over 10 m, look."""
    return max((reach(factor) for factor in factors if factor > 1), default=0)


def registered(pixels: WindowPixels) -> WindowPixels:
    """Return the pixels with the coarse bands moved to where the 10 m bands are."""
    if not pixels.fine:
        return pixels
    images = dict(pixels.images)
    for factor in (2, 6):
        bands = pixels.coarse(factor)
        if bands:
            guides, scratch = _guides(pixels, factor), Scratch()
            for band in bands:
                mask = counted(pixels.valid_blocks([*pixels.fine, band], factor), images[band].shape)
                mask *= _not_mirrored(pixels, band)
                field = shifts(images[band], guides, mask, factor, pixels.scale, scratch)
                if field.any():
                    images[band] = _moved(images[band], field, factor)
    return replace(pixels, images=images)


def shifts(
    image: Float32, guides: Float32, mask: Float32, factor: int, scale: float, scratch: Scratch | None = None
) -> Float32:
    """Return by how much a band is off in every cell of 60 m.

    Parameters
    ----------
    image : ndarray of float32, shape (y, x)
        In a unit of `scale` of reflectance.
    guides : ndarray of float32, shape (K, y, x)
        High-passed images of the 10 m bands as the band's sensor sees them.
    mask : ndarray of float32, shape (y, x)
        1 for the pixels that count, else 0.
    factor : int
        Coarse pixel over 10 m.
    scale : float
    scratch : Scratch, optional
        Of other bands of this pixel size.

    Returns
    -------
    ndarray of float32, shape (2, y / cell, x / cell)
        Down and to the right, in pixels of the band.
    """
    count, cell, scratch = len(guides), CELL // factor, scratch or Scratch()
    regressors = scratch.array("regressors", count + 2, *image.shape)
    band, slope = scratch.array("band and slope", 2, *image.shape)
    np.multiply(guides, mask, out=regressors[:count])
    regression.high_pass(image, SMOOTHING, mask, band)
    for axis in (0, 1):
        regression.derivative(image, axis, DERIVATIVE, slope)
        regression.high_pass(slope, SMOOTHING, mask, regressors[count + axis])
    cells = image.shape[0] // cell, image.shape[1] // cell
    sums = scratch.array("sums", (count + 3) * (count + 4) // 2 + 1, *cells)
    regression.moments(band, regressors, mask, cell, sums)
    unit = (1e4 * scale) ** 2
    averaged = _averaged(sums, LOCAL, scratch.array("averaged", *sums.shape))
    equations = np.empty((5, *cells), np.float32)
    regression.unexplained(averaged, count, RIDGE, FLOOR / unit, NOISE_POWER / unit, equations)
    averaged = _averaged(equations, WIDE, np.empty_like(equations))
    field = np.empty((2, *cells), np.float32)
    regression.displacements(averaged, SHORTEST_SHIFT / factor, LONGEST_SHIFT, field)
    return field


def _guides(pixels: WindowPixels, factor: int) -> Float32:
    """Return the 10 m bands as a sensor with larger pixels sees them, high-passed."""
    shape = [n // factor for n in pixels.images[pixels.fine[0]].shape]
    passed, seen = np.empty((len(pixels.fine), *shape), np.float32), np.empty(shape, np.float32)
    for band, out in zip(pixels.fine, passed, strict=True):
        variance = factor**2 * psf_variance(SEEN_MTF) - psf_variance(pixels.mtf[band])
        regression.observe(pixels.images[band], observation_taps(factor, variance), factor, seen)
        regression.high_pass(seen, SMOOTHING, None, out)
    return passed


def _not_mirrored(pixels: WindowPixels, band: str) -> Float32:
    """Return 1 for the pixels of the scene itself: what is mirrored at its edges is moved the other way."""
    mask = np.zeros_like(pixels.images[band])
    rows, cols = pixels.own[band]
    mask[rows.slice, cols.slice] = 1
    return mask


def _averaged(planes: Float32, radius: int, out: Float32) -> Float32:
    """Average planes over a window whose weights fall linearly along both axes, into `out`."""
    taps = triangle_taps(radius)
    for plane, smoothed in zip(planes, out, strict=True):
        regression.smooth(plane, taps, smoothed)
    return out


def _moved(image: Float32, field: Float32, factor: int) -> Float32:
    """Resample a band at the places that belong to its pixels."""
    cell = CELL // factor
    fine, everywhere = np.zeros((2, *image.shape), np.float32), np.ones_like(image)
    for own, out in zip(field, fine, strict=True):
        regression.add_detail(own, everywhere, linear_taps(cell), cell, out)
    out = np.empty_like(image)
    regression.resample(image, fine[0], fine[1], out)
    return out
