"""Arrays and a grid become a Dataset again: coordinates, attributes, encoding, provenance."""

from __future__ import annotations

from collections.abc import Collection, Hashable
from typing import Any

import xarray as xr

from xr_s2sr.bands import BANDS, resolve
from xr_s2sr.crs import georeference
from xr_s2sr.extras import Keep, brought
from xr_s2sr.grid import Grid, degraded_by
from xr_s2sr.inference.windows import Extent
from xr_s2sr.models import Model
from xr_s2sr.survey import Survey

#: What of an encoding still describes the result; chunks, source and compression of the input file do not.
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
    """The covered part of a variable on the 10 m grid; itself where that is all of it or it is not on the grid."""
    if (len(covered[0]), len(covered[1])) == grid.shape:
        return da
    return da.isel({grid.y.dim: covered[0].slice, grid.x.dim: covered[1].slice}, missing_dims="ignore")


def restored_variable(
    ds: xr.Dataset, found: Survey, covered: Extent, band: str, data: Any, model: Model, absent: Collection[str] = ()
) -> xr.DataArray:
    """A restored band: its native variable's name, attrs and encoding, on the 10 m grid's own coordinates.

    Parameters
    ----------
    ds : Dataset
        The input.
    found : Survey
    covered : (Span, Span)
        What the result covers of the 10 m grid.
    band : str
    data : array, shape (..., y, x)
    model : Model
        What restored it, for the provenance.
    absent : collection of str
        The model's inputs that the scene lacks.
    """
    native = ds[found.variables[band]]
    reference = cut(ds[found.fine.name], covered, found.grid)
    gone = set(native.dims[-2:])
    own = {k: c for k, c in native.coords.items() if not gone & set(c.dims) and k not in reference.coords}
    out = reference.copy(deep=False, data=data).assign_coords(own).rename(native.name)
    gsd = BANDS[band].gsd * degraded_by(reference)
    provenance = {"s2sr_native_gsd": gsd, "s2sr_model": f"{model.card.name} {model.card.version}"}
    if model.sha256:
        provenance["s2sr_model_sha256"] = model.sha256
    if absent:
        provenance["s2sr_missing_inputs"] = " ".join(b for b in BANDS if b in absent)
    # what describes the grid is the 10 m grid's
    kept = {key: value for key, value in native.attrs.items() if key not in GRID_ATTRS}
    out.attrs = kept | {key: reference.attrs[key] for key in GRID_ATTRS if key in reference.attrs} | provenance
    out.encoding = {key: native.encoding[key] for key in KEPT_ENCODING if key in native.encoding}
    return out


def dataset(
    ds: xr.Dataset,
    found: Survey,
    covered: Extent,
    restored: dict[str, xr.DataArray],
    wanted: list[str] | None,
    keep: Keep = "fine",
) -> xr.Dataset:
    """The result: restored bands in the place of the native ones, and what else is wanted of the input.

    Parameters
    ----------
    restored : dict of str to DataArray
        By band id.
    wanted : list of str, optional
        Band ids that were asked for by name; None: also every variable that lies on the 10 m grid.
    keep : {"fine", "all"}
        "all": what is no band comes along in any case, and what is coarser is brought to the 10 m grid.
    """
    by_name = {name: band for band, name in found.variables.items()}
    reference = cut(ds[found.fine.name], covered, found.grid)
    fine = set(reference.dims)
    variables: dict[Hashable, xr.DataArray] = {}
    for name, variable in ds.data_vars.items():
        band, extra = by_name.get(str(name)), resolve(name) is None
        if band in restored:
            variables[name] = restored[band]
        elif set(variable.dims) <= fine:
            if wanted is None or band in wanted or (extra and keep == "all"):
                variables[name] = cut(variable, covered, found.grid)
        elif extra and keep == "all":
            near = brought(variable, reference)
            if near is not None:
                variables[name] = near
    transform = found.grid.corner(covered[0].start, covered[1].start)
    return georeference(xr.Dataset(variables, attrs=ds.attrs), transform)
