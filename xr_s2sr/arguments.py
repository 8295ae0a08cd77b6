"""Type and value checks of public arguments: a wrong one is refused by name before anything else happens."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from numbers import Integral, Real
from os import PathLike, fspath
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from xr_s2sr.errors import ArgumentTypeError, InputError, warn
from xr_s2sr.targets import check_path

T = TypeVar("T")

#: Largest count that makes sense of anything here, and that fits every index.
MOST = 2**31 - 1


def shown(value: object) -> str:
    """Return a value for a message: on one line, and not too long."""
    try:
        text = " ".join(repr(value).split())
    except ValueError:  # Python does not write integers of more than 4300 digits
        return f"{type(value).__name__} of very many digits"
    return text if len(text) <= 200 else f"{text[:200]} ..."


#: How the names of execution providers of ONNX Runtime end.
PROVIDER = "ExecutionProvider"


def choice(name: str, value: object, options: Iterable[T]) -> T:
    """Check that a value is one of a few, and return that one: 20 for 20.0."""
    known = list(options)
    for option in known:
        same = value == option
        if isinstance(same, bool | np.bool_) and same:  # an array is compared element by element
            return option
    listed = ", ".join(repr(option) for option in known)
    raise InputError(f"{name}={shown(value)} is unknown; choose one of {listed}")


def device(value: object, known: Iterable[str]) -> str:
    """Check a device: one that is known, or the name of an execution provider of ONNX Runtime, which it may have."""
    if isinstance(value, str) and value.endswith(PROVIDER):
        return value
    try:
        return choice("device", value, known)
    except InputError as refused:
        raise InputError(f"{refused}, or an execution provider of ONNX Runtime, such as 'CoreML{PROVIDER}'") from None


def tile(value: object) -> int | None:
    """Check a largest side of tiles: a number of pixels, or "auto", for which it returns None."""
    return None if isinstance(value, str) and value == "auto" else count("tile", value)


def count(name: str, value: object, *, least: int = 1) -> int:
    """Check for an integer of at least `least`; a bool is refused."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, Integral):
        raise ArgumentTypeError(
            f"{name}={shown(value)} is a {type(value).__name__}; expected an integer, such as {name}={least}"
        )
    found = int(value)
    if not least <= found <= MOST:
        what, bound = ("small", f"{least} or more") if found < least else ("large", f"at most {MOST}")
        raise InputError(f"{name}={shown(found)} is too {what}; expected {bound}")
    return found


def number(name: str, value: object) -> float:
    """Check for a finite number."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, Real):
        raise ArgumentTypeError(
            f"{name}={shown(value)} is a {type(value).__name__}; expected a number, such as {name}=-1000"
        )
    try:
        found = float(value)
    except OverflowError:  # an integer beyond 1e308
        found = np.inf
    if not np.isfinite(found):
        raise InputError(f"{name}={shown(value)} is not finite; expected a number, such as {name}=-1000")
    return found


def names(name: str, value: object) -> list[object]:
    """Return a band name or several of them as a list."""
    if isinstance(value, str):
        return [value]
    if not isinstance(value, Iterable) or getattr(value, "ndim", 1) == 0:
        raise ArgumentTypeError(
            f'{name}={shown(value)} is a {type(value).__name__}; expected band names, such as {name}=["B05", "B11"]'
        )
    listed = list(value)
    if not listed:
        raise InputError(f'{name} is empty; name some bands, such as {name}=["B05", "B11"], or leave it out for all')
    return listed


def path(name: str, value: object, example: str) -> Path:
    """Check for the path of a file or folder, as text or as a `Path`."""
    try:
        text = fspath(value) if isinstance(value, str | PathLike) else value
    except TypeError:
        text = value
    if not isinstance(text, str):
        raise ArgumentTypeError(
            f'{name}={shown(value)} is a {type(value).__name__}; expected a path, such as {name}="{example}"'
        )
    return check_path(Path(text))


def progress(value: object) -> bool | Callable[[int, int], Any] | None:
    """Check for True, False, None, or something to call with (windows done, windows in all)."""
    if value is None or isinstance(value, bool) or callable(value):
        return value
    raise ArgumentTypeError(
        f"progress={shown(value)} is a {type(value).__name__}; expected True, False, None or a function of (done, "
        "total)"
    )


def for_dask(lazy: bool, chunks: int | None, progress: bool | Callable[[int, int], Any] | None) -> None:
    """Refuse what is for dask arrays only, and warn of what is not for them."""
    if chunks is not None and not lazy:
        raise InputError(
            f"chunks={chunks} is for dask arrays, and the bands are in memory; expected no chunks, or dask arrays: "
            "leave it out, or ds = ds.chunk()"
        )
    if progress and lazy:
        warn(
            "progress is not for dask arrays: nothing runs yet. Show dask's own where you compute: "
            "with dask.diagnostics.ProgressBar(): sr.to_zarr(...)",
        )
