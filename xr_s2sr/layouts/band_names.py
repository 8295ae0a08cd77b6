"""Bands stacked along a dimension: found by label or description, taken apart, stacked again, with their metadata."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from xr_s2sr.bands import BANDS, by_convention, resolve, uncertainty_of
from xr_s2sr.errors import BandError, RadiometryError
from xr_s2sr.scene.grid import read_axis
from xr_s2sr.scene.names import BAND
from xr_s2sr.scene.result import GRID_ATTRS


def band_labels(da: xr.DataArray) -> tuple[Hashable, list[str]] | None:
    """Return the dimension along which bands are stacked and a name for each position; None if there is none.

    The labels may be the dimension's own, those of another coordinate along it (stackstac's ``common_name``), or the
    descriptions of a file's bands, which rioxarray gives as a tuple, ``long_name``. What names most bands counts.
    """
    best: tuple[int, Hashable, list[str]] | None = None
    for dim in da.dims:
        candidates = _candidates(da, dim)
        _check_agreement(dim, candidates)
        for labels in candidates.values():
            score = sum(resolve(label) is not None for label in labels)
            if score and (best is None or score > best[0]):
                best = score, dim, labels
    if best is None:
        return None
    _, dim, labels = best
    _check_labels(dim, labels, [str(band) for band in da.coords[BAND].values] if BAND in da.coords else labels)
    # labels that name no band may repeat: a name for each position
    return dim, [label if labels.count(label) == 1 else f"{label}_{k}" for k, label in enumerate(labels)]


def _candidates(da: xr.DataArray, dim: Hashable) -> dict[str, list[str]]:
    """Return the labels along a dimension that may name bands, by the lines that remove them."""
    coords = [da.coords[dim]] if dim in da.coords else []
    own = [coord for coord in da.coords.values() if not str(coord.name).startswith("s2sr_")]
    coords += [coord for coord in own if coord.dims == (dim,) and coord.name != dim]
    candidates = {
        f"da = da.drop_vars({str(coord.name)!r})": [str(label) for label in coord.values]
        for coord in coords
        if coord.dtype.kind in "OUT"
    }
    names = da.attrs.get("long_name")
    if isinstance(names, tuple | list) and len(names) == da.sizes[dim]:
        candidates['del da.attrs["long_name"]'] = [str(name) for name in names]
    return candidates


def _check_labels(dim: Hashable, labels: list[str], known: list[str]) -> None:
    """Refuse labels of which two are one band, or of which nothing tells the convention; `known` is by a result.

    Raises
    ------
    BandError
    """
    told = {label: band for label, band in zip(labels, known, strict=True) if band in BANDS and label != band}
    named = ["B12" if resolve(label) == "B12" else label for label in labels]
    told |= by_convention((label for label in labels if label not in told), f"da = da.assign_coords({dim}={named})")
    keys = [told.get(label) or resolve(label) or label for label in labels]
    for label, key in zip(labels, keys, strict=True):
        at = [k for k, other in enumerate(keys) if other == key]
        if len(at) > 1 and resolve(label):
            raise BandError(
                f"positions {', '.join(map(str, at))} along {dim!r} are all band {key}. Keep one: "
                f"da = da.isel({dim}=[{', '.join(str(k) for k in range(len(keys)) if k not in at[1:])}])"
            )


def _check_agreement(dim: Hashable, candidates: dict[str, list[str]]) -> None:
    """Refuse labels along a dimension that name another band than others there; each comes with the line to remove it.

    Raises
    ------
    BandError
    """
    for k, labels in enumerate(zip(*candidates.values(), strict=True)):
        said = {band: label for label in labels if (band := resolve(label)) and not by_convention([label, "swir_1"])}
        if len(said) > 1:
            one, other, *_ = said.values()
            raise BandError(
                f"position {k} along {dim!r} is {one!r} by one label and {other!r} by another; expected one band. "
                f"Remove the labels that are wrong: {', or '.join(candidates)}"
            )


def labelled(da: xr.DataArray) -> tuple[Hashable, list[str]]:
    """Return :func:`band_labels` of an array that must have them.

    Raises
    ------
    BandError
        If no dimension has bands for labels.
    """
    stacked = band_labels(da)
    if stacked is None:
        raise BandError(
            f"the DataArray {da.name!r} with dims {da.dims} has no dimension whose labels are bands. Name them: "
            'da = da.assign_coords(band=["B02", "B03", ...]). A band alone cannot be restored: ds.s2sr.upsample("B05")'
        )
    return stacked


def split(da: xr.DataArray, dim: Hashable, labels: list[str]) -> xr.Dataset:
    """Make one variable a band; what `upsample` wrote along the dimension becomes attributes again."""
    variables = {}
    for k, label in enumerate(labels):
        one = da.isel({dim: k})
        provenance = {key: one.coords[key].item() for key in one.coords if str(key).startswith("s2sr_")}
        one = one.drop_vars([key for key in one.coords if dim in da.coords[key].dims]).rename(label)
        attrs = {key: value for key, value in of_one(da.attrs, k, len(labels)).items() if key != "long_name"}
        one.encoding = of_one(da.encoding, k, len(labels))
        one.attrs = {**attrs, **{key: value for key, value in provenance.items() if provenance.get("s2sr_model")}}
        variables[label] = one
    return xr.Dataset(variables, attrs=da.attrs)


def stack(result: xr.Dataset, da: xr.DataArray, dim: Hashable, labels: list[str]) -> xr.DataArray:
    """Reverse :func:`split`: return the array with new pixels and, along the dimension, what restored each band.

    Standard errors follow the bands, at positions of their own.
    """
    kept = [k for k, label in enumerate(labels) if label in result]
    errors = [k for k in kept if uncertainty_of(labels[k]) in result]
    bands = [*(result[labels[k]] for k in kept), *(result[uncertainty_of(labels[k])] for k in errors)]
    data: xr.Variable = xr.Variable.concat([band.variable for band in bands], dim)  # type: ignore[no-untyped-call]
    data = data.transpose(*da.dims).astype(da.dtype, copy=False)  # concat would not keep a foreign byte order
    coarser = [key for key in da.dims if key != dim and data.sizes[key] != da.sizes[key]]
    out = da.isel({dim: [*kept, *errors], **{key: slice(0, data.sizes[key]) for key in coarser}})
    out = out.copy(deep=False, data=data.data)
    if coarser:
        moved = [key for key, coord in out.coords.items() if {*coarser} & {*coord.dims}]
        # with them comes the grid mapping, whose transform is that of the result
        out = out.drop_vars(moved).assign_coords({key: result[key] for key in coarser})
        out.attrs = attrs_at(out, da)
    names = da.attrs.get("long_name")
    if isinstance(names, tuple | list) and len(names) == len(labels):
        listed = [*(names[k] for k in kept), *(uncertainty_of(names[k]) for k in errors)]
        out = out.assign_attrs(long_name=type(names)(listed))
    out.attrs, out.encoding = (of_some(told, kept, errors, len(labels)) for told in (out.attrs, da.encoding))
    fills = [band.encoding["_FillValue"] for band in bands if "_FillValue" in band.encoding]
    if fills and np.isnan(da.encoding.get("_FillValue", np.nan)):  # what was 0 is NaN now
        out.encoding["_FillValue"] = fills[0]
    if errors:
        out = out.assign_coords(_told_apart(out, dim, len(kept)))
    return out.assign_coords({key: (dim, values) for key, values in _provenance(bands).items()})


def _provenance(bands: Sequence[xr.DataArray]) -> dict[Hashable, np.ndarray]:
    """Return what the attributes of bands say of their restoration, a value for each band."""
    values: dict[Hashable, np.ndarray] = {}
    for key in dict.fromkeys(key for band in bands for key in band.attrs if str(key).startswith("s2sr_")):
        # of what was passed through, its own pixel size
        own = [BANDS[resolve(band.name) or "B02"].gsd if key == "s2sr_native_gsd" else "" for band in bands]
        values[key] = np.array([band.attrs.get(key, value) for band, value in zip(bands, own, strict=True)])
    return values


def attrs_at(out: xr.DataArray, da: xr.DataArray) -> dict[Hashable, Any]:
    """Return the attributes of an array for pixels of another size: what describes the grid is adapted, or left out."""
    attrs = {key: value for key, value in da.attrs.items() if key not in (*GRID_ATTRS, "spec")}
    near = read_axis(da, da.dims[-1])
    factor = round(read_axis(out, out.dims[-1], 2 * near.step).step / near.step)
    if isinstance(resolution := da.attrs.get("resolution"), int | float):
        attrs["resolution"] = resolution * factor
    return attrs


def _told_apart(out: xr.DataArray, dim: Hashable, bands: int) -> dict[Hashable, tuple[Hashable, np.ndarray]]:
    """Coordinates along the bands that name the standard errors behind the first `bands` positions.

    Labels that name bands get the suffix; an index of numbers goes on counting.
    """
    coords: dict[Hashable, tuple[Hashable, np.ndarray]] = {}
    for name, coord in out.coords.items():
        if coord.dims != (dim,):
            continue
        values = coord.values
        if values.dtype.kind in "OUT" and any(resolve(value) for value in values[:bands]):
            renamed = [uncertainty_of(value) for value in values[bands:]]
            coords[name] = dim, np.array([*values[:bands], *renamed], object if values.dtype.kind == "O" else None)
        elif name == dim and values.dtype.kind in "iuf":
            more = values[:bands].max() + 1 + np.arange(len(values) - bands)
            coords[name] = dim, np.concatenate([values[:bands], more]).astype(values.dtype)
    return coords


#: What is told of all bands, and the name under which one band has it.
BY_BAND = {"scales": "scale_factor", "offsets": "add_offset", "nodatavals": "_FillValue"}
#: Names of one band under which a stack may tell it of all.
_OWN = ("scale_factor", "add_offset", "scale", "offset", "_FillValue", "nodata", "missing_value", "units")
_SCALES = {"scales", "offsets", "scale_factor", "add_offset", "scale", "offset"}
_SHARED = {"scales", "offsets", "scale_factor", "add_offset"}
_OFFSETS = ("offsets", "add_offset", "offset")


def of_one(metadata: Mapping[Any, Any], k: int, size: int) -> dict[Any, Any]:
    """Return the attrs or the encoding of one of `size` bands."""
    own = {key: value for key, value in metadata.items() if not _by_band(key, value, size)}
    for key, value in metadata.items():
        name = BY_BAND.get(key, key)
        if _by_band(key, value, size) and value[k] is not None and not (key == "nodatavals" and name in own):
            own[name] = value[k]
    return own


def of_some(metadata: Mapping[Any, Any], kept: Sequence[int], errors: Sequence[int], size: int) -> dict[Any, Any]:
    """Return those of some of `size` bands, then of the standard errors of some, which have no offset."""
    out = dict(metadata)
    for key, values in metadata.items():
        if _by_band(key, values, size):
            some = [*(values[k] for k in kept), *(0.0 if key in _OFFSETS else values[k] for k in errors)]
            out[key] = np.array(some) if isinstance(values, np.ndarray) else type(values)(some)
    return out


def _by_band(key: Any, value: Any, size: int | None = None) -> bool:
    several = isinstance(value, tuple | list | np.ndarray) and size in (None, np.size(value))
    return several and (key in BY_BAND or (key in _OWN and np.size(value) > 1))


def told_apart(ds: xr.Dataset, bands: Mapping[Hashable, str]) -> xr.Dataset:
    """Give bands that were taken out of a stack, as by ``da.to_dataset("band")``, what is told of them alone.

    That leaves the attributes of the stack to the Dataset, and its encoding to each band.

    Raises
    ------
    RadiometryError
        If the bands of the stack differ, and nothing tells which of them this is.
    """
    for name, band in bands.items():
        da, known = ds[name], {*ds[name].attrs, *ds[name].encoding}
        shared = {} if known & _SCALES else {key: value for key, value in ds.attrs.items() if key in _SHARED}
        told = {key: value for key, value in {**da.encoding, **da.attrs, **shared}.items() if _by_band(key, value)}
        if not shared and not told:
            continue
        titles = da.attrs.get("long_name", ds.attrs.get("long_name"))
        order = [resolve(title) for title in titles] if isinstance(titles, tuple | list) else []
        own = da.copy(deep=False)
        own.attrs = {**own.attrs, **shared}
        for key, value in told.items():
            k = order.index(band) if band in order and len(order) == np.size(value) else None
            if k is None and len({*map(str, value)}) > 1:
                raise RadiometryError(
                    f"{name!r} has {key}={value!r}, which is of several bands; expected its own. Open the file with a "
                    "variable for each band: rioxarray.open_rasterio(path, band_as_variable=True)"
                )
            own.attrs, own.encoding = (of_one(one, k or 0, np.size(value)) for one in (own.attrs, own.encoding))
        ds = ds.assign({name: own})
    return ds
