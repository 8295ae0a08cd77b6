"""The graph of a lazy run: for each chunk of the result, one task runs the network for all bands of a model.

dask is imported at first use only. The graph has three layers of its own on top of the input's: pieces of the input's
blocks, as far as a chunk sees; the chunks, each a region (:mod:`~xr_s2sr.inference.chunks`); and the bands of each
chunk. No array, session or lock is in it: a packaged model travels as its name, any other as its bytes,
once. Blocks of the input may have any shape: nothing is rechunked but leading dimensions, to one date per task.
"""

from __future__ import annotations

import gc
import math
import operator
import sys
from bisect import bisect_left, bisect_right
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import accumulate, product
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import xarray as xr

from xr_s2sr import models
from xr_s2sr.bands import BANDS, Output
from xr_s2sr.errors import calling_line
from xr_s2sr.inference.chunks import cut_blocks, restore_chunk
from xr_s2sr.inference.region import RegionAxis, RegionSpec, chunk_axis, region_spec
from xr_s2sr.models.registry import weights_of
from xr_s2sr.planning import ModelRun, RunOptions
from xr_s2sr.scene import fill_values
from xr_s2sr.scene.result import output_radiometry
from xr_s2sr.scene.scene import NativeScene
from xr_s2sr.spans import Extent, Span, ceil_to_cell

if TYPE_CHECKING:
    import dask.array as da

Layer: TypeAlias = dict[Hashable, Any]

#: Side of a chunk of the result if the input's own would be too small for its margin, or too large for memory.
CHUNK = 1830
SMALLEST_CHUNK, LARGEST_CHUNK = 720, 2400


def restore(
    scene: NativeScene,
    runs: Sequence[ModelRun],
    covered: Extent,
    options: RunOptions,
    chunks: int | None,
    step: int = 1,
    turned: tuple[bool, bool] = (False, False),
) -> dict[Output, da.Array]:
    """Build arrays (..., y, x) by output, bands in the input's dtypes; nothing is computed.

    Parameters
    ----------
    chunks : int or None
        Side of an output chunk; by default about that of the 10 m bands.
    step : int
        Sides of chunks are multiples of it; it divides 6.
    turned : (bool, bool)
        Whether rows and columns will be turned over: their smaller chunk, the last one then, is the first here.
    """
    from dask.base import tokenize

    sides = chunk_sides(scene.fine, covered, chunks, step, turned)
    spans = [chunk_spans(*along) for along in zip(covered, sides, turned, strict=True)]
    arrays: dict[Output, da.Array] = {}
    call = tokenize([scene[band].data.name for band in scene.bands if scene[band].chunks is not None])
    fill_values.forget(call)
    line = calling_line()
    for run in runs:
        # all that one run of the network gives, so that bands that are asked for apart share it
        able = replace(
            run,
            targets=tuple(band for band in run.model.card.targets if band in run.bands),
            passed=run.guide.targets if run.guide and run.passed else (),
        )
        inputs = {band: one_date(scene[band]) for band in BANDS if band in run.bands}
        groups: dict[Any, list[str]] = {}
        for band, array in inputs.items():
            groups.setdefault((scene.bands[band].start, array.chunks), []).append(band)
        alone = run.domain(scene, covered) if math.prod(scene.fine.shape[:-2]) == 1 else None
        spec = region_spec(able, scene, groups.values(), options, call, line, alone)
        arrays |= _graph(spec, scene, inputs, covered, spans, run.outputs)
    return arrays


def is_lazy(scene: NativeScene, runs: Sequence[ModelRun]) -> bool:
    """Tell whether a band that is read is a dask array."""
    return any(scene[band].chunks is not None for run in runs for band in run.bands)


