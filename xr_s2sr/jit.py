"""The compiler of the loops: numba's, with the settings that all of them share.

Compiled with nogil, not parallel: windows are spread over Python threads, and numba's own threads inside of those can
abort a process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from hashlib import sha256
from types import CodeType, ModuleType
from typing import Any, TypeVar

import numba
import numpy as np
from numba.core.caching import FunctionCache

F = TypeVar("F", bound=Callable[..., Any])


def jit(function: F) -> F:
    """Compile a function without the GIL; cached on disk if numba finds a folder that it can write to."""
    compiled: Any = numba.njit(nogil=True)(function)
    with suppress(RuntimeError):  # "no locator available": a read-only installation
        compiled._cache = _Cache(function)  # type: ignore[no-untyped-call]
    return compiled  # type: ignore[no-any-return]


class _Cache(FunctionCache):
    """numba's cache, which notices a change of a function's own file only, made to notice what it calls elsewhere."""

    def _index_key(self, sig: Any, codegen: Any) -> tuple[Any, ...]:
        made_of = "\n".join(_made_of(self._py_func))
        key = super()._index_key(sig, codegen)  # type: ignore[no-untyped-call]
        return (*key, sha256(made_of.encode()).hexdigest())


def _made_of(function: Any) -> Iterator[str]:
    """Yield the code of a function, the constants that it takes from modules, and the same of all that it calls."""
    codes = [*_codes(function.__code__)]
    names = sorted({name for code in codes for name in code.co_names})
    for code in codes:
        consts = [const for const in code.co_consts if not isinstance(const, CodeType)]
        yield repr((code.co_code, code.co_names, code.co_varnames, consts))
    scopes = [function.__globals__]
    own = function.__module__.partition(".")[0]
    for name in names:
        module = function.__globals__.get(name)
        if isinstance(module, ModuleType) and module.__name__.partition(".")[0] == own:
            scopes.append(vars(module))
    for name, value in ((name, scope[name]) for name in names for scope in scopes if name in scope):
        if hasattr(value, "py_func"):
            yield from _made_of(value.py_func)
        elif isinstance(value, np.ndarray):
            yield repr((name, value.dtype, value.shape, value.tobytes()))
        elif not callable(value) and not isinstance(value, ModuleType):
            yield repr((name, value))


def _codes(code: CodeType) -> Iterator[CodeType]:
    """Yield a code object and those inside of it."""
    yield code
    for const in code.co_consts:
        if isinstance(const, CodeType):
            yield from _codes(const)
