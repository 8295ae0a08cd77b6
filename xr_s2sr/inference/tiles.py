"""One window after another: its pixels are gathered, filled, sent through the network, and written."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xr_s2sr import kernels
from xr_s2sr.bands import BANDS, BY_GSD, EFFECTIVE_MTF, Output
from xr_s2sr.errors import EngineError, ModelError
from xr_s2sr.inference.adaptation import adapted, reach_of, regressed
from xr_s2sr.inference.bicubic import BicubicRunner
from xr_s2sr.inference.engine import Runner
from xr_s2sr.inference.registration import look, registered
from xr_s2sr.inference.window_pixels import WindowPixels
from xr_s2sr.inference.windows import Window
from xr_s2sr.kernels import INVALID, VALID, any_invalid
from xr_s2sr.local_regression import guide_of
from xr_s2sr.models import ModelCard
from xr_s2sr.models.card import REGRESSED
from xr_s2sr.planning import outputs_of
from xr_s2sr.scene.radiometry import Radiometry
from xr_s2sr.scene.result import ErrorForm, error_radiometry
from xr_s2sr.spans import Extent, Span, around, inside

#: Distance over which valid pixels are grown into invalid ones before the network sees them, in 10 m pixels.
FILL_REACH = 12
#: Reflectance deep inside of nodata: that of dark land, so that no bright edge arises.
FILL_REFLECTANCE = 0.1

Codes = NDArray[np.uint8]
Float32 = NDArray[np.float32]


@dataclass(frozen=True)
class BandPixels:
    """The pixels of one band in memory, and their place.

    Attributes
    ----------
    array : ndarray, shape (y, x)
    start : (int, int)
        Place of the first pixel in the domain, counted in the band's own pixels; negative is outside.
    factor : int
        Pixel size over 10 m: 1, 2 or 6.
    radiometry : Radiometry
    mtf : float
        At the Nyquist frequency of its pixels.
    """

    array: NDArray[Any]
    start: tuple[int, int]
    factor: int
    radiometry: Radiometry
    mtf: float = 0.25

    def gather(self, rows: Span, cols: Span, scale: float, out: Float32, codes: Codes) -> int:
        """Read a window given in 10 m pixels of the domain; return the number of invalid pixels."""
        r, f = self.radiometry, self.factor
        corner = rows.start // f - self.start[0], cols.start // f - self.start[1]
        return int(kernels.gather(self.array, corner, (r.scale / scale, r.offset / scale), r.validity, out, codes))

    def inside(self, extent: Extent) -> Extent:
        """Return which rows and columns of a rectangle, given in 10 m pixels, are here and need no mirroring."""
        rows, cols = (
            Span(span.start // self.factor, span.stop // self.factor)
            .clip(Span(start, start + n))
            .shift(-(span.start // self.factor))
            for span, start, n in zip(extent, self.start, self.array.shape, strict=True)
        )
        return rows, cols

    def all_valid(self) -> bool:
        """Tell whether every pixel is valid."""
        return not any_invalid(self.array, self.radiometry.validity)


@dataclass(frozen=True)
class RegionJob:
    """One model on one rectangle at one date, the domain.

    Attributes
    ----------
    card : ModelCard
    runner : Runner
    pixels : mapping of str to BandPixels
        Every band that the card's inputs and the wanted targets name, cut to the domain; of the card's optional
        inputs those that are there.
    outputs : mapping of Output to ndarray
        Wanted targets, and their standard errors, filled in place.
    covered : (Span, Span)
        The part of the domain that `outputs` cover.
    clean : frozenset of str
        Bands known to hold no invalid pixel.
    uncertainty : {"float32", "uint16", "band"}, optional
        Form of the standard errors, where the runner gives them.
    adapt : bool
        Follow the network by the adaptive step.
    guide : RegionJob, optional
        Restores the 20 m bands that are guides of that step.
    """

    card: ModelCard
    runner: Runner
    pixels: Mapping[str, BandPixels]
    outputs: Mapping[Output, NDArray[Any]]
    covered: Extent
    clean: frozenset[str] = frozenset()
    uncertainty: ErrorForm | None = None
    adapt: bool = False
    guide: RegionJob | None = None

    def codes(self, rows: Span, cols: Span) -> dict[str, Codes]:
        """Return the codes, (y, x), of every target's pixels over a rectangle."""
        guide = self._guide_codes(rows, cols)
        return {target: self._codes(guide, target, rows, cols) for target in {key.band for key in self.outputs}}

    def blank(self, rows: Span, cols: Span) -> Float32:
        """Return what :meth:`finish` takes in place of the network's output over a rectangle without a valid pixel."""
        return np.zeros((len(self.planes), len(rows), len(cols)), np.float32)

    @property
    def own_planes(self) -> tuple[Output, ...]:
        """The planes that the runner gives, in its order."""
        return outputs_of(self.card.targets, errors=self.uncertainty is not None)

    @property
    def planes(self) -> tuple[Output, ...]:
        """The planes of the result: the runner's, then the guide's if they are wanted."""
        guided = () if self.guide is None else self.guide.own_planes
        return (*self.own_planes, *(guided if any(plane in self.outputs for plane in guided) else ()))

    @property
    def reads(self) -> set[str]:
        """Bands whose pixels decide the result: the network's inputs, and what the adaptive step needs."""
        wanted = {*self.card.bands}
        if self.adapt:
            wanted |= {*BY_GSD[10], *self.card.targets, *(self.guide.reads if self.guide else ())}
        return wanted & {*self.pixels}

    def restore(self, window: Window) -> tuple[Float32, Extent]:
        """Return the planes (planes, y, x) of a window, in the unit of the network, and the rectangle they cover."""
        if not self.adapt:
            return self._restored(self._gathered(window.read), window.write)
        rows, cols = (Span(span.start - self.look, span.stop + self.look) for span in window.read)
        return self._restored(registered(self._gathered((rows, cols))).within(window.read), window.write)

    @property
    def look(self) -> int:
        """Pixels of 10 m beyond a window that are read as well, to see by how much bands are off."""
        return look([BANDS[band].factor for band in self.reads]) if self.adapt else 0

    def _gathered(self, extent: Extent) -> WindowPixels:
        """Read a rectangle of every band, and fill the invalid pixels."""
        images, invalid, own = {}, {}, {}
        for band in self.reads:
            pixels = self.pixels[band]
            image = np.empty([len(span) // pixels.factor for span in extent], np.float32)
            codes = np.empty(image.shape, np.uint8)
            if pixels.gather(*extent, self.card.scale, image, codes):
                invalid[band] = codes != VALID
                reach = max(1, FILL_REACH // pixels.factor)
                kernels.fill(image, codes, reach, FILL_REFLECTANCE / self.card.scale)
            images[band], own[band] = image, pixels.inside(extent)
        return WindowPixels(images, invalid, self._mtf, self.card.scale, extent, own)

    @property
    def _mtf(self) -> dict[str, float]:
        """MTF of the bands that are read."""
        return {band: self.pixels[band].mtf for band in self.reads}

    def _restored(self, pixels: WindowPixels, write: Extent) -> tuple[Float32, Extent]:
        """Run the network, and the adaptive step after it, each no further around than what follows looks.

        Parameters
        ----------
        pixels : WindowPixels
        write : (Span, Span)
            What is wanted of the result.

        Returns
        -------
        planes : ndarray of float32, shape (planes, y, x)
        extent : (Span, Span)
            That they cover: what is wanted, on whole cells; all of the pixels if the network's halo is unknown.
        """
        halo, step = self.card.halo, reach_of(self.card.targets, self._mtf) if self.adapt else 0
        if halo is None:
            result = before_step = before_network = pixels.extent
        else:
            result, before_step, before_network = (
                around(write, look, pixels.extent) for look in (0, step, step + halo)
            )
        restored = self._run(self._inputs(pixels, before_network), before_network)
        restored = np.ascontiguousarray(restored[:, *inside(before_step, before_network)])
        if self.adapt:
            restored = self._adapted(pixels, restored, before_step)
        return restored[:, *inside(result, before_step)], result

    def _inputs(self, pixels: WindowPixels, extent: Extent) -> dict[str, Float32]:
        """Return what the network takes over a rectangle."""
        near = pixels.within(extent)
        inputs = {name: _stacked(near, bands) for name, bands in self.card.inputs.items()}
        if self.card.regressed:
            before = around(extent, reach_of(self.card.regressed, self._mtf), pixels.extent)
            planes = regressed(pixels.within(before), self.card.regressed)
            inputs[REGRESSED] = np.ascontiguousarray(planes[:, *inside(extent, before)])
        return inputs

    def _adapted(self, pixels: WindowPixels, restored: Float32, extent: Extent) -> Float32:
        """Follow the network by the adaptive step, in place; the guide's planes follow if they are wanted."""
        learned, near = not isinstance(self.runner, BicubicRunner), pixels.within(extent)
        if self.guide is None:
            return adapted(near, restored, self.card.targets, learned=learned)
        scale = self.guide.card.scale
        guides, covered = self.guide._restored(pixels.in_unit(scale), extent)
        guides = guides[:, *inside(extent, covered)]
        if scale != self.card.scale:
            guides = guides * np.float32(scale / self.card.scale)
        middle = [
            guide_of(image, EFFECTIVE_MTF[band])
            for band, image in zip(self.guide.card.targets, guides, strict=False)
            if band in self.pixels
        ]
        out = adapted(near, restored, self.card.targets, learned=learned, middle=middle)
        return out if self.planes == self.own_planes else np.concatenate([out, guides])

    def _run(self, inputs: dict[str, Float32], extent: Extent) -> Float32:
        """Run the network, and check what it gives."""
        restored = self.runner.run(inputs)
        expected = len(self.own_planes), *(len(span) for span in extent)
        if restored.shape != expected or restored.dtype != np.float32:  # the kernels index as the card promises
            raise ModelError(
                f"the model {self.card.name!r} gave an output of shape {restored.shape} and {restored.dtype} for a "
                f"window; expected {expected} (targets, y, x) and float32. Export it to give 10 m pixels, float32 NCHW"
            )
        if not math.isfinite(float(restored.sum(dtype=np.float64))):  # every input was finite
            raise EngineError(
                f"the model {self.card.name!r} gave NaN or inf for finite input; expected finite reflectance. Try "
                'device="cpu", or another model'
            )
        if self.uncertainty and not restored[len(self.card.targets) :].min() > 0:
            raise ModelError(
                f"the model {self.card.name!r} gave an uncertainty of {restored[len(self.card.targets) :].min():g}; "
                "expected standard errors above 0. Export it with a positive last operation, or leave uncertainty out"
            )
        return restored

    def finish(self, restored: Float32, rows: Span, cols: Span, found: Mapping[str, Codes] | None = None) -> None:
        """Cast a restored rectangle of the domain (planes, y, x) into the outputs; `found` are its :meth:`codes`."""
        found = self.codes(rows, cols) if found is None else found
        for output, out in self.outputs.items():
            image = restored[self.planes.index(output)]
            codes, radiometry = found[output.band], self.pixels[output.band].radiometry
            if self.uncertainty and output.error:
                radiometry = error_radiometry(radiometry, self.uncertainty)
                # a saturated pixel has a mark, but no error
                codes = np.where(codes == VALID, np.uint8(VALID), np.uint8(INVALID))
                if radiometry.integer:  # never 0, which means nodata
                    image = np.maximum(image, np.float32(radiometry.scale / self.card.scale))
            at = tuple(span.shift(-c.start) for span, c in zip((rows, cols), self.covered, strict=True))
            write(image, codes, radiometry, self.card.scale, out[at[0].slice, at[1].slice])

    def _guide_codes(self, rows: Span, cols: Span) -> Codes:
        """Return the worst code of the 10 m bands, of shape (1, y, x); (0, y, x) where all of them are valid."""
        fine = {band for band in self.card.bands if BANDS[band].is_fine and band in self.pixels}
        codes, worst = (np.empty((len(rows), len(cols)), np.uint8) for _ in range(2))
        scratch = np.empty(codes.shape, np.float32)
        merged = 0
        for band in sorted(fine - self.clean):
            if self.pixels[band].gather(rows, cols, 1.0, scratch, codes if merged else worst):
                if merged:
                    np.maximum(worst, codes, out=worst)
                merged = 1
                if (worst == INVALID).all():  # nothing is worse
                    break
        return worst[np.newaxis][:merged]

    def _codes(self, guide: Codes, target: str, rows: Span, cols: Span) -> Codes:
        """Return the codes of a target's pixels over a rectangle, given those of the 10 m bands."""
        if guide.size and (guide == INVALID).all():
            return np.full((len(rows), len(cols)), INVALID, np.uint8)
        pixels = self.pixels[target]
        f = pixels.factor
        # whole native pixels around the rectangle
        around = [Span(s.start // f * f, -(-s.stop // f) * f) for s in (rows, cols)]
        own = np.zeros((len(around[0]) // f, len(around[1]) // f), np.uint8)
        bad = 0
        if target not in self.clean:
            bad = pixels.gather(around[0], around[1], 1.0, np.empty(own.shape, np.float32), own)
        if not bad and not len(guide):
            return np.zeros((len(rows), len(cols)), np.uint8)
        out = np.empty((len(rows), len(cols)), np.uint8)
        kernels.merge_codes(guide, own, f, rows.start - around[0].start, cols.start - around[1].start, out)
        return out


def _stacked(pixels: WindowPixels, bands: Sequence[str]) -> Float32:
    """Return bands as an input of the network, which learned that zeros are a missing band."""
    factor = BANDS[bands[0]].factor
    stack = np.zeros((len(bands), *(len(span) // factor for span in pixels.extent)), np.float32)
    for image, band in zip(stack, bands, strict=True):
        if band in pixels.images:
            image[:] = pixels.images[band]
    return stack


def write(image: Float32, codes: Codes, radiometry: Radiometry, scale: float, out: NDArray[Any]) -> None:
    """Bring network output into a variable's own unit and dtype."""
    unit = scale / radiometry.scale, -radiometry.offset / radiometry.scale
    if radiometry.integer:
        # without a saturation value, a saturated integer cannot occur
        mark = int(radiometry.top) if math.isfinite(radiometry.top) else 0
        nodata = int(radiometry.blank) if math.isfinite(radiometry.blank) else 0
        kernels.finish_integer(image, unit, radiometry.bounds(), codes, (nodata, mark), out)
    else:
        kernels.finish_float(image, unit, codes, (radiometry.blank, math.inf), out)


def fill_reach(job: RegionJob) -> int:
    """Pixels beyond the halo that can matter: the reach of the fill if there is something to fill, else 0."""
    return 0 if job.reads <= job.clean else FILL_REACH
