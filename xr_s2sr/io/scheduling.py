"""Running dask's graphs: schedulers, locks and pools for what is written or computed. Knows nothing of inference."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from typing import Any

import xarray as xr


@contextmanager
def own_pool(ds: xr.Dataset) -> Iterator[None]:
    """In the block, dask's threads come from a pool that ends with it: after an error no task runs on and writes.

    Another scheduler that is chosen, such as a cluster's, or a pool of the user's, stays; and nothing is done for a
    Dataset in memory. GDAL reads and writes in the thread that asks for it, unless the environment variable
    GDAL_NUM_THREADS says otherwise: dask's are enough.
    """
    if not ds.chunks:
        yield
        return
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


def elsewhere() -> bool:
    """Tell whether dask's tasks may run in other processes than this one."""
    from dask import local, threaded
    from dask.base import get_scheduler

    return get_scheduler() not in (None, threaded.get, local.get_sync)


def run_together(arrays: Mapping[str, xr.DataArray], start: Callable[[str, xr.DataArray, Any], Any]) -> None:
    """Run in one pass, over what they share, the tasks that `start` returns for each array.

    `start` gets the name of an array, the array, and a lock that holds wherever the current scheduler runs tasks.
    """
    import dask
    from dask.utils import get_scheduler_lock

    # dask before 2025.4 optimises in dask.array.store, each array by itself: a task that several share, such as a run
    # of the network, is fused into each of them under another name, and runs as often
    with dask.config.set({"optimization.fuse.active": False}):
        later = [start(key, array, get_scheduler_lock(array)) for key, array in arrays.items()]
    dask.compute(*later)


@contextmanager
def computing(threads: int | None = None, progress: bool = False) -> Iterator[None]:
    """In the block, dask computes in this process, on this number of threads."""
    import dask
    from dask.diagnostics.progress import ProgressBar

    settings: dict[str, Any] = {"scheduler": "threads"} | ({"num_workers": threads} if threads else {})
    with dask.config.set(settings), ProgressBar(out=sys.stderr) if progress else nullcontext():
        yield
