"""``combine``: loads of one resolution each become one Dataset in native resolutions."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable
from dataclasses import dataclass

import numpy as np
import xarray as xr

from xr_s2sr.bands import BANDS, resolve
from xr_s2sr.errors import ArgumentTypeError, BandError, GridError
from xr_s2sr.layouts.band_names import band_labels, described, split
from xr_s2sr.scene.crs import read_crs, write_crs
from xr_s2sr.scene.grid import loading, read_axis, spatial_dims


@dataclass(frozen=True)
class Part:
    """Variables that share their rows and columns, or have none.

    Attributes
    ----------
    ds : Dataset
    spacing : float
        Of the pixels, in metres; inf without rows and columns.
    """

    ds: xr.Dataset
    spacing: float


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
        twice, where their pixels are smallest.

    Raises
    ------
    ArgumentTypeError
        If something is neither a Dataset nor a DataArray.
    BandError
        If a DataArray is not a band and holds none, or a band comes twice in native pixels.
    GridError
        If the CRS, the dates or the extents of one resolution differ.

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
            f"expected a Dataset or a DataArray, not a {type(scene).__name__}: xr_s2sr.combine(ds10, ds20, ds60)"
        )
    scene = scene.rename(described(scene))
    groups: dict[tuple[Hashable, ...], list[Hashable]] = {}
    for name, da in scene.data_vars.items():
        placed = da.ndim >= 2 and all(dim in da.coords and da.sizes[dim] > 0 for dim in da.dims[-2:])
        groups.setdefault(spatial_dims(da) if resolve(name) or placed else (), []).append(name)
    pieces = []
    for dims, names in groups.items():
        part = scene[names]
        if not dims:
            pieces.append(Part(part.drop_vars([key for key in part.coords if part[key].dims]), np.inf))
            continue
        alone = next((float(BANDS[band].gsd) for name in names if (band := resolve(name))), None)
        spacing = abs(read_axis(part[names[0]], dims[1], alone).step)
        suffix = "" if round(spacing) == 10 else f"_{round(spacing)}m"
        new = {dim: re.sub(r"_\d+m$", "", str(dim)) + suffix for dim in dims}
        pieces.append(Part(part.rename({old: name for old, name in new.items() if old != name}), spacing))
    return pieces


def merge(pieces: Iterable[Part]) -> tuple[xr.Dataset, list[str]]:
    """Merge all parts, finest first; also return notes on what was left out as a copy at another pixel size."""
    ordered = sorted(pieces, key=lambda part: part.spacing)
    best: dict[Hashable, Part] = {}
    copies: list[tuple[Hashable, float]] = []
    chosen: list[tuple[Part, list[Hashable]]] = []
    for part in ordered:
        for name in part.ds.data_vars:
            band = resolve(name)
            key = band or name
            other = best.setdefault(key, part)
            if other is part:
                continue
            if band and part.spacing == other.spacing:
                kinds = [one.ds[n].dtype for one in (part, other) for n in one.ds.data_vars if resolve(n) == band]
                if "uint8" in kinds:
                    fix = (
                        "One is uint8, as in images of true colour (TCI), which hold no reflectance. Leave those out: "
                        'ds = xr_s2sr.combine(*(one for one in opened if one.dtype != "uint8"))'
                    )
                else:
                    fix = f"Leave one out: xr_s2sr.combine(one, other.drop_vars({name!r}))"
                raise BandError(f"band {band} comes twice on {part.spacing:g} m pixels ({name!r}). {fix}")
            if band and abs(part.spacing - BANDS[band].gsd) < abs(other.spacing - BANDS[band].gsd):
                best[key], other = part, other
                copies.append((name, other.spacing))
            else:
                copies.append((name, part.spacing))
    for part in ordered:
        names = [name for name in part.ds.data_vars if best[resolve(name) or name] is part]
        if names:
            chosen.append((part, names))
    if not chosen:
        raise BandError("nothing to combine: no variables. Load some: xr_s2sr.combine(ds10, ds20, ds60)")
    _check(chosen)
    taken: set[Hashable] = set()
    datasets = []
    for part, names in chosen:
        ds = part.ds[names]
        # scalars and the like of a coarser part would clash: spatial_ref holds a transform
        ds = ds.drop_vars([key for key in ds.coords if key in taken and key not in ds.dims])
        taken |= {*ds.coords}
        datasets.append(ds)
    merged = xr.merge(datasets, join="exact", compat="override", combine_attrs="override")
    crs = next((known for part, _ in chosen if (known := _crs(part.ds)) is not None), None)
    if crs is not None and merged.rio.crs is None:
        merged = write_crs(merged, crs)
    return merged, [f"{name!r} on {spacing:g} m pixels is left out: there is a better one" for name, spacing in copies]


def by_band(da: xr.DataArray) -> xr.Dataset:
    """Return a DataArray that has a band dimension, or is one band, as a Dataset."""
    stacked = band_labels(da)
    if stacked is not None:
        return split(da, *stacked)
    # satpy's arrays are called after their dask task; their own name is an attribute
    named = [name for name in (da.name, da.attrs.get("name"), da.attrs.get("long_name")) if resolve(name)]
    name = named[0] if named else da.name
    if name is None:
        raise BandError(
            f"a DataArray with dims {da.dims} has neither bands along a dimension nor a name. Name it by band: "
            'da = da.rename("B05")'
        )
    return da.to_dataset(name=name)


def _crs(ds: xr.Dataset) -> object:
    """Return the CRS of a Dataset, or of its first variable."""
    crs = read_crs(ds)
    return read_crs(next(iter(ds.data_vars.values()))) if crs is None and ds.data_vars else crs


def _check(chosen: list[tuple[Part, list[Hashable]]]) -> None:
    """Refuse parts that differ in CRS, in the coordinates of leading dims, or in place at the same pixel size."""
    first: dict[Hashable, tuple[Hashable, xr.DataArray]] = {}
    crs: tuple[Hashable, object] | None = None
    for part, names in chosen:
        own = _crs(part.ds)
        if own is not None and crs is not None and own != crs[1]:
            raise GridError(
                f"{crs[0]!r} is in {crs[1]} and {names[0]!r} in {own}; expected one CRS. Load both in the "
                f"UTM zone of the tile: {loading(10)}"
            )
        crs = crs or (None if own is None else (names[0], own))
        for dim in part.ds[names].dims:
            if dim not in part.ds.coords:
                continue
            coord = part.ds[dim]
            name, other = first.setdefault(dim, (names[0], coord))
            if other.equals(coord):
                continue
            shared = len(np.intersect1d(other.values, coord.values))
            sizes = (
                f"{name!r} has {other.size} values along {dim!r}, {names[0]!r} {coord.size}, and {shared} are shared"
            )
            if re.fullmatch(r"[xy](_\d+m)?", str(dim)):
                raise GridError(f"{sizes}; expected the same pixels. Load both over the same area, on the same grid")
            raise GridError(
                f'{sizes}; expected the same. Keep what they share: ds10, ds20 = xr.align(ds10, ds20, join="inner", '
                'exclude=["y", "x"])'
            )
