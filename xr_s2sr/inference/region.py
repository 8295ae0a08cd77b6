"""Restore one rectangle at one date: the same function for arrays in memory and for the tasks of dask.

In memory, the region is all that the result covers; in a task, it is the whole pixels around one chunk of the result.
Both run the same windows and kernels, so every pixel is the same in either.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from numpy.typing import NDArray

from xr_s2sr.bands import BANDS, Output
from xr_s2sr.errors import Line
from xr_s2sr.inference import registration
from xr_s2sr.inference.adaptation import reach_of
from xr_s2sr.inference.bicubic import BicubicRunner
from xr_s2sr.inference.blending import execute
from xr_s2sr.inference.cuda import CudaRunner
from xr_s2sr.inference.engine import Runner, runner
from xr_s2sr.inference.memory import largest_of_task, largest_window, usual_window
from xr_s2sr.inference.tiles import FILL_REACH, BandPixels, RegionJob, fill_reach
from xr_s2sr.inference.windows import Outer, Plan, balanced_plan, make_plan
from xr_s2sr.models import is_packaged
from xr_s2sr.planning import TILE, ModelRun, RunOptions
from xr_s2sr.scene.fill_values import REACH, Undeclared
from xr_s2sr.scene.pixels import numba_ready
from xr_s2sr.scene.scene import NativeScene, SceneBand
from xr_s2sr.spans import CELL, Extent, Span, ceil_to_cell

#: Pixels of 10 m beyond the edges of a scene, mirrored, that are restored for the adaptive step. Its windows end there:
#: what lies further out is no more than a mirror, and takes time.
EDGE = 24


@dataclass(frozen=True)
class RegionSpec:
    """The settings that all regions of one model run share.

    Attributes
    ----------
    run : ModelRun
    bands : mapping of str to SceneBand
        The bands that are read, by id.
    groups : tuple of tuples of str
        Ids of the bands that are cut alike.
    options : RunOptions
    call : str
        Identifies the call of upsample(), whose tasks warn of the same thing once.
    line : (str, int), optional
        Where that call stands, for the warnings.
    alone : (Span, Span), optional
        The whole domain, if there is but one date.
    """

    run: ModelRun
    bands: Mapping[str, SceneBand]
    groups: tuple[tuple[str, ...], ...]
    options: RunOptions
    call: str = ""
    line: Line | None = None
    alone: Extent | None = None

    @property
    def halo(self) -> int | None:
        """Pixels of 10 m that a value depends on, around its own: of the network, and of the adaptive step after it."""
        return self._halo(self.run)

    @property
    def look(self) -> int:
        """Pixels of 10 m beyond what the network sees that decide by how much bands are off."""
        return registration.look(BANDS[band].factor for band in self.run.bands) if self.run.adapt else 0

    def _halo(self, run: ModelRun) -> int | None:
        """Return the halo of a run, that of its guide included; None if a model does not say its own."""
        card = run.model.card
        if card.halo is None:
            return None
        own = card.halo + self._reach(card.regressed)
        if not run.adapt:
            return own
        before = own if run.guide is None else self._halo(run.guide)
        if before is None:
            return None
        return max(own, before) + self._reach(card.targets)

    def _reach(self, bands: Iterable[str]) -> int:
        """Return how far the regressions of some bands look."""
        return reach_of(bands, {band: own.mtf for band, own in self.bands.items()})

    def plan(
        self,
        shape: tuple[int, int],
        reach: int = FILL_REACH,
        largest: int | None = None,
        beyond: Outer = ((0, 0), (0, 0)),
    ) -> Plan:
        """Lay windows over a domain.

        Parameters
        ----------
        shape : (int, int)
        reach : int
            May be 0 if the domain holds nothing to fill. The number of windows does not depend on it.
        largest : int, optional
            Pixels of a window that memory allows, if the tile is to be chosen; by default those of a usual one.
        beyond : ((int, int), (int, int))
            Pixels of the scene before and after the domain, along both axes.
        """
        plan = self.usual_plan(shape, reach, beyond)
        if plan.overlap:  # what is blended depends on the tile
            return plan
        widest = self.usual_plan(shape, FILL_REACH, beyond)
        if self.options.tile is None:
            most = largest or usual_window(widest.margin)
            widest = balanced_plan(shape, widest.margin, self.options.threads or 1, most, widest.outer)
        return replace(widest.with_margin(plan.margin, plan.outer), look=plan.look)

    def usual_plan(self, shape: tuple[int, int], reach: int = FILL_REACH, beyond: Outer = ((0, 0), (0, 0))) -> Plan:
        """Lay windows of the usual size over a domain, of any size: nothing is tried."""
        plan = replace(
            make_plan(shape, self.options.tile or TILE, self.halo, self.options.margin, reach), look=self.look
        )
        if not self.run.adapt or plan.overlap:
            return plan
        rows, cols = ((min(plan.margin, a + EDGE), min(plan.margin, b + EDGE)) for a, b in beyond)
        return replace(plan, outer=(rows, cols))

    def largest(self, runner: Runner) -> int | None:
        """Return the pixels of the largest window that the memory of the runner's device holds, where that is known.

        Without a number of threads, the region is a task of dask.
        """
        if isinstance(runner, CudaRunner):
            return runner.largest
        known = self.run.model.path is None or is_packaged(self.run.model)
        margin = self.plan((CELL, CELL)).margin
        errors = len(self.run.model.card.targets) if self.run.uncertainty else 0
        if not known:
            return None
        if self.options.threads:
            return largest_window(margin, self.options.threads, errors)
        return largest_of_task(margin, errors)


@dataclass(frozen=True)
class RegionAxis:
    """One axis of one region.

    Attributes
    ----------
    size : int
        Length of the region's domain, in 10 m pixels.
    covered : Span
        The part of the domain that the output covers.
    cuts : tuple of (Span, int)
        For each group of bands: the pixels that are read, and the place of the first of them in the domain, in the
        bands' own pixels.
    beyond : (int, int)
        Pixels of the whole domain before and after this one.
    """

    size: int
    covered: Span
    cuts: tuple[tuple[Span, int], ...]
    beyond: tuple[int, int] = (0, 0)

    def below(self, group: int, factor: int) -> slice:
        """Return the pixels of a group of bands, of what is read of them, that the output lies on."""
        place = self.cuts[group][1]
        return slice(max(0, self.covered.start // factor - place), -(-self.covered.stop // factor) - place)


def region_spec(
    run: ModelRun,
    scene: NativeScene,
    groups: Iterable[Sequence[str]],
    options: RunOptions,
    call: str = "",
    line: Line | None = None,
    alone: Extent | None = None,
) -> RegionSpec:
    """Gather the settings that all regions of one model run share."""
    bands = {band: scene.bands[band] for band in BANDS if band in run.bands}
    return RegionSpec(run, bands, tuple(map(tuple, groups)), options, call, line, alone)


def whole_axis(axis: int, covered: Span, domain: Extent, groups: Sequence[SceneBand]) -> RegionAxis:
    """Work out one axis of the region that is the whole domain.

    Parameters
    ----------
    axis : int
    covered : Span
        The output, in pixels of the 10 m grid.
    domain : (Span, Span)
        Its edges mirror.
    groups : sequence of SceneBand
        One band of each group.
    """
    whole = domain[axis]
    inner = [_inside(axis, band, whole) for band in groups]
    cuts = [(cut, _place(axis, band, cut, whole.start)) for band, cut in zip(groups, inner, strict=True)]
    return RegionAxis(len(whole), covered.shift(-whole.start), tuple(cuts))


def chunk_axis(axis: int, chunk: Span, domain: Extent, groups: Sequence[SceneBand], plan: Plan) -> RegionAxis:
    """Work out one axis of the region around one chunk of the result.

    Parameters
    ----------
    axis : int
    chunk : Span
        The output, in pixels of the 10 m grid.
    domain : (Span, Span)
        That of the whole result: its edges mirror, its corner is where the coarsest pixels start.
    groups : sequence of SceneBand
        One band of each group.
    plan : Plan
        Over that domain, with the largest margin. If its windows are blended, the region runs those that touch its
        chunk; else it makes windows of its own, and every pixel is the same in any of them.
    """
    whole = domain[axis]
    if plan.overlap:
        corner, size = whole.start, len(whole)
        read = plan.read(axis, chunk.shift(-corner)).shift(corner)
    else:
        corner = chunk.start - (chunk.start - whole.start) % CELL
        size = ceil_to_cell(chunk.stop - corner)
        read = Span(corner - plan.margin, corner + size + plan.margin)
    read = Span(read.start - plan.look, read.stop + plan.look)
    if any(band.factor == 1 for band in groups):  # what decides whether a pixel belongs to an area of fill
        read = Span(read.start - REACH, read.stop + REACH)
    cuts = []
    for band in groups:
        start, f = band.start[axis], band.factor
        inside = _inside(axis, band, whole)
        wanted = Span((read.start - start) // f, (read.stop - start) // f).shift(-inside.start)
        cut = wanted.mirrored(len(inside)).shift(inside.start)
        cuts.append((cut, _place(axis, band, cut, corner)))
    before = corner - whole.start
    beyond = before, max(0, ceil_to_cell(len(whole)) - before - ceil_to_cell(size))
    return RegionAxis(size, chunk.shift(-corner), tuple(cuts), beyond)


def _inside(axis: int, band: SceneBand, domain: Span) -> Span:
    """Return the band's own pixels inside of the domain, beyond which they are mirrored."""
    start, f = band.start[axis], band.factor
    return Span(max(0, (domain.start - start) // f), min(band.grid.shape[axis], (domain.stop - start) // f))


def _place(axis: int, band: SceneBand, cut: Span, corner: int) -> int:
    """Return the place of a cut's first pixel in a domain that starts at `corner`, in the band's own pixels."""
    return (band.start[axis] + cut.start * band.factor - corner) // band.factor


def open_runner(run: ModelRun, options: RunOptions, weights: bytes | None = None) -> Runner:
    """Open the session of a model's file, or of its bytes; interpolation needs none."""
    if run.model.path is None:
        return BicubicRunner(run.model.card.gsd // 10)
    errors = run.uncertainty is not None
    return runner(run.model, options.device, weights, uncertainty=errors)


@dataclass(frozen=True)
class Region:
    """A rectangle that one model restores, at any date.

    Attributes
    ----------
    spec : RegionSpec
    axes : (RegionAxis, RegionAxis)
        Rows and columns.
    runner : Runner
    largest : int or None
        Pixels of the largest window, see :meth:`RegionSpec.plan`: asked once, as what memory is free changes.
    """

    spec: RegionSpec
    axes: tuple[RegionAxis, RegionAxis]
    runner: Runner
    largest: int | None

    @classmethod
    def opened(cls, spec: RegionSpec, axes: tuple[RegionAxis, RegionAxis], weights: bytes | None = None) -> Region:
        """Open the model of a region."""
        runner = open_runner(spec.run, spec.options, weights)
        return cls(spec, axes, runner, spec.largest(runner))

    def plan(self, reach: int = FILL_REACH) -> Plan:
        """Lay windows over the region; their number does not depend on `reach`."""
        rows, cols = self.axes
        return self.spec.plan((rows.size, cols.size), reach, self.largest, (rows.beyond, cols.beyond))

    def restore(
        self,
        index: tuple[int, ...],
        images: Iterable[tuple[str, NDArray[Any]]],
        outputs: Mapping[Output, NDArray[Any]],
        undeclared: Undeclared,
        tick: Callable[[], None] = lambda: None,
    ) -> None:
        """Run the network over one date.

        Parameters
        ----------
        index : tuple of int
            Along the leading dimensions.
        images : iterable of (str, ndarray)
            Each band's pixels (y, x) inside of the cuts of the axes.
        outputs : mapping of Output to ndarray
            Arrays (y, x) of the size that the axes cover, by the outputs of the run, filled in place.
        undeclared : Undeclared
            Gathers fill values that nothing declares.
        tick : callable
            Called after each window.
        """
        spec, run, (rows, cols) = self.spec, self.spec.run, self.axes
        cuts = zip(spec.groups, rows.cuts, cols.cuts, strict=True)
        places = {band: (row, col) for bands, (_, row), (_, col) in cuts for band in bands}
        arrays = {band: numba_ready(image) for band, image in images}
        alone = spec.alone is not None and all(
            len(axis.covered) > len(span) - 2 * CELL for axis, span in zip(self.axes, spec.alone, strict=True)
        )
        undeclared.mask(arrays, places, spec.bands, index, alone=alone)
        pixels = {
            band: BandPixels(array, places[band], own.factor, own.at(index), own.mtf)
            for band, array in arrays.items()
            for own in [spec.bands[band]]
        }
        for band, own in pixels.items():
            undeclared.look(own.array, own.radiometry, spec.bands[band].name, index)
        clean = frozenset(band for band, own in pixels.items() if own.all_valid())
        area, guide = (rows.covered, cols.covered), None
        if run.guide is not None:
            other, own_run = run.guide, open_runner(run.guide, spec.options)
            guide = RegionJob(other.model.card, own_run, pixels, {}, area, clean, other.uncertainty, other.adapt)
        job = RegionJob(run.model.card, self.runner, pixels, outputs, area, clean, run.uncertainty, run.adapt, guide)
        execute(job, self.plan(fill_reach(job)), spec.options.threads or 1, tick)
