"""Files that can be read to their end: a named pipe would be waited for, a device read for ever."""

from __future__ import annotations

import stat
from pathlib import Path

from xr_s2sr.errors import ProductError

#: Bytes of a file of metadata; those of a tile take about 1 MB.
METADATA_LIMIT = 64 * 2**20


def check_plain(path: Path) -> None:
    """Refuse a pipe, a socket or a device, also at the end of a link; what is not there is left to who opens it.

    Raises
    ------
    ProductError
    """
    try:
        mode = path.stat().st_mode
    except OSError:
        return
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
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
            content = file.read(METADATA_LIMIT + 1)
    except OSError as error:
        raise ProductError(f"{path} cannot be read ({error}); expected metadata. Download or copy it again") from error
    if len(content) > METADATA_LIMIT:
        raise too_large(str(path))
    return content


def too_large(where: str) -> ProductError:
    """Return the error for a file of metadata that no product has."""
    return ProductError(
        f"{where} holds more than {METADATA_LIMIT >> 20} MiB; expected metadata of about 1 MiB. Download it again"
    )
