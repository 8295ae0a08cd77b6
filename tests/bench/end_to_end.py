"""From a product to files: SAFE (JP2) to COG, Zarr and NetCDF, with shares of time, peak memory and temporary disk.

    python tests/bench/end_to_end.py                                # the built-in scene, 1200 x 1200 pixels
    python tests/bench/end_to_end.py --scenes DIR --size 2400       # a folder of scenes, as for training
    python tests/bench/end_to_end.py --scenes DIR --size 10980 --ways cog

The largest scene of the folder that has all twelve bands is mirrored to the size asked for, so that it compresses as
real scenes do, and written as a product of level 1C. Then, each in a process of its own: the parts one after another
(read all bands, `upsample` in memory, GDAL's COG driver through rioxarray, and `to_cog`), and the command line. What
counts are ratios within one run, "cli / parts" and "to_cog / GDAL", in seconds of the clock and of all processors; on a
busy machine trust the second. In the shares, what tasks do at once is divided by the number of threads.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import xarray as xr

import xr_s2sr
from xr_s2sr.bands import BY_GSD

sys.path.insert(0, str(Path(__file__).parents[1]))
from safe_products import ORDER, Product, write_product

WAYS = {"cog": "out.tif", "zarr": "out.zarr", "nc": "out.nc"}
MIB = 2**20
#: What tasks do, several at once.
SHARED = ("reading", "network", "adaptation", "writing")


def source(folder: Path | None) -> dict[int, np.ndarray]:
    """Bands of a scene by GSD, in DN."""
    if folder is None:
        ds, _ = xr_s2sr.tutorial.synthetic_scene(600)
        return {gsd: np.stack([ds[band].values for band in bands]) for gsd, bands in BY_GSD.items() if gsd < 60} | {
            60: np.stack([ds[band].values for band in ("B01", "B09")])
        }
    entries = json.loads((folder / "manifest.json").read_text())
    files = sorted((folder / f"{entry['file']}.npz" for entry in entries), key=lambda file: -file.stat().st_size)
    for file in files:
        with np.load(file) as z:
            if "b60" in z:
                return {gsd: z[f"b{gsd}"] for gsd in (10, 20, 60)}
    raise SystemExit(f"no scene in {folder} has b60")


def mirrored(image: np.ndarray, size: int) -> np.ndarray:
    """Repeat (bands, y, x), every second time turned over."""
    for axis in (1, 2):
        both = np.concatenate([image, np.flip(image, axis)], axis)
        image = np.take(both, np.arange(size) % both.shape[axis], axis)
    return image


def make(folder: Path, scenes: Path | None, size: int) -> Path:
    """Write a product; returns its folder."""
    bands = {10: BY_GSD[10], 20: BY_GSD[20], 60: ("B01", "B09")}
    ds = xr.Dataset()
    for gsd, stack in source(scenes).items():
        n, suffix = size * 10 // gsd, "" if gsd == 10 else f"_{gsd}m"
        y, x = 5_600_040.0 - gsd * (np.arange(n) + 0.5), 399_960.0 + gsd * (np.arange(n) + 0.5)
        for band, image in zip(bands[gsd], mirrored(stack, n), strict=True):
            ds[band] = xr.DataArray(image, {f"y{suffix}": y, f"x{suffix}": x}, (f"y{suffix}", f"x{suffix}"))
    return write_product(folder, Product(ds.astype("uint16"), level="L1C", offsets=dict.fromkeys(ORDER, 0)))


class Clock:
    """Seconds within functions, by name; what is called within another that is timed counts for itself."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self.local, self.lock = threading.local(), threading.Lock()

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **options: Any) -> Any:
            outer, self.local.inside, started = getattr(self.local, "inside", 0.0), 0.0, time.perf_counter()
            try:
                return function(*args, **options)
            finally:
                took = time.perf_counter() - started
                with self.lock:
                    self.seconds[name] += took - self.local.inside
                self.local.inside = outer + took

        return run

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """In the block, the parts of a run are timed."""
        import rasterio.shutil
        from rioxarray.raster_writer import RasterioWriter

        from xr_s2sr.inference import engine, tiles
        from xr_s2sr.io import rasters, readable

        places: list[tuple[str, Any, str]] = [
            ("reading", rasters._Pixels, "_read"),
            ("network", engine.OrtRunner, "run"),
            ("adaptation", tiles, "adapted"),
            ("writing", RasterioWriter, "__setitem__"),
            ("making the COG", rasterio.shutil, "copy"),
            ("checks", readable, "check"),
            ("checks", readable, "check_tiff"),
        ]
        with contextlib.ExitStack() as stack:
            for name, owner, function in places:
                timed = self.timed(name, getattr(owner, function))
                stack.enter_context(mock.patch.object(owner, function, timed))
            yield


class Disk(threading.Thread):
    """The most bytes that files below a folder have taken."""

    def __init__(self, folder: Path) -> None:
        super().__init__(daemon=True)
        self.folder, self.most, self.done = folder, 0, threading.Event()

    def run(self) -> None:
        while not self.done.wait(0.05):
            self.most = max(self.most, taken(self.folder))


def taken(folder: Path) -> int:
    """Bytes on disk below a folder, or of a file."""
    files = [folder] if folder.is_file() else folder.rglob("*")
    total = 0
    for file in files:
        with contextlib.suppress(OSError):  # it has gone
            total += file.stat().st_blocks * 512
    return total


