"""dask-backed in, dask-backed out: one task a chunk of the result runs the network, for all bands of its job.

The only room that imports dask, and only at first use. The graph has three layers of its own on top of the input's:
pieces of the input's blocks, as far as a chunk sees; the chunks, each a small scene (:mod:`~xr_s2sr.inference.region`);
and the
bands of each chunk. No array, session or lock is in it: a packaged model travels as its name, any other as its bytes,
once. Blocks of the input may have any shape: nothing is rechunked but leading dimensions, to one date a task.
"""

from __future__ import annotations

import operator
import sys
from collections.abc import Hashable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from itertools import accumulate, product
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import xarray as xr

from xr_s2sr import models, plausibility
from xr_s2sr.bands import BANDS
from xr_s2sr.inference import region as patches
from xr_s2sr.inference.windows import Extent, Span, ceil_to_cell
from xr_s2sr.planning import How, Job
from xr_s2sr.survey import Survey

if TYPE_CHECKING:
    import dask.array as da

Layer: TypeAlias = dict[Hashable, Any]

#: Side of a chunk of the result where the input's own would be too small, for its margin, or too large, for memory.
CHUNK = 1830
SMALLEST, LARGEST = 720, 2400


def restore(
    ds: xr.Dataset,
    found: Survey,
    chosen: Sequence[Job],
    covered: Extent,
    how: How,
    chunks: int | None,
) -> dict[str, da.Array]:
    """Arrays (..., y, x) by band id, in the input's dtypes; nothing is computed.

    Parameters
    ----------
    chunks : int or None
        Side of an output chunk; by default about that of the 10 m bands.
    """
    from dask.base import tokenize

    sides = chunk_sides(ds[found.fine.name], covered, chunks)
    arrays: dict[str, da.Array] = {}
    call = tokenize([ds[held.name].data.name for held in found.held.values() if ds[held.name].chunks is not None])
    plausibility.forget(call)
    for job in chosen:
        # all that one run of the network gives, so that bands that are asked for apart share it
        able = replace(job, targets=tuple(band for band in job.model.card.targets if band in job.bands))
        inputs = {band: one_date(ds[found.held[band].name]) for band in BANDS if band in job.bands}
        groups: dict[Any, list[str]] = {}
        for band, array in inputs.items():
            groups.setdefault((found.held[band].start, array.chunks), []).append(band)
        bands = tuple(map(tuple, groups.values()))
        recipe = patches.recipe(able, found, bands, how, call)
        arrays |= _graph(recipe, found, inputs, covered, sides, job.targets)
    return arrays


def is_lazy(ds: xr.Dataset, found: Survey, chosen: Sequence[Job]) -> bool:
    """Whether a band that is read is a dask array."""
    return any(ds[found.held[band].name].chunks is not None for job in chosen for band in job.bands)


