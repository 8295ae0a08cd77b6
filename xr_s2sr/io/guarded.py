"""Checks before a file of a scene is opened: that it ends, and that decoding it runs no code.

A named pipe would be waited for, a device read for ever; some codecs of a Zarr store unpickle.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from xr_s2sr.errors import ProductError
from xr_s2sr.targets import DEVICE, kind_of

#: Bytes of a file of metadata; those of a tile take about 1 MB.
METADATA_LIMIT = 64 * 2**20
#: Files that say how arrays are decoded, in formats 2 and 3; of a node, or of all nodes at once.
_METADATA = (".zarray", ".zmetadata", "zarr.json")
#: Parts of these that name codecs.
_CODECS = ("filters", "compressor", "codecs")
#: Codecs of format 2 that make Python objects of texts, and run nothing.
_TEXTS = ("vlen-utf8", "vlen-bytes")


def check_plain(path: Path) -> None:
    """Refuse a pipe, a socket or a device, also at the end of a link; what is not there is left to who opens it.

    Raises
    ------
    ProductError
    """
    if kind_of(path) == DEVICE:
        raise ProductError(
            f"{path} is a pipe, a socket or a device, and may have no end; expected a file. Remove it, or copy the "
            "scene again"
        )


def read_metadata(path: Path) -> bytes:
    """Return the content of a file of metadata.

    Raises
    ------
    ProductError
        If it cannot be read, is no plain file, or is far larger than any metadata.
    """
    check_plain(path)
    try:
        with path.open("rb") as file:
            return read_limited(file, str(path))
    except OSError as error:
        raise ProductError(f"{path} cannot be read ({error}); expected metadata. Download or copy it again") from error


def read_limited(file: IO[bytes], name: str) -> bytes:
    """Return the content of a file of metadata that is open, in a zip too, where a small one can be a large one packed.

    Raises
    ------
    ProductError
        If it is far larger than any metadata.
    """
    content = file.read(METADATA_LIMIT + 1)
    if len(content) > METADATA_LIMIT:
        raise ProductError(
            f"{name} holds more than {METADATA_LIMIT >> 20} MiB; expected metadata of about 1 MiB. Download it again"
        )
    return content


def check_codecs(store: Path) -> None:
    """Refuse a store in a folder that holds an array of Python objects: to decode pickled ones is to run what they say.

    Raises
    ------
    ProductError
        If an array is pickled, or holds objects other than texts; if metadata cannot be read.
    """
    for file in _metadata_files(store):
        content = read_metadata(file)
        try:
            metadata = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise ProductError(f"{file} cannot be read ({error}); expected the JSON of Zarr. Copy it again") from error
        for name, array in _dicts(file.parent.name, metadata):
            codecs = {
                str(held.get("id", held.get("name"))) for key in _CODECS for _, held in _dicts(name, array.get(key))
            }
            objects = "filters" in array and "|O" in str(array.get("dtype")) and not codecs & {*_TEXTS}
            if objects or any("pickle" in codec for codec in codecs):
                by = ", ".join(sorted(codecs)) or "no codec"
                raise ProductError(
                    f"the array {name!r} in {store} holds Python objects (by {by}), "
                    "and decoding these can run any code; expected numbers or texts. Have it written with texts "
                    f"instead: ds[{name!r}] = ds[{name!r}].astype(str)"
                )


def _metadata_files(store: Path) -> Iterator[Path]:
    """Yield the files of metadata in a store, also behind links; a folder that links lead back to is looked at once."""
    seen = set()
    for folder, folders, files in os.walk(store, followlinks=True):
        here = os.path.realpath(folder)
        named = [file for file in files if file.lower() in _METADATA]
        # below an array there are chunks only
        if here in seen or ".zarray" in named:
            folders.clear()
        if here not in seen:
            yield from (Path(folder, file) for file in named)
        seen.add(here)


def _dicts(name: str, value: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield all dicts within a value of JSON, at any depth, each with the name of the array that it is about."""
    waiting = [(name, value)]
    while waiting:
        name, value = waiting.pop()
        if isinstance(value, dict):
            yield name, value
            for key, held in value.items():  # all nodes at once are named by their files
                path, _, file = key.rpartition("/")
                waiting.append((path.rpartition("/")[2] if file == ".zarray" else name, held))
        elif isinstance(value, list):
            waiting += [(name, held) for held in value]
