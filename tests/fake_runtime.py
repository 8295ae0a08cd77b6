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


class FakeRuntime:
    """As much of the module onnxruntime as the engine uses; `broken` providers fall out of a session silently."""

    SessionOptions = FakeOptions

    def __init__(self, *available: str, broken: tuple[str, ...] = ()) -> None:
        self.available, self.broken, self.sessions = available, broken, list[Any]()

    def get_available_providers(self) -> list[str]:
        return list(self.available)

    def preload_dlls(self) -> None:
        print("Failed to load libcublas")

    def InferenceSession(self, path: str, options: FakeOptions, providers: list[Any]) -> Any:
        session = types.SimpleNamespace(
            path=path,
            options=options,
            providers=providers,
            get_inputs=lambda: [Port("b10", 4), Port("b20", 6)],
            get_outputs=lambda: [Port("sr", "C")],
            run=lambda names, feed: [np.zeros((1, 6, *feed["b10"].shape[2:]), np.float32)],
            get_providers=lambda: [
                name for p in providers if (name := p if isinstance(p, str) else p[0]) not in self.broken
            ],
        )
        self.sessions.append(session)
        return session


CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"
Install = Callable[..., FakeRuntime]
