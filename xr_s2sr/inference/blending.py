"""Run the windows of a plan over threads, and join them: side by side, or blended over their overlaps."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xr_s2sr.inference.cuda import DeviceMemoryError
from xr_s2sr.inference.tiles import Codes, RegionJob
from xr_s2sr.inference.windows import Plan, Window
from xr_s2sr.kernels import VALID
from xr_s2sr.spans import Extent, Span, inside

Float32 = NDArray[np.float32]


def execute(job: RegionJob, plan: Plan, threads: int, tick: Callable[[], None]) -> None:
    """Run all windows of a plan.

    Parameters
    ----------
    job : RegionJob
    plan : Plan
        Over the job's domain.
    threads : int
    tick : callable
        Called in this thread after each window.

    Notes
    -----
    Windows that do not touch what the job covers are skipped; those without a valid pixel are not run.
    With ``plan.overlap == 0`` each of the others finishes its own pixels, in parts if the device's memory is too small
    for it; otherwise they are blended.
    """
    windows = [window for window in plan if all(kept(job, window))]
    for _ in range(len(plan) - len(windows)):
        tick()
    if plan.overlap:
        _blend(job, plan, windows, threads, tick)
        return

    def whole(window: Window) -> None:
        """Restore and write one window's own pixels; in halves where the device's memory is too small."""
        keep = kept(job, window)
        if not all(keep):
            return
        codes = job.codes(*keep)
        if not any_valid(codes):
            job.finish(job.blank(*keep), *keep, codes)
            return
        try:
            restored, extent = job.restore(window)
        except DeviceMemoryError:
            halves = window.halves(plan.margin)
            if halves is None:
                raise
            for half in halves:
                whole(half)
            return
        job.finish(restored[:, *inside(keep, extent)], *keep, codes)

    for _ in ordered(whole, iter(windows), threads):
        tick()


def kept(job: RegionJob, window: Window) -> Extent:
    """Return the part of a window's pixels that the job covers; empty along an axis without any."""
    rows, cols = (w.clip(c) for w, c in zip(window.write, job.covered, strict=True))
    return rows, cols


def any_valid(codes: Mapping[str, Codes]) -> bool:
    """Tell whether any pixel of the targets is valid, so that it needs the network."""
    return any(bool((own == VALID).any()) for own in codes.values())


def _blend(job: RegionJob, plan: Plan, windows: Iterable[Window], threads: int, tick: Callable[[], None]) -> None:
    """Sum windows in order, weighted by ramps, in float32; rows that no later window reaches are finished.

    The order makes the result independent of the number of threads, and of how much the job covers.
    """
    rows, cols = job.covered
    top = rows.start  # the first row that is not finished
    total = np.zeros((len(job.planes), 0, len(cols)), np.float32)

    def seen(window: Window) -> tuple[Window, tuple[Float32, Extent] | None]:
        """Restore one window, unless none of its pixels is valid."""
        return window, job.restore(window) if any_valid(job.codes(*kept(job, window))) else None

    for window, found in ordered(seen, iter(windows), threads):
        keep = kept(job, window)
        if keep[0].start > top:
            done = keep[0].start - top
            job.finish(total[:, :done], Span(top, keep[0].start), cols)
            top, total = keep[0].start, total[:, done:]
        missing = keep[0].stop - top - total.shape[1]
        if missing > 0:
            total = np.concatenate([total, np.zeros((len(total), missing, len(cols)), np.float32)], axis=1)
        at = keep[0].shift(-top).slice, keep[1].shift(-cols.start).slice
        ramps = [
            ramp(plan, axis, window)[span.shift(-w.start).slice]
            for axis, (span, w) in enumerate(zip(keep, window.write, strict=True))
        ]
        if found is not None:
            (restored, extent), weight = found, ramps[0][:, np.newaxis] * ramps[1]
            for image, out in zip(restored[:, *inside(keep, extent)], total, strict=True):
                out[at[0], at[1]] += image * weight
        tick()
    job.finish(total, Span(top, rows.stop), cols)


def ramp(plan: Plan, axis: int, window: Window) -> Float32:
    """Return a window's weights along one axis: raised cosines over the overlaps, one in between, summing to one.

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
    """Map over threads and give the results in order, with at most two windows a thread under way."""
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
