"""``.s2sr``: a thin skin that holds only the object; every method calls the free function of the same name."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, TypeVar

import xarray as xr

from xr_s2sr import agreement, api, evaluation, simulate, write
from xr_s2sr.engine import Device
from xr_s2sr.errors import S2SRError
from xr_s2sr.extras import Keep
from xr_s2sr.layout import Scene
from xr_s2sr.quality import Blur, Protocol
from xr_s2sr.radiometry import Units
from xr_s2sr.repr import Report
from xr_s2sr.scores import Scores

Method = TypeVar("Method", bound=Callable[..., Any])


def told_by(function: Callable[..., Any]) -> Callable[[Method], Method]:
    """Give a method the docstring of the free function that it calls, without the object as first parameter."""

    def document(method: Method) -> Method:
        text = inspect.cleandoc(function.__doc__ or "")
        method.__doc__ = re.sub(r"(Parameters\n-+\n)\w.*\n(?: {4}.*\n)*", r"\1", text, count=1)
        return method

    return document


class S2SRAccessor:
    """Super-resolution of Sentinel-2 scenes, as ``ds.s2sr``."""

    def __init__(self, ds: Scene) -> None:
        self._ds = ds

    @told_by(api.upsample)
    def upsample(
        self,
        bands: str | Iterable[str] | None = None,
        *,
        keep: Keep = "fine",
        into: bool = False,
        model: api.ModelLike | Sequence[api.ModelLike] | None = None,
        device: Device = "auto",
        threads: int | None = None,
        tile: int = api.TILE,
        margin: int | None = None,
        units: Units | None = None,
        offset: float | xr.DataArray | None = None,
        chunks: int | None = None,
        progress: bool | Callable[[int, int], Any] = False,
    ) -> Any:
        return api.upsample(
            self._ds,
            bands,
            keep=keep,
            into=into,
            model=model,
            device=device,
            threads=threads,
            tile=tile,
            margin=margin,
            units=units,
            offset=offset,
            chunks=chunks,
            progress=progress,
        )

    @told_by(api.validate)
    def validate(self, *, units: Units | None = None, offset: float | xr.DataArray | None = None) -> Report:
        return api.validate(self._ds, units=units, offset=offset)

    @told_by(evaluation.evaluate)
    def evaluate(
        self,
        model: api.ModelLike | Sequence[api.ModelLike] | Mapping[str, Any] | None = None,
        *,
        protocol: Protocol = "sensor",
        bands: str | Iterable[str] | None = None,
        satellite: str | None = None,
        device: Device = "auto",
        threads: int | None = None,
        tile: int = api.TILE,
        units: Units | None = None,
        offset: float | None = None,
        progress: bool | Callable[[int, int], Any] = False,
    ) -> Scores:
        return evaluation.evaluate(
            self._ds,
            model,
            protocol=protocol,
            bands=bands,
            satellite=satellite,
            device=device,
            threads=threads,
            tile=tile,
            units=units,
            offset=offset,
            progress=progress,
        )

    @told_by(agreement.consistency)
    def consistency(
        self,
        ds: Scene,
        *,
        protocol: Blur = "mtf",
        satellite: str | None = None,
        units: Units | None = None,
        offset: float | None = None,
    ) -> xr.Dataset:
        return agreement.consistency(self._ds, ds, protocol=protocol, satellite=satellite, units=units, offset=offset)

    @told_by(simulate.degrade)
    def degrade(
        self,
        factor: int,
        *,
        protocol: Protocol = "sensor",
        satellite: str | None = None,
        units: Units | None = None,
        offset: float | None = None,
    ) -> xr.Dataset:
        return simulate.degrade(self._ds, factor, protocol=protocol, satellite=satellite, units=units, offset=offset)

    @told_by(write.to_cog)
    def to_cog(self, path: str | PathLike[str], *, compress: str = "deflate") -> Path:
        return write.to_cog(self._ds, path, compress=compress)

    @property
    def bands(self) -> Mapping[str, str]:
        """Band id to variable name, or label along the bands' dimension, in the order of wavelength."""
        return api.bands_of(self._ds)

    def __repr__(self) -> str:
        try:
            held = ", ".join(self.bands) or "no band"
        except S2SRError as problem:
            held = str(problem)
        return f"<s2sr: {held}; .upsample(), .validate()>"


for register in (xr.register_dataset_accessor, xr.register_dataarray_accessor, xr.register_datatree_accessor):
    register("s2sr")(S2SRAccessor)  # type: ignore[no-untyped-call]
