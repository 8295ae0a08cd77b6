"""Places that may be written to: they have a name, and nothing of another kind is lost there, and no input."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Literal

from xr_s2sr.errors import InputError

Kind = Literal["file", "folder", "zarr"]

#: What a pipe, a socket or a device is called.
DEVICE = "a device or the like"

#: Files of which any Zarr store, of format 2 or 3, has one at its root.
_ROOT = ("zarr.json", ".zgroup", ".zarray", ".zmetadata")
#: Files of a Zarr store: metadata, chunks (0.1, c.0.1, or 1 in folders of their own), and chunks half written.
_ZARR = re.compile(r"zarr\.json|\.z(group|array|attrs|metadata)|(c|(c\.)?\d+(\.\d+)*)|.*\.partial")

#: What leads out of a folder, hides a file, or breaks a line; on Windows, also what its file systems do not take.
_UNSAFE = re.compile(r"^\.|[/\\\x00-\x1f\x7f-\x9f\ud800-\udfff]" + (r'|[<>:"|?*]|[. ]$' if os.name == "nt" else ""))
#: Bytes of a name that file systems take.
LONGEST = 255


def check_path(path: Path) -> Path:
    """Refuse a path that libraries cannot open: bytes that are no text, or a name that is too long.

    Raises
    ------
    InputError
    """
    text = str(path)
    try:
        longest = max((len(part.encode()) for part in path.parts), default=0)
    except UnicodeEncodeError:
        longest = LONGEST + 1
    if "\0" in text or longest > LONGEST:
        raise InputError(
            f"{text[:300]!a} cannot be the name of a file; expected text in UTF-8, of at most {LONGEST} bytes for each "
            "folder and file. Rename it"
        )
    return path


def is_name(text: str) -> bool:
    """Tell whether a text can be the name of a file: it leads nowhere else, and is neither hidden nor too long."""
    # 16 bytes for what is added to it
    return bool(text) and not _UNSAFE.search(text) and len(text.encode(errors="replace")) <= LONGEST - 16


def check_name(name: str, others: Collection[str]) -> str:
    """Return the name of a variable, if it can be that of a file in a folder beside those of others.

    Raises
    ------
    InputError
        If it leads elsewhere, cannot be written, or is another's but for the case of its letters.
    """
    good = is_name(name)
    twins = [other for other in others if other != name and other.casefold() == name.casefold()]
    if good and not twins:
        return name
    safe = _UNSAFE.sub("_", name)[:50] or "unnamed"
    while safe.casefold() in {other.casefold() for other in others}:
        safe += "_"
    what = f"is the same file as {twins[0]!r} on many disks" if good else "cannot be the name of a file"
    raise InputError(
        f"the variable {name[:300]!a} {what}; expected names that differ, without a slash or a dot in front. Rename "
        f"it: sr = sr.rename({{{name!a}: {safe!a}}})"
    )


def kind_of(path: Path) -> str | None:
    """Return what stands in a place, None for nothing; asked once, as another process may replace it meanwhile."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return None
    return "a folder" if stat.S_ISDIR(mode) else "a file" if stat.S_ISREG(mode) else DEVICE


def check_target(path: Path, kind: Kind, suffixes: Collection[str] = ()) -> Path:
    """Refuse a target whose replacement would lose something else.

    Parameters
    ----------
    path : Path
    kind : {"file", "folder", "zarr"}
        The kind of target: one file, some files of a folder, or a Zarr store.
    suffixes : collection of str
        How the name of a file ends that may be replaced; without any, any may.

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
    target = Path(os.path.realpath(check_path(path)))
    if not target.parent.is_dir():
        raise InputError(f"the folder {target.parent} does not exist; make it: mkdir -p {target.parent}")
    wanted = "a file" if kind == "file" else "a folder"
    found = kind_of(target)
    if found is not None and found != wanted:
        raise InputError(f"{path} is {found}, expected {wanted} or nothing in its place; give another name")
    if suffixes and target.is_file() and target.suffix.lower() not in suffixes:
        raise InputError(
            f"{path} is there already and does not end in {' or '.join(suffixes)}, so it is not replaced; give another "
            f"name, such as {target.stem}{next(iter(suffixes))}"
        )
    if kind == "zarr":
        _check_store(target, path)
    return target


def _check_store(target: Path, path: Path) -> None:
    """Refuse a folder that is no Zarr store, or also holds other files; other writers may replace it meanwhile."""
    if os.path.ismount(target):
        raise InputError(f"{path} is a disk of its own, which cannot be replaced; name a store on it: {path}/sr.zarr")
    before = _identity(target)
    try:
        names = {entry.name for entry in target.iterdir()}
    except (FileNotFoundError, NotADirectoryError):
        return
    if _identity(target) != before:  # another writer has replaced it, and removes what was listed here
        _check_store(target, path)
    elif names and names.isdisjoint(_ROOT):
        raise InputError(f"{path} is a folder but not a Zarr store, so it is not replaced; give another name")
    foreign = [
        Path(folder, name).relative_to(target)
        for folder, _, files in os.walk(target)
        for name in files
        if not _ZARR.fullmatch(name)
    ]
    if foreign:
        raise InputError(
            f"{path} also holds {foreign[0]}, which is no part of a Zarr store, so it is not replaced; give another "
            "name, or move what is yours out of it"
        )


def check_apart(sources: Iterable[Path], out: Path) -> None:
    """Refuse an output that is, holds or lies in an input, by whatever links and names.

    Raises
    ------
    InputError
    """
    target = Path(os.path.realpath(out))
    above = {_identity(folder) for folder in target.parents}
    for source in sorted(sources):
        here = Path(os.path.realpath(source))
        if _identity(here) == _identity(target):
            known = "" if source == out else f" {source}"
            raise InputError(f"{out} is the input{known}; name another output, such as {out.stem}_10m{out.suffix}")
        lies = _identity(here) in above
        if lies or _identity(target) in map(_identity, here.parents):
            raise InputError(
                f"the output {out} {'lies in' if lies else 'holds'} the input {source}; name an output elsewhere, such "
                f"as ../{out.name}"
            )


def _identity(path: Path) -> object:
    """Return what two names of one file or folder share: case, links and mounts can hide that they do."""
    try:
        status = path.stat()
    except OSError:
        return path
    return (status.st_dev, status.st_ino) if status.st_ino else path


def linked(folder: Path) -> set[Path]:
    """Return the files and folders to which symbolic links in a folder lead, at any depth."""
    found: set[Path] = set()
    waiting = [folder]
    while waiting:
        for top, folders, files in os.walk(waiting.pop()):
            ends = {Path(os.path.realpath(p)) for name in (*folders, *files) if (p := Path(top, name)).is_symlink()}
            waiting += ends - found
            found |= ends
    return found
