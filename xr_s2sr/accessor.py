"""``.s2sr``: holds the object, and calls the free function of the same name for every method; for ``plot``, compare."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, TypeVar, cast, overload

import xarray as xr

from xr_s2sr import api
from xr_s2sr.errors import S2SRError
from xr_s2sr.io import write
from xr_s2sr.layouts.normalize import Scene
from xr_s2sr.plot.figures import compare
from xr_s2sr.quality import consistency, evaluate, simulate

P = ParamSpec("P")
R = TypeVar("R")
Held = TypeVar("Held", bound=Scene)


def _method(
    function: Callable[Concatenate[Scene, P], R], name: str | None = None
) -> Callable[Concatenate[S2SRAccessor[Any], P], R]:
    """Make a method of a free function: its signature, types and docstring, without the object as first parameter."""
    name = name or function.__name__

    @functools.wraps(function)
    def method(self: S2SRAccessor[Any], /, *args: P.args, **kwargs: P.kwargs) -> R:
        return function(self._ds, *args, **kwargs)

    signature = inspect.signature(function)
    first, *others = signature.parameters.values()
    itself = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    annotations = {key: kind for key, kind in function.__annotations__.items() if key != first.name}
    text = inspect.cleandoc(function.__doc__ or "")
    about: dict[str, Any] = {
        "__signature__": signature.replace(parameters=[itself, *others]),
        "__annotations__": annotations,
        "__doc__": re.sub(r"(Parameters\n-+\n)\w.*\n(?: {4}.*\n)*", r"\1", text, count=1),
        # where it is looked up when it is pickled
        "__module__": __name__,
        "__name__": name,
        "__qualname__": f"S2SRAccessor.{name}",
    }
    for key, value in about.items():
        setattr(method, key, value)
    return method


class UpsampleMethod(Protocol[P]):
    """Type of the method ``upsample``: the result has the form of the object; of a DataTree, what `into` asks for."""

    @overload
    def __get__(self, held: S2SRAccessor[xr.DataTree], kind: object = None) -> Callable[P, Any]: ...
    @overload
    def __get__(self, held: S2SRAccessor[api.Form], kind: object = None) -> Callable[P, api.Form]: ...


def _upsample_method(function: api.Upsample[P]) -> UpsampleMethod[P]:
    return cast(UpsampleMethod[P], _method(cast(Callable[Concatenate[Scene, P], Any], function)))


class S2SRAccessor(Generic[Held]):
    """Super-resolution of Sentinel-2 scenes, as ``ds.s2sr``."""

    def __init__(self, ds: Held) -> None:
        self._ds = ds

    upsample = _upsample_method(api.upsample)
    validate = _method(api.validate)
    evaluate = _method(evaluate.evaluate)
    consistency = _method(consistency.consistency)
    degrade = _method(simulate.degrade)
    to_cog = _method(write.to_cog)
    plot = _method(compare, "plot")

    @property
    def bands(self) -> Mapping[str, str]:
        """Mapping of band ids to variable names, or labels along the bands' dimension, in the order of wavelength."""
        return api.bands_of(self._ds)

    def __repr__(self) -> str:
        try:
            bands = ", ".join(self.bands) or "no band"
        except S2SRError as problem:
            bands = str(problem)
        return f"<s2sr: {bands}; .upsample(), .validate()>"

    def _repr_html_(self) -> str:
        return api.summary_html(self._ds)


for register in (xr.register_dataset_accessor, xr.register_dataarray_accessor, xr.register_datatree_accessor):
    register("s2sr")(S2SRAccessor)  # type: ignore[no-untyped-call]
