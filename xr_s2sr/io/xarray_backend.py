"""xarray's engine "s2sr": ``xr.open_dataset`` and ``xr.open_mfdataset`` on what :func:`xr_s2sr.open` opens."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from os import PathLike
from pathlib import Path
from typing import Any

import xarray as xr
from xarray.backends import BackendEntrypoint

from xr_s2sr.errors import S2SRError
from xr_s2sr.io.open_any import open_any
from xr_s2sr.io.safe_files import is_product, locate


class S2SRBackend(BackendEntrypoint):
    """Sentinel-2 scenes on disk; SAFE products are known without ``engine=`` too."""

    description = "Open Sentinel-2 products (SAFE folder or .zip) and folders of their images, bands in native pixels"

    def open_dataset(
        self,
        filename_or_obj: Any,
        *,
        drop_variables: str | Iterable[str] | None = None,
        mask_and_scale: bool = False,
        bands: str | Iterable[str] | None = None,
        bbox: Iterable[float] | None = None,
    ) -> xr.Dataset:
        """Open a scene as :func:`xr_s2sr.open` does; with ``mask_and_scale=True`` as reflectance, NaN for nodata."""
        ds = open_any(filename_or_obj, bands, bbox)
        if drop_variables is not None:
            ds = ds.drop_vars(drop_variables, errors="ignore")
        return xr.decode_cf(ds, decode_times=False, decode_coords=False) if mask_and_scale else ds

    def guess_can_open(self, filename_or_obj: Any) -> bool:
        """Tell a Sentinel-2 product from what other engines open: it has its metadata."""
        if isinstance(filename_or_obj, str | PathLike):
            with suppress(S2SRError, OSError, ValueError):
                path = Path(filename_or_obj)
                return is_product(path) and locate(path) is not None
        return False
