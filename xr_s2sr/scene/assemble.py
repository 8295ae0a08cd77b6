"""Arrays and a grid become a Dataset again: coordinates, attributes, encoding, provenance."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import Any

import xarray as xr

from xr_s2sr.bands import BANDS, resolve
from xr_s2sr.scene.ancillary import Keep, to_fine_grid
from xr_s2sr.scene.crs import georeference
from xr_s2sr.scene.grid import Grid, degraded_by
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


def cut(da: xr.DataArray, covered: Extent, grid: Grid) -> xr.DataArray:
    """Return the covered part of a variable on the 10 m grid; itself if that is all of it or it is not on the grid."""
    if (len(covered[0]), len(covered[1])) == grid.shape:
        return da
    return da.isel({grid.y.dim: covered[0].slice, grid.x.dim: covered[1].slice}, missing_dims="ignore")


def restored_variable(
    ds: xr.Dataset, info: SceneInfo, covered: Extent, band: str, data: Any, provenance: Mapping[str, str]
) -> xr.DataArray:
    """Return a restored band with its native variable's name, attrs and encoding, on the 10 m grid's coordinates.

    Parameters
    ----------
    ds : Dataset
        The input.
    info : SceneInfo
    covered : (Span, Span)
        The part of the 10 m grid that the result covers.
    band : str
    data : array, shape (..., y, x)
    provenance : mapping of str to str
        Attributes that say what restored the band.
    """
    native = ds[info.variables[band]]
    reference = cut(ds[info.fine.name], covered, info.grid)
    gone = set(native.dims[-2:])
    own = {k: c for k, c in native.coords.items() if not gone & set(c.dims) and k not in reference.coords}
    out = reference.copy(deep=False, data=data).assign_coords(own).rename(native.name)
    gsd = BANDS[band].gsd * degraded_by(reference)
    origin = {"s2sr_native_gsd": gsd, **provenance}
    # what describes the grid is the 10 m grid's
    kept = {key: value for key, value in native.attrs.items() if key not in GRID_ATTRS}
    out.attrs = kept | {key: reference.attrs[key] for key in GRID_ATTRS if key in reference.attrs} | origin
    out.encoding = {key: native.encoding[key] for key in KEPT_ENCODING if key in native.encoding}
    return out


def dataset(
    ds: xr.Dataset,
    info: SceneInfo,
    covered: Extent,
    restored: dict[str, xr.DataArray],
    wanted: list[str] | None,
    keep: Keep = "fine",
    beside: Iterable[xr.DataArray] = (),
) -> xr.Dataset:
    """Put the restored bands in the place of the native ones, beside what else is wanted of the input.

    Parameters
    ----------
    restored : dict of str to DataArray
        By band id.
    wanted : list of str, optional
        Band ids that were asked for by name; None: also every variable that lies on the 10 m grid.
    keep : {"fine", "all"}
        "all": variables that are not bands come along in any case, coarser ones on the 10 m grid.
    beside : iterable of DataArray
        More variables of the result, on its grid; they take the place of others of their names.
    """
    by_name = {name: band for band, name in info.variables.items()}
    reference = cut(ds[info.fine.name], covered, info.grid)
    fine = set(reference.dims)
    variables: dict[Hashable, xr.DataArray] = {}
    for name, variable in ds.data_vars.items():
        band, extra = by_name.get(str(name)), resolve(name) is None
        if band in restored:
            variables[name] = restored[band]
        elif set(variable.dims) <= fine:
            if wanted is None or band in wanted or (extra and keep == "all"):
                variables[name] = cut(variable, covered, info.grid)
        elif extra and keep == "all":
            near = to_fine_grid(variable, reference)
            if near is not None:
                variables[name] = near
    variables |= {variable.name: variable for variable in beside}
    transform = info.grid.corner(covered[0].start, covered[1].start)
    return georeference(xr.Dataset(variables, attrs=ds.attrs), transform)
