"""Arrays in memory: one region after another, date by date and model by model."""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xr_s2sr.bands import Output
from xr_s2sr.inference.memory import processors
from xr_s2sr.inference.region import Region, RegionAxis, RegionSpec, region_spec, whole_axis
from xr_s2sr.planning import ModelRun, RunOptions
from xr_s2sr.scene.fill_values import Undeclared
from xr_s2sr.scene.pixels import numba_ready, settled, writable
from xr_s2sr.scene.result import output_radiometry
from xr_s2sr.scene.scene import NativeScene
from xr_s2sr.spans import Extent

#: Seconds that a run may take before a bar appears that was not asked for.
DELAY = 2.0


def restore(
    scene: NativeScene,
    runs: Sequence[ModelRun],
    covered: Extent,
    options: RunOptions,
    report: bool | Callable[[int, int], Any] | None,
    turned: tuple[bool, bool] = (False, False),
) -> dict[Output, NDArray[Any]]:
    """Restore every region of every run; return arrays (..., y, x) by output, bands in the input's dtypes.

    Parameters
    ----------
    report : bool, callable or None
        See :class:`Progress`.
    turned : (bool, bool)
        Whether rows and columns will be turned over: they then lie in memory as they will be given back.
    """
    options = replace(options, threads=options.threads or processors())
    lead = scene.fine.shape[:-2]
    shape = (*lead, len(covered[0]), len(covered[1]))
    stored = {key: output_radiometry(scene.bands, key, run.uncertainty) for run in runs for key in run.outputs}
    y, x = (-1 if over else 1 for over in turned)
    arrays = {key: np.empty(shape, writable(radiometry.dtype))[..., ::y, ::x] for key, radiometry in stored.items()}
    single = math.prod(lead) == 1
    regions = []
    for run in runs:
        alone = run.domain(scene, covered) if single else None
        spec = region_spec(run, scene, [[band] for band in sorted(run.bands)], options, alone=alone)
        regions.append(Region.opened(spec, _whole(spec, scene, covered)))
    windows = sum(len(region.plan()) for region in regions)
    undeclared = Undeclared()
    with Progress(report, windows * math.prod(lead)) as counting:
        for index in np.ndindex(*lead):
            read: dict[str, NDArray[Any]] = {}  # of a file, a band is read once for all models
            for region in regions:
                outputs = {key: arrays[key][index] for key in region.spec.run.outputs}
                region.restore(index, _images(scene, region, index, read), outputs, undeclared, counting.tick)
    undeclared.warn()
    return {key: settled(array, stored[key]) for key, array in arrays.items()}


def _whole(spec: RegionSpec, scene: NativeScene, covered: Extent) -> tuple[RegionAxis, RegionAxis]:
    """Return the axes of the region that holds all that the result covers."""
    domain = spec.run.domain(scene, covered)
    groups = [spec.bands[band] for (band,) in spec.groups]
    return whole_axis(0, covered[0], domain, groups), whole_axis(1, covered[1], domain, groups)


def _images(
    scene: NativeScene, region: Region, index: tuple[int, ...], read: dict[str, NDArray[Any]]
) -> Iterator[tuple[str, NDArray[Any]]]:
    """Bring one date of each band into memory, unless it was `read` before, and cut it to the region, as a view."""
    down, across = region.axes
    for (band,), (rows, _), (cols, _) in zip(region.spec.groups, down.cuts, across.cuts, strict=True):
        if band not in read:
            read[band] = numba_ready(np.asarray(scene[band].variable[index].values))
        yield band, read[band][rows.slice, cols.slice]


class Progress:
    """Count windows, and report them.

    Parameters
    ----------
    report : bool, callable or None
        True: by a bar. None: by a bar too, once a run has taken :data:`DELAY`, if somebody can see it. False: to
        nobody. A function is called with (windows done, windows in all).
    total : int
    """

    def __init__(self, report: bool | Callable[[int, int], Any] | None, total: int) -> None:
        self.report, self.total, self.done = report, total, 0
        shown = is_watched() if report is None else report is True
        self._bar = _bar(total, DELAY if report is None else 0.0) if shown else None

    def __enter__(self) -> Progress:
        return self

    def tick(self) -> None:
        """Count one window."""
        self.done += 1
        if callable(self.report):
            self.report(self.done, self.total)
        elif self._bar is not None:
            self._bar.update()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()


def is_watched() -> bool:
    """Return True if stderr is a terminal, or if the code runs in the kernel of a notebook."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    # pythonw has no stderr
    return getattr(shell, "kernel", None) is not None or (sys.stderr is not None and sys.stderr.isatty())


def _bar(total: int, delay: float) -> Any:
    """Return the bar of a terminal, or of a notebook."""
    from tqdm import TqdmWarning

    with warnings.catch_warnings():
        # a notebook without ipywidgets gets the bar of a terminal
        warnings.simplefilter("ignore", TqdmWarning)
        from tqdm.auto import tqdm
    return tqdm(total=total, desc="xr_s2sr", unit="window", delay=delay)
