"""The engine on a GPU, against a device that is made up: buffers, copies, memory that does not suffice, precision."""

from __future__ import annotations

import ctypes
import gc
import threading
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from fake_runtime import CPU, CUDA, Fail, FakeRuntime, Install
from scenes import RED_EDGE, native
from toy_models import CARD_20, relabel, without_halo

from xr_s2sr import models
from xr_s2sr.errors import EngineError, InputError, S2SRWarning
from xr_s2sr.inference import cuda, cudart, engine
from xr_s2sr.inference.cuda import CudaRunner, DeviceMemoryError
from xr_s2sr.inference.cudart import Cudart
from xr_s2sr.models import load

pytestmark = pytest.mark.usefixtures("fresh_engine")


def window(rows: int, cols: int, value: float = 1.0) -> dict[str, np.ndarray]:
    b20 = np.full((6, rows // 2, cols // 2), value, np.float32)
    return {"b10": np.full((4, rows, cols), value, np.float32), "b20": b20}


def opened(fake: FakeRuntime, library: Cudart | None = None) -> CudaRunner:
    return CudaRunner(fake, fake.InferenceSession("x", fake.SessionOptions(), [CUDA]), CARD_20, library)


def kinds(fake: FakeRuntime) -> list[str]:
    return [entry[0] for entry in fake.log]


class FakeLibrary:
    """As much of CUDA's runtime library as is called; `pinned` is what is allocated and not yet freed."""

    def __init__(self, free: int, status: int = 0) -> None:
        self.free, self.status, self.pinned = free, status, dict[int, Any]()

    def cudaMemGetInfo(self, free: Any, total: Any) -> int:
        free._obj.value, total._obj.value = self.free, 2 * self.free
        return self.status

    def cudaHostAlloc(self, place: Any, size: ctypes.c_size_t, flags: Any) -> int:
        if self.status == 0:
            buffer = (ctypes.c_byte * size.value)()
            place._obj.value = ctypes.addressof(buffer)
            self.pinned[ctypes.addressof(buffer)] = buffer
        return self.status

    def cudaFreeHost(self, place: ctypes.c_void_p) -> int:
        del self.pinned[place.value or 0]
        return 0


# -- buffers ----------------------------------------------------------------------------------------------------------


def test_windows_of_one_shape_share_buffers(install: Install) -> None:
    fake = install(CUDA, CPU)
    runner = opened(fake)
    for value in (1.0, 2.0, 5.0):
        out = runner.run(window(24, 36, value))
        assert out.shape == (6, 24, 36)
        np.testing.assert_array_equal(out[:, 3, 7], value + np.arange(6))
    # two slots of two inputs and an output, taken in turn; then two copies up, a run and a copy down each time
    assert kinds(fake).count("allocate") == 6
    assert kinds(fake)[:7] == ["allocate", "allocate", "allocate", "up", "up", "run", "down"]
    assert kinds(fake)[-4:] == ["up", "up", "run", "down"]
    assert fake.log[2] == ("allocate", (1, 6, 24, 36))


def test_results_are_copies(install: Install) -> None:
    runner = opened(install(CUDA, CPU))
    one = runner.run(window(24, 24, 1.0))
    for _ in range(3):
        runner.run(window(24, 24, 9.0))
    assert one[0, 0, 0] == 1.0


def test_another_shape_gets_other_buffers(install: Install) -> None:
    fake = install(CUDA, CPU)
    runner = CudaRunner(fake, fake.InferenceSession("x", fake.SessionOptions(), [CUDA]), CARD_20, in_flight=1)
    assert runner.run(window(24, 24)).shape == (6, 24, 24)
    assert runner.run(window(24, 48)).shape == (6, 24, 48)
    assert kinds(fake).count("allocate") == 6


def test_one_run_at_a_time_and_two_under_way(install: Install) -> None:
    fake = install(CUDA, CPU)
    session = fake.InferenceSession("x", fake.SessionOptions(), [CUDA])
    inside, uploads, lock, released = [0], [0], threading.Lock(), threading.Event()
    worst = []

    def run(binding: Any) -> None:
        with lock:
            inside[0] += 1
            worst.append(inside[0])
        released.wait(10)
        with lock:
            inside[0] -= 1

    session.run_with_iobinding = run
    runner = CudaRunner(fake, session, CARD_20)
    threads = [threading.Thread(target=runner.run, args=(window(24, 24),)) for _ in range(5)]
    for thread in threads:
        thread.start()
    for _ in range(1000):
        uploads[0] = kinds(fake).count("up")
        if uploads[0] == 4:
            break
        threading.Event().wait(0.005)
    # the second window was copied while the first is computed; the third waits for a slot
    assert uploads[0] == 4
    released.set()
    for thread in threads:
        thread.join(10)
    assert max(worst) == 1
    assert len(worst) == 5
    assert kinds(fake).count("up") == 10


def test_pinned_memory_is_used_and_freed(install: Install) -> None:
    library = FakeLibrary(10**9)
    fake = install(CUDA, CPU)
    runner = opened(fake, Cudart(library))
    out = runner.run(window(24, 24, 3.0))
    np.testing.assert_array_equal(out[:, 0, 0], 3.0 + np.arange(6))
    assert len(library.pinned) == 2
    uploaded = [entry[1].ctypes.data for entry in fake.log if entry[0] == "up"]
    assert uploaded == list(library.pinned)
    del runner, fake.log[:]
    gc.collect()
    assert not library.pinned


def test_without_pinned_memory(install: Install) -> None:
    library = FakeLibrary(10**9, status=2)
    runner = opened(install(CUDA, CPU), Cudart(library))
    assert runner.run(window(24, 24, 3.0))[0, 0, 0] == 3.0
    assert not library.pinned


def test_no_library(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(ctypes, "CDLL", absent)
    assert cudart.load() is None


def test_the_library_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: FakeLibrary(123))
    library = cudart.load()
    assert library is not None
    assert library.free_memory() == 123
    assert Cudart(FakeLibrary(123, status=2)).free_memory() is None


class OnCpu:
    """ONNX Runtime itself, with the processor in the place of a GPU: its sessions, values and bindings are real."""

    def __init__(self) -> None:
        import onnxruntime

        self._ort = onnxruntime
        self.OrtValue = types.SimpleNamespace(
            ortvalue_from_shape_and_type=lambda shape, dtype, device, index: (
                onnxruntime.OrtValue.ortvalue_from_shape_and_type(shape, dtype)
            )
        )

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ort, name)

    def InferenceSession(self, source: Any, options: Any, providers: list[Any]) -> Any:
        session = self._ort.InferenceSession(source, options, providers=[CPU])
        session.get_providers = lambda: [p if isinstance(p, str) else p[0] for p in providers]
        return session


@pytest.mark.parametrize("lazy", [False, True])
def test_bound_windows_give_what_plain_ones_give(
    monkeypatch: pytest.MonkeyPatch, toys: list[Path], scene: xr.Dataset, lazy: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Through real buffers, on the processor, where both are exact."""
    plain = scene.s2sr.upsample(model=toys, device="cpu")
    shim = OnCpu()
    monkeypatch.setattr(engine, "import_onnxruntime", lambda: shim)
    monkeypatch.setattr(engine, "cuda_problem", lambda: None)
    bound = (scene.chunk() if lazy else scene).s2sr.upsample(model=toys, device="cuda", threads=2, tile=24).compute()
    xr.testing.assert_identical(bound, plain)
    assert {type(opened) for opened in engine._runners.values()} == {engine.OrtRunner, CudaRunner}
    # older versions of ONNX Runtime cannot tell
    tells = hasattr(shim._ort.InferenceSession, "get_provider_graph_assignment_info")
    assert ("nodes run on the CPU and not on the GPU: Conv" in caplog.text) is tells


# -- memory -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("free", "expected"),
    [
        (None, 1080**2),
        (80 * 2**30, 1080**2),  # 4000 bytes for each pixel: half of it would hold 10.7 million
        (8 * 10**9, 1_000_000),
        (10**8, 360**2),
    ],
)
def test_the_largest_window_follows_free_memory(install: Install, free: int | None, expected: int) -> None:
    runner = opened(install(CUDA, CPU), None if free is None else Cudart(FakeLibrary(free)))
    assert runner.largest == expected


def test_buffers_of_standard_errors_count_too(install: Install) -> None:
    """4 bytes for each of six bands, in each of two windows under way."""
    fake = install(CUDA, CPU)
    session = fake.InferenceSession("x", fake.SessionOptions(), [CUDA])
    outputs = ("sr", "standard_error")
    runner = CudaRunner(fake, session, CARD_20, Cudart(FakeLibrary(8 * 10**9)), outputs=outputs)
    assert runner.largest == 4 * 10**9 // 4048


def test_out_of_memory_is_remembered(install: Install) -> None:
    fake = install(CUDA, CPU)
    fake.room = 1000
    runner = opened(fake)
    with pytest.raises(DeviceMemoryError, match=r"does not hold a window of 36 x 48 .*Failed to allocate.*tile=360"):
        runner.run(window(36, 48))
    runs = kinds(fake).count("run")
    with pytest.raises(DeviceMemoryError, match="did not fit before"):
        runner.run(window(48, 36))
    assert kinds(fake).count("run") == runs
    assert runner.run(window(24, 36)).shape == (6, 24, 36)


def test_another_failure_is_not_one_of_memory(install: Install) -> None:
    fake = install(CUDA, CPU)
    fake.room, fake.failure = 0, Fail("CUDNN_STATUS_EXECUTION_FAILED")
    runner = opened(fake)
    with pytest.raises(
        EngineError, match=r'24 x 24 pixels failed on the GPU: CUDNN_STATUS.*Try device="cpu"'
    ) as caught:
        runner.run(window(24, 24))
    assert not isinstance(caught.value, DeviceMemoryError)
    fake.room = float("inf")
    assert runner.run(window(24, 24)).shape == (6, 24, 24)  # its slot is free again


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("lazy", [False, True])
def test_windows_that_do_not_fit_are_halved(install: Install, toy: models.Model, threads: int, lazy: bool) -> None:
    fake = install(CUDA, CPU)
    ds = native((120, 144), (*("B02", "B03", "B04", "B08"), *RED_EDGE))
    scene = ds.chunk() if lazy else ds
    whole = scene.s2sr.upsample(model=[toy], device="cuda", threads=threads).compute()
    engine._runners.clear()
    fake.room = 84 * 84
    fake.log.clear()
    halved = scene.s2sr.upsample(model=[toy], device="cuda", threads=threads).compute()
    xr.testing.assert_identical(halved, whole)
    np.testing.assert_array_equal(whole.B05, ds.B02)  # the first target of the made-up network is the first band
    sizes = [shape[0] * shape[1] for kind, shape in fake.log if kind == "run"]
    assert max(sizes) > fake.room
    assert sum(size <= fake.room for size in sizes) >= 4


def test_memory_that_holds_no_window(install: Install, toy: models.Model) -> None:
    fake = install(CUDA, CPU)
    fake.room = 0
    ds = native((60, 72), (*("B02", "B03", "B04", "B08"), *RED_EDGE))
    with pytest.raises(DeviceMemoryError, match=r'GPU\'s memory does not hold a window.*device="cpu"'):
        ds.s2sr.upsample(model=[toy], device="cuda")


def test_blended_windows_are_not_halved(install: Install, toy: models.Model, tmp_path: Path) -> None:
    """The result would depend on the memory."""
    assert toy.path is not None
    blind = load(relabel(toy.path, without_halo(CARD_20), tmp_path / "blind.onnx"))
    fake = install(CUDA, CPU)
    fake.room = 100
    ds = native((120, 144), (*("B02", "B03", "B04", "B08"), *RED_EDGE))
    with pytest.raises(DeviceMemoryError, match=r"Use smaller tiles: upsample\(tile=360\)"):
        ds.s2sr.upsample(model=[blind], device="cuda", tile=60)


# -- sessions ---------------------------------------------------------------------------------------------------------


def test_provider_options(install: Install, toy: models.Model) -> None:
    fake = install(CUDA, CPU)
    engine.runner(toy, "cuda")
    name, options = fake.sessions[0].providers[0]
    assert name == CUDA
    assert options["cudnn_conv_algo_search"] == "HEURISTIC"
    assert options["use_tf32"] == "0"


def test_nodes_on_the_cpu_are_listed(
    install: Install, toy: models.Model, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    install(CUDA, CPU)
    engine.runner(toy, "cuda")
    assert "on the CPU" not in caplog.text
    monkeypatch.setattr(FakeRuntime, "left", ("edge", "rim"))
    engine._runners.clear()
    engine.runner(toy, "cuda")
    assert "2 nodes run on the CPU and not on the GPU: Pad edge, Pad rim" in caplog.text


def test_an_older_onnxruntime_cannot_list_nodes() -> None:
    assert cuda.cpu_nodes(object()) is None


# -- precision --------------------------------------------------------------------------------------------------------


def test_half_precision_is_gone_and_says_so(scene: xr.Dataset, recwarn: pytest.WarningsRecorder) -> None:
    plain = scene.s2sr.upsample("B05", model="s2sr-20m-fast")
    for quiet in ("auto", "fp32"):
        xr.testing.assert_identical(scene.s2sr.upsample("B05", model="s2sr-20m-fast", precision=quiet), plain)
    assert not recwarn.list
    with pytest.warns(S2SRWarning, match=r'^precision="fp16" is deprecated.* computes in fp32.*1\.14 times as fast'):
        half = scene.s2sr.upsample("B05", model="s2sr-20m-fast", precision="fp16")
    xr.testing.assert_identical(half, plain)


def test_unknown_precision(scene: xr.Dataset) -> None:
    with pytest.raises(InputError, match=r"precision='int8' is unknown; choose one of 'auto', 'fp32', 'fp16'"):
        scene.s2sr.upsample(precision="int8")
