"""The compiler of the loops: numba's, with the settings that all of them share.

Compiled with nogil, not parallel: windows are spread over Python threads, and numba's own threads inside of those can
abort a process.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba

F = TypeVar("F", bound=Callable[..., Any])


def jit(function: F) -> F:
    """Compile a function without the GIL; cached on disk if numba finds a folder that it can write to."""
    try:
        return numba.njit(nogil=True, cache=True)(function)  # type: ignore[return-value]
    except RuntimeError:  # "no locator available": a read-only installation
        return numba.njit(nogil=True)(function)  # type: ignore[return-value]
