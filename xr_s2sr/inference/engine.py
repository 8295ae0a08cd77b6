"""Sessions of ONNX Runtime: providers, the device probe, and one cached session per process, model and device."""

from __future__ import annotations

import contextlib
import ctypes
import io
import logging
import os
import sys
import threading
from functools import lru_cache, partial
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from xr_s2sr.errors import EngineError, ModelError
from xr_s2sr.inference import cuda, cudart
from xr_s2sr.inference.cuda import CudaRunner
from xr_s2sr.models import Model
from xr_s2sr.models.card import RESTORED, STANDARD_ERROR
from xr_s2sr.models.protobuf import without_output
from xr_s2sr.models.registry import weights_of
from xr_s2sr.planning import Device
from xr_s2sr.runtime import import_onnxruntime

Float32: TypeAlias = NDArray[np.float32]

log = logging.getLogger("xr_s2sr")


class Runner(Protocol):
    """Anything that turns the input windows of a model into its output window."""

    @property
    def device(self) -> str:
        """The device that it runs on: "cpu" or "cuda"."""

    def run(self, inputs: dict[str, Float32]) -> Float32:
        """Take inputs (bands, y, x) by name, float32; return (targets, y, x) on the 10 m grid. Thread-safe.

        A runner that was opened for standard errors returns these as well, after the targets.
        """


class OrtRunner:
    """A model in an ONNX Runtime session that takes and gives arrays in the CPU's memory."""

    device = "cpu"

    def __init__(self, session: Any, outputs: tuple[str, ...] = (RESTORED,)) -> None:
        self._session = session
        self._outputs = list(outputs)

    def run(self, inputs: dict[str, Float32]) -> Float32:
        """Run one window; see :class:`Runner`."""
        feed = {name: array[np.newaxis] for name, array in inputs.items()}
        outputs = self._session.run(self._outputs, feed)
        out: Float32 = outputs[0] if len(outputs) == 1 else np.concatenate(outputs, axis=1)
        return out[0] if out.ndim == 4 and len(out) == 1 else out  # the caller checks the shape


#: Sessions by process, model and settings, the one that was used last at the end.
_runners: dict[tuple[int, str, str, bool], OrtRunner | CudaRunner] = {}
#: Side of the window, in 10 m pixels, on which a model is tried when it is opened: a multiple of 60 m pixels.
PROBE = 60
#: Entries that are kept; a session that "auto" chose takes two.
KEPT_SESSIONS = 16
_lock = threading.RLock()


def release_sessions() -> None:
    """Let go of the sessions of all models in this process; the next run opens what it needs.

    A session holds a model's weights, on a GPU also its memory there. The sixteen that were used last are kept, so
    that runs and the tasks of dask share them. A run under way keeps its own until it ends.

    Examples
    --------
    >>> xr_s2sr.release_sessions()
    """
    with _lock:
        _runners.clear()


#: Sessions of the parent of a forked process: they cannot be used here, nor closed, as their threads are not here.
_inherited: list[object] = []


def _begin_child() -> None:
    """Forget the parent's sessions in a process that was just forked."""
    _inherited.append({**_runners})
    _runners.clear()
    _lock.release()


if hasattr(os, "register_at_fork"):  # a fork waits until no session is being opened: its child could wait for ever
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_begin_child)


def runner(
    model: Model,
    device: Device = "auto",
    weights: bytes | None = None,
    uncertainty: bool = False,
) -> OrtRunner | CudaRunner:
    """Return this process's session for a model and device; it is made at first use.

    Parameters
    ----------
    model : Model
    device : {"auto", "cpu", "cuda"} or str
        "auto" takes CUDA where it works, else the CPU; any other name is that of an execution provider.
    weights : bytes, optional
        The model's file, for a process that may not see it.
    uncertainty : bool
        Standard errors are wanted too; if not, the nodes that only these need are not in the session.

    Raises
    ------
    EngineError
        If "cuda" or an execution provider was asked for and is not active, or ONNX Runtime is missing or broken.
    ModelError
        If ONNX Runtime cannot load the file, or the file does not match its card.
    """
    # a session cannot be used after a fork: hence the pid
    key = (os.getpid(), model.sha256, device, uncertainty)
    with _lock:
        found = _runners.pop(key, None)
        if found is None:
            open_it = _open_best if device == "auto" else partial(_open, device=device)
            found = open_it(model, weights=weights, uncertainty=uncertainty)
        _runners[key] = found
        while len(_runners) > KEPT_SESSIONS:
            del _runners[next(iter(_runners))]
        return found


def _open_best(model: Model, weights: bytes | None, uncertainty: bool) -> OrtRunner | CudaRunner:
    """Open a session on a GPU if there is one that works, else on the CPU."""
    problem = cuda_problem()
    if problem is None:
        try:
            best = runner(model, "cuda", weights, uncertainty)
            log.info("device: cuda")
            return best
        except EngineError as error:  # a device, but not the libraries
            log.warning("device: cpu, since CUDA does not work. %s", error)
    else:
        log.info("device: cpu (%s)", problem)
    return runner(model, "cpu", weights, uncertainty)


