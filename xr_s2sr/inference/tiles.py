"""The eager run: windows over threads, each gathered, filled, sent through the network, and finished."""

from __future__ import annotations

import math
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xr_s2sr.bands import BANDS
from xr_s2sr.errors import EngineError, ModelError
from xr_s2sr.inference import kernels
from xr_s2sr.inference.engine import Runner
from xr_s2sr.inference.windows import Extent, Plan, Span, Window
from xr_s2sr.models import ModelCard
from xr_s2sr.radiometry import Radiometry

#: How far valid pixels are grown into invalid ones before the network sees them, in 10 m pixels.
FILL_REACH = 12
#: Reflectance deep inside of nodata: that of dark land, so that no bright edge arises.
FILL_REFLECTANCE = 0.1

Codes = NDArray[np.uint8]
Float32 = NDArray[np.float32]


@dataclass(frozen=True)
class Source:
    """One band in memory.

    Attributes
    ----------
    array : ndarray, shape (y, x)
    start : (int, int)
        Where its first pixel lies in the domain, in its own pixels; negative is outside.
    factor : int
        Its pixel size over 10 m: 1, 2 or 6.
    radiometry : Radiometry
    """

    array: NDArray[Any]
    start: tuple[int, int]
    factor: int
    radiometry: Radiometry

    def within(self, shape: tuple[int, int]) -> Source:
        """The part inside a domain of this shape (10 m pixels), as a view, so that all bands mirror at its edges."""
        rows, cols = (slice(max(0, -s), n // self.factor - s) for s, n in zip(self.start, shape, strict=True))
        start = max(0, self.start[0]), max(0, self.start[1])
        return Source(numba_ready(self.array[rows, cols]), start, self.factor, self.radiometry)

    def gather(self, rows: Span, cols: Span, scale: float, out: Float32, codes: Codes) -> int:
        """Read a window given in 10 m pixels of the domain; returns the number of invalid pixels."""
        r, f = self.radiometry, self.factor
        row, col = rows.start // f - self.start[0], cols.start // f - self.start[1]
        return int(kernels.gather(self.array, row, col, r.scale / scale, r.offset / scale, r.validity, out, codes))

    def spotless(self) -> bool:
        """Whether every pixel is valid."""
        return not kernels.any_invalid(self.array, self.radiometry.validity)


@dataclass(frozen=True)
class Task:
    """One model on one scene.

    Attributes
    ----------
    card : ModelCard
    runner : Runner
    sources : mapping of str to Source
        Every band that the card's inputs and the wanted targets name, cut to the domain; of the card's optional
        inputs those that are there.
    outputs : mapping of str to ndarray
        Wanted targets, filled in place.
    covered : (Span, Span)
        The part of the domain that `outputs` cover.
    """

    card: ModelCard
    runner: Runner
    sources: Mapping[str, Source]
    outputs: Mapping[str, NDArray[Any]]
    covered: Extent

    def restore(self, window: Window) -> Float32:
        """The network's output (targets, y, x) for a window, uncropped, in its own unit."""
        inputs = {}
        for name, bands in self.card.inputs.items():
            factor = BANDS[bands[0]].gsd // 10
            h, w = (len(span) // factor for span in window.read)
            stack = np.empty((len(bands), h, w), np.float32)
            codes = np.empty((h, w), np.uint8)
            for image, band in zip(stack, bands, strict=True):
                if band not in self.sources:
                    image[:] = 0  # what the network learned to take for a missing band
                elif self.sources[band].gather(*window.read, self.card.scale, image, codes):
                    kernels.fill(image, codes, max(1, FILL_REACH // factor), FILL_REFLECTANCE / self.card.scale)
            inputs[name] = stack
        restored = self.runner.run(inputs)
        expected = len(self.card.targets), *(len(span) for span in window.read)
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
        return restored

    def finish(self, restored: Float32, rows: Span, cols: Span) -> None:
        """Cast a restored rectangle of the domain (targets, y, x) into the outputs."""
        guide = self._guide_codes(rows, cols)
        for target, out in self.outputs.items():
            image = restored[self.card.targets.index(target)]
            codes = self._codes(guide, target, rows, cols)
            at = tuple(span.shift(-c.start) for span, c in zip((rows, cols), self.covered, strict=True))
            write(image, codes, self.sources[target].radiometry, self.card.scale, out[at[0].slice, at[1].slice])

    def _guide_codes(self, rows: Span, cols: Span) -> Codes:
        guides = [band for band in self.card.bands if BANDS[band].gsd == 10 and band in self.sources]
        codes = np.empty((len(guides), len(rows), len(cols)), np.uint8)
        scratch = np.empty((len(rows), len(cols)), np.float32)
        for band, code in zip(guides, codes, strict=True):
            self.sources[band].gather(rows, cols, 1.0, scratch, code)
        return codes

    def _codes(self, guide: Codes, target: str, rows: Span, cols: Span) -> Codes:
        source = self.sources[target]
        f = source.factor
        # whole native pixels around the rectangle
        around = [Span(s.start // f * f, -(-s.stop // f) * f) for s in (rows, cols)]
        own = np.empty((len(around[0]) // f, len(around[1]) // f), np.uint8)
        source.gather(around[0], around[1], 1.0, np.empty(own.shape, np.float32), own)
        out = np.empty((len(rows), len(cols)), np.uint8)
        kernels.merge_codes(guide, own, f, rows.start - around[0].start, cols.start - around[1].start, out)
        return out


def write(image: Float32, codes: Codes, radiometry: Radiometry, scale: float, out: NDArray[Any]) -> None:
    """Bring network output into a variable's own unit and dtype."""
    gain, bias = scale / radiometry.scale, -radiometry.offset / radiometry.scale
    if radiometry.integer:
        low, high = radiometry.bounds()
        # without a saturation value, a saturated integer cannot occur
        mark = int(radiometry.top) if math.isfinite(radiometry.top) else 0
        nodata = int(radiometry.blank) if math.isfinite(radiometry.blank) else 0
        kernels.finish_integer(image, gain, bias, low, high, codes, nodata, mark, out)
    else:
        kernels.finish_float(image, gain, bias, codes, radiometry.blank, math.inf, out)


def writable(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype that numba can write where it cannot write this one."""
    return np.dtype(np.float32) if dtype == np.float16 else dtype.newbyteorder("=")


def settled(array: NDArray[Any], radiometry: Radiometry) -> NDArray[Any]:
    """An output in its variable's own dtype, with nothing in it that the variable cannot be written with."""
    return radiometry.storable(array.astype(radiometry.dtype, copy=False))


def numba_ready(array: NDArray[Any]) -> NDArray[Any]:
    """The array itself, or a copy where numba knows its type not: foreign byte order, half floats, masks."""
    return np.asarray(array).astype(writable(array.dtype), copy=False)


def fill_reach(task: Task) -> int:
    """How far beyond the halo a pixel can matter: the reach of the fill where there is something to fill."""
    clean = all(source.spotless() for band, source in task.sources.items() if band in task.card.bands)
    return 0 if clean else FILL_REACH


def default_threads() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def execute(task: Task, plan: Plan, threads: int, tick: Callable[[], None]) -> None:
    """Run all windows of a plan.

    Parameters
    ----------
    task : Task
    plan : Plan
        Over the task's domain.
    threads : int
    tick : callable
        Called in this thread after each window.

    Notes
    -----
    Windows that do not touch what the task covers are skipped. With ``plan.overlap == 0`` each of the others finishes
    its own pixels, else they are blended.
    """
    windows = [window for window in plan if all(kept(task, window))]
    for _ in range(len(plan) - len(windows)):
        tick()
    if plan.overlap:
        _blend(task, plan, windows, threads, tick)
        return

    def whole(window: Window) -> None:
        keep = kept(task, window)
        crop = [span.shift(-r.start).slice for span, r in zip(keep, window.read, strict=True)]
        task.finish(task.restore(window)[:, crop[0], crop[1]], *keep)

    for _ in ordered(whole, iter(windows), threads):
        tick()


def kept(task: Task, window: Window) -> Extent:
    """The part of a window's pixels that the task covers; empty along an axis where there is none."""
    rows, cols = (w.clip(c) for w, c in zip(window.write, task.covered, strict=True))
    return rows, cols


def _blend(task: Task, plan: Plan, windows: Iterable[Window], threads: int, tick: Callable[[], None]) -> None:
    """Sum windows in order, weighted by ramps, in float32; rows that no later window reaches are finished.

    The order makes the result independent of the number of threads, and of how much the task covers.
    """
    rows, cols = task.covered
    top = rows.start  # the first row that is not finished
    total = np.zeros((len(task.card.targets), 0, len(cols)), np.float32)
    for window, restored in ordered(lambda w: (w, task.restore(w)), iter(windows), threads):
        keep = kept(task, window)
        if keep[0].start > top:
            done = keep[0].start - top
            task.finish(total[:, :done], Span(top, keep[0].start), cols)
            top, total = keep[0].start, total[:, done:]
        missing = keep[0].stop - top - total.shape[1]
        if missing > 0:
            total = np.concatenate([total, np.zeros((len(total), missing, len(cols)), np.float32)], axis=1)
        at = keep[0].shift(-top).slice, keep[1].shift(-cols.start).slice
        crop = [span.shift(-r.start).slice for span, r in zip(keep, window.read, strict=True)]
        ramps = [
            ramp(plan, axis, window)[span.shift(-w.start).slice]
            for axis, (span, w) in enumerate(zip(keep, window.write, strict=True))
        ]
        for image, out in zip(restored, total, strict=True):
            kernels.accumulate(image[crop[0], crop[1]], ramps[0], ramps[1], out[at[0], at[1]])
        tick()
    task.finish(total, Span(top, rows.stop), cols)


def ramp(plan: Plan, axis: int, window: Window) -> Float32:
    """Weights of a window along one axis: raised cosines over the overlaps, one between, summing to one.

    At the border between two tiles the left one falls as (1 + cos t) / 2 and the right one rises as its
    complement, over 2 * overlap pixels. At the domain's edges nothing falls.
    """
    span, n = window.write[axis], plan.shape[axis]
    weight = np.ones(len(span), np.float64)
    width = 2 * plan.overlap
    falling = 0.5 * (1 + np.cos(np.pi * (np.arange(width) + 0.5) / width))
    start = window.read[axis].start + plan.margin  # of the tile itself
    stop = start + plan.tile[axis]
    for border, rising in ((start, True), (stop, False)):
        if 0 < border < n:
            at = Span(border - plan.overlap, border + plan.overlap).clip(span)
            part = falling[at.start - border + plan.overlap : at.stop - border + plan.overlap]
            weight[at.start - span.start : at.stop - span.start] *= 1 - part if rising else part
    return weight.astype(np.float32)


def ordered(function: Callable[[Window], Any], windows: Iterator[Window], threads: int) -> Iterator[Any]:
    """Map over threads, results in order, never more than two windows a thread under way."""
    if threads == 1:
        yield from map(function, windows)
        return
    pending: deque[Future[Any]] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="xr_s2sr") as pool:
        try:
            for window in windows:
                pending.append(pool.submit(function, window))
                if len(pending) >= 2 * threads:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()
