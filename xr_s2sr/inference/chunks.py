"""The tasks of a lazy run: cut blocks of the input, and restore one chunk of the result. Knows no dask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from xr_s2sr import models
from xr_s2sr.bands import Output
from xr_s2sr.errors import ModelError
from xr_s2sr.inference.region import Region, RegionAxis, RegionSpec
from xr_s2sr.models import Model
from xr_s2sr.planning import ModelRun
from xr_s2sr.scene import fill_values, plausibility
from xr_s2sr.scene.pixels import settled, writable
from xr_s2sr.scene.plausibility import sample
from xr_s2sr.scene.result import output_radiometry

#: Pieces of some bands, from which their arrays are put together: rows of columns of arrays, one per band.
Pieces: TypeAlias = Sequence[Sequence[Sequence[NDArray[Any]]]]


def cut_blocks(blocks: Sequence[NDArray[Any]], rows: slice, cols: slice) -> list[NDArray[Any]]:
    """Take parts of the blocks of several bands at one date; small ones are copied, so that the block can be freed."""
    parts = [np.asarray(block).reshape(block.shape[-2:])[rows, cols] for block in blocks]
    return [part.copy() if 2 * part.size < block.size else part for part, block in zip(parts, blocks, strict=True)]


def restore_chunk(
    spec: RegionSpec,
    axes: tuple[RegionAxis, RegionAxis],
    index: tuple[int, ...],
    weights: bytes | None,
    pieces: Sequence[Pieces],
) -> dict[Output, NDArray[Any]]:
    """Run the network over one chunk at a leading index; return arrays (1, ..., y, x) by output.

    Raises
    ------
    RadiometryError
        If the pixels contradict their unit.
    ModelError, EngineError
        If the model or the device cannot be used in this process.
    """
    images = {
        band: joined(parts, k) for bands, parts in zip(spec.groups, pieces, strict=True) for k, band in enumerate(bands)
    }
    when = f" at index {index}" if index else ""
    taken = []
    for group, bands in enumerate(spec.groups):
        for band in (spec.bands[key] for key in bands):
            rows, cols = (axis.below(group, band.factor) for axis in axes)
            taken.append(sample(images[band.id][rows, cols], band.at(index), band.name, when, part=True))
    if problems := plausibility.judge(taken, part=True):
        dark = "a chunk is darker than scenes are, by shadow or water, or by a wrong unit"
        fill_values.warn_first(f"{dark}: {problems[0]}", spec.call, spec.line)
    shape = len(axes[0].covered), len(axes[1].covered)
    stored = {key: output_radiometry(spec.bands, key, spec.run.uncertainty) for key in spec.run.outputs}
    outputs = {key: np.empty(shape, writable(radiometry.dtype)) for key, radiometry in stored.items()}
    spec = replace(spec, run=run_here(spec.run, packaged=weights is None))
    undeclared = fill_values.Undeclared()
    released = ((name, images.pop(name)) for name in list(images))  # a copy of another dtype takes the image's place
    Region.opened(spec, axes, weights).restore(index, released, outputs, undeclared)
    fill_values.warn_once(undeclared, spec.call, spec.line)
    return {key: settled(array, stored[key]).reshape((1,) * len(index) + shape) for key, array in outputs.items()}


def run_here(run: ModelRun, packaged: bool) -> ModelRun:
    """Return a run with the packaged models of this process, where paths may be others: its own, and its guide's.

    Parameters
    ----------
    run : ModelRun
    packaged : bool
        False if the run's own model travels as bytes.

    Raises
    ------
    ModelError
        If a packaged model is another one than where upsample() was called.
    """
    model = _installed(run.model) if packaged and run.model.path is not None else run.model
    return replace(run, model=model, guide=run.guide and run_here(run.guide, packaged=True))


def _installed(model: Model) -> Model:
    """Return the packaged model of this process that has a model's name."""
    assert model.path is not None
    here = models.load(model.path.stem)
    if here.sha256 != model.sha256:
        raise ModelError(
            f"the packaged model {model.path.stem!r} is {here} here, but {model} where upsample() was called; "
            "expected the same. Install one version of xr_s2sr on all workers: pip install xr_s2sr==..."
        )
    return here


def joined(pieces: Pieces, band: int) -> NDArray[Any]:
    """Put the array of one band together."""
    lines = [line[0][band] if len(line) == 1 else np.concatenate([p[band] for p in line], axis=1) for line in pieces]
    return lines[0] if len(lines) == 1 else np.concatenate(lines, axis=0)
