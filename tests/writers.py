"""Processes that write results over each other, for the tests of what a kill, a race or a full disk leaves behind."""

from __future__ import annotations

import multiprocessing
import warnings
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import rioxarray
import xarray as xr

from xr_s2sr.io.write import save

BANDS = ("B05", "B11")
SIDE = 200


def version(number: int) -> xr.Dataset:
    """A small result that compresses badly; two versions differ in every band."""
    rng = np.random.default_rng(number)
    axis = 10 * (np.arange(SIDE) + 0.5)
    bands = {band: (("y", "x"), rng.integers(1, 60000, (SIDE, SIDE), "uint16")) for band in BANDS}
    ds = xr.Dataset(bands, {"y": 4_900_020 - axis, "x": 300_000 + axis})
    return ds.rio.write_crs(32632)


def pixels(out: Path) -> list[bytes]:
    """The pixels of each band of what was written; each is read from the file."""
    if out.suffix in (".zarr", ".nc"):
        kind: Any = "zarr" if out.suffix == ".zarr" else None
        with xr.open_dataset(out, engine=kind, chunks=None, cache=False, mask_and_scale=False) as ds:
            return [np.ascontiguousarray(ds[band].values, "uint16").tobytes() for band in BANDS]
    if out.is_dir():
        return [pixels(out / f"{band}.tif")[0] for band in BANDS]
    with rioxarray.open_rasterio(out) as da:
        return [image.tobytes() for image in da.values]


def expected(number: int) -> list[bytes]:
    """The pixels of a version."""
    return [image.values.tobytes() for image in version(number).data_vars.values()]


def processes() -> Any:
    """A context whose processes start fast: forked from one that has imported all and runs no thread."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["xr_s2sr.io.write", "zarr", "netCDF4", "rasterio", "rasterio.shutil"])
    return context


def write_on(out: Path, first: int, begun: Any) -> None:
    """Write versions 0 and 1 in turn until the process is killed; `begun` gets the number of writes done."""
    warnings.simplefilter("ignore")
    both = [version(0), version(1)]
    for number in count():
        begun.send(number)
        save(both[(first + number) % 2], out)


def write_some(out: Path, number: int, times: int, start: Any, failures: Any) -> None:
    """Write one version some times, from the moment on at which all processes are ready."""
    warnings.simplefilter("ignore")
    ds = version(number)
    start.wait()
    try:
        for _ in range(times):
            save(ds, out)
    except BaseException as problem:
        failures.put(f"{type(problem).__name__}: {problem}")
        raise
