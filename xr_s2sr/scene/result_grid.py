"""The grid of a result: the covered part of the 10 m grid, or the 20 m pixels in it; and variables brought there."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from affine import Affine

from xr_s2sr.scene.grid import Grid
from xr_s2sr.scene.info import SceneInfo
from xr_s2sr.spans import Extent

#: Parts of an encoding that still describe the result; chunks, source and compression of the input file do not.
KEPT_ENCODING = (
    "dtype",
    "scale_factor",
    "add_offset",
    "_FillValue",
    "missing_value",
    "grid_mapping",
    "units",
    "calendar",
)

#: Attributes that describe a grid: satpy's, stackstac's, EOPF's.
GRID_ATTRS = ("area", "resolution", "transform", "proj:transform", "proj:shape", "proj:bbox")


@dataclass(frozen=True)
class ResultGrid:
    """The grid of a result.

    Attributes
    ----------
    grid : Grid
        The 10 m grid of the scene.
    covered : (Span, Span)
        The part of it that the result covers: whole pixels of the result.
    step : int
        Pixel size of the result over 10 m: 1 or 2.
    reference : DataArray
        A variable on the grid of the result, whose coordinates and attributes of the grid others get.
    native : (slice, slice), optional
        The part of the native 20 m grid that is the result's; None if the result is not on that.
    """

    grid: Grid
    covered: Extent
    step: int
    reference: xr.DataArray
    native: tuple[slice, slice] | None = None

    @property
    def transform(self) -> Affine:
        corner = self.grid.corner(self.covered[0].start, self.covered[1].start)
        return Affine(corner.a * self.step, 0.0, corner.c, 0.0, corner.e * self.step, corner.f)

    def variable(self, native: xr.DataArray, data: Any, origin: Mapping[str, Any]) -> xr.DataArray:
        """Return new pixels of a band with its name, attrs and encoding.

        Parameters
        ----------
        native : DataArray
            The band's variable in the input.
        data : array, shape (..., y, x)
            On the grid of the result.
        origin : mapping
            More attributes, which say where the pixels come from.
        """
        like, gone = self.reference, set(native.dims[-2:])
        own = {k: c for k, c in native.coords.items() if not gone & set(c.dims) and k not in like.coords}
        out = like.copy(deep=False, data=data).assign_coords(own).rename(native.name)
        # what describes the grid is that of the result's
        kept = {key: value for key, value in native.attrs.items() if key not in GRID_ATTRS}
        out.attrs = kept | {key: like.attrs[key] for key in GRID_ATTRS if key in like.attrs} | dict(origin)
        out.encoding = {key: native.encoding[key] for key in KEPT_ENCODING if key in native.encoding}
        return out

    def from_fine(self, da: xr.DataArray) -> xr.DataArray:
        """Return the covered part of a variable on the 10 m grid, and itself where it is not on it.

        For a result at 20 m, one pixel of each four, the upper left: of classes and masks there is no mean.
        """
        part = fine_part(da, self.covered, self.grid, self.step)
        dims = dict(zip((self.grid.y.dim, self.grid.x.dim), self.reference.dims[-2:], strict=True))
        if self.step == 1 or not {*dims} & {*da.dims}:
            return part
        coords = {key: coord for key, coord in part.coords.items() if not {*dims} & {*coord.dims}}
        coords |= {key: coord for key, coord in self.reference.coords.items() if key not in coords}
        bare = part.drop_vars(list(part.coords)).rename({old: new for old, new in dims.items() if old in part.dims})
        return bare.assign_coords({key: coord for key, coord in coords.items() if {*coord.dims} <= {*bare.dims}})

    def from_native(self, da: xr.DataArray) -> xr.DataArray | None:
        """Return the covered part of a variable on the native 20 m grid if that is the result's; else None."""
        if self.native is None or not {*da.dims} <= {*self.reference.dims}:
            return None
        cuts = dict(zip(self.reference.dims[-2:], self.native, strict=True))
        if all(da.sizes.get(dim, size) == size for dim, size in self.reference.sizes.items()):
            return da
        return da.isel(cuts, missing_dims="ignore")


def fine_part(da: xr.DataArray, covered: Extent, grid: Grid, step: int = 1) -> xr.DataArray:
    """Return the covered part of a variable on the 10 m grid; itself if that is all of it or it is not on the grid."""
    if (len(covered[0]), len(covered[1])) == grid.shape and step == 1:
        return da
    cuts = (slice(span.start, span.stop, step) for span in covered)
    return da.isel(dict(zip((grid.y.dim, grid.x.dim), cuts, strict=True)), missing_dims="ignore")


def result_grid(ds: xr.Dataset, info: SceneInfo, covered: Extent, resolution: int = 10) -> ResultGrid:
    """Work out the grid of a result.

    Parameters
    ----------
    ds : Dataset
        The input, in native form.
    info : SceneInfo
    covered : (Span, Span)
        The part of the 10 m grid that the result covers; for 20 m, whole pixels of those.
    resolution : {10, 20}
    """
    fine, step = ds[info.fine.name], resolution // 10
    if step == 1:
        return ResultGrid(info.grid, covered, step, fine_part(fine, covered, info.grid))
    coarse = next((band for band in info.bands.values() if band.factor == step), None)
    if coarse is None:
        return ResultGrid(info.grid, covered, step, _averaged_coordinates(ds, fine, covered, info.grid))
    starts = ((span.start - own) // step for span, own in zip(covered, coarse.start, strict=True))
    rows, cols = (slice(at, at + len(span) // step) for at, span in zip(starts, covered, strict=True))
    native = ds[coarse.name]
    whole = (len(covered[0]) // step, len(covered[1]) // step) == coarse.grid.shape
    part = native if whole else native.isel(dict(zip(native.dims[-2:], (rows, cols), strict=True)))
    return ResultGrid(info.grid, covered, step, part, (rows, cols))


def _averaged_coordinates(ds: xr.Dataset, fine: xr.DataArray, covered: Extent, grid: Grid) -> xr.DataArray:
    """Return a 10 m band's upper left pixels of each four on the grid of their centres, on dims of its own."""
    part = fine_part(fine, covered, grid, 2)
    dims: dict[Hashable, str] = {}
    centres = {}
    for axis, span in zip((grid.y, grid.x), covered, strict=True):
        name = f"{axis.dim}_20m"
        while name in ds.variables or name in ds.dims:
            name += "_"
        dims[axis.dim] = name
        places = axis.edge + axis.step * (span.start + 2 * np.arange(len(span) // 2) + 1)
        centres[name] = (name, places, fine[axis.dim].attrs)
    coords = {key: coord for key, coord in part.coords.items() if not {*dims} & {*coord.dims}}
    attrs = {key: value for key, value in fine.attrs.items() if key not in GRID_ATTRS}
    bare = part.drop_vars(list(part.coords)).rename(dims)
    return bare.assign_coords({**coords, **centres}).drop_attrs(deep=False).assign_attrs(attrs)
