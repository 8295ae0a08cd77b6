"""Which model restores which band, what that needs, and where: from a survey to tasks."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xr_s2sr import models
from xr_s2sr.bands import BANDS, CIRRUS
from xr_s2sr.bicubic import BicubicRunner
from xr_s2sr.engine import Device, Runner, runner
from xr_s2sr.errors import BandError, GridError, ModelError
from xr_s2sr.held import Held
from xr_s2sr.models import Model
from xr_s2sr.plausibility import Undeclared
from xr_s2sr.progress import Progress
from xr_s2sr.run import Source, Task, default_threads, execute, fill_reach, settled, writable
from xr_s2sr.survey import Survey
from xr_s2sr.windows import Extent, Plan, Span, make_plan


@dataclass(frozen=True)
class How:
    """The arguments of :func:`xr_s2sr.upsample` that say how, not what."""

    tile: int
    margin: int | None
    device: Device
    threads: int | None


@dataclass(frozen=True)
class Job:
    """A model, the bands that are wanted of it, the inputs that the scene lacks, and whether the user gave it."""

    model: Model
    targets: tuple[str, ...]
    absent: frozenset[str] = frozenset()
    given: bool = False

    @property
    def bands(self) -> set[str]:
        """Bands that are read: the model's inputs, and the targets, whose invalid pixels count."""
        return {*self.model.card.bands, *self.targets} - self.absent

    @property
    def factor(self) -> int:
        """Cells of the coarsest band involved, in 10 m pixels."""
        return max(BANDS[band].gsd for band in self.bands) // 10

    def runner(self, device: Device, weights: bytes | None = None) -> Runner:
        """Open the session, of the model's file or of its bytes; or the interpolation, which needs none."""
        if self.model.path is None:
            return BicubicRunner(self.model.card.gsd // 10)
        return runner(self.model, device, weights)

    def domain(self, found: Survey, covered: Extent) -> Extent:
        """The smallest rectangle of whole cells around an extent."""
        anchor = next(
            held.start for held in found.held.values() if held.id in self.bands and held.factor == self.factor
        )
        f = self.factor
        rows, cols = (
            Span((s.start - a) // f * f + a, -((a - s.stop) // f) * f + a) for s, a in zip(covered, anchor, strict=True)
        )
        return rows, cols

    def plan(self, domain: Extent, tile: int, margin: int | None, reach: int = 0) -> Plan:
        """Windows over a domain; `reach` is what filling adds to the halo."""
        return make_plan((len(domain[0]), len(domain[1])), tile, self.model.card.halo, margin, reach)

    def task(
        self,
        ds: xr.Dataset,
        found: Survey,
        covered: Extent,
        index: tuple[int, ...],
        outputs: Mapping[str, NDArray[Any]],
        running: Runner,
    ) -> Task:
        """Bring one date's pixels into memory and relate them to the domain."""
        domain = self.domain(found, covered)
        shape = len(domain[0]), len(domain[1])
        corner = domain[0].start, domain[1].start
        sources = {band: source(ds, found.held[band], corner, index).within(shape) for band in sorted(self.bands)}
        rows, cols = (c.shift(-d.start) for c, d in zip(covered, domain, strict=True))
        return Task(
            self.model.card, running, sources, {band: outputs[band][index] for band in self.targets}, (rows, cols)
        )


def source(ds: xr.Dataset, held: Held, corner: tuple[int, int], index: tuple[int, ...]) -> Source:
    """One band at one leading index; `corner` is the domain's, on the 10 m grid."""
    start = (held.start[0] - corner[0]) // held.factor, (held.start[1] - corner[1]) // held.factor
    return Source(np.asarray(ds[held.name].variable[index].values), start, held.factor, held.at(index))


def choose_models(wanted: Iterable[str], given: list[str | Path | Model] | None) -> list[Job]:
    """Assign each band to a model: to the first given one that restores it, else to the packaged default.

    Raises
    ------
    ModelError
        If a model cannot be loaded, or a given one restores none of the bands.
    """
    wanted = list(wanted)
    interpolate = given is not None and models.BICUBIC in given
    loaded = [item if isinstance(item, Model) else models.load(item) for item in given or () if item != models.BICUBIC]
    chosen: dict[str, Model] = {}
    for band in wanted:
        able = [model for model in loaded if band in model.card.targets]
        if able:
            chosen[band] = able[0]
        elif band != CIRRUS and not interpolate:
            chosen[band] = models.load(models.DEFAULTS[BANDS[band].gsd])
    for model in loaded:
        if wanted and model not in chosen.values():
            raise ModelError(
                f"the model {model} restores {', '.join(model.card.targets)}, none of which is left to restore "
                f"({', '.join(wanted)}). Ask for one of them, or leave the model out"
            )
    jobs = [
        Job(model, tuple(b for b in chosen if chosen[b] == model), given=model in loaded)
        for model in dict.fromkeys(chosen.values())
    ]
    for gsd in (20, 60):
        rest = tuple(band for band in wanted if band not in chosen and BANDS[band].gsd == gsd)
        if rest:
            jobs.append(Job(models.bicubic(rest), rest))
    return jobs


def require(found: Survey, jobs: Iterable[Job], *, by_name: bool = True) -> list[Job]:
    """The jobs that can be done, each knowing the optional inputs that the scene lacks.

    Parameters
    ----------
    found : Survey
        Is told of what is left out.
    jobs : iterable of Job
    by_name : bool
        Whether the bands were asked for. Else those whose model lacks a band are left out, unless the model was asked
        for, or nothing remains.

    Raises
    ------
    BandError
        If the scene lacks a band that a model needs, naming the bands and the model.
    """
    able: list[Job] = []
    problems: list[BandError] = []
    for job in jobs:
        missing = {band for band in job.bands if band not in found.variables}
        needed = [band for band in BANDS if band in missing and band not in job.model.card.optional]
        if needed:
            have = ", ".join(found.variables) or "none"
            problem = BandError(
                f"missing {', '.join(needed)}, which the model {job.model.card.name!r} needs to restore "
                f"{', '.join(job.targets)} (found: {have}). Load them too, or name the variables by band: "
                f'ds = ds.rename({{"my_variable": "{needed[0]}"}}). Or interpolate: upsample(model="bicubic")'
            )
            if by_name or job.given:
                raise problem
            problems.append(problem)
            found.left_out.append(f"{', '.join(job.targets)} left out: {problem}")
            continue
        able.append(replace(job, absent=frozenset(missing)))
    if problems and not able:
        raise problems[0]
    return able


def common_extent(found: Survey, needed: Collection[str]) -> Extent:
    """The 10 m pixels that all needed bands cover, on the 10 m grid.

    Raises
    ------
    GridError
        If there are none.
    """
    extents = [found.held[band].extent for band in needed]
    rows, cols = ((max(e[axis].start for e in extents), min(e[axis].stop for e in extents)) for axis in (0, 1))
    if rows[0] >= rows[1] or cols[0] >= cols[1]:
        listed = "; ".join(
            f"{held.name!r} rows {held.extent[0].start}:{held.extent[0].stop}, columns "
            f"{held.extent[1].start}:{held.extent[1].stop}"
            for held in {h.factor: h for b, h in found.held.items() if b in needed}.values()
        )
        raise GridError(
            f"the resolutions do not overlap, counted in 10 m pixels: {listed}. Select the same area in each: "
            "ds.sel(y=..., x=..., y_20m=..., x_20m=...)"
        )
    return Span(*rows), Span(*cols)


def compute(
    ds: xr.Dataset,
    found: Survey,
    chosen: Sequence[Job],
    covered: Extent,
    how: How,
    report: bool | Callable[[int, int], Any],
) -> dict[str, NDArray[Any]]:
    """Run every job for every leading index; returns arrays (..., y, x) by band id, in the input's dtypes."""
    lead = ds[found.fine.name].shape[:-2]
    shape = (*lead, len(covered[0]), len(covered[1]))
    arrays = {b: np.empty(shape, writable(ds[found.held[b].name].dtype)) for job in chosen for b in job.targets}
    runners = [job.runner(how.device) for job in chosen]
    domains = [job.domain(found, covered) for job in chosen]
    windows = sum(len(job.plan(domain, how.tile, how.margin)) for job, domain in zip(chosen, domains, strict=True))
    undeclared = Undeclared()
    with Progress(report, windows * math.prod(lead)) as counting:
        for index in np.ndindex(*lead):
            for job, runner, domain in zip(chosen, runners, domains, strict=True):
                task = job.task(ds, found, covered, index, arrays, runner)
                for band, source in task.sources.items():
                    undeclared.look(source.array, source.radiometry, found.held[band].name, index)
                plan = job.plan(domain, how.tile, how.margin, fill_reach(task))
                execute(task, plan, how.threads or default_threads(), counting.tick)
    undeclared.warn()
    return {band: settled(array, found.held[band].radiometry) for band, array in arrays.items()}
