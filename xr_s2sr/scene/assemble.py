"""Arrays and a grid become a Dataset again: coordinates, attributes, encoding, provenance."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import Any

import xarray as xr

from xr_s2sr.bands import BANDS, resolve
from xr_s2sr.scene.ancillary import Keep, to_fine_grid
from xr_s2sr.scene.averaging import mean_of_band
from xr_s2sr.scene.crs import georeference
from xr_s2sr.scene.grid import degraded_by
from xr_s2sr.scene.info import SceneInfo
from xr_s2sr.scene.result_grid import GRID_ATTRS, ResultGrid, fine_part

#: In the encoding of a result: the files of its scene, which to_cog does not replace.
SOURCES = "s2sr_sources"


def restored_variable(
    ds: xr.Dataset, info: SceneInfo, target: ResultGrid, band: str, data: Any, provenance: Mapping[str, str | int]
) -> xr.DataArray:
    """Return a restored band with its native variable's name, attrs and encoding, on the grid of the result.

    Parameters
    ----------
    ds : Dataset
        The input.
    info : SceneInfo
    target : ResultGrid
    band : str
    data : array, shape (..., y, x)
    provenance : mapping of str to str
        Attributes that say what restored the band.
    """
    gsd = BANDS[band].gsd * degraded_by(ds[info.fine.name])
    out = target.variable(ds[info.variables[band]], data, {"s2sr_native_gsd": gsd, **provenance})
    fill = info.bands[band].radiometry.assumed_fill
    if fill is not None:  # else NaN could not be written
        out.encoding["_FillValue"] = fill
    return out


def dataset(
    ds: xr.Dataset,
    info: SceneInfo,
    target: ResultGrid,
    restored: dict[str, xr.DataArray],
    wanted: list[str] | None,
    keep: Keep = "fine",
    beside: Iterable[xr.DataArray] = (),
) -> xr.Dataset:
    """Put the restored bands in the place of the native ones, beside what else is wanted of the input.

    Parameters
    ----------
    target : ResultGrid
    restored : dict of str to DataArray
        By band id.
    wanted : list of str, optional
        Band ids that were asked for by name; None: also every variable that lies on the 10 m grid, or on that of the
        result.
    keep : {"fine", "all"}
        "all": variables that are not bands come along in any case, coarser ones on the grid of the result.
    beside : iterable of DataArray
        More variables of the result, on its grid; they take the place of others of their names.
    """
    by_name = {name: band for band, name in info.variables.items()}
    fine = {*ds[info.fine.name].dims}
    variables: dict[Hashable, xr.DataArray] = {}
    for name, variable in ds.data_vars.items():
        band, extra = by_name.get(str(name)), resolve(name) is None
        asked = wanted is None or band in wanted or (extra and keep == "all")
        if band in restored:
            variables[name] = restored[band]
        elif set(variable.dims) <= fine:
            if asked:
                averaged = band is not None and target.step > 1
                variables[name] = _averaged(variable, info, target, band) if averaged else target.from_fine(variable)
        elif (native := target.from_native(variable)) is not None:
            if asked:
                variables[name] = native
        elif extra and keep == "all":
            near = to_fine_grid(variable, target.reference)
            if near is not None:
                variables[name] = near
    variables |= {variable.name: variable for variable in beside}
    out = georeference(xr.Dataset(variables, attrs=ds.attrs), target.transform)
    sizes = target.reference.sizes
    if target.step > 1 or any(ds.sizes[dim] != sizes[dim] for dim in sizes if dim in ds.sizes):
        out.attrs = {key: value for key, value in out.attrs.items() if key not in GRID_ATTRS}
    if files := sources(ds):
        out.encoding[SOURCES] = sorted(files)
    return out


def sources(ds: xr.Dataset) -> set[str]:
    """Return the names of the files from which a Dataset was read, or from which its own scene was.

    As far as xarray, rioxarray and `dataset` noted them.
    """
    told = [encoding.get("source") for encoding in (ds.encoding, *(v.encoding for v in ds.variables.values()))]
    return {name for name in (*told, *ds.encoding.get(SOURCES, ())) if isinstance(name, str)}


def _averaged(variable: xr.DataArray, info: SceneInfo, target: ResultGrid, band: str | None) -> xr.DataArray:
    """Return a 10 m band as the means of its pixels."""
    own = info.bands[band or ""]
    data = mean_of_band(fine_part(variable, target.covered, info.grid).variable.data, own)
    return target.variable(variable, data, {"s2sr_native_gsd": BANDS[own.id].gsd * degraded_by(variable)})
