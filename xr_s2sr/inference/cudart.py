"""CUDA's runtime library, for what ONNX Runtime does not offer: free device memory, and host memory that is pinned."""

from __future__ import annotations

import ctypes
import math
import sys
import weakref
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Names of the library, newest first; ONNX Runtime has loaded one of them by the time it is looked for.
NAMES = (
    ("cudart64_13.dll", "cudart64_12.dll")
    if sys.platform == "win32"
    else ("libcudart.so.13", "libcudart.so.12", "libcudart.so")
)


class Cudart:
    """A few functions of CUDA's runtime library; each gives None where CUDA does not do it."""

    def __init__(self, library: Any) -> None:
        self._library = library

    def free_memory(self) -> int | None:
        """Return the free bytes of the current device."""
        free, total = ctypes.c_size_t(0), ctypes.c_size_t(0)
        if self._library.cudaMemGetInfo(ctypes.byref(free), ctypes.byref(total)) != 0:
            return None
        return int(free.value)

    def pinned(self, shape: Iterable[int]) -> NDArray[np.float32] | None:
        """Return an array in memory that the device reads without a detour, freed with the array."""
        shape = tuple(shape)
        size, place = 4 * math.prod(shape), ctypes.c_void_p()
        if self._library.cudaHostAlloc(ctypes.byref(place), ctypes.c_size_t(size), ctypes.c_uint(0)) != 0:
            return None
        if not place.value:
            return None
        buffer = (ctypes.c_byte * size).from_address(place.value)
        # the array holds the buffer, and the buffer the memory
        weakref.finalize(buffer, self._library.cudaFreeHost, ctypes.c_void_p(place.value)).atexit = False
        return np.frombuffer(memoryview(buffer), np.float32).reshape(shape)


def load() -> Cudart | None:
    """Find the library; None without one."""
    for name in NAMES:
        try:
            return Cudart(ctypes.CDLL(name))
        except OSError:
            continue
    return None