def chunk_sides(
    fine: xr.DataArray, covered: Extent, chunks: int | None, step: int = 1, turned: tuple[bool, bool] = (False, False)
) -> tuple[int, int]:
    """Choose the rows and columns of a chunk of the result.

    Those of the 10 m bands if these are regular, or several of them if they are small. Else, or to come near
    `chunks`, evened out, so that the last chunk is not a sliver.
    """
    sides = []
    for axis, span in enumerate(covered):
        n, own = len(span), None if fine.chunks is None else fine.chunks[fine.ndim - 2 + axis]
        own = own[::-1] if own and turned[axis] else own
        side = 0
        if own is not None and chunks is None and max(own) <= LARGEST_CHUNK and {*own[:-1]} <= {max(own)}:
            side = max(own) if max(own) >= SMALLEST_CHUNK else max(own) * (CHUNK // max(own))
        if side == 0 or side % step:
            side = ceil_to_cell(-(-n // -(-n // ceil_to_cell(chunks or CHUNK))))
        sides.append(min(n, side))
    return sides[0], sides[1]


def one_date(band: xr.DataArray) -> da.Array:
    """Return a variable as a dask array whose leading dimensions have chunks of 1."""
    import dask.array as da

    lead = dict.fromkeys(range(band.ndim - 2), 1)
    if band.chunks is None:
        return da.from_array(band.values, chunks={**lead, band.ndim - 2: CHUNK, band.ndim - 1: CHUNK})
    return band.data.rechunk(lead) if any(max(band.chunks[axis]) > 1 for axis in lead) else band.data


def aligned(sr: xr.Dataset, restored: Mapping[str, xr.DataArray], ds: xr.Dataset) -> xr.Dataset:
    """Give the result one chunking: dask-backed variables that are passed through get that of the restored bands."""
    import dask

    model = next(iter(restored.values()))
    sizes = dict(zip(model.dims, model.chunks or (), strict=True))
    # dask would import distributed, for half a second, to ask it whether there is a cluster
    alone = {} if "distributed" in sys.modules else {"array.rechunk.method": "tasks"}
    for name, variable in sr.data_vars.items():
        if variable.chunks is None:
            continue
        with dask.config.set(alone):
            sr[name] = variable.chunk({dim: size for dim, size in sizes.items() if dim in variable.dims})
        if name not in ds or sr[name].chunks != ds[name].chunks:  # those of a file would contradict
            sr[name].encoding = {k: v for k, v in variable.encoding.items() if k not in STORED}
    return sr


def rechunked(sr: xr.Dataset, dims: Sequence[Hashable], side: int, turned: tuple[bool, bool]) -> xr.Dataset:
    """Give a result that no model has made chunks of one side."""
    spans = (chunk_spans(Span(0, sr.sizes[dim]), side, over) for dim, over in zip(dims, turned, strict=True))
    return sr.chunk(dict(zip(dims, (tuple(map(len, own)) for own in spans), strict=True)))


#: Parts of an encoding that say how a variable was cut up in its file.
STORED = ("chunks", "preferred_chunks", "chunksizes", "shards", "contiguous", "original_shape", "source")


@contextmanager
def _uncollected() -> Iterator[None]:
    """In the block, Python does not look for circles: a graph has none, and looking takes half of the time."""
    running = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if running:
            gc.enable()


@_uncollected()
def _graph(
    spec: RegionSpec,
    scene: NativeScene,
    inputs: Mapping[str, da.Array],
    covered: Extent,
    chunks: Sequence[Sequence[Span]],
    outputs: Sequence[Output],
) -> dict[Output, da.Array]:
    """Build the layers of one model run, and an array for each output that is wanted."""
    import dask.array as da
    from dask.highlevelgraph import HighLevelGraph

    domain = spec.run.domain(scene, covered)
    groups = [spec.bands[bands[0]] for bands in spec.groups]
    whole = spec.usual_plan((len(domain[0]), len(domain[1])))
    axes = [[chunk_axis(axis, chunk, domain, groups, whole) for chunk in chunks[axis]] for axis in (0, 1)]
    lead = next(iter(inputs.values())).shape[:-2]
    token = _token(spec, inputs, covered, chunks)
    name, cut = f"xr_s2sr-restore-{token}", f"xr_s2sr-cut-{token}"
    cuts, tasks = _tasks(spec, inputs, axes, lead, name, cut)

    source = HighLevelGraph.merge(*(array.dask for array in inputs.values()))
    layers: dict[str, Any] = {**source.layers, cut: cuts, name: tasks}
    needs: dict[str, set[str]] = {
        **source.dependencies,
        cut: {n for a in inputs.values() for n in a.__dask_layers__()},
        name: {cut},
    }
    shape = (*((1,) * n or (0,) for n in lead), *(tuple(map(len, spans)) for spans in chunks))
    arrays = {}
    for output in outputs:
        own = f"xr_s2sr-{output.name}-{token}"
        picks: Layer = {(own, *key[1:]): (operator.getitem, key, output) for key in tasks if isinstance(key, tuple)}
        graph = HighLevelGraph({**layers, own: picks}, {**needs, own: {name}})
        dtype = output_radiometry(spec.bands, output, spec.run.uncertainty).dtype
        # no date at all leaves nothing to run
        arrays[output] = (
            da.Array(graph, own, shape, dtype=dtype)
            if 0 not in lead
            else da.zeros((*lead, *map(len, covered)), dtype, chunks=shape)
        )
    return arrays


def _token(spec: RegionSpec, inputs: Mapping[str, da.Array], covered: Extent, chunks: Sequence[Sequence[Span]]) -> str:
    """Return what tells the arrays of a run from those of any other: its input, model and settings."""
    from dask.base import tokenize

    run, options = spec.run, spec.options
    settings = options.tile, options.margin, options.device
    guide = None if run.guide is None else (run.guide.model.sha256, run.guide.adapt)
    wanted = run.outputs, run.uncertainty, sorted(run.absent), run.adapt, guide
    model = run.model.card.name, "" if run.model.path is None else run.model.sha256
    meaning = [(band.start, band.factor, repr(band.radiometry), band.dates, band.mtf) for band in spec.bands.values()]
    names = [array.name for array in inputs.values()]
    return str(tokenize(names, settings, wanted, model, repr(meaning), str(covered), str(chunks)))


def _tasks(
    spec: RegionSpec,
    inputs: Mapping[str, da.Array],
    axes: Sequence[Sequence[RegionAxis]],
    lead: tuple[int, ...],
    name: str,
    cut: str,
) -> tuple[Layer, Layer]:
    """Build the layer that cuts blocks of the input, and the one that restores each chunk of the result from these."""
    cuts: Layer = {}
    tasks: Layer = {}
    weights = None
    if spec.run.model.path is not None and not models.is_packaged(spec.run.model):
        weights = f"xr_s2sr-weights-{spec.run.model.sha256}"
        tasks[weights] = weights_of(spec.run.model)
    names = [[inputs[band].name for band in bands] for bands in spec.groups]
    lattices = [[_bounds(inputs[bands[0]].chunks[axis]) for axis in (-2, -1)] for bands in spec.groups]
    # worked out once for each row and column of chunks, not for each chunk
    down, across = (
        [[_blocks(span, bounds[axis]) for (span, _), bounds in zip(part.cuts, lattices, strict=True)] for part in parts]
        for axis, parts in enumerate(axes)
    )
    for (i, row), (j, col) in product(enumerate(axes[0]), enumerate(axes[1])):
        for index in np.ndindex(*lead):
            pieces = []
            for g, (ys, xs) in enumerate(zip(down[i], across[j], strict=True)):
                for (y, own_rows), (x, own_cols) in product(ys, xs):
                    blocks = [(array, *index, y, x) for array in names[g]]
                    cuts[(cut, *index, i, j, g, y, x)] = (cut_blocks, blocks, own_rows, own_cols)
                pieces.append([[(cut, *index, i, j, g, y, x) for x, _ in xs] for y, _ in ys])
            tasks[(name, *index, i, j)] = (restore_chunk, spec, (row, col), index, weights, pieces)
    return cuts, tasks


def chunk_spans(covered: Span, side: int, turned: bool = False) -> list[Span]:
    """Return the chunks of a result along an axis; the last may be smaller, the first if it will be turned over."""
    if turned:
        return [Span(max(stop - side, covered.start), stop) for stop in range(covered.stop, covered.start, -side)][::-1]
    return [Span(start, min(start + side, covered.stop)) for start in range(covered.start, covered.stop, side)]


def _bounds(sizes: Sequence[int]) -> list[Span]:
    """Return the pixels that each block holds along an axis."""
    return [Span(stop - size, stop) for size, stop in zip(sizes, accumulate(sizes), strict=True)]


def _blocks(wanted: Span, bounds: Sequence[Span]) -> list[tuple[int, slice]]:
    """Return the blocks along an axis that hold some of the pixels wanted, and the part of each."""
    first = bisect_right(bounds, wanted.start, key=lambda block: block.stop)
    last = bisect_left(bounds, wanted.stop, key=lambda block: block.start)
    parts = ((k, wanted.clip(bounds[k]).shift(-bounds[k].start)) for k in range(first, last))
    return [(k, part.slice) for k, part in parts if len(part)]
