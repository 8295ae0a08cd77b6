"""A stand-in for ONNX Runtime: which sessions are made, with which providers and options."""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any

import numpy as np


class Port:
    def __init__(self, name: str, bands: int | str) -> None:
        self.name, self.shape = name, ["N", bands, "H", "W"]


class FakeOptions:
    def __init__(self) -> None:
        self.entries: dict[str, str] = {}

    def add_session_config_entry(self, key: str, value: str) -> None:
        self.entries[key] = value


class Fail(Exception):
    """What ONNX Runtime raises when a run fails."""


class FakeValue:
    """A tensor on the device: what is copied in and out is counted in `log`."""

    def __init__(self, log: list[Any], shape: list[int]) -> None:
        self.log, self.array = log, np.full(shape, np.nan, np.float32)

    def update_inplace(self, array: np.ndarray) -> None:
        assert array.shape == self.array.shape
        self.log.append(("up", array))
        self.array[:] = array

    def numpy(self) -> np.ndarray:
        self.log.append(("down", self.array))
        return self.array.copy()


class FakeBinding:
    def __init__(self) -> None:
        self.inputs: dict[str, FakeValue] = {}
        self.outputs: dict[str, FakeValue] = {}

    def bind_ortvalue_input(self, name: str, value: FakeValue) -> None:
        self.inputs[name] = value

    def bind_ortvalue_output(self, name: str, value: FakeValue) -> None:
        self.outputs[name] = value


class FakeRuntime:
    """As much of the module onnxruntime as the engine uses; `broken` providers fall out of a session silently.

    On the device, every target is the first 10 m band plus its number. `room` is the number of pixels of the largest
    window that its memory holds; nodes named in `left` stay on the CPU.
    """

    SessionOptions = FakeOptions
    capi = types.SimpleNamespace(onnxruntime_pybind11_state=types.SimpleNamespace(Fail=Fail))
    room: float = float("inf")
    failure: Exception = Fail("Failed to allocate memory for requested buffer of size 123")
    left: tuple[str, ...] = ()

    def __init__(self, *available: str, broken: tuple[str, ...] = ()) -> None:
        self.available, self.broken, self.sessions = available, broken, list[Any]()
        self.log: list[Any] = []  # of the device: allocations, copies, runs
        self.OrtValue = types.SimpleNamespace(ortvalue_from_shape_and_type=self._allocate)

    def _allocate(self, shape: list[int], dtype: Any, device: str, index: int) -> FakeValue:
        assert (dtype, device, index) == (np.float32, "cuda", 0)
        self.log.append(("allocate", tuple(shape)))
        return FakeValue(self.log, shape)

    def _run(self, binding: FakeBinding) -> None:
        first = binding.inputs["b10"].array
        self.log.append(("run", first.shape[2:]))
        if first[0, 0].size > self.room:
            raise self.failure
        (out,) = binding.outputs.values()
        for k, image in enumerate(out.array[0]):
            image[:] = first[0, 0] + k

    def _assignments(self) -> list[Any]:
        nodes = [types.SimpleNamespace(op_type="Pad", name=name) for name in self.left]
        parts = [(CUDA, [types.SimpleNamespace(op_type="Conv", name="c")]), (CPU, nodes)]
        return [types.SimpleNamespace(ep_name=name, get_nodes=lambda own=own: own) for name, own in parts]

    def get_available_providers(self) -> list[str]:
        return list(self.available)

    def preload_dlls(self) -> None:
        print("Failed to load libcublas")

    def InferenceSession(self, path: str | bytes, options: FakeOptions, providers: list[Any]) -> Any:
        session = types.SimpleNamespace(
            path=path,
            options=options,
            providers=providers,
            get_inputs=lambda: [Port("b10", 4), Port("b20", 6)],
            get_outputs=lambda: [Port("sr", "C")],
            run=lambda names, feed: [np.zeros((1, 6, *feed["b10"].shape[2:]), np.float32)],
            io_binding=FakeBinding,
            run_with_iobinding=self._run,
            get_provider_graph_assignment_info=self._assignments,
            get_providers=lambda: [
                name for p in providers if (name := p if isinstance(p, str) else p[0]) not in self.broken
            ],
        )
        self.sessions.append(session)
        return session


CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"
Install = Callable[..., FakeRuntime]
