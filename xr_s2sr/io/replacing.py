"""Put what was written in the place of a target: complete, checked, and at once; else the target stays as it was."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

from xr_s2sr.errors import InputError, S2SRError, WriteError

Kind = Literal["file", "folder", "zarr"]
#: Files of which any Zarr store, of format 2 or 3, has one at its root.
_ZARR = ("zarr.json", ".zgroup", ".zarray", ".zmetadata")
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2


def check_target(path: Path, kind: Kind) -> Path:
    """Refuse a target whose replacement would lose something else.

    Parameters
    ----------
    path : Path
    kind : {"file", "folder", "zarr"}
        The kind of target: one file, some files of a folder, or a Zarr store.

    Returns
    -------
    Path
        The target itself, behind symbolic links.

    Raises
    ------
    InputError
        If `path` has no name, its folder does not exist, or something of another kind stands in its place.
    """
    if path.name in ("", ".."):
        raise InputError(f"cannot write to {str(path)!r}; expected the name of a file or folder, such as 'sr.tif'")
    target = Path(os.path.realpath(path))
    if not target.parent.is_dir():
        raise InputError(f"the folder {target.parent} does not exist; make it: mkdir -p {target.parent}")
    if kind == "file" and target.is_dir():
        raise InputError(f"{path} is a folder, expected a file or nothing in its place; give another name")
    if kind != "file" and target.is_file():
        raise InputError(f"{path} is a file, expected a folder or nothing in its place; give another name")
    if kind == "zarr" and not _replaceable(target):
        raise InputError(f"{path} is a folder but not a Zarr store, so it is not replaced; give another name")
    return target


def _replaceable(target: Path) -> bool:
    """Tell whether a Zarr store, an empty folder or nothing is there; other writers may replace it meanwhile."""
    try:
        names = {path.name for path in target.iterdir()}
    except (FileNotFoundError, NotADirectoryError):
        return True
    return not names or not names.isdisjoint(_ZARR)


@contextmanager
def replaced(path: Path, kind: Kind, check: Callable[[Path], None], beside: str | None = None) -> Iterator[Path]:
    """Give a new folder to write into; what it holds at the end is put in the place of `path`.

    Parameters
    ----------
    path : Path
        The target. A symbolic link stays, and what it leads to is replaced.
    kind : {"file", "folder", "zarr"}
        For "file" and "zarr" the block writes one thing, of any name. For "folder" every file is moved to the target,
        where other files stay.
    check : callable
        Called with each thing written, before any is put in place; raises if it cannot be read back.
    beside : str, optional
        Name of a file that is written too and put beside a target that is a file, or in the folder: last of all, so
        that it never describes what is not there yet.

    Raises
    ------
    InputError
        See :func:`check_target`.
    WriteError
        If writing, checking or replacing fails; it names `path`.
    """
    from rasterio._err import CPLE_BaseError
    from rasterio.errors import RasterioError

    target = check_target(path, kind)
    home = target if kind == "folder" else target.parent
    if beside is not None and (home / beside).is_dir():
        raise InputError(f"{home / beside} is a folder, expected a file or nothing in its place; give another name")
    work = None
    try:
        work = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent))
        yield work
        parts = sorted(work.iterdir(), key=lambda part: (part.name == beside, part))
        for part in parts:
            check(part)
        if kind == "folder":
            target.mkdir(exist_ok=True)
        for part in parts:
            _put(part, home / part.name if kind == "folder" or part.name == beside else target)
    except S2SRError:
        raise
    except (OSError, RasterioError, CPLE_BaseError) as problem:
        raise WriteError(
            f"{path} could not be written, what was there is kept: {problem}. Check that {target.parent} can be "
            "written to and has space left"
        ) from problem
    finally:
        if work is not None:
            shutil.rmtree(work, ignore_errors=True)


def _put(part: Path, target: Path) -> None:
    """Move a file or folder in the place of another; other writers may do the same meanwhile."""
    if not part.is_dir():
        part.replace(target)
        return
    while not (_moved(part, target) or _exchanged(part, target) or _set_aside(part, target)):
        pass  # another writer was faster: what it put there is replaced now


def _moved(part: Path, target: Path) -> bool:
    """Move a folder to where nothing is, or an empty folder."""
    try:
        os.rename(part, target)
    except OSError as problem:
        if problem.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        return False
    return True


def _set_aside(part: Path, target: Path) -> bool:
    """Swap two folders in two steps; there is a moment with nothing in place, and an interrupt in it puts the old back.

    False if another writer came between.
    """
    old = Path(tempfile.mkdtemp(prefix="old.", dir=part.parent)) / target.name
    try:
        target.rename(old)
        part.rename(target)
    except BaseException as problem:
        if old.exists():
            with suppress(OSError):  # where something is in place again, that stays
                old.rename(target)
        if isinstance(problem, OSError) and problem.errno in (errno.ENOENT, errno.ENOTEMPTY, errno.EEXIST):
            return False
        raise
    return True


def _exchanged(one: Path, other: Path) -> bool:
    """Swap two folders in one step, where the system can (Linux's renameat2)."""
    if not sys.platform.startswith("linux"):
        return False
    swap = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if swap is None:
        return False
    return bool(swap(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0)


def check_apart(scene: Path, out: Path) -> None:
    """Refuse an output that is, holds or lies in the input.

    Raises
    ------
    InputError
    """
    source, target = Path(os.path.realpath(scene)), Path(os.path.realpath(out))
    if source == target:
        raise InputError(f"{out} is the input; name another output: -o {out.stem}_10m{out.suffix}")
    if source in target.parents or target in source.parents:
        relation = "lies in" if source in target.parents else "holds"
        raise InputError(f"the output {out} {relation} the input {scene}; name an output elsewhere: -o ../{out.name}")
