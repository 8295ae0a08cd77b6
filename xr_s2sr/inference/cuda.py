"""A model on a GPU: windows of one shape, buffers that stay on the device, and several windows under way.

While one window is computed, other threads gather and finish, and copy the next window to the device and the last one
from it. Knows no ONNX Runtime but the module that it is given, so that a fake one can take its place.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from xr_s2sr.errors import EngineError
from xr_s2sr.inference.cudart import Cudart
from xr_s2sr.models import ModelCard

Float32: TypeAlias = NDArray[np.float32]
Shapes: TypeAlias = tuple[tuple[str, tuple[int, ...]], ...]

#: Windows under way on the device at once: one is computed, one is copied; a third brought nothing on an H200.
IN_FLIGHT = 2
#: Bytes of device memory allowed for each 10 m pixel of a window, workspaces of the convolutions included, and the
#: part of the free memory that may be taken. A guess on the safe side: a window that is too large is halved.
BYTES_PER_PIXEL, SHARE = 4000, 2
#: Pixels of the smallest and largest window that is chosen. On an H200 windows of 720 to 1080 pixels a side were the
#: fastest; copies of larger ones leave the processor's caches.
SMALLEST_WINDOW, LARGEST_WINDOW = 360**2, 1080**2


class DeviceMemoryError(EngineError):
    """A window does not fit into the memory of the GPU."""


def provider_options() -> dict[str, str]:
    """Return the options of the CUDA provider."""
    return {
        "cudnn_conv_algo_search": "HEURISTIC",
        "arena_extend_strategy": "kSameAsRequested",
        "use_tf32": "0",  # its ten bits are no fp32
    }


def failures(ort: Any) -> tuple[type[Exception], ...]:
    """Return the exceptions that a run raises: ONNX Runtime's share no base but Exception."""
    state = ort.capi.onnxruntime_pybind11_state
    named = (getattr(state, name, None) for name in ("Fail", "RuntimeException", "EPFail", "EngineError"))
    return RuntimeError, *(kind for kind in named if kind is not None)


def is_out_of_memory(error: Exception) -> bool:
    """Tell whether a run failed for lack of memory; only the message says so."""
    text = str(error).lower()
    signs = "out of memory", "failed to allocate", "cuda_error_out_of_memory", "cudaerrormemoryallocation"
    return any(sign in text for sign in signs) or ("alloc_failed" in text)


@dataclass
class Slot:
    """Buffers of one window, on the device and pinned on the host, bound to the session."""

    shapes: Shapes
    binding: Any
    inputs: dict[str, Any]
    outputs: list[Any]
    staging: dict[str, Float32]

    def upload(self, arrays: Mapping[str, Float32]) -> None:
        """Copy a window to the device; from pinned memory, if there is some, the device fetches it by itself."""
        for name, array in arrays.items():
            source = array[np.newaxis]
            if name in self.staging:
                np.copyto(self.staging[name], source)
                source = self.staging[name]
            self.inputs[name].update_inplace(source)

    def download(self) -> Float32:
        """Copy the output from the device; several one after the other."""
        arrays: list[Float32] = [output.numpy() for output in self.outputs]
        # memory that the host reaches is not copied, but is written again by the next window
        own = [array[0] if array.flags.owndata else array[0].copy() for array in arrays]
        return own[0] if len(own) == 1 else np.concatenate(own)