def chunk_sides(fine: xr.DataArray, covered: Extent, chunks: int | None) -> tuple[int, int]:
    """Rows and columns of a chunk of the result.

    Those of the 10 m bands where these are regular, or several of them where they are small. Else, or to come near
    `chunks`, evened out, so that the last chunk is no sliver.
    """
    sides = []
    for axis, span in enumerate(covered):
        n, own = len(span), None if fine.chunks is None else fine.chunks[fine.ndim - 2 + axis]
        if own is not None and chunks is None and max(own) <= LARGEST and {*own[:-1]} <= {max(own)}:
            side = max(own) if max(own) >= SMALLEST else max(own) * (CHUNK // max(own))
        else:
            side = ceil_to_cell(-(-n // -(-n // ceil_to_cell(chunks or CHUNK))))
        sides.append(min(n, side))
    return sides[0], sides[1]


def one_date(band: xr.DataArray) -> da.Array:
    """A variable as a dask array whose leading dimensions have chunks of 1."""
    import dask.array as da

    lead = dict.fromkeys(range(band.ndim - 2), 1)
    if band.chunks is None:
        return da.from_array(band.values, chunks={**lead, band.ndim - 2: CHUNK, band.ndim - 1: CHUNK})
    return band.data.rechunk(lead) if any(max(band.chunks[axis]) > 1 for axis in lead) else band.data


def aligned(sr: xr.Dataset, restored: Mapping[str, xr.DataArray], ds: xr.Dataset) -> xr.Dataset:
    """The result with one chunking: dask-backed variables that are passed through get that of the restored bands."""
    model = next(iter(restored.values()))
    sizes = {dim: max(own) for dim, own in zip(model.dims, model.chunks or (), strict=True)}
    for name, variable in sr.data_vars.items():
        if variable.chunks is None:
            continue
        sr[name] = variable.chunk({dim: size for dim, size in sizes.items() if dim in variable.dims})
        if sr[name].chunks != ds[name].chunks:  # those of a file would contradict
            sr[name].encoding = {k: v for k, v in variable.encoding.items() if k not in STORED}
    return sr


def write_lock(array: xr.DataArray) -> Any:
    """A lock that holds wherever the current scheduler runs tasks, for a file that takes one writer at a time."""
    from dask.utils import get_scheduler_lock

    return get_scheduler_lock(array)


@contextmanager
def awaited() -> Iterator[None]:
    """In the block, dask's threads are of a pool that ends with it: after an error no task runs on and writes.

    Where another scheduler is chosen, such as a cluster's, or a pool of the user's, these stay.
    """
    import dask
    from dask import threaded
    from dask.base import get_scheduler
    from dask.system import CPU_COUNT

    if get_scheduler() not in (None, threaded.get) or dask.config.get("pool", None) is not None:
        yield
        return
    pool = ThreadPoolExecutor(dask.config.get("num_workers", None) or CPU_COUNT)
    try:
        with dask.config.set(pool=pool):
            yield
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def compute_all(later: Sequence[Any]) -> None:
    """Run what was put off, in one pass over what it shares."""
    import dask

    dask.compute(*later)


@contextmanager
def computing(threads: int | None = None, progress: bool = False) -> Iterator[None]:
    """In the block, dask computes in this process, on so many threads."""
    import dask
    from dask.diagnostics.progress import ProgressBar

    settings: dict[str, Any] = {"scheduler": "threads"} | ({"num_workers": threads} if threads else {})
    with dask.config.set(settings), ProgressBar(out=sys.stderr) if progress else nullcontext():
        yield


#: What of an encoding says how a variable was cut up in its file.
STORED = ("chunks", "preferred_chunks", "chunksizes", "shards", "contiguous", "original_shape", "source")


def _graph(
    recipe: patches.Recipe,
    found: Survey,
    inputs: Mapping[str, da.Array],
    covered: Extent,
    sides: tuple[int, int],
    targets: Sequence[str],
) -> dict[str, da.Array]:
    """One job: its layers, and an array for each target."""
    import dask.array as da
    from dask.base import tokenize
    from dask.highlevelgraph import HighLevelGraph

    job, how = recipe.job, recipe.how
    domain = job.domain(found, covered)
    held = [found.held[bands[0]] for bands in recipe.groups]
    whole = recipe.plan((len(domain[0]), len(domain[1])))
    chunks = [_spans(span, side) for span, side in zip(covered, sides, strict=True)]
    rows, cols = ([patches.stretch(axis, chunk, domain, held, whole) for chunk in chunks[axis]] for axis in (0, 1))
    lead = next(iter(inputs.values())).shape[:-2]
    origin = "" if job.model.path is None else job.model.sha256
    settings = how.tile, how.margin, how.device, job.targets, sorted(job.absent), job.model.card.name, origin
    meaning = [(h.start, h.factor, repr(h.radiometry), h.dates) for h in recipe.held.values()]
    token = tokenize([a.name for a in inputs.values()], settings, repr(meaning), str(covered), sides)
    name, cut = f"xr_s2sr-restore-{token}", f"xr_s2sr-cut-{token}"

    cuts: Layer = {}
    tasks: Layer = {}
    weights = None
    if job.model.path is not None and not models.is_packaged(job.model):
        weights = f"xr_s2sr-weights-{origin}"
        tasks[weights] = job.model.path.read_bytes()
    names = [[inputs[band].name for band in bands] for bands in recipe.groups]
    lattices = [[_bounds(inputs[bands[0]].chunks[axis]) for axis in (-2, -1)] for bands in recipe.groups]
    for (i, row), (j, col) in product(enumerate(rows), enumerate(cols)):
        parts = [
            (g, _blocks(row.cuts[g][0], down), _blocks(col.cuts[g][0], across))
            for g, (down, across) in enumerate(lattices)
        ]
        for index in np.ndindex(*lead):
            pieces = []
            for g, down, across in parts:
                for (y, ys), (x, xs) in product(down, across):
                    blocks = [(source, *index, y, x) for source in names[g]]
                    cuts[(cut, *index, i, j, g, y, x)] = (patches.cut, blocks, ys, xs)
                pieces.append([[(cut, *index, i, j, g, y, x) for x, _ in across] for y, _ in down])
            tasks[(name, *index, i, j)] = (patches.restore, recipe, (row, col), index, weights, pieces)

    below = HighLevelGraph.merge(*(array.dask for array in inputs.values()))
    layers: dict[str, Any] = {**below.layers, cut: cuts, name: tasks}
    needs: dict[str, set[str]] = {
        **below.dependencies,
        cut: {n for a in inputs.values() for n in a.__dask_layers__()},
        name: {cut},
    }
    shape = (*((1,) * n for n in lead), *(tuple(map(len, spans)) for spans in chunks))
    arrays = {}
    for band in targets:
        own = f"xr_s2sr-{band}-{token}"
        picks: Layer = {(own, *key[1:]): (operator.getitem, key, band) for key in tasks if isinstance(key, tuple)}
        graph = HighLevelGraph({**layers, own: picks}, {**needs, own: {name}})
        arrays[band] = da.Array(graph, own, shape, dtype=recipe.held[band].radiometry.dtype)
    return arrays


def _spans(covered: Span, side: int) -> list[Span]:
    """Output chunks along an axis, on the 10 m grid."""
    starts = range(covered.start, covered.stop, side)
    return [Span(start, min(start + side, covered.stop)) for start in starts]


def _bounds(sizes: Sequence[int]) -> list[Span]:
    """Where each block lies along an axis."""
    return [Span(stop - size, stop) for size, stop in zip(sizes, accumulate(sizes), strict=True)]


def _blocks(wanted: Span, bounds: Sequence[Span]) -> list[tuple[int, slice]]:
    """Blocks along an axis that hold some of the pixels wanted, and which of theirs these are."""
    parts = ((k, wanted.clip(block).shift(-block.start)) for k, block in enumerate(bounds))
    return [(k, part.slice) for k, part in parts if len(part)]
