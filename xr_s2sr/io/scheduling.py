"""Running dask's graphs: schedulers, locks and pools for what is written or computed. Knows nothing of inference."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import xarray as xr


def write_lock(array: xr.DataArray) -> Any:
    """Return a lock that holds wherever the current scheduler runs tasks, for a file with one writer at a time."""
    from dask.utils import get_scheduler_lock

    return get_scheduler_lock(array)


@contextmanager
def awaited() -> Iterator[None]:
    """In the block, dask's threads come from a pool that ends with it: after an error no task runs on and writes.

    Another scheduler that is chosen, such as a cluster's, or a pool of the user's, stays. GDAL reads and writes in the
    thread that asks for it, unless the environment variable GDAL_NUM_THREADS says otherwise: dask's are enough.
    """
    import dask
    import rasterio
    from dask import threaded
    from dask.base import get_scheduler
    from dask.system import CPU_COUNT

    if get_scheduler() not in (None, threaded.get) or dask.config.get("pool", None) is not None:
        yield
        return
    one_thread = {} if "GDAL_NUM_THREADS" in os.environ else {"GDAL_NUM_THREADS": 1}
    pool = ThreadPoolExecutor(dask.config.get("num_workers", None) or CPU_COUNT)
    try:
        with dask.config.set(pool=pool), rasterio.Env(**one_thread):
            yield
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def awaited_for(ds: xr.Dataset) -> AbstractContextManager[None]:
    """In the block, no task of dask's outlives an error, where a Dataset has such tasks."""
    return awaited() if ds.chunks else nullcontext()


def shared_tasks_kept() -> AbstractContextManager[Any]:
    """In the block, `dask.array.store` leaves the graph of each array as it is, so that arrays go on sharing tasks.

    dask before 2025.4 optimises there, each array by itself: a task that several share, such as a run of the network,
    is fused into each of them under another name, and runs as often.
    """
    import dask

    unfused: AbstractContextManager[Any] = dask.config.set({"optimization.fuse.active": False})
    return unfused


def compute_all(later: Sequence[Any]) -> None:
    """Run what was put off, in one pass over what it shares."""
    import dask

    dask.compute(*later)


@contextmanager
def computing(threads: int | None = None, progress: bool = False) -> Iterator[None]:
    """In the block, dask computes in this process, on this number of threads."""
    import dask
    from dask.diagnostics.progress import ProgressBar

    settings: dict[str, Any] = {"scheduler": "threads"} | ({"num_workers": threads} if threads else {})
    with dask.config.set(settings), ProgressBar(out=sys.stderr) if progress else nullcontext():
        yield
