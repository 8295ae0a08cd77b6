"""Scenes on disk."""

from __future__ import annotations

from pathlib import Path

import xarray as xr

from xr_s2sr.errors import InputError


def open_any(path: Path) -> xr.Dataset:
    """A Dataset from a NetCDF or Zarr, in memory."""
    if path.suffix not in (".nc", ".zarr"):
        raise InputError(f'{path} is no scene that this command reads; expected a .nc, a .zarr, or "demo"')
    if not path.exists():
        raise InputError(f'{path} does not exist; expected a .nc, a .zarr, or "demo"')
    try:
        with xr.open_dataset(
            path, engine="zarr" if path.suffix == ".zarr" else None, decode_coords="all", chunks=None
        ) as ds:
            return ds.load()
    except (OSError, ValueError, ImportError) as error:
        reason = str(error).partition("\n")[0]
        raise InputError(
            f"{path} cannot be read: {reason}; expected a Dataset as xarray writes it, and a library that reads it: "
            "pip install netCDF4 zarr"
        ) from error
