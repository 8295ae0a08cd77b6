"""NetCDF files, written aside like all results; a full disk is an OSError, as with any other library."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import xarray as xr

from xr_s2sr.io import readable
from xr_s2sr.io.scheduling import awaited_for
from xr_s2sr.replacing import replaced

#: Bytes that a NetCDF file may take beside its arrays.
HDF5_OVERHEAD = 2**16


def save_netcdf(ds: xr.Dataset, out: Path, sources: Iterable[Path]) -> None:
    """Write a NetCDF file, or replace one that is not among the `sources`."""
    with replaced(out, "file", readable.check, suffixes=(".nc",), sources=sources) as part, awaited_for(ds):
        _write(ds, part / "all.nc")


def _write(ds: xr.Dataset, file: Path) -> None:
    """Write a NetCDF file; what the library says of a full disk becomes an OSError, as any other library has it.

    HDF5 does not survive a full disk: it keeps the file open, takes space again later, and can end the process. So
    the space is asked for first.
    """
    stored = (v.size * np.dtype(v.encoding.get("dtype", v.dtype)).itemsize for v in ds.variables.values())
    needed, free = sum(stored) + HDF5_OVERHEAD, shutil.disk_usage(file.parent).free
    if needed > free:
        raise OSError(errno.ENOSPC, f"{os.strerror(errno.ENOSPC)}: {needed} bytes are needed, {free} are free")
    try:
        ds.to_netcdf(file)
    except (OSError, RuntimeError) as problem:
        if file.exists():
            os.truncate(file, 0)  # removing alone would free nothing of a file that is kept open
        if isinstance(problem, RuntimeError) and str(problem).startswith("NetCDF: "):
            raise OSError(str(problem)) from problem
        raise  # also a RuntimeError of the pixels' own graph
