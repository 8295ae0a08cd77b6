"""Peak memory and pixels per second of a scene from Zarr to Zarr, and in memory; how both grow with its size.

    python tests/bench/lazy.py                              # a sixteenth of a tile, and a full one: long
    python tests/bench/lazy.py --sizes 2748                 # the sixteenth alone
    python tests/bench/lazy.py --ways eager cog --sizes 2748
    python tests/bench/lazy.py --model bicubic              # all but the network: what streaming itself costs
    python tests/bench/lazy.py --ways memory zarr cluster --sizes 5490   # Zarr to Zarr: on a cluster over in memory

Pixels are synthetic: uint16, four bands at 10 m, six at 20 m, two at 60 m, and all twelve come out. Each run has a
process of its own: "eager" is `upsample` of what is in memory; "memory" reads, restores and writes all at once, "zarr"
lazily by threads, "cluster" by a LocalCluster of as many workers of one thread, whose start is not counted (and whose
memory is not seen), "kept" by one whose workers keep the memory that they have let go of, as processes do by themselves
(dask.config's "distributed.nanny.pre-spawn-environ" without MALLOC_TRIM_THRESHOLD_). "added" is the peak over what the
process held before (for "eager", the input in memory), and "/ output" compares it, less 500 MiB, with the size of the
restored bands.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from xr_s2sr import BANDS

TWELVE = [band for band in BANDS if band != "B10"]
CHUNK = 1830
MIB = 2**20


def make(path: Path, size: int) -> None:
    """Write a scene of `size` x `size` pixels of 10 m, chunk by chunk."""
    import dask.array as da

    ds = xr.Dataset()
    for k, band in enumerate(TWELVE):
        gsd = BANDS[band].gsd
        n, chunk = size * 10 // gsd, CHUNK * 10 // gsd

        def pixels(block_info: Any = None, k: int = k) -> np.ndarray:
            rows, cols = block_info[None]["array-location"]
            y, x = np.mgrid[slice(*rows), slice(*cols)].astype(np.float32)
            grain = np.random.default_rng([k, rows[0], cols[0]]).integers(0, 400, y.shape)
            return (1500 + 800 * np.sin(y / 9 + k) * np.cos(x / 11) + grain).astype(np.uint16)

        sizes = tuple(min(chunk, n - start) for start in range(0, n, chunk))
        data = da.map_blocks(pixels, chunks=(sizes, sizes), dtype=np.uint16, meta=np.empty((0, 0), np.uint16))
        suffix = "" if gsd == 10 else f"_{gsd}m"
        y, x = 5_600_040.0 - gsd * (np.arange(n) + 0.5), 399_960.0 + gsd * (np.arange(n) + 0.5)
        ds[band] = xr.DataArray(data, {f"y{suffix}": y, f"x{suffix}": x}, (f"y{suffix}", f"x{suffix}"))
    ds.to_zarr(path, consolidated=False)


def resident() -> float:
    """MiB that this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / MIB


def peak() -> float:
    """The most MiB that this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def run(way: str, source: Path, threads: int, model: str | None, chunks: int | None, told: Any) -> None:
    """One run; tells seconds, and memory before and at most."""
    import dask

    how: dict[str, Any] = {"model": model, "device": "cpu"}
    target = source.parent / f"out.{way}"
    if way == "eager":
        ds = xr.open_zarr(source, consolidated=False, chunks=None).load()
        before, started = resident(), time.perf_counter()
        sr = ds.s2sr.upsample(threads=threads, **how)
        output = sum(sr[band].nbytes for band in TWELVE if BANDS[band].gsd > 10) / MIB
    elif way == "memory":
        before, started = resident(), time.perf_counter()
        sr = xr.open_zarr(source, consolidated=False, chunks=None).load().s2sr.upsample(threads=threads, **how)
        output = sum(sr[band].nbytes for band in TWELVE if BANDS[band].gsd > 10) / MIB
        sr.chunk(dict.fromkeys(sr.dims, CHUNK)).to_zarr(target, mode="w", consolidated=False)
    else:
        ds = xr.open_zarr(source, consolidated=False)
        with contextlib.ExitStack() as stack:
            if way in ("cluster", "kept"):
                from distributed import Client, LocalCluster

                nanny = "distributed.nanny.pre-spawn-environ"
                kept = {key: value for key, value in dask.config.get(nanny).items() if "MALLOC" not in key}
                stack.enter_context(dask.config.set({nanny: kept} if way == "kept" else {}))
                cluster = LocalCluster(n_workers=threads, threads_per_worker=1, dashboard_address=None)
                stack.enter_context(Client(stack.enter_context(cluster)))
            else:
                stack.enter_context(dask.config.set(scheduler="threads", num_workers=threads))
            before, started = resident(), time.perf_counter()
            sr = ds.s2sr.upsample(chunks=chunks, **how)
            built = time.perf_counter() - started
            output = sum(sr[band].nbytes for band in TWELVE if BANDS[band].gsd > 10) / MIB
            if way == "cog":
                sr.s2sr.to_cog(target)
            else:
                sr.to_zarr(target, mode="w", consolidated=False)
            seconds = time.perf_counter() - started
        print(f"# {way}: graph of {len(dict(sr.__dask_graph__()))} tasks built in {built:.2f} s", file=sys.stderr)
    if way in ("eager", "memory"):
        seconds = time.perf_counter() - started
    told.put(json.dumps({"seconds": seconds, "before": before, "peak": peak(), "output": output}))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[2748, 10980], help="pixels of 10 m along a side")
    parser.add_argument(
        "--ways", nargs="+", choices=("zarr", "cog", "eager", "memory", "cluster", "kept"), default=["zarr", "eager"]
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--chunks", type=int)
    parser.add_argument("--model")
    arguments = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    rates: dict[str, list[float]] = {}
    print(f"{'way':<8}{'size':>7}{'Mpixel':>9}{'s':>9}{'Mpixel/s':>10}{'peak MiB':>10}{'added':>8}{'/ output':>10}")
    for size in arguments.sizes:
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder, "in.zarr")
            make(source, size)
            for way in arguments.ways:
                told = context.Queue()
                how = (way, source, arguments.threads, arguments.model, arguments.chunks, told)
                process = context.Process(target=run, args=how)
                process.start()
                process.join()
                if process.exitcode:
                    return 1
                seen = json.loads(told.get())
                added, pixels = seen["peak"] - seen["before"], size * size / 1e6
                rates.setdefault(way, []).append(pixels / seen["seconds"])
                print(
                    f"{way:<8}{size:>7}{pixels:>9.1f}{seen['seconds']:>9.1f}{rates[way][-1]:>10.3f}"
                    f"{seen['peak']:>10.0f}{added:>8.0f}{max(0.0, added - 500) / seen['output']:>10.2f}",
                    flush=True,
                )
    for way, found in rates.items():
        if len(found) > 1:
            print(f"{way}: pixels per second of the largest over those of the smallest: {found[-1] / found[0]:.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