def spent(function: Callable[[], Any]) -> tuple[Any, float, float]:
    """What a function gives; seconds of the clock, and of all processors."""
    clock, cpu = time.perf_counter(), time.process_time()
    result = function()
    return result, time.perf_counter() - clock, time.process_time() - cpu


def parts(safe: Path, out: Path, threads: int) -> dict[str, Any]:
    """The same work, one part after another."""
    from xr_s2sr.io.write import georeferenced, stacked

    ds, *reading = spent(lambda: xr_s2sr.open_safe(safe).load())
    sr, *network = spent(lambda: ds.s2sr.upsample(threads=threads, device="cpu", progress=False))
    options = {"driver": "COG", "compress": "deflate", "predictor": 2, "num_threads": threads}
    own: list[list[float]] = []
    gdal: list[list[float]] = []
    for _ in range(3):
        gdal.append(spent(lambda: stacked(georeferenced(sr)).rio.to_raster(out / "gdal.tif", **options))[1:])
        own.append(spent(lambda: sr.s2sr.to_cog(out / "own.tif"))[1:])
    found = {"reading": reading, "upsample": network}
    found |= {"GDAL's COG": median(gdal), "to_cog": median(own)}
    return found | {"sizes": [(out / name).stat().st_size for name in ("own.tif", "gdal.tif")], "peak": peak()}


def median(runs: list[list[float]]) -> list[float]:
    return [statistics.median(values) for values in zip(*runs, strict=True)]


def peak() -> float:
    """The most MiB that this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def by_command(safe: Path, out: Path, threads: int) -> dict[str, Any]:
    """A run of the command line."""
    from xr_s2sr.cli.main import main as command

    watch, clock = Disk(out.parent), Clock()
    line = ["upsample", str(safe), "-o", str(out), "--threads", str(threads), "--device", "cpu"]
    watch.start()
    with clock.watching(), contextlib.redirect_stdout(io.StringIO()):
        code, seconds, cpu = spent(lambda: command(line))
    watch.done.set()
    watch.join()
    if code:
        raise SystemExit(code)
    shares = {name: s / threads if name in SHARED else s for name, s in clock.seconds.items()}
    shares["the rest"] = seconds - sum(shares.values())
    size = taken(out)
    return {"seconds": [seconds, cpu], "shares": shares, "peak": peak(), "size": size, "beyond": watch.most - size}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=Path, help="folder of scenes with a manifest; by default a synthetic one")
    parser.add_argument("--size", type=int, default=1200, help="pixels of 10 m along a side, rounded up to 6")
    parser.add_argument("--ways", nargs="*", choices=[*WAYS], default=[*WAYS])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="in which all is written; by default that of temporary files")
    parser.add_argument("--run", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.run:
        safe = next(given.folder.glob("*.SAFE"))
        out = given.folder / given.run
        out.mkdir()
        xr_s2sr.tutorial.synthetic_scene(60)[0].s2sr.upsample(device="cpu", progress=False)  # loops are compiled
        found = (
            parts(safe, out, given.threads)
            if given.run == "parts"
            else by_command(safe, out / WAYS[given.run], given.threads)
        )
        print(json.dumps(found))
        return 0
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        size = -(-given.size // 6) * 6
        make(Path(folder), given.scenes, size)
        told = {}
        for way in ("parts", *given.ways):
            line = [sys.executable, __file__, "--run", way, "--folder", folder, "--threads", str(given.threads)]
            output = subprocess.run(line, stdout=subprocess.PIPE, check=True, text=True).stdout
            told[way] = json.loads(output.splitlines()[-1])
        report(told, size, given.threads)
    return 0


def report(told: dict[str, Any], size: int, threads: int) -> None:
    """Print what was found."""
    apart = told["parts"]
    print(f"{size} x {size} pixels, {threads} threads; seconds of the clock (of all processors)")
    for name in ("reading", "upsample", "GDAL's COG", "to_cog"):
        print(f"  {name:<12} {apart[name][0]:8.2f} ({apart[name][1]:.2f})")
    both = [a / b for a, b in zip(apart["to_cog"], apart["GDAL's COG"], strict=True)]
    own, gdal = apart["sizes"]
    print(f"  to_cog / GDAL: {both[0]:.2f} ({both[1]:.2f}); size {own / gdal:.3f}; peak {apart['peak']:.0f} MiB")
    whole = [sum(apart[name][k] for name in ("reading", "upsample", "GDAL's COG")) for k in (0, 1)]
    for way in (way for way in told if way != "parts"):
        run = told[way]
        ratio = [a / b for a, b in zip(run["seconds"], whole, strict=True)]
        print(
            f"SAFE to {way}: {run['seconds'][0]:.2f} ({run['seconds'][1]:.2f}); cli / parts {ratio[0]:.2f} "
            f"({ratio[1]:.2f}); peak {run['peak']:.0f} MiB; {run['size'] / MIB:.0f} MiB written, "
            f"{run['beyond'] / MIB:.0f} MiB of disk besides"
        )
        print("  " + ", ".join(f"{name} {s / run['seconds'][0]:.0%}" for name, s in run["shares"].items()))


if __name__ == "__main__":
    sys.exit(main())