class CudaRunner:
    """A model in a session of ONNX Runtime on a GPU.

    Parameters
    ----------
    ort : module
        ONNX Runtime.
    session : InferenceSession
        With the CUDA provider.
    card : ModelCard
    cudart : Cudart, optional
        Tells free memory and pins host memory; without it, neither.
    in_flight : int
        Windows under way on the device at once.
    outputs : tuple of str
        Names of the outputs to compute, each with the targets as its channels.

    Attributes
    ----------
    largest : int
        Pixels of the largest window, its margin included, that the memory seems to hold.
    """

    device = "cuda"

    def __init__(
        self,
        ort: Any,
        session: Any,
        card: ModelCard,
        cudart: Cudart | None = None,
        in_flight: int = IN_FLIGHT,
        outputs: tuple[str, ...] = ("sr",),
    ) -> None:
        self._ort, self._session, self._cudart = ort, session, cudart
        self._targets, self._outputs = len(card.targets), outputs
        self._failures = failures(ort)
        self._gate = threading.Lock()  # runs of one session share its stream; one at a time, memory is that of one
        self._slots: SimpleQueue[Slot | None] = SimpleQueue()
        for _ in range(in_flight):
            self._slots.put(None)
        free = None if cudart is None else cudart.free_memory()
        # the first output is counted in BYTES_PER_PIXEL; float32, in every window under way
        needed = BYTES_PER_PIXEL + 4 * in_flight * self._targets * (len(outputs) - 1)
        room = LARGEST_WINDOW if free is None else free // SHARE // needed
        self.largest = min(LARGEST_WINDOW, max(SMALLEST_WINDOW, room))
        self._failed = math.inf  # pixels of the smallest window that did not fit

    def run(self, inputs: dict[str, Float32]) -> Float32:
        """Take inputs (bands, y, x) by name, float32; return (targets, y, x) on the 10 m grid. Thread-safe.

        Raises
        ------
        DeviceMemoryError
            If the window does not fit, or is as large as one that did not.
        EngineError
            If the run fails for another reason.
        """
        shapes: Shapes = tuple((name, (1, *array.shape)) for name, array in inputs.items())
        rows, cols = (max(shape[axis] for _, shape in shapes) for axis in (-2, -1))
        if rows * cols >= self._failed:
            raise DeviceMemoryError(_too_large(rows, cols, "a window of that size did not fit before"))
        slot = self._slots.get()
        try:
            if slot is None or slot.shapes != shapes:
                slot = None  # frees the buffers of another shape first
                slot = self._bind(shapes, rows, cols)
            slot.upload(inputs)
            with self._gate:
                self._session.run_with_iobinding(slot.binding)
            return slot.download()
        except self._failures as error:
            slot = None
            if is_out_of_memory(error):
                self._failed = min(self._failed, rows * cols)
                raise DeviceMemoryError(_too_large(rows, cols, str(error))) from error
            raise EngineError(
                f'the run of a window of {rows} x {cols} pixels failed on the GPU: {error}. Try device="cpu"'
            ) from error
        finally:
            self._slots.put(slot)

    def _bind(self, shapes: Shapes, rows: int, cols: int) -> Slot:
        """Reserve the buffers of a window and bind them."""
        value = self._ort.OrtValue.ortvalue_from_shape_and_type
        inputs = {name: value(list(shape), np.float32, "cuda", 0) for name, shape in shapes}
        outputs = [value([1, self._targets, rows, cols], np.float32, "cuda", 0) for _ in self._outputs]
        binding = self._session.io_binding()
        for name, array in inputs.items():
            binding.bind_ortvalue_input(name, array)
        for name, array in zip(self._outputs, outputs, strict=True):
            binding.bind_ortvalue_output(name, array)
        pinned = {} if self._cudart is None else {name: self._cudart.pinned(shape) for name, shape in shapes}
        staging = {name: array for name, array in pinned.items() if array is not None}
        return Slot(shapes, binding, inputs, outputs, staging)


def cpu_nodes(session: Any) -> list[str] | None:
    """Return the nodes of a session that run on the CPU though it has another provider; None where it cannot tell."""
    if not hasattr(session, "get_provider_graph_assignment_info"):
        return None
    return [
        f"{node.op_type} {node.name}".strip()
        for part in session.get_provider_graph_assignment_info()
        if part.ep_name == "CPUExecutionProvider"
        for node in part.get_nodes()
    ]


def _too_large(rows: int, cols: int, reason: str) -> str:
    """Return what an error says of a window that does not fit."""
    return (
        f"the GPU's memory does not hold a window of {rows} x {cols} pixels of 10 m ({reason}); expected room for it. "
        'Use smaller tiles: upsample(tile=360), or device="cpu"'
    )
