"""Local regressions of a window: before a network, as its input, and after it, the adaptive step."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from xr_s2sr.bands import BANDS, EFFECTIVE_MTF
from xr_s2sr.inference.window_pixels import WindowPixels
from xr_s2sr.local_regression import CoarseBand, Guide, Regression, guide_of, reach
from xr_s2sr.psf import psf_variance

Float32 = NDArray[np.float32]


def reach_of(bands: Iterable[str], mtf: Mapping[str, float]) -> int:
    """Return how far the regressions of some bands look, in 10 m pixels: those of each pixel size after the others.

    Parameters
    ----------
    bands : iterable of str
    mtf : mapping of str to float
        Of the bands that there are.
    """
    steps: dict[int, list[float]] = {}
    for band in bands:
        if band in mtf:
            steps.setdefault(BANDS[band].factor, []).append(mtf[band])
    return sum(reach(factor, mtfs) for factor, mtfs in steps.items())


def regressed(pixels: WindowPixels, bands: Sequence[str]) -> Float32:
    """Regress coarse bands on the 10 m bands: an input of networks that learned with it.

    Parameters
    ----------
    pixels : WindowPixels
    bands : sequence of str
        Those that are missing are planes of 0.

    Returns
    -------
    ndarray of float32, shape (bands, y, x)
    """
    out = np.zeros((len(bands), *pixels.images[pixels.fine[0]].shape), np.float32)
    factors = {BANDS[band].factor for band in bands}
    steps = {factor: _regression(pixels, factor, _fine(pixels), pixels.fine) for factor in factors}
    for plane, band in zip(out, bands, strict=True):
        if band in pixels.images:
            plane[:] = steps[BANDS[band].factor].restore(_coarse(pixels, band))
    return out


def adapted(
    pixels: WindowPixels,
    restored: Float32,
    targets: Sequence[str],
    *,
    learned: bool,
    middle: Sequence[Guide] = (),
) -> Float32:
    """Regress the bands that a network restored on the guides and on its result.

    Parameters
    ----------
    pixels : WindowPixels
        Of the 10 m bands and the targets. Of a target that is not among them, the result stays.
    restored : ndarray of float32, shape (planes, y, x)
        By the targets, overwritten; what follows them is left as it is.
    targets : sequence of str
    learned : bool
        False where interpolation takes the place of the network: it has no detail to be a guide.
    middle : sequence of Guide
        Restored 20 m bands, for 60 m bands. If there are none, those among the targets are taken.

    Returns
    -------
    ndarray of float32, shape (planes, y, x)
    """
    guides, seen = _fine(pixels), list(pixels.fine)
    for factor in sorted({BANDS[target].factor for target in targets}):
        if factor > 2 and middle:
            guides += middle
            seen += pixels.coarse(2)
        step = _regression(pixels, factor, guides, seen)
        for k, target in enumerate(targets):
            if BANDS[target].factor == factor and target in pixels.images:
                restored[k] = step.restore(_coarse(pixels, target, restored[k] if learned else None))
                if factor == 2 and not middle:
                    guides.append(guide_of(restored[k], EFFECTIVE_MTF[target]))
                    seen.append(target)
    return restored


def _fine(pixels: WindowPixels) -> list[Guide]:
    """Return the 10 m bands as guides."""
    return [guide_of(pixels.images[band], pixels.mtf[band]) for band in pixels.fine]


def _regression(pixels: WindowPixels, factor: int, guides: Sequence[Guide], seen: Sequence[str]) -> Regression:
    """Prepare regressions of bands of one pixel size on guides, which are made of the bands `seen`."""
    return Regression(factor, pixels.scale, tuple(guides), pixels.valid_blocks(seen, factor))


def _coarse(pixels: WindowPixels, band: str, restored: Float32 | None = None) -> CoarseBand:
    """Return a band that is to be restored, and what a network made of it."""
    valid, blur = pixels.valid_blocks([band], BANDS[band].factor), psf_variance(EFFECTIVE_MTF[band])
    return CoarseBand(pixels.images[band], pixels.mtf[band], blur, restored, valid)
