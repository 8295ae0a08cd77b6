"""Forms in which users hold Sentinel-2: each becomes a Dataset in native resolutions, and the result goes back.

Only names, dims and coordinates are handled here. Dask arrays are indexed and transposed, never computed.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from os import PathLike
from typing import Any, TypeAlias

import xarray as xr

from xr_s2sr.arguments import shown
from xr_s2sr.bands import BANDS
from xr_s2sr.errors import ArgumentTypeError, S2SRError
from xr_s2sr.layouts.band_names import band_labels, labelled, split, stack, told_apart
from xr_s2sr.layouts.combine import by_band
from xr_s2sr.layouts.datatree import as_tree, plain_dims, read_tree, restored_node
from xr_s2sr.layouts.given_form import COLS, ROWS, GivenForm, put_back, reverse
from xr_s2sr.layouts.replicated import native_grids
from xr_s2sr.scene.corners import are_corners, placed
from xr_s2sr.scene.crs import with_mapping
from xr_s2sr.scene.grid import read_axis, spatial_dims
from xr_s2sr.scene.names import Names, check_versions, read_names
from xr_s2sr.scene.scene import NativeScene, read_scene

#: A scene as users hold it.
Scene: TypeAlias = xr.Dataset | xr.DataArray | xr.DataTree


@dataclass(frozen=True)
class NativeForm:
    """A scene in native form: one variable a band, each resolution on dims of its own, north up.

    Attributes
    ----------
    ds : Dataset
        One variable a band, rows and columns last, each resolution on dims of its own; rows run from north to south,
        columns from west to east.
    restore_form : callable
        Brings a result on the 10 m grid into the form of the scene.
    notes : tuple of str
        What was recognised.
    stacked : bool
        True if the scene holds its bands in one array, and so in one dtype.
    turned : frozenset of hashable
        Dims of `ds` along which the scene itself runs the other way.
    corners : (hashable, hashable) or None
        Rows and columns whose coordinates are upper left corners of pixels; None where they are centres.
    names : Names
        What the variables of `ds` are.
    """

    ds: xr.Dataset
    restore_form: Callable[[xr.Dataset], Any]
    names: Names
    notes: tuple[str, ...] = ()
    stacked: bool = False
    turned: frozenset[Hashable] = frozenset()
    corners: tuple[Hashable, Hashable] | None = None

    def read(self, units: Any = None, offset: Any = None) -> NativeScene:
        """Read grids, CRS and units of the bands, after checking the arguments that say what the values are."""
        return read_scene(self.ds, units, offset, self.names)


def to_native(scene: Any) -> NativeForm:
    """Recognise the form of a scene, and bring it to native form.

    Raises
    ------
    ArgumentTypeError
        If it is not an xarray object.
    BandError
        If a DataArray or a DataTree holds no bands.
    GridError
        If a dask array's native pixels cannot be placed.
    """
    if (tree := as_tree(scene)) is not None:
        ds, notes = read_tree(tree)
        inner = from_dataset(ds)
        back = inner.restore_form
        return replace(inner, restore_form=lambda result: plain_dims(back(result)), notes=(*notes, *inner.notes))
    if isinstance(scene, xr.DataArray):
        return from_array(scene)
    if isinstance(scene, xr.Dataset):
        return from_dataset(scene)
    raise _no_scene(scene)


def _no_scene(given: Any) -> ArgumentTypeError:
    """Return the error for something else in the place of a scene."""
    return ArgumentTypeError(
        f"expected an xarray Dataset with one variable per band, not a {type(given).__name__}; a DataArray with a band "
        f"dimension or a DataTree will do too. {opening(given)}"
    )


def opening(given: Any) -> str:
    """Return the line that makes a scene of what was given in the place of one: paths, or loads of one resolution."""
    listed = list(given) if isinstance(given, list | tuple) else []
    if listed and all(isinstance(one, xr.Dataset | xr.DataArray) for one in listed):
        return "Combine what was loaded at several resolutions: ds = xr_s2sr.combine(*scenes)"
    if listed and all(isinstance(one, str | PathLike) for one in listed):
        if all(str(one).lower().endswith((".tif", ".tiff", ".jp2")) for one in listed):
            return 'Open the folder in which the files of one scene lie: ds = xr_s2sr.open("folder")'
        return 'Open several dates: ds = xr.open_mfdataset(paths, engine="s2sr", combine="nested", concat_dim="time")'
    path = shown(str(given)) if isinstance(given, str | PathLike) else '"S2B_MSIL2A_20230823T095559.SAFE"'
    return f"Open files first: ds = xr_s2sr.open({path})"


def by_names(scene: Any) -> tuple[xr.Dataset, Names]:
    """Return one variable a band, wherever its pixels lie, under names that are theirs; and these names.

    Raises
    ------
    ArgumentTypeError
        If it is not an xarray object.
    BandError
        If a DataArray or a DataTree holds no bands.
    """
    if (tree := as_tree(scene)) is not None:
        ds, _ = read_tree(tree)
    elif isinstance(scene, xr.DataArray):
        ds = split(scene, *labelled(scene))
    elif isinstance(scene, xr.Dataset):
        ds = scene
    else:
        raise _no_scene(scene)
    names = read_names(ds)
    return ds.rename(names.renamed), names


def restored_bands(result: Scene) -> xr.Dataset:
    """Return what ``upsample`` gave of a scene in any form as one variable a band; a Dataset is left as it is.

    Raises
    ------
    ArgumentTypeError
        If it is not an xarray object.
    BandError
        If a DataArray holds no bands, or a DataTree none that were restored.
    """
    if isinstance(result, xr.DataTree):
        return restored_node(result)
    if isinstance(result, xr.DataArray):
        return by_band(result)
    if isinstance(result, xr.Dataset):
        return result
    raise ArgumentTypeError(f"expected what upsample() gave, not a {type(result).__name__}: sr = ds.s2sr.upsample()")


def bands_of_result(result: Scene) -> dict[str, xr.DataArray]:
    """Return the bands of a scene or of a result by id, wherever their pixels lie, north up, rows and columns last."""
    ds, names = by_names(result)
    last, _ = _rows_and_columns_last(ds, names.bands)
    upright, _ = north_up(last, names.bands)
    return {band: upright[name] for band, name in names.variables.items()}


def from_array(da: xr.DataArray) -> NativeForm:
    """Bring bands stacked along a dimension (stackstac, cubo, a GeoTIFF) to native form."""
    dim, labels = labelled(da)
    inner = from_dataset(split(da, dim, labels))
    return replace(
        inner,
        restore_form=lambda result: stack(inner.restore_form(result), da, dim, labels),
        notes=(f"a DataArray: bands along {dim!r}", *inner.notes),
        stacked=True,
    )


def from_dataset(ds: xr.Dataset) -> NativeForm:
    """Bring variables by band, or one variable with bands stacked along a dimension, to native form."""
    ds = placed(with_mapping(ds))
    names = read_names(ds)
    if not names.bands:
        stacked = {name: da for name, da in ds.data_vars.items() if band_labels(da) is not None}
        if len(stacked) == 1:
            [(name, da)] = stacked.items()
            inner = from_array(da)
            whole = partial(put_back, ds, name, inner.restore_form)
            return replace(inner, ds=inner.ds.assign_attrs(ds.attrs), restore_form=whole)
    notes = [
        f"{name!r} is {band}, by {'the names beside it' if name in names.by_neighbours else 'its description'}"
        for name, band in names.explained.items()
    ]
    check_versions(ds)
    bands = names.bands
    last, transposed = _rows_and_columns_last(told_apart(ds.rename(names.renamed), bands), bands)
    upright, turned = north_up(last, bands)
    if turned:
        listed = ", ".join(repr(dim) for dim in sorted(map(str, turned)))
        notes.append(f"turned over, as they run to the north or to the west: {listed}; places count from the northwest")
    decimated = native_grids(upright, bands)
    corners = _corners(upright, bands)
    if corners is not None:
        notes.append("coordinates are upper left corners of pixels, and stay so; the GeoTransform says where they lie")

    back = GivenForm(upright, names, decimated.gaps, corners is not None, turned, transposed)
    # dims of native pixels run as those of the copies that they were taken from
    dims = [(upright[name].dims[-2:], own.dims[-2:]) for name, own in decimated.ds.data_vars.items() if own.ndim >= 2]
    both = {new for pair in dims for old, new in zip(*pair, strict=True) if old in turned}
    return NativeForm(
        decimated.ds,
        back,
        names,
        (*notes, *decimated.notes),
        turned=turned | both,
        corners=corners,
    )


def _corners(ds: xr.Dataset, bands: Mapping[Hashable, str]) -> tuple[Hashable, Hashable] | None:
    """Return the rows and columns of the 10 m bands if their coordinates are corners and all bands lie on them.

    Coarser pixels of their own tell centres from corners: on corners they would not nest, and be refused.
    """
    flat = {band: ds[name] for name, band in bands.items() if ds[name].ndim >= 2}
    fine = next((da for band, da in flat.items() if BANDS[band].is_fine), None)
    if fine is None or {da.dims[-2:] for da in flat.values()} != {fine.dims[-2:]}:
        return None
    with suppress(S2SRError):  # read_scene says so
        rows, cols = spatial_dims(fine)
        return (rows, cols) if are_corners(fine) else None
    return None


def _rows_and_columns_last(
    ds: xr.Dataset, bands: Iterable[Hashable]
) -> tuple[xr.Dataset, dict[Hashable, tuple[Hashable, ...]]]:
    """Put rows and columns last; also return the dims of bands that had them elsewhere (Earth Engine's x before y)."""
    turned = {}
    for name in bands:
        da = ds[name]
        rows = [dim for dim in da.dims if ROWS.fullmatch(str(dim))]
        cols = [dim for dim in da.dims if COLS.fullmatch(str(dim))]
        if len(rows) == len(cols) == 1 and da.dims[-2:] != (rows[0], cols[0]):
            turned[name] = da.dims
            ds = ds.assign({name: da.transpose(..., rows[0], cols[0])})
    return ds, turned


def north_up(ds: xr.Dataset, bands: Iterable[Hashable]) -> tuple[xr.Dataset, frozenset[Hashable]]:
    """Turn over the dims along which the pixels of these bands run to the north or to the west; also return them.

    A network gives other numbers for a mirrored image, and so do sums in another order. Every scene is therefore worked
    on as Sentinel-2's own products are stored, and the result is turned back.
    """
    turned: set[Hashable] = set()
    seen: set[tuple[Hashable, ...]] = set()
    for da in (ds[name] for name in bands):
        if da.dims[-2:] in seen:
            continue
        seen.add(da.dims[-2:])
        with suppress(S2SRError):  # read_scene says so
            for dim, sign in zip(spatial_dims(da), (-1.0, 1.0), strict=True):
                if read_axis(da, dim, sign).step * sign < 0:
                    turned.add(dim)
    return (reverse(ds, turned) if turned else ds), frozenset(turned)
