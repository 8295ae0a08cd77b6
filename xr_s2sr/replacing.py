"""Put what was written in the place of a target: complete, checked, and at once; else the target stays as it was."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path

from xr_s2sr.errors import InputError, S2SRError, WriteError
from xr_s2sr.targets import Kind, check_apart, check_target


@contextmanager
def replaced(
    path: Path,
    kind: Kind,
    check: Callable[[Path], None],
    *,
    names: Sequence[str] = (),
    suffixes: Sequence[str] = (),
    sources: Iterable[Path] = (),
) -> Iterator[Path]:
    """Give a new folder to write into; what it holds at the end is put in the place of `path`.

    Everything that the package writes goes this way. What cannot be put in place is refused before anything is
    computed, as far as that can be known.

    Parameters
    ----------
    path : Path
        The target. A symbolic link stays, and what it leads to is replaced.
    kind : {"file", "folder", "zarr"}
        For "file" and "zarr" the block writes one thing, of any name. For "folder" every file is moved to the target,
        where other files stay.
    check : callable
        Called with each thing written, before any is put in place; raises if it cannot be read back.
    names : sequence of str
        For "folder", the files that the block writes; for "file", those that it writes too, to lie beside the target.
        They are put in place in this order, after the target: what describes others comes last.
    suffixes : sequence of str
        How the name of a file ends that may be replaced; without any, any may.
    sources : iterable of Path
        The files and folders that are read; none of them is replaced.

    Raises
    ------
    InputError
        See :func:`check_target` and :func:`check_apart`.
    WriteError
        If writing, checking or replacing fails; it names `path`. Of several files, all are replaced or none.
    """
    target = check_target(path, kind, suffixes)
    home = target if kind == "folder" else target.parent
    places = [*([] if kind == "folder" else [target]), *(home / name for name in names)]
    sources = list(sources)
    _check_places(places, sources, kind)
    work = None
    try:
        if home.is_dir():
            tempfile.TemporaryFile(dir=home).close()  # now, not after hours
        work = _work_folder(target, kind)  # known before it is there: an interrupt between the two would leave it
        work.mkdir(0o700)
        yield work
        parts = sorted(work.iterdir(), key=lambda part: names.index(part.name) if part.name in names else -1)
        for part in parts:
            check(part)
        check_target(path, kind, suffixes)  # again: it may have taken hours
        _check_places(places, sources, kind)
        kept = Path(tempfile.mkdtemp(prefix="old.", dir=work))
        if kind == "zarr":
            _put_folder(parts[0], target, kept)
        else:
            moves = {part: home / part.name if part.name in names else target for part in parts}
            _put_files(moves, home, kept)
    except _Stranded as problem:
        work = None  # what was there is in it
        raise WriteError(f"{path} could not be written: {problem}") from problem
    except S2SRError:
        raise
    except Exception as problem:
        # GDAL's errors reach us as classes of rasterio, of which not all are public
        if not isinstance(problem, OSError) and not type(problem).__module__.startswith("rasterio."):
            raise
        raise WriteError(
            f"{path} could not be written, what was there is kept: {problem}. Check that {home} can be "
            "written to and has space left"
        ) from problem
    finally:
        if work is not None:
            shutil.rmtree(work, ignore_errors=True)


def write_bytes(
    path: Path, content: bytes, suffixes: Sequence[str], more: Callable[[Path], object] | None = None
) -> None:
    """Write a file of a few bytes, or replace one whose name ends as it should; see :func:`replaced`.

    `more` is called with it as well, before it is put in place; raises if it is not as it should be.
    """

    def check(part: Path) -> None:
        if part.read_bytes() != content:
            raise OSError(f"{path.name} is not what was written")
        if more is not None:
            more(part)

    with replaced(path, "file", check, suffixes=suffixes) as part:
        (part / "all").write_bytes(content)


def _check_places(places: Iterable[Path], sources: Sequence[Path], kind: Kind) -> None:
    """Refuse to put a file where a folder is, and anything where an input is."""
    for place in places:
        check_apart(sources, place)
        if kind != "zarr" and place.is_dir():
            raise InputError(f"{place} is a folder, expected a file or nothing in its place; give another name")


def _work_folder(target: Path, kind: Kind) -> Path:
    """Return the path of a new hidden folder: beside a target, or in a folder that is a disk of its own."""
    inside = kind == "folder" and target.is_dir()
    inside = inside and (os.path.ismount(target) or not os.access(target.parent, os.W_OK))
    return (target if inside else target.parent) / f".{target.name[:40]}.{secrets.token_hex(8)}.part"


class _Stranded(Exception):
    """Files that were replaced could not be put back."""


def _put_files(moves: Mapping[Path, Path], home: Path, kept: Path) -> None:
    """Put files in place: all, or after an error or an interrupt none.

    Parameters
    ----------
    moves : mapping of Path to Path
        What was written, and its target.
    home : Path
        The folder of the targets; made if it is not there.
    kept : Path
        A folder that takes what was there until the last one is in place.
    """
    with ExitStack() as undo:
        if not home.exists():
            home.mkdir(exist_ok=True)
            undo.callback(_remove_empty, home)
        for number, (part, target) in enumerate(moves.items()):
            if len(moves) > 1:  # one alone is put in place at once
                undo.push(partial(_put_back, part, target, kept / str(number)))
                _keep(target, kept / str(number))
            part.replace(target)
        undo.pop_all()


def _remove_empty(folder: Path) -> None:
    """Remove a folder, unless another writer has put something there."""
    with suppress(OSError):
        folder.rmdir()


def _keep(target: Path, old: Path) -> None:
    """Give the file at a target a second name, or where the disk has no hard links, another one."""
    if target.is_dir():
        return
    try:
        os.link(target, old, follow_symlinks=False)
    except (OSError, NotImplementedError):
        with suppress(FileNotFoundError):  # another writer's move came between
            target.rename(old)


def _put_back(part: Path, target: Path, old: Path, _: object, problem: BaseException | None, __: object) -> None:
    """Put what was at a target there again, after a problem: the end of an ExitStack."""
    try:
        if os.path.lexists(old):
            old.replace(target)
        elif not part.exists():  # nothing was there, and the new one is
            target.unlink(missing_ok=True)
    except OSError:
        raise _Stranded(f"{problem}. {target} is new, and what was there is now in {old.parent}") from problem


def _put_folder(part: Path, target: Path, kept: Path) -> None:
    """Put a folder in the place of another; an interrupt between the two moves puts the old one back."""
    while True:
        old = Path(tempfile.mkdtemp(dir=kept)) / target.name
        try:
            with suppress(FileNotFoundError):
                target.rename(old)
            part.rename(target)
            return
        except BaseException as problem:
            with suppress(OSError):  # nothing was there, or another writer has put something in place: that stays
                old.rename(target)
            # another writer was faster: what it put there is replaced now
            if not (isinstance(problem, OSError) and problem.errno in (errno.ENOTEMPTY, errno.EEXIST)):
                raise
