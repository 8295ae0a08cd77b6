"""What upsample() costs on a CPU, beside its network alone, the arithmetic, and what people do without it.

    python tests/bench/speed.py                                   # 600 and 1440 pixels
    python tests/bench/speed.py --sizes 256 1440 10980 --repeat 3 --json speed.json
    python tests/bench/speed.py --sizes 240 --repeat 1 --skip keras s2super

Everything is measured in pairs inside of this one run, since machines differ and are shared: each way of running
against another, in turn, and the median of the ratios. On a quiet machine only. The ways:

    bare      ONNX Runtime alone on the very windows that upsample() ran, on as many threads
    floor     the operations of these windows' convolutions, at the rate that one large convolution reaches
    keras     the network and the patches of DSen2 in Keras, random weights (needs tensorflow)
    s2super   the network of s2super on B11, once (needs s2super and tf_keras: pip install --no-deps s2super==1.2.30)
    warp      cubic interpolation by rasterio's warp

and, in processes of their own, what a first call takes on top of a second one.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from parts import JOBS, paired, scene, seconds, table
from rivals import dsen2, s2super, warp

import xr_s2sr
from xr_s2sr import models
from xr_s2sr.inference.engine import OrtRunner


class Windows:
    """Records the windows that reach ONNX Runtime, and replays them."""

    def __init__(self) -> None:
        self.seen: list[tuple[OrtRunner, dict[str, np.ndarray]]] = []
        self._pixels: dict[tuple[int, ...], np.ndarray] = {}  # one array for all windows of a shape

    def record(self, function: Callable[[], object]) -> None:
        original = OrtRunner.run

        def noted(runner: OrtRunner, inputs: dict[str, np.ndarray]) -> np.ndarray:
            for array in inputs.values():
                self._pixels.setdefault(array.shape, array.copy())
            self.seen.append((runner, {name: self._pixels[array.shape] for name, array in inputs.items()}))
            return original(runner, inputs)

        OrtRunner.run = noted  # type: ignore[method-assign]
        try:
            function()
        finally:
            OrtRunner.run = original  # type: ignore[method-assign]

    def replay(self, threads: int) -> None:
        """As upsample() does: one model after the other, windows over threads."""
        for runner in dict.fromkeys(runner for runner, _ in self.seen):
            with ThreadPoolExecutor(threads) as pool:
                for _ in pool.map(runner.run, [inputs for own, inputs in self.seen if own is runner]):
                    pass

    def giga_operations(self, counted: dict[int, float]) -> float:
        """`counted` has those of each pixel by the GSD of the bands that a model restores."""
        return sum(counted[60 if "b60" in inputs else 20] * inputs["b10"][0].size for _, inputs in self.seen) / 1e9


def operations_per_pixel(name: str) -> float:
    """Multiplications and additions of a packaged network's convolutions for each 10 m pixel."""
    import onnx
    from onnx.shape_inference import infer_shapes

    model = models.load(name)
    graph = onnx.load(str(model.path))
    side = 240
    for port in graph.graph.input:
        factor = model.card.ports[port.name][1] // 10
        for dim, size in zip(port.type.tensor_type.shape.dim, (1, None, side // factor, side // factor), strict=True):
            if size is not None:
                dim.dim_value = size
    del graph.graph.value_info[:]
    graph = infer_shapes(graph).graph
    shapes = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in (*graph.value_info, *graph.output)}
    weights = {w.name: list(w.dims) for w in graph.initializer}
    total = 0
    for node in graph.node:
        if node.op_type == "Conv" and node.input[1] in weights:
            out, kernel = shapes[node.output[0]], weights[node.input[1]]
            total += 2 * int(np.prod(out[1:])) * int(np.prod(kernel[1:]))
    return total / side**2


def peak() -> Callable[[], float]:
    """A function that measures the giga-operations per second of one thread in a convolution of 64 channels."""
    import onnx
    import onnxruntime as ort
    from onnx import TensorProto, helper

    ports = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 64, 360, 360]) for n in ("x", "y")]
    weight = onnx.numpy_helper.from_array(np.full((64, 64, 3, 3), 0.01, np.float32), "w")
    node = helper.make_node("Conv", ["x", "w"], ["y"], pads=[1, 1, 1, 1])
    graph = helper.make_graph([node], "peak", ports[:1], ports[1:], [weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    feed = {"x": np.ones((1, 64, 360, 360), np.float32)}
    session.run(None, feed)
    return lambda: 2 * 64 * 64 * 9 * 360**2 / 1e9 / min(seconds(lambda: session.run(None, feed)) for _ in range(3))


def cases(sizes: list[int], jobs: list[str], threads: list[int]) -> Iterator[tuple[int, str, int, str, str]]:
    """Size, job, threads, dtype, and how the arrays are held: all jobs at all sizes, the rest at the first one."""
    for size, job, number in product(sizes, jobs, threads):
        yield size, job, number, "uint16", "eager"
    for (dtype, form), number in product((("float32", "eager"), ("uint16", "dask")), threads):
        yield sizes[0], "both", number, dtype, form


def measure(
    case: tuple[int, str, int, str, str], repeat: int, counted: dict[int, float], rate: float
) -> dict[str, Any]:
    """One line of the table."""
    size, job, threads, dtype, form = case
    ds = scene(size, dtype)
    units: Any = "reflectance" if dtype == "float32" else None

    def run() -> object:
        if form == "eager":
            return xr_s2sr.upsample(ds, JOBS[job], device="cpu", threads=threads, units=units)
        sr = xr_s2sr.upsample(ds.chunk(), JOBS[job], device="cpu", units=units)
        return sr.compute(scheduler="threads", num_workers=threads)

    windows = Windows()
    windows.record(run)
    whole, alone, ratio = paired(run, lambda: windows.replay(threads), repeat)
    pixels = ds.B02.size
    read = sum(inputs["b10"][0].size for _, inputs in windows.seen) / pixels
    floor = windows.giga_operations(counted) / rate / threads if rate else None
    line = {"size": ds.B02.shape[0], "bands": job, "threads": threads, "dtype": dtype, "form": form}
    line |= {"seconds": whole, "bare": alone, "Mpixel/s": pixels / whole / 1e6, "/ bare": ratio, "pixels read": read}
    return {**line, "/ floor": whole / floor if floor else None}


def others(size: int, repeat: int, skip: list[str]) -> Iterator[dict[str, Any]]:
    """The ways that people do it without this package, each against upsample() on two threads."""
    ds = scene(size)
    ways: list[tuple[str, str, Callable[[], Callable[[], object]], str]] = [
        ("keras", "20m", lambda: dsen2(20, ds), "tensorflow"),
        ("keras", "60m", lambda: dsen2(60, ds), "tensorflow"),
        ("s2super", "B11", lambda: s2super(ds), "s2super"),
        ("warp", "both", lambda: warp(ds, JOBS["both"], 2), "rasterio"),
    ]
    for name, job, make, needs in ways:
        if name in skip or find_spec(needs) is None:
            yield {"way": name, "bands": job, "size": size, "note": "skipped" if name in skip else f"no {needs} here"}
            continue
        theirs, ours, ratio = paired(
            make(), lambda job=job: xr_s2sr.upsample(ds, JOBS[job], device="cpu", threads=2), repeat
        )
        yield {"way": name, "bands": job, "size": size, "seconds": theirs, "ours": ours, "theirs / ours": ratio}


FIRST = """
import time
start = time.perf_counter()
import xr_s2sr
imported = time.perf_counter()
ds, _ = xr_s2sr.tutorial.synthetic_scene(600)
made = time.perf_counter()
ds.s2sr.upsample(device="cpu")
first = time.perf_counter()
ds.s2sr.upsample(device="cpu")
print(imported - start, first - made, time.perf_counter() - first)
"""


def first_call(repeat: int) -> Iterator[dict[str, Any]]:
    """What import and first call of a fresh process take on top of a second call, for 600 x 600 pixels."""
    for what in ("compiled loops on disk", "nothing on disk"):
        for _ in range(repeat):
            with tempfile.TemporaryDirectory() as empty:
                own = {**os.environ} | ({"NUMBA_CACHE_DIR": empty} if what == "nothing on disk" else {})
                run = subprocess.run([sys.executable, "-c", FIRST], env=own, capture_output=True, check=True)
            importing, first, second = map(float, run.stdout.split())
            on_top = importing + first - second
            yield {"first call": what, "import": importing, "first": first, "second": second, "on top": on_top}


def show(lines: list[dict[str, Any]]) -> None:
    if not lines:
        return
    headings = list(dict.fromkeys(key for line in lines for key in line))
    print(table(headings, [[line.get(key) for key in headings] for line in lines]), end="\n\n", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[600, 1440])
    parser.add_argument("--jobs", nargs="+", default=[*JOBS], choices=[*JOBS])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--skip", nargs="*", default=[], choices=("floor", "keras", "s2super", "warp", "first"))
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    counted = {20: 0.0, 60: 0.0}
    rate = 0.0
    if "floor" not in arguments.skip and find_spec("onnx"):
        counted = {gsd: operations_per_pixel(name) for gsd, name in models.DEFAULTS.items()}
        rate = peak()()
    chosen = cases(arguments.sizes, arguments.jobs, arguments.threads)
    lines = [measure(case, arguments.repeat, counted, rate) for case in chosen]
    show(lines)
    rivals = [*others(arguments.sizes[0], arguments.repeat, arguments.skip)]
    show(rivals)
    firsts = [] if "first" in arguments.skip else [*first_call(arguments.repeat)]
    show(firsts)
    about = {"machine": platform.processor() or platform.machine(), "python": platform.python_version()}
    about |= {"version": xr_s2sr.__version__, "repeat": arguments.repeat, "GFLOP/s a thread": rate}
    about["operations a pixel"] = {models.DEFAULTS[gsd]: number for gsd, number in counted.items()}
    print(about)
    if arguments.json:
        arguments.json.write_text(
            json.dumps({**about, "upsample": lines, "others": rivals, "first calls": firsts}, indent=1) + "\n"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
