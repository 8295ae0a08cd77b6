"""One chunk of a lazy result: what a task is told, and what it does with the pixels. Knows no dask.

A task is a small scene of its own: the same :class:`~xr_s2sr.run.Task`, windows and kernels as in memory, over the
whole cells around one output chunk.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from xr_s2sr import models, plausibility
from xr_s2sr.bands import BANDS
from xr_s2sr.engine import Runner
from xr_s2sr.errors import Line, ModelError, calling_line
from xr_s2sr.held import Held
from xr_s2sr.jobs import How, Job
from xr_s2sr.run import FILL_REACH, Source, Task, execute, fill_reach, numba_ready, settled, writable
from xr_s2sr.survey import Survey
from xr_s2sr.windows import CELL, Extent, Plan, Span, ceil_to_cell

#: Pieces of some bands, from which their arrays are put together: rows of columns of arrays, one a band.
Pieces: TypeAlias = Sequence[Sequence[Sequence[NDArray[Any]]]]


@dataclass(frozen=True)
class Recipe:
    """What the tasks of a job have in common.

    Attributes
    ----------
    job : Job
    held : mapping of str to Held
        By band.
    groups : tuple of tuples of str
        Bands that are cut alike.
    how : How
    call : str
        Of which call of upsample(): its tasks warn of the same thing once.
    line : (str, int), optional
        Where that call stands, for the warnings.
    """

    job: Job
    held: Mapping[str, Held]
    groups: tuple[tuple[str, ...], ...]
    how: How
    call: str = ""
    line: Line | None = None

    def runner(self, weights: bytes | None) -> Runner:
        """This process's session; of a packaged model if there are no bytes."""
        job, model = self.job, self.job.model
        if model.path is not None and weights is None:
            here = models.load(model.path.stem)
            if here.sha256 != model.sha256:
                raise ModelError(
                    f"the packaged model {model.path.stem!r} is {here} here, but {model} where upsample() was called; "
                    "expected the same. Install one version of xr_s2sr on all workers: pip install xr_s2sr==..."
                )
            job = Job(here, job.targets, job.absent)
        return job.runner(self.how.device, weights)

    def plan(self, shape: tuple[int, int], reach: int = FILL_REACH) -> Plan:
        """Windows over a domain; where it holds nothing to fill, `reach` may be 0."""
        return self.job.plan((Span(0, shape[0]), Span(0, shape[1])), self.how.tile, self.how.margin, reach)


@dataclass(frozen=True)
class Stretch:
    """One axis of one task.

    Attributes
    ----------
    size : int
        Of the task's domain, in 10 m pixels.
    covered : Span
        The part of it that the output chunk covers.
    cuts : tuple of (Span, int)
        For each group of bands: the pixels that are read, and where the first of them lies in the domain, in the
        bands' own pixels.
    """

    size: int
    covered: Span
    cuts: tuple[tuple[Span, int], ...]


def stretch(axis: int, chunk: Span, domain: Extent, groups: Sequence[Held], plan: Plan) -> Stretch:
    """Work out one axis of a task.

    Parameters
    ----------
    axis : int
    chunk : Span
        What the task gives, in pixels of the 10 m grid.
    domain : (Span, Span)
        The run's in memory: its edges mirror, its corner is where cells start.
    groups : sequence of Held
        A band of each group.
    plan : Plan
        Over that domain, with the largest margin. If its windows are blended, the task runs those that touch its
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
    cuts = []
    for held in groups:
        start, f = held.start[axis], held.factor
        # the part of the band inside of the domain, beyond which it is mirrored
        inside = Span(max(0, (whole.start - start) // f), min(held.grid.shape[axis], (whole.stop - start) // f))
        wanted = Span((read.start - start) // f, (read.stop - start) // f).shift(-inside.start)
        cut = wanted.mirrored(len(inside)).shift(inside.start)
        cuts.append((cut, (start + cut.start * f - corner) // f))
    return Stretch(size, chunk.shift(-corner), tuple(cuts))


def recipe(job: Job, found: Survey, groups: tuple[tuple[str, ...], ...], how: How, call: str = "") -> Recipe:
    """What the tasks of a job have in common; to be made in the call of upsample(), whose line it keeps."""
    held = {band: found.held[band] for band in BANDS if band in job.bands}
    return Recipe(job, held, groups, how, call, calling_line())


def cut(blocks: Sequence[NDArray[Any]], rows: slice, cols: slice) -> list[NDArray[Any]]:
    """Parts of the blocks of several bands at one date; small ones are copied, so that the block can be forgotten."""
    parts = [np.asarray(block).reshape(block.shape[-2:])[rows, cols] for block in blocks]
    return [part.copy() if 2 * part.size < block.size else part for part, block in zip(parts, blocks, strict=True)]


def restore(
    recipe: Recipe,
    stretches: tuple[Stretch, Stretch],
    index: tuple[int, ...],
    weights: bytes | None,
    pieces: Sequence[Pieces],
) -> dict[str, NDArray[Any]]:
    """Run the network over one chunk at a leading index: arrays (1, ..., y, x) by band.

    Raises
    ------
    RadiometryError
        If the pixels contradict their unit.
    ModelError, EngineError
        If the model or the device cannot be used in this process.
    """
    rows, cols = stretches
    sources = {}
    undeclared = plausibility.Undeclared()
    for g, (bands, parts) in enumerate(zip(recipe.groups, pieces, strict=True)):
        start = rows.cuts[g][1], cols.cuts[g][1]
        for k, band in enumerate(bands):
            array, held = joined(parts, k), recipe.held[band]
            radiometry = held.at(index)
            step = [slice(None, None, max(1, n // 64)) for n in array.shape]
            plausibility.check(array[step[0], step[1]], radiometry, held.name, f" at index {index}" if index else "")
            sources[band] = Source(numba_ready(array), start, BANDS[band].gsd // 10, radiometry)
            undeclared.look(sources[band].array, radiometry, held.name)
    plausibility.warn_once(undeclared, recipe.call, recipe.line)
    covered = rows.covered, cols.covered
    shape = len(rows.covered), len(cols.covered)
    outputs = {b: np.empty(shape, writable(recipe.held[b].radiometry.dtype)) for b in recipe.job.targets}
    task = Task(recipe.job.model.card, recipe.runner(weights), sources, outputs, covered)
    execute(task, recipe.plan((rows.size, cols.size), fill_reach(task)), recipe.how.threads or 1, lambda: None)
    return {
        band: settled(array, recipe.held[band].radiometry).reshape((1,) * len(index) + shape)
        for band, array in outputs.items()
    }


def joined(pieces: Pieces, band: int) -> NDArray[Any]:
    """The array of one band."""
    lines = [line[0][band] if len(line) == 1 else np.concatenate([p[band] for p in line], axis=1) for line in pieces]
    return lines[0] if len(lines) == 1 else np.concatenate(lines, axis=0)
