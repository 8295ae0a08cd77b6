"""``.s2sr``: a thin skin that holds only the object; every method calls the free function of the same name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import xarray as xr

from xr_s2sr import api
from xr_s2sr.engine import Device
from xr_s2sr.errors import S2SRError
from xr_s2sr.radiometry import Units
from xr_s2sr.repr import Report


@xr.register_dataset_accessor("s2sr")  # type: ignore[no-untyped-call]
class S2SRAccessor:
    """Super-resolution of Sentinel-2 Datasets, as ``ds.s2sr``."""

    def __init__(self, ds: xr.Dataset) -> None:
        self._ds = ds

    def upsample(
        self,
        bands: str | Iterable[str] | None = None,
        *,
        model: api.ModelLike | Sequence[api.ModelLike] | None = None,
        device: Device = "auto",
        threads: int | None = None,
        tile: int = api.TILE,
        margin: int | None = None,
        units: Units | None = None,
        offset: float | None = None,
        progress: bool | Callable[[int, int], Any] = False,
    ) -> xr.Dataset:
        """Bring the 20 m and 60 m bands to 10 m: :func:`xr_s2sr.upsample`."""
        return api.upsample(
            self._ds,
            bands,
            model=model,
            device=device,
            threads=threads,
            tile=tile,
            margin=margin,
            units=units,
            offset=offset,
            progress=progress,
        )

    def validate(self, *, units: Units | None = None, offset: float | None = None) -> Report:
        """Say what the Dataset holds and what is wrong with it: :func:`xr_s2sr.validate`."""
        return api.validate(self._ds, units=units, offset=offset)

    @property
    def bands(self) -> Mapping[str, str]:
        """Band id to variable name, in the order of wavelength."""
        return api.bands_of(self._ds)

    def __repr__(self) -> str:
        try:
            held = ", ".join(self.bands) or "no band"
        except S2SRError as problem:
            held = str(problem)
        return f"<s2sr: {held}; .upsample(), .validate()>"
