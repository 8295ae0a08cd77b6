"""What dask's scheduler costs per tile: the real graphs of many tiles, a model that does nothing, a local cluster.

    python tests/bench/scheduler.py                        # 100 tiles
    python tests/bench/scheduler.py --tiles 10 --workers 2 --at-once 2

Each tile is a full Sentinel-2 tile with all twelve bands: the same tasks and dependencies as in a real run, from blocks
of the input to blocks that are stored. Blocks hold no memory, the network and the store do nothing, so what remains is
the work of client and scheduler, which live in this process: its CPU seconds per tile. The longer a tile takes on a
worker, the more workers one scheduler feeds: that many, "workers fed", where a tile costs a worker --seconds.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import deque
from typing import Any

import dask
import dask.array as da
import numpy as np
import xarray as xr
from distributed import Client, LocalCluster

from xr_s2sr import BANDS
from xr_s2sr.inference import lazy

TWELVE = [band for band in BANDS if band != "B10"]


def hollow(shape: tuple[int, ...]) -> np.ndarray:
    """Zeros that take no memory."""
    return np.broadcast_to(np.zeros((), np.uint16), shape)


def block(block_info: Any = None) -> np.ndarray:
    return hollow(tuple(block_info[None]["chunk-shape"]))


def nothing(spec: Any, axes: Any, index: Any, weights: Any, pieces: Any) -> dict[str, np.ndarray]:
    """In the place of :func:`xr_s2sr.inference.chunks.restore_chunk`."""
    shape = tuple(len(axis.covered) for axis in axes)
    return {band: hollow(shape) for band in spec.run.targets}


class Nowhere:
    """A store that forgets."""

    def __setitem__(self, key: Any, value: Any) -> None:
        pass


def tile(number: int, size: int, chunk: int) -> xr.Dataset:
    ds = xr.Dataset()
    for band in TWELVE:
        gsd = BANDS[band].gsd
        n, step = size * 10 // gsd, chunk * 10 // gsd
        sizes = tuple(min(step, n - start) for start in range(0, n, step))
        data = da.map_blocks(
            block, chunks=(sizes, sizes), dtype=np.uint16, meta=np.empty((0, 0), np.uint16), name=f"{band}-{number}"
        )
        suffix = "" if gsd == 10 else f"_{gsd}m"
        y, x = 5_600_040.0 - gsd * (np.arange(n) + 0.5), 399_960.0 + gsd * (np.arange(n) + 0.5)
        ds[band] = xr.DataArray(data, {f"y{suffix}": y, f"x{suffix}": x}, (f"y{suffix}", f"x{suffix}"))
    return ds


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiles", type=int, default=100)
    parser.add_argument("--size", type=int, default=10980)
    parser.add_argument("--chunk", type=int, default=1830)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--at-once", type=int, default=4, help="tiles that the scheduler holds at a time")
    parser.add_argument("--seconds", type=float, default=400, help="of a worker per tile, in a real run")
    arguments = parser.parse_args()
    lazy.restore_chunk = nothing
    cut, lazy.cut_blocks = lazy.cut_blocks, lambda blocks, rows, cols: cut(blocks, rows, cols)  # by value, too
    with (
        LocalCluster(
            n_workers=arguments.workers, threads_per_worker=2, dashboard_address=":0", memory_limit=0
        ) as cluster,
        Client(cluster) as client,
    ):
        building = 0.0
        pending: deque[Any] = deque()
        started, used = time.perf_counter(), time.process_time()
        for number in range(arguments.tiles):
            before = time.process_time()
            sr = tile(number, arguments.size, arguments.chunk).s2sr.upsample(chunks=arguments.chunk)
            arrays = [v.data for v in sr.data_vars.values()]
            stored = da.store(arrays, [Nowhere() for _ in arrays], lock=False, compute=False)
            writes = stored if isinstance(stored, tuple) else (stored,)
            building += time.process_time() - before
            pending.append(client.compute(writes))
            if len(pending) == arguments.at_once:
                client.gather(pending.popleft())
        while pending:
            client.gather(pending.popleft())
        wall, cpu = time.perf_counter() - started, time.process_time() - used
    n, fed = arguments.tiles, arguments.seconds * arguments.tiles / cpu
    tasks = len({key for write in dask.optimize(*writes) for key in dict(write.__dask_graph__())})
    print(f"{n} tiles of {arguments.size} pixels, {tasks} tasks each after optimisation, {arguments.workers} workers")
    print(f"  {wall / n:.2f} s wall; {cpu / n:.2f} s CPU of client and scheduler per tile, {building / n:.2f} to build")
    print(f"  {1e3 * (cpu - building) / n / tasks:.2f} ms CPU of client and scheduler per task")
    print(f"  workers fed by one scheduler, at {arguments.seconds:.0f} s of a worker per tile: {fed:.0f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
