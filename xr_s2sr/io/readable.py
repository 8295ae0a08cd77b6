"""Check what was written: a full disk can leave a truncated file without any error."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import xarray as xr
from rasterio.windows import Window

#: Rows that are read at once.
ROWS = 1024


def check(path: Path) -> None:
    """Check every block of a file or store: those of a TIFF by what is around them, others by reading them.

    Raises
    ------
    OSError
        If one cannot be read, or is not there.
    """
    if path.suffix == ".tif":
        check_tiff(path)
        return
    if path.suffix == ".json":
        try:
            json.loads(path.read_text(encoding="utf-8"))
        except ValueError as problem:
            raise OSError(f"{path.name} is truncated: {problem}") from problem
        return
    kind: Any = "zarr" if path.suffix == ".zarr" else None
    # not decoded: what counts is that every stored number can be read
    with xr.open_dataset(path, engine=kind, decode_cf=False, chunks=None, cache=False) as ds:
        for variable in ds.variables.values():
            rows = variable.shape[-2] if variable.ndim > 1 else 1
            step = (variable.encoding.get("chunks") or (ROWS, 0))[-2:][0]  # of Zarr: each chunk is decoded once
            for first in range(0, rows, step):
                (variable[..., first : first + step, :] if variable.ndim > 1 else variable).to_numpy()


def check_tiff(path: Path) -> None:
    """Check that every block of every band, overviews included, is there, without decoding it.

    Blocks of a COG have their size before them and their last four bytes once more behind them, so that one that was
    not written to its end, or at all, is seen. (Errors of writing reach GDAL, but for those of the last bytes that
    it, or the system, holds back.) Any other TIFF's have their places only.

    Raises
    ------
    OSError
        If one is missing, or cut short.
    """
    import rasterio

    with rasterio.open(path) as f:
        overviews, framed = len(f.overviews(1)), f.tags(ns="IMAGE_STRUCTURE").get("LAYOUT") == "COG"
    with path.open("rb") as file:
        os.fsync(file.fileno())  # what a disk elsewhere refuses, it says now
        size = path.stat().st_size
        for level in range(-1, overviews):
            options = {} if level < 0 else {"overview_level": level}
            with rasterio.open(path, sharing=False, **options) as f:
                for where, at, start, length in _blocks(f):
                    whole = 0 < length <= size - start
                    if whole and framed:
                        file.seek(start - 4)
                        block = file.read(length + 8)
                        whole = int.from_bytes(block[:4], "little") == length and block[-8:-4] == block[-4:]
                        # what was never written reads as zeros
                        whole = whole and (any(block[-4:]) or _ends_with_zeros(f, at))
                    if not whole:
                        raise OSError(f"{path.name} is truncated: {where} is missing")


def _ends_with_zeros(file: Any, at: Window) -> bool:
    """Tell whether a block may end with zeros: not with deflate, at whose end is a checksum; else, if it is decoded."""
    if file.compression is not None and file.compression.value == "DEFLATE":
        return False
    try:
        file.read(1, window=at)
    except OSError:
        return False
    return True


def _blocks(f: Any) -> Iterator[tuple[str, Window, int, int]]:
    """Yield the name, pixels, place and size of each block; size 0 for one that was never written."""
    together = f.interleaving is not None and f.interleaving.value == "PIXEL"
    for band in f.indexes[:1] if together else f.indexes:
        for (y, x), pixels in f.block_windows(band):
            start, length = (f.get_tag_item(f"BLOCK_{k}_{x}_{y}", "TIFF", bidx=band) for k in ("OFFSET", "SIZE"))
            yield f"block {x}, {y} of band {band}", pixels, int(start or 0), int(length or 0)
