"""Local regression: each scene says itself how much of a guide's detail a coarse band has.

Around every coarse pixel the band is regressed on the guides, which are seen as the band's sensor would see them: the
10 m bands, for 60 m bands also the restored 20 m bands, and the network's own result. The weights that explain the band
at its own scale then bring the guides' detail in at 10 m. Known as context-based injection of detail in pansharpening
(Aiazzi et al. 2006, PE&RS 72; Wang et al. 2015, RSE 162), here with a network's result as a guide, and with the blur
decided by what is left unexplained. At last the result is seen with that blur, and what it lacks to be the native band
again is given back (Irani and Peleg 1991, CVGIP 53).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from xr_s2sr import kernels, regression
from xr_s2sr.interpolation import cubic_taps, linear_taps, triangle_taps
from xr_s2sr.psf import observation_taps, psf_variance
from xr_s2sr.regression import SMOOTHING

Float32 = NDArray[np.float32]

#: Side of the cells of coarse pixels around which regressions are solved, by the factor of their bands: all of 60 m, so
#: that windows, which start on multiples of that, share them.
CELL = {2: 3, 6: 1}
#: Radius of the window of a regression, in cells of so many pixels; its weights fall linearly along both axes.
WINDOW = {3: 1, 1: 4}
#: Ridge: share of the guides' mean power in the window, and the power of noise in DN**2, by the factor of the bands.
RIDGE = {2: 1e-2, 6: 1e-3}
NOISE_POWER = {2: 30.0, 6: 10.0}
#: Power in DN**2 of what a result lacks, of which one half is given back: noise, which that would sharpen, has less.
HALF_GIVEN = {2: 60.0, 6: 20.0}
#: MTFs that are tried, relative to the band's own, by the factor of the bands. The results are weighted by what each
#: leaves unexplained. Those of 60 m bands differ more: between Level-1C and Level-2A, too.
TRIALS = {2: (0.75, 1.1), 6: (0.7, 1.0, 1.4)}
#: Share, in the mean that is taken, of the regression without the network's result.
WITHOUT_NETWORK = {2: 0.0, 6: 0.5}
#: Shares of valid pixels in the window: up to the first the network's result stands, from the second on the
#: regression's.
FEW, ENOUGH = 0.15, 0.4
#: Coarse pixels around an invalid one that count as invalid: what is filled in there reaches so far.
SPREAD = 2


@dataclass(frozen=True)
class Guide:
    """An image on the 10 m grid.

    Attributes
    ----------
    image : ndarray of float32, shape (y, x)
        In the unit of the network.
    variance : float
        Of its blur, in squared pixels of 10 m.
    """

    image: Float32
    variance: float


@dataclass(frozen=True)
class CoarseBand:
    """A native band to restore.

    Attributes
    ----------
    image : ndarray of float32, shape (y, x)
        In the unit of the network.
    mtf : float
        At the Nyquist frequency of its pixels.
    blur : float
        Variance of the blur of the restored band, in squared pixels of 10 m.
    restored : ndarray of float32, shape (y * factor, x * factor), optional
        The network's result.
    valid : ndarray of bool, shape (y, x), optional
        Its valid pixels; all are by default.
    """

    image: Float32
    mtf: float
    blur: float
    restored: Float32 | None = None
    valid: NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class Trial:
    """Regressions of one band with guides that are seen with one blur.

    Attributes
    ----------
    variance : float
        Of the blur, in squared pixels of 10 m.
    trust : ndarray of float32, shape (y, x)
        Weight of this blur in each cell.
    weights : ndarray of float32, shape (K, y, x)
        Of the regressors.
    seen : list of ndarray of float32
        The regressors, on the grid of the band.
    """

    variance: float
    trust: Float32
    weights: Float32
    seen: list[Float32]


def reach(factor: int, mtfs: Sequence[float]) -> int:
    """Return how far the step looks, in 10 m pixels: window, high-pass, interpolation, and twice the blur."""
    widest = len(observation_taps(factor, factor**2 * psf_variance(TRIALS[factor][0] * min(mtfs)))) - factor
    seen = -(-widest // 2 // factor)
    cell, smoothed = CELL[factor], len(SMOOTHING) // 2
    # of a window: its cells, one more for weights that are interpolated between cells, and the rest of the last one
    window = cell * (WINDOW[cell] + 2) - 1 if cell > 1 else WINDOW[cell]
    # cubic interpolation reaches two pixels; so it does again where the result is seen and corrected
    return factor * (2 + smoothed + seen + 2 + window + max(smoothed + seen, SPREAD))


class Scratch:
    """Memory that is filled anew by every band: to get it from the system each time costs more than to fill it."""

    def __init__(self) -> None:
        self._flat: dict[str, Float32] = {}

    def array(self, name: str, *shape: int) -> Float32:
        """Return an array in the memory of that name, which grows; what it held before is lost."""
        size = math.prod(shape)
        if name not in self._flat or self._flat[name].size < size:
            self._flat[name] = np.empty(2 * size if name in self._flat else size, np.float32)
        return self._flat[name][:size].reshape(shape)


@dataclass
class Regression:
    """Local regressions of bands of one GSD in one window.

    Parameters
    ----------
    factor : int
        Coarse pixel over 10 m.
    scale : float
        Reflectance that is 1 in the unit of the network.
    guides : sequence of Guide
    valid : ndarray of bool, shape (y, x), optional
        Coarse pixels that are valid in all guides; all are by default.
    """

    factor: int
    scale: float
    guides: Sequence[Guide]
    valid: NDArray[np.bool_] | None = None
    # the blur that a guide was seen with in a trial: bands of one blur share what is in that memory
    _seen: dict[tuple[int, int], float] = field(default_factory=dict)
    _scratch: Scratch = field(default_factory=Scratch)

    def restore(self, band: CoarseBand) -> Float32:
        """Return a band on the 10 m grid.

        Parameters
        ----------
        band : CoarseBand

        Returns
        -------
        ndarray of float32, shape (y * factor, x * factor)
        """
        mask = counted(_both(self.valid, band.valid), band.image.shape)
        trials, share = self._trials(band, mask)
        out = self._composed(band, trials, mask)
        if band.restored is not None and share.min() < ENOUGH:
            trust = np.clip((share - np.float32(FEW)) / np.float32(ENOUGH - FEW), 0, 1)
            side = self.factor * CELL[self.factor]
            known, network = trust.repeat(side, 0).repeat(side, 1), band.restored
            out = np.where(known == 1, out, network + known * (out - network))
        return out

    @property
    def _unit(self) -> float:
        """Square of the network's unit, in DN**2."""
        return (1e4 * self.scale) ** 2

    def _all(self, band: CoarseBand) -> list[Guide]:
        """Return all guides of a band."""
        return [*self.guides, *([] if band.restored is None else [Guide(band.restored, band.blur)])]

    def _trials(self, band: CoarseBand, mask: Float32) -> tuple[list[Trial], Float32]:
        """Regress a band for every blur that is tried; also return the share of pixels that count in each window."""
        guides = self._all(band)
        count = len(guides)
        floor, cell = NOISE_POWER[self.factor] / self._unit, CELL[self.factor]
        scratch, shape = self._scratch, band.image.shape
        y, passed = scratch.array("band", *shape), scratch.array("guides", count, *shape)
        regression.high_pass(band.image, SMOOTHING, mask, y)
        cells = shape[0] // cell, shape[1] // cell
        products = count * (count + 1) // 2 + count + 2, *cells
        sums, averaged = scratch.array("sums", *products), scratch.array("averaged", *products)
        window, without = triangle_taps(WINDOW[cell]), 0.0 if band.restored is None else WITHOUT_NETWORK[self.factor]
        blurs = [self.factor**2 * psf_variance(min(relative * band.mtf, 0.99)) for relative in TRIALS[self.factor]]
        trials = []
        for trial, variance in enumerate(blurs):
            seen = self._regressors(guides, trial, variance, mask, passed)
            regression.moments(y, passed, mask, cell, sums)
            for one, smoothed in zip(sums, averaged, strict=True):
                regression.smooth(one, window, smoothed)
            weights, misfit = np.empty((count, *cells), np.float32), np.empty(cells, np.float32)
            regression.solve(averaged, count, RIDGE[self.factor], floor, without, weights, misfit)
            trials.append(Trial(variance, np.reciprocal(misfit + np.float32(floor / 10)), weights, seen))
        return trials, averaged[-1] / np.float32(cell**2)

    def _composed(self, band: CoarseBand, trials: Sequence[Trial], mask: Float32) -> Float32:
        """Average the trials: what their regressions leave of the band, the guides' detail, and what both then lack."""
        cell = CELL[self.factor]
        total = np.sum([trial.trust for trial in trials], axis=0)
        shares = [trial.trust / total for trial in trials]
        rest, mean, taps = band.image.copy(), np.zeros_like(trials[0].weights), linear_taps(cell)
        for share, trial in zip(shares, trials, strict=True):
            weights = trial.weights * share
            mean += weights
            np.negative(weights, out=weights)
            for weight, image in zip(weights, trial.seen, strict=True):
                regression.add_detail(weight, image, taps, cell, rest)
        out = self._interpolated(rest, np.empty([n * self.factor for n in rest.shape], np.float32))
        side = self.factor * cell
        for weight, guide in zip(mean, self._all(band), strict=True):
            regression.add_detail(weight, guide.image, linear_taps(side), side, out)
        # what it lacks to be the band again, seen with the blurs as far as each is trusted
        lacking, seen = band.image.copy(), self._scratch.array("seen", *rest.shape)
        for share, trial in zip(shares, trials, strict=True):
            regression.observe(out, observation_taps(self.factor, trial.variance - band.blur), self.factor, seen)
            regression.add_detail(-share, seen, taps, cell, lacking)
        power = seen
        regression.smooth(np.square(lacking), SMOOTHING, power)
        lacking *= mask * (power / (power + np.float32(HALF_GIVEN[self.factor] / self._unit)))
        out += self._interpolated(lacking, self._scratch.array("fine", *out.shape))
        return out

    def _interpolated(self, image: Float32, out: Float32) -> Float32:
        """Interpolate a coarse image on the 10 m grid, into `out`."""
        kernels.bicubic(image, cubic_taps(self.factor), self.factor, out)
        return out

    def _regressors(
        self, guides: Sequence[Guide], trial: int, variance: float, mask: Float32, passed: Float32
    ) -> list[Float32]:
        """Return the guides as a sensor of this blur sees them; high-passes go to `passed`."""
        shared = len(self.guides)
        seen = []
        for k in range(shared):
            image, high = self._shared(k, trial, variance)
            np.multiply(high, mask, out=passed[k])
            seen.append(image)
        for guide, high in zip(guides[shared:], passed[shared:], strict=True):
            image = np.empty_like(mask)
            self._observe(guide, variance, mask, image, high)
            seen.append(image)
        return seen

    def _shared(self, k: int, trial: int, variance: float) -> Float32:
        """Return a guide that several bands of one blur share, as it is seen, and its high-pass."""
        guide = self.guides[k]
        shape = [n // self.factor for n in guide.image.shape]
        seen, passed = both = self._scratch.array(f"guide {k} of trial {trial}", 2, *shape)
        if self._seen.get((k, trial)) != variance:
            self._observe(guide, variance, None, seen, passed)
            self._seen[k, trial] = variance
        return both

    def _observe(self, guide: Guide, variance: float, mask: Float32 | None, seen: Float32, passed: Float32) -> None:
        """Put a guide as a sensor of this blur sees it into `seen`, and its high-pass into `passed`."""
        taps = observation_taps(self.factor, variance - guide.variance)
        regression.observe(guide.image, taps, self.factor, seen)
        regression.high_pass(seen, SMOOTHING, mask, passed)


def guide_of(image: Float32, mtf: float) -> Guide:
    """Return an image as a guide, blurred as its MTF at the Nyquist frequency of pixels of 10 m says."""
    return Guide(image, psf_variance(mtf))


def counted(valid: NDArray[np.bool_] | None, shape: tuple[int, int]) -> Float32:
    """Return 1 for the pixels that count in a regression, else 0: valid ones, not next to others.

    Parameters
    ----------
    valid : ndarray of bool, shape (y, x), optional
        All are by default.
    shape : (int, int)
    """
    if valid is None or valid.all():
        return np.ones(shape, np.float32)
    invalid = np.pad(~valid, SPREAD)
    for axis, n in enumerate(shape):
        invalid = np.logical_or.reduce([np.take(invalid, range(k, k + n), axis) for k in range(2 * SPREAD + 1)])
    return (~invalid).astype(np.float32)


def _both(one: NDArray[np.bool_] | None, other: NDArray[np.bool_] | None) -> NDArray[np.bool_] | None:
    """Combine two masks, either of which may be absent."""
    return other if one is None else one if other is None else one & other
