"""The GPU path on a real device: is it used, is it right, does its memory hold, how fast is it.

    python tests/bench/gpu.py                       # a few minutes; checks and timings
    python tests/bench/gpu.py --size 10980 --json gpu.json
    python tests/bench/gpu.py --only checks

Needs the package, onnxruntime-gpu and a CUDA device; without one it says so and exits 0. Exits 1 if a check fails.
Checks: the CUDA provider is active and what it leaves to the CPU is listed; results against the CPU (within 0.1 DN
RMS and 2 DN); every option of upsample(); memory used against memory there; windows that do not fit are halved.
Timings: end to end, with the adaptive step and without; windows, batches, fp32 and TF32, plain runs against bound and
pinned buffers.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import xarray as xr
from parts import JOBS, SIXTY, TWENTY, scene, seconds, table, window

import xr_s2sr
from xr_s2sr import models
from xr_s2sr.inference import cuda, cudart, engine

BOTH = JOBS["both"]
GIB = 2**30


@dataclass
class Report:
    """What was checked and measured."""

    checks: list[tuple[str, bool, str]] = field(default_factory=list)
    timings: list[dict[str, Any]] = field(default_factory=list)

    def check(self, what: str, good: bool, fact: str = "") -> None:
        self.checks.append((what, bool(good), fact))
        print(f"{'ok  ' if good else 'FAIL'} {what}  {fact}", flush=True)

    def time(self, **line: Any) -> None:
        self.timings.append(line)
        print("    ", line, flush=True)


def forget() -> None:
    """Close all sessions, so that the next call opens its own."""
    engine._runners.clear()


def runner(name: str) -> cuda.CudaRunner:
    opened = engine.runner(models.load(name), "cuda")
    assert isinstance(opened, cuda.CudaRunner)
    return opened


def difference(one: xr.Dataset, other: xr.Dataset) -> tuple[float, float]:
    """RMS and largest difference in DN, of float32 reflectance."""
    gaps = np.concatenate([((one[b] - other[b]).values * 1e4).ravel() for b in BOTH])
    return float(np.sqrt(np.square(gaps).mean())), float(abs(gaps).max())


def check_provider(report: Report) -> None:
    for name in models.DEFAULTS.values():
        session = runner(name)._session
        report.check(f"{name}: CUDA is active", session.get_providers()[0] == "CUDAExecutionProvider")
        left = cuda.cpu_nodes(session)
        fact = "this ONNX Runtime cannot tell" if left is None else ", ".join(left) or "none"
        report.check(f"{name}: nodes on the CPU are listed", left is not None, fact)


def check_results(report: Report, ds: xr.Dataset) -> None:
    exact = ds.s2sr.upsample(BOTH, device="cpu", units="reflectance")
    rms, largest = difference(ds.s2sr.upsample(BOTH, device="cuda", units="reflectance"), exact)
    report.check("against the CPU", rms <= 0.1 and largest <= 2, f"{rms:.4f} DN, {largest:.2f} DN")


def check_uncertainty(report: Report, ds: xr.Dataset) -> None:
    exact, sr = (
        ds.s2sr.upsample(BOTH, units="reflectance", uncertainty=True, device=device) for device in ("cpu", "cuda")
    )
    names = [f"{band}_uncertainty" for band in BOTH]
    gap = max(float((abs(sr[name] - exact[name]) / exact[name]).max()) for name in names)
    report.check("standard errors", gap <= 0.05, f"{gap:.2%} at most")


def check_options(report: Report, ds: xr.Dataset) -> None:
    usual = ds.s2sr.upsample(BOTH, device="cuda", units="reflectance")
    options: dict[str, dict[str, Any]] = {
        "small tiles": {"tile": 240},
        "one thread": {"threads": 1},
        "eight threads": {"threads": 8},
        "blended windows": {"margin": 12, "tile": 240},
    }
    for name, how in options.items():
        rms, largest = difference(ds.s2sr.upsample(BOTH, device="cuda", units="reflectance", **how), usual)
        report.check(name, rms <= (5.0 if "margin" in how else 0.1), f"{rms:.4f} DN, {largest:.2f} DN")
    for bands in (TWENTY, SIXTY, ["B11"]):
        sr = ds.s2sr.upsample(bands, device="cuda", units="reflectance")
        gap = max(float(abs(sr[b] - usual[b]).max()) for b in bands) * 1e4
        report.check(f"only {' '.join(bands)}", gap <= 2, f"{gap:.2f} DN")
    try:
        lazy = ds.chunk().s2sr.upsample(BOTH, device="cuda", units="reflectance", chunks=360)
    except ImportError:
        report.check("dask is not installed: its tasks are not checked", True)
        return
    gate, inside, most = threading.Lock(), [0], [0]
    original = cuda.CudaRunner.run

    def counted(self: cuda.CudaRunner, inputs: Any) -> Any:
        with gate:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
        try:
            return original(self, inputs)
        finally:
            with gate:
                inside[0] -= 1

    with mock.patch.object(cuda.CudaRunner, "run", counted):
        rms, largest = difference(lazy.compute(scheduler="threads", num_workers=4), usual)
    report.check("dask, four threads, one session", rms <= 0.1, f"{rms:.4f} DN, {most[0]} windows handed in at once")


def check_memory(report: Report, ds: xr.Dataset, library: cudart.Cudart | None) -> None:
    forget()
    if library is None or (before := library.free_memory()) is None:
        report.check("free memory is known", False, "CUDA's runtime library was not found")
        return
    opened = runner(models.DEFAULTS[20])
    side = int(opened.largest**0.5) // 6 * 6
    opened.run(window(models.load(models.DEFAULTS[20]), side, side))
    used = before - (library.free_memory() or 0)
    fact = f"{used / GIB:.2f} GiB for a window of {side} x {side}, {used / side**2:.0f} bytes a pixel"
    report.check("the largest window takes no more than its share", used <= before / cuda.SHARE, fact)
    forget()
    usual = ds.s2sr.upsample(BOTH, device="cuda", units="reflectance")
    forget()
    limited = {**cuda.provider_options(), "gpu_mem_limit": str(GIB // 16)}
    halved: list[int] = []
    original = cuda.CudaRunner.run

    def noted(self: cuda.CudaRunner, inputs: Any) -> Any:
        try:
            return original(self, inputs)
        except cuda.DeviceMemoryError:
            halved.append(1)
            raise

    with (
        mock.patch.object(cuda, "provider_options", return_value=limited),
        mock.patch.object(cuda.CudaRunner, "run", noted),
    ):
        sr = ds.s2sr.upsample(BOTH, device="cuda", units="reflectance", tile=10_000)
    rms, _ = difference(sr, usual)
    forget()
    report.check(
        "a window that does not fit is halved", bool(halved) and rms <= 0.1, f"{len(halved)} times, {rms:.4f} DN"
    )


def rate(function: Callable[[], object], pixels: int, repeat: int = 5) -> float:
    """Mpixel/s, the median of some runs after one to warm up."""
    function()
    return pixels / float(np.median([seconds(function) for _ in range(repeat)])) / 1e6


def time_windows(report: Report) -> None:
    for name in models.DEFAULTS.values():
        for precision, tf32 in (("fp32", "0"), ("TF32", "1")):
            forget()
            options = {**cuda.provider_options(), "use_tf32": tf32}
            with mock.patch.object(cuda, "provider_options", return_value=options):
                opened = runner(name)
            for side in (360, 720, 1080, 1440, 2160):
                inputs = window(models.load(name), side, side)
                bound = rate(lambda o=opened, i=inputs: o.run(i), side**2)
                plain = rate(
                    lambda o=opened, i=inputs: o._session.run(["sr"], {k: v[np.newaxis] for k, v in i.items()}), side**2
                )
                report.time(model=name, precision=precision, side=side, bound=bound, plain=plain)
            for batch in (2, 4, 8):
                inputs = window(models.load(name), 720, 720, (batch,))
                together = rate(lambda o=opened, i=inputs: o._session.run(["sr"], i), batch * 720**2)
                report.time(model=name, precision=precision, side=720, batch=batch, plain=together)
        for pinned in (False, True):
            for in_flight in (1, 2, 3):
                forget()
                made = runner(name)
                library = cudart.load() if pinned else None
                card = models.load(name).card
                opened = cuda.CudaRunner(engine.import_onnxruntime(), made._session, card, library, in_flight)
                inputs = window(models.load(name), 1080, 1080)

                def several(opened: cuda.CudaRunner = opened, inputs: Any = inputs) -> None:
                    threads = [threading.Thread(target=opened.run, args=(inputs,)) for _ in range(8)]
                    for thread in threads:
                        thread.start()
                    for thread in threads:
                        thread.join()

                speed = rate(several, 8 * 1080**2, 3)
                report.time(model=name, side=1080, pinned=pinned, in_flight=in_flight, eight_threads=speed)


class Timed:
    """A session whose runs, one at a time, add their seconds to a list."""

    def __init__(self, session: Any, busy: list[float]) -> None:
        self._session, self._busy = session, busy

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def run_with_iobinding(self, binding: Any) -> None:
        self._busy.append(seconds(lambda: self._session.run_with_iobinding(binding)))


def time_whole(report: Report, size: int) -> None:
    """Numpy to numpy, and the part of that time in which a run is under way on the device."""
    ds = scene(size)
    forget()
    scene(360).s2sr.upsample(BOTH, device="cuda")
    busy: list[float] = []
    for opened in engine._runners.values():
        if isinstance(opened, cuda.CudaRunner):
            opened._session = Timed(opened._session, busy)
    for adapt in (True, False):  # the adaptive step computes on the threads of the host
        busy.clear()
        took = seconds(lambda how=adapt: ds.s2sr.upsample(BOTH, device="cuda", adapt=how))
        report.time(size=size, adapted=adapt, seconds=took, busy=sum(busy) / took)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=10980, help="of the scene that is timed end to end")
    parser.add_argument("--only", choices=("checks", "timings"))
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    problem = engine.cuda_problem()
    if problem:
        print(f"nothing to measure: {problem}")
        return 0
    library = cudart.load()
    report = Report()
    if arguments.only != "timings":
        ds = scene(720, "float32")
        check_provider(report)
        check_results(report, ds)
        check_uncertainty(report, ds)
        check_options(report, ds)
        check_memory(report, ds, library)
    if arguments.only != "checks":
        time_whole(report, arguments.size)
        time_windows(report)
        headings = list(dict.fromkeys(key for line in report.timings for key in line))
        print(table(headings, [[line.get(key) for key in headings] for line in report.timings]))
    if arguments.json:
        about = {"onnxruntime": engine.import_onnxruntime().__version__, "version": xr_s2sr.__version__}
        arguments.json.write_text(json.dumps({**about, "checks": report.checks, "timings": report.timings}, indent=1))
    failed = [what for what, good, _ in report.checks if not good]
    print(f"{len(report.checks) - len(failed)} of {len(report.checks)} checks passed", *failed, sep="\n  ")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