def _open(model: Model, device: str, weights: bytes | None, uncertainty: bool) -> OrtRunner | CudaRunner:
    """Open a session on a device, and try the model once."""
    ort = import_onnxruntime()
    outputs = (RESTORED, STANDARD_ERROR) if uncertainty else (RESTORED,)
    source = weights_of(model, weights)
    if model.card.uncertainty and not uncertainty:
        source = without_output(source, STANDARD_ERROR)
    options = ort.SessionOptions()
    # one thread per run, no spinning: windows are spread over Python threads, which is faster and steadier
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    # patterns keep the largest block per shape; without them, memory is that of the maps alive, at the same speed
    options.enable_mem_pattern = False
    if device == "cpu" and _share_arena() == os.getpid():
        options.add_session_config_entry("session.use_env_allocators", "1")
    providers = _providers(ort, device)
    if device == "cuda":
        options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    try:
        session = ort.InferenceSession(source, options, providers=providers)
    except Exception as error:  # onnxruntime's exceptions share no base but Exception
        raise ModelError(f"ONNX Runtime cannot load {model.path}: {error}") from error
    active = session.get_providers()[0]
    if active != ("CUDAExecutionProvider" if device == "cuda" else providers[0]):
        fix = 'its CUDA libraries could not be loaded. Install them: pip install "xr_s2sr[cuda13]"; or use device="cpu"'
        raise EngineError(
            f'device="{device}" was asked for, but ONNX Runtime fell back to {active}'
            + (f": {fix}" if device == "cuda" else '. Use device="cpu"')
        )
    check_ports(session, model, outputs)
    probe(session, model, device, outputs)
    if device != "cuda":
        return OrtRunner(session, outputs)
    if left := cuda.cpu_nodes(session):
        log.warning("%s: %d nodes run on the CPU and not on the GPU: %s", model, len(left), ", ".join(left))
    return cuda.CudaRunner(ort, session, model.card, cudart.load(), outputs=outputs)


def _providers(ort: Any, device: str) -> list[Any]:
    """Return the execution providers of a session, the one that is wanted first."""
    if device == "cuda":
        problem = cuda_problem()
        if problem:
            raise EngineError(f'device="cuda" was asked for, but {problem}. Use device="cpu", or device="auto"')
        return [("CUDAExecutionProvider", cuda.provider_options()), "CPUExecutionProvider"]
    if device in ("cpu", "CPUExecutionProvider"):
        return ["CPUExecutionProvider"]
    known = ort.get_available_providers()
    if device not in known:
        raise EngineError(
            f'device="{device}" was asked for, but this ONNX Runtime has {", ".join(known)}. Install a build of ONNX '
            'Runtime that has it, such as onnxruntime-openvino, or use device="cpu"'
        )
    return [device, "CPUExecutionProvider"]


@lru_cache(maxsize=1)
def _share_arena() -> int:
    """One pool of CPU memory for all sessions that ask for it: else each keeps what its largest run needed.

    Returns the process that may use it: one forked from it may find the pool locked, by a thread that it has not got.
    """
    ort = import_onnxruntime()
    place = ort.OrtMemoryInfo("Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT)
    ort.create_and_register_allocator(place, ort.OrtArenaCfg(0, 1, -1, -1))  # no limit; grow by what is asked for
    return os.getpid()


def check_ports(session: Any, model: Model, names: tuple[str, ...]) -> None:
    """Refuse a file whose inputs and outputs are not those of its card, or have other numbers of bands."""
    card = model.card
    expected = {name: len(bands) for name, (bands, _) in card.ports.items()} | dict.fromkeys(names, len(card.targets))
    outputs = [port for port in session.get_outputs() if port.name in names]
    found = {port.name: port.shape[1] if len(port.shape) == 4 else "?" for port in (*session.get_inputs(), *outputs)}
    # a size that the file leaves open has a name instead of a number
    declared = {name: bands if isinstance(bands, int) else expected.get(name) for name, bands in found.items()}
    if declared != expected:
        raise ModelError(
            f"{model.path} has the inputs and output {found} (name: bands), its card says {expected}. Export it with "
            "the names and bands of its card, or correct the card"
        )


def probe(session: Any, model: Model, device: str, names: tuple[str, ...]) -> None:
    """Refuse a model whose output on a small window has another shape or dtype than its card promises."""
    card = model.card
    inputs = {
        name: np.zeros((1, len(bands), *[10 * PROBE // gsd] * 2), np.float32)
        for name, (bands, gsd) in card.ports.items()
    }
    try:
        outputs = session.run(list(names), inputs)
    except Exception as error:  # onnxruntime's exceptions share no base but Exception
        # on a GPU it may be the device's fault; "auto" then goes to the CPU
        raise (ModelError if device == "cpu" else EngineError)(
            f"{model.path} cannot be run on a window of {PROBE} x {PROBE} pixels of 10 m: {error}. Export it with free "
            "sizes of rows and columns"
        ) from error
    expected = (1, len(card.targets), PROBE, PROBE)
    for name, output in zip(names, outputs, strict=True):
        if output.shape != expected or output.dtype != np.float32:
            raise ModelError(
                f"{model.path} gives {output.dtype} of the shape {output.shape} as {name!r} for {PROBE} x {PROBE} "
                f"pixels of 10 m; expected float32 of {expected} (1, targets, y, x), as its card says. Export it with "
                "padding, or correct the card"
            )


def cuda_problem() -> str | None:
    """Say why CUDA cannot be used, or None. Asks the driver: ONNX Runtime only knows what was compiled in."""
    if driver_devices() == 0:
        return "no CUDA driver with a device was found"
    ort = import_onnxruntime()
    if "CUDAExecutionProvider" not in ort.get_available_providers():
        return "this ONNX Runtime was built without CUDA (pip install onnxruntime-gpu)"
    if hasattr(ort, "preload_dlls"):
        with contextlib.redirect_stdout(io.StringIO()) as said:  # it prints what it could not load
            ort.preload_dlls()
        if said.getvalue():
            log.debug("preload_dlls: %s", said.getvalue().strip())
    return None


@lru_cache(maxsize=1)
def driver_devices() -> int:
    """Return the number of devices that the CUDA driver reports; 0 without a driver."""
    name = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
    try:
        driver = ctypes.CDLL(name)
    except OSError:
        return 0
    count = ctypes.c_int(0)
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return 0
    return count.value
