"""Read back what was written: a full disk can leave a truncated file without any error."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

#: Rows that are read at once.
ROWS = 1024


def check(path: Path) -> None:
    """Read every block of a file or store.

    Raises
    ------
    OSError
        If one cannot be read, or is not there.
    """
    if path.suffix == ".tif":
        _check_tiff(path)
        return
    if path.suffix == ".json":
        _check_json(path)
        return
    kind: Any = "zarr" if path.suffix == ".zarr" else None
    # not decoded: what counts is that every stored number can be read
    with xr.open_dataset(path, engine=kind, decode_cf=False, chunks=None, cache=False) as ds:
        for variable in ds.variables.values():
            rows = variable.shape[-2] if variable.ndim > 1 else 1
            for first in range(0, rows, ROWS):
                (variable[..., first : first + ROWS, :] if variable.ndim > 1 else variable).to_numpy()


def _check_json(path: Path) -> None:
    try:
        json.loads(path.read_text(encoding="utf-8"))
    except ValueError as problem:
        raise OSError(f"{path.name} is truncated: {problem}") from problem


def check_copy(original: Path, copy: Path) -> None:
    """Compare two GeoTIFFs, block row by block row.

    Raises
    ------
    OSError
        If a pixel differs or cannot be read.
    """
    import rasterio
    from rasterio.windows import Window

    _check_tiff(original)
    with rasterio.open(original) as a, rasterio.open(copy) as b:
        for first in range(0, a.height, 512):
            window = Window(0, first, a.width, min(512, a.height - first))
            for band in a.indexes:
                if not np.array_equal(a.read(band, window=window), b.read(band, window=window), equal_nan=True):
                    raise OSError(f"{copy.name} is not what was written, from row {first} on: is the disk full?")


def _check_tiff(path: Path) -> None:
    """Read every block of every band, overviews included, and check that it lies within the file."""
    import rasterio
    from rasterio.windows import Window

    size = path.stat().st_size
    with rasterio.open(path) as f:
        overviews = len(f.overviews(1))
    for level in range(-1, overviews):
        options = {} if level < 0 else {"overview_level": level}
        with rasterio.open(path, **options) as f:
            height, width = f.block_shapes[0]
            for band in f.indexes:
                for y in range(-(-f.height // height)):
                    for x in range(-(-f.width // width)):
                        start = f.get_tag_item(f"BLOCK_OFFSET_{x}_{y}", "TIFF", bidx=band)
                        length = f.get_tag_item(f"BLOCK_SIZE_{x}_{y}", "TIFF", bidx=band)
                        if start is None or int(start) + int(length) > size:
                            raise OSError(f"{path.name} is truncated: block {x}, {y} of band {band} is missing")
                        f.read(band, window=Window(x * width, y * height, 1, 1))
