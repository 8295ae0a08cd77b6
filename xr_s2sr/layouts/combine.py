"""``combine``: loads of one resolution each become one Dataset in native resolutions."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from xr_s2sr.bands import BANDS, resolve
from xr_s2sr.errors import ArgumentTypeError, BandError, GridError, RadiometryError
from xr_s2sr.layouts.band_names import band_labels, split
from xr_s2sr.scene.corners import placed
from xr_s2sr.scene.crs import crs_of_bands, mapped_crs, mappings, with_mapping, write_crs
from xr_s2sr.scene.grid import TOLERANCE, loading, read_axis, spatial_dims
from xr_s2sr.scene.names import read_names
from xr_s2sr.scene.offsets import BASELINE_KEYS


@dataclass(frozen=True)
class Part:
    """Variables that share their rows and columns, or have none.

    Attributes
    ----------
    ds : Dataset
    spacing : float
        Of the pixels, in metres; inf without rows and columns.
    bands : dict of hashable to str
        Ids of its bands by name.
    """

    ds: xr.Dataset
    spacing: float
    bands: dict[Hashable, str]


def combine(*scenes: xr.Dataset | xr.DataArray) -> xr.Dataset:
    """Merge what was loaded at 10, 20 and 60 m into one Dataset in native resolutions.

    Parameters
    ----------
    *scenes : Dataset or DataArray
        Each on dims of the same names, such as (y, x): odc-stac or stackstac loads at one resolution each, GDAL's
        subdatasets opened with rioxarray, or single bands, such as satpy's ``scn["B05"]``.

    Returns
    -------
    Dataset
        One variable a band. What lies on 20 m and 60 m pixels has dims of its own, (y_20m, x_20m) and (y_60m,
        x_60m). A band that comes twice is taken where its pixels are its native ones; other variables that come
        twice, where their pixels are smallest. Attached coordinates that differ between the loads, such as
        stackstac's ``gsd``, are left out.

    Raises
    ------
    ArgumentTypeError
        If something is neither a Dataset nor a DataArray.
    BandError
        If a DataArray is not a band and holds none, or a band comes twice in native pixels.
    GridError
        If the CRS, the dates or the extents of one resolution differ.
    RadiometryError
        If processing baselines differ.

    Examples
    --------
    >>> from xr_s2sr import tutorial
    >>> ds, _ = tutorial.synthetic_scene(size=60)
    >>> ds10 = ds[["B02", "B03", "B04", "B08"]]
    >>> ds20 = ds[["B05", "B11"]].rename(y_20m="y", x_20m="x")
    >>> combine(ds10, ds20).B11.dims
    ('y_20m', 'x_20m')
    """
    return merge([part for scene in scenes for part in parts(scene)])[0]


def parts(scene: xr.Dataset | xr.DataArray) -> list[Part]:
    """Split a Dataset or DataArray by pixel size, each part with dims named after it."""
    if isinstance(scene, xr.DataArray):
        scene = by_band(scene)
    if not isinstance(scene, xr.Dataset):
        raise ArgumentTypeError(
            f"expected a Dataset or a DataArray, not a {type(scene).__name__}: xr_s2sr.combine(ds10, ds20, ds60). "
            "Files are opened by xr_s2sr.open(path)"
        )
    scene = placed(with_mapping(scene.rename(read_names(scene).renamed)))
    bands = {name: band for name in scene.data_vars if (band := resolve(name))}
    groups: dict[tuple[Hashable, ...], list[Hashable]] = {}
    for name, da in scene.data_vars.items():
        gridded = da.ndim >= 2 and all(dim in da.coords and da.sizes[dim] > 0 for dim in da.dims[-2:])
        groups.setdefault(spatial_dims(da) if name in bands or gridded else (), []).append(name)
    pieces = []
    for dims, names in groups.items():
        part = scene[names]
        if not dims:
            pieces.append(Part(part.drop_vars([key for key in part.coords if part[key].dims]), np.inf, bands))
            continue
        alone = next((float(BANDS[bands[name]].gsd) for name in names if name in bands), None)
        spacing = abs(read_axis(part[names[0]], dims[1], alone).step)
        suffix = "" if round(spacing) == 10 else f"_{round(spacing)}m"
        new = {dim: re.sub(r"_\d+m$", "", str(dim)) + suffix for dim in dims}
        pieces.append(Part(part.rename({old: name for old, name in new.items() if old != name}), spacing, bands))
    return pieces


def merge(pieces: Iterable[Part]) -> tuple[xr.Dataset, list[str]]:
    """Merge all parts, finest first; also return notes on what was left out as a copy at another pixel size."""
    ordered = sorted(pieces, key=lambda part: part.spacing)
    best: dict[Hashable, Part] = {}
    copies: dict[float, list[str]] = {}
    for part in ordered:
        for name in part.ds.data_vars:
            band = part.bands.get(name)
            key = band or name
            other = best.setdefault(key, part)
            if other is part:
                continue
            if band and part.spacing == other.spacing:
                kinds = [one.ds[n].dtype for one in (part, other) for n in one.ds.data_vars if one.bands.get(n) == band]
                if "uint8" in kinds:
                    fix = (
                        "One is uint8, as in images of true colour (TCI), which hold no reflectance. Leave those out: "
                        'ds = xr_s2sr.combine(*(one for one in opened if one.dtype != "uint8"))'
                    )
                else:
                    fix = f"Leave one out: xr_s2sr.combine(one, other.drop_vars({name!r}))"
                raise BandError(f"band {band} comes twice on {part.spacing:g} m pixels ({name!r}). {fix}")
            worse = part
            if band and abs(part.spacing - BANDS[band].gsd) < abs(other.spacing - BANDS[band].gsd):
                best[key], worse = part, other
            copies.setdefault(worse.spacing, []).append(repr(name))
    taken_of = ((part, [n for n in part.ds.data_vars if best[part.bands.get(n, n)] is part]) for part in ordered)
    chosen = [(part, names) for part, names in taken_of if names]
    if not chosen:
        raise BandError("nothing to combine: no variables. Load some: xr_s2sr.combine(ds10, ds20, ds60)")
    places = _check(chosen)
    false = _contradicted([part.ds[names] for part, names in chosen])
    taken: set[Hashable] = set()
    datasets = []
    for part, names in chosen:
        ds = part.ds[names]
        # scalars and the like of a coarser part would clash: spatial_ref holds a transform
        ds = ds.drop_vars([key for key in ds.coords if key in taken | false and key not in ds.dims])
        moved = {dim: places[dim] for dim in ds.dims if dim in ds.coords and not _equal(ds[dim].variable, places[dim])}
        datasets.append(ds.assign_coords(moved) if moved else ds)
        taken |= {*ds.coords}
    merged = xr.merge(datasets, join="exact", compat="override", combine_attrs="override")
    crs = next((known for part, _ in chosen if (known := _crs(part)) is not None), None)
    if crs is not None and mapped_crs(merged) is None:
        merged = write_crs(merged, crs)
    listed = "; ".join(f"{', '.join(names)} on {spacing:g} m pixels" for spacing, names in copies.items())
    return merged, [f"left out, as there are better ones: {listed}"] if listed else []


def by_band(da: xr.DataArray) -> xr.Dataset:
    """Return a DataArray that has a band dimension, or is one band, as a Dataset."""
    stacked = band_labels(da)
    if stacked is not None:
        return split(da, *stacked)
    # satpy's arrays are called after their dask task; their own name is an attribute
    label = da.coords["band"].item() if "band" in da.coords and da.coords["band"].ndim == 0 else None
    named = [name for name in (da.name, da.attrs.get("name"), da.attrs.get("long_name"), label) if resolve(name)]
    name = named[0] if named else da.name
    if resolve(label):  # of one band of a stack; the others are not called so
        da = da.drop_vars("band")
    if name is None:
        raise BandError(
            f"a DataArray with dims {da.dims} has neither bands along a dimension nor a name. Name it by band: "
            'da = da.rename("B05")'
        )
    return da.to_dataset(name=name)


def _crs(part: Part) -> Any:
    return crs_of_bands(part.ds, list(part.ds.data_vars)[:1])


def _check(chosen: list[tuple[Part, list[Hashable]]]) -> dict[Hashable, xr.Variable]:
    """Refuse parts that differ in CRS, in leading dims, or in place at the same pixel size; return the coordinates."""
    first: dict[Hashable, tuple[Hashable, xr.Variable]] = {}
    crs: tuple[Hashable, object] | None = None
    for part, names in chosen:
        own = _crs(part)
        if own is not None and crs is not None and own != crs[1]:
            raise GridError(
                f"{crs[0]!r} is in {crs[1]} and {names[0]!r} in {own}; expected one CRS. Load both in the "
                f"UTM zone of the tile: {loading(10)}"
            )
        crs = crs or (None if own is None else (names[0], own))
        spatial = part.ds[names[0]].dims[-2:] if np.isfinite(part.spacing) else ()
        for dim in part.ds[names].dims:
            if dim not in part.ds.coords:
                continue
            coord = part.ds[dim].variable
            name, other = first.setdefault(dim, (names[0], coord))
            if _equal(other, coord) or (dim in spatial and _same_places(other, coord, part.spacing)):
                continue
            shared = np.intersect1d(other.values, coord.values).size
            sizes = (
                f"{name!r} has {other.size} values along {dim!r}, {names[0]!r} {coord.size}, and {shared} are shared"
            )
            if dim in spatial:
                raise GridError(f"{sizes}; expected the same pixels. Load both over the same area, on the same grid")
            if not shared:
                raise GridError(f"{sizes}; expected the same. Load both of the same items")
            raise GridError(
                f"{sizes}; expected the same, in one order. Keep what they share: {_shared(dim, other, coord)}"
            )
    return {dim: coord for dim, (_, coord) in first.items()}


def _shared(dim: Hashable, *coords: xr.Variable) -> str:
    """Return the line that keeps the dates that two loads share, of which one may have a dimension of bands."""
    if all(len(np.unique(coord.values)) == coord.size for coord in coords):
        return 'ds10, ds20 = xr.align(ds10, ds20, join="inner", exclude=["y", "x", "band"])'
    return (  # xr.align wants each once
        f'common = np.intersect1d(ds10["{dim}"], ds20["{dim}"]); ds10, ds20 = (ds.sel({dim}=ds["{dim}"].isin(common))'
        f'.sortby("{dim}") for ds in (ds10, ds20))'
    )


def _same_places(one: xr.Variable, other: xr.Variable, spacing: float) -> bool:
    """Tell whether coordinates are the same but for float jitter."""
    return one.shape == other.shape and bool(np.abs(one.values - other.values).max() <= TOLERANCE * spacing)


def _contradicted(datasets: Sequence[xr.Dataset]) -> set[Hashable]:
    """Return the coordinates attached to pixels or dates that differ between parts, and so are true of none of all.

    Raises
    ------
    GridError, RadiometryError
        If the parts are of other dates, or processing baselines: pixels that do not belong together.
    """
    first: dict[Hashable, tuple[xr.Dataset, xr.Variable]] = {}
    false: set[Hashable] = set()
    for ds in datasets:
        for key in {*ds.coords} - {*ds.dims, *mappings(ds)}:
            coord = ds[key].variable
            known, other = first.setdefault(key, (ds, coord))
            if other is coord or other.dims != coord.dims or _equal(other, coord):
                continue
            false.add(key)
            names = f"{next(iter(known.data_vars))!r} and {next(iter(ds.data_vars))!r}"
            if coord.dtype.kind == "M" and coord.ndim == 0 and key == "time":
                raise GridError(
                    f"{names} are of {str(other.values)[:19]} and {str(coord.values)[:19]}; expected one date. Load "
                    "both of the same item"
                )
            if key in BASELINE_KEYS:
                raise RadiometryError(
                    f"{names} differ in {key!r}, on which the offset of their DN depends; expected the same items. "
                    "Load both of the same processing baseline"
                )
    return false


def _equal(one: xr.Variable, other: xr.Variable) -> bool:
    """Tell whether two coordinates are equal; items' properties may hold lists and the like."""
    if one.dtype == other.dtype == object:
        return one.shape == other.shape and repr(one.values.tolist()) == repr(other.values.tolist())
    same: bool = xr.DataArray(one).equals(xr.DataArray(other))
    return same
