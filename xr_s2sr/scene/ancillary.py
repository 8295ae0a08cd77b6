"""Ancillary variables: masks, classes, angles. Those on the 10 m grid come along; coarser ones by nearest neighbour."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Literal, TypeAlias

import numpy as np
import xarray as xr

from xr_s2sr.bands import resolve
from xr_s2sr.errors import S2SRError
from xr_s2sr.scene.grid import Axis, read_axis
from xr_s2sr.scene.info import SceneInfo

#: The ancillary variables that come along: those on the 10 m grid, or all.
Keep: TypeAlias = Literal["fine", "all"]
KEEP: tuple[Keep, ...] = ("fine", "all")


def off_grid(ds: xr.Dataset, info: SceneInfo, grids: Iterable[xr.DataArray] = ()) -> list[str]:
    """Return the names of the ancillary variables that lie neither on the 10 m grid nor on those of other variables."""
    known = [{*da.dims} for da in (ds[info.fine.name], *grids)]
    return [
        str(name)
        for name, da in ds.data_vars.items()
        if resolve(name) is None and not any({*da.dims} <= dims for dims in known)
    ]


def to_fine_grid(da: xr.DataArray, reference: xr.DataArray) -> xr.DataArray | None:
    """Bring a coarser variable to the 10 m grid by nearest neighbour; None if it does not cover the grid.

    A variable whose last two dims are not spatial comes back as it is.
    """
    rows, cols = reference.dims[-2:]
    if da.ndim < 2 or any(dim not in da.coords for dim in da.dims[-2:]):
        return da
    index: dict[Hashable, xr.Variable] = {}
    for dim, fine in zip(da.dims[-2:], (rows, cols), strict=True):
        try:
            at = _within(read_axis(da, dim), read_axis(reference, fine, 10.0))
        except S2SRError:
            return None  # not a regular grid
        if at is None:
            return None
        index[dim] = xr.Variable(fine, at)
    own = {key: coord for key, coord in da.coords.items() if not {*da.dims[-2:]} & {*coord.dims}}
    out = da.variable.isel(index).transpose(*da.dims[:-2], rows, cols)
    coords = {**reference.coords, **{key: coord for key, coord in own.items() if key not in reference.coords}}
    fitting = {key: coord for key, coord in coords.items() if {*coord.dims} <= {*out.dims}}
    return xr.DataArray(out, fitting, name=da.name)


def _within(coarse: Axis, fine: Axis) -> np.ndarray | None:
    """Return the coarse pixel that holds each fine pixel's centre; None if some lie outside."""
    centres = fine.first + fine.step * np.arange(fine.size)
    at = np.floor((centres - coarse.edge) / coarse.step).astype(int)
    return at if at.size and at.min() >= 0 and at.max() < coarse.size else None
