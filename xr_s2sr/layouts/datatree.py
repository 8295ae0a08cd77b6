"""DataTrees with one node a resolution, as EOPF Zarr products are opened: read, and given back with the result.

Also such trees as one Dataset, in which xarray-eopf puts the names of nodes before those of variables.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import xarray as xr

from xr_s2sr.bands import BANDS, resolve
from xr_s2sr.errors import BandError, GridError
from xr_s2sr.layouts.combine import merge, parts
from xr_s2sr.scene.corners import level_attrs, placed
from xr_s2sr.scene.crs import mappings
from xr_s2sr.scene.grid import read_axis, spatial_dims
from xr_s2sr.scene.result import GRID_ATTRS

#: A variable or dimension of xarray-eopf's ``op_mode="native"``: the nodes above that of its pixel size, and its name.
_FLAT = re.compile(r"(?:(?P<above>.+)_)?(?P<node>r(?:10|20|60)m)_(?P<name>[^_].*)")


def read_tree(tree: xr.DataTree) -> tuple[xr.Dataset, list[str]]:
    """Return the sibling nodes that hold bands as one Dataset in native resolutions, and notes.

    Raises
    ------
    BandError
        If no siblings hold bands in their native pixels, or several groups of siblings do.
    """
    nodes = band_nodes(tree)
    ds, notes = merge([part for node in nodes.values() for part in parts(node_dataset(node))])
    return ds, [f"a DataTree: bands from {', '.join(sorted(nodes))}", *notes]


def as_tree(scene: Any) -> xr.DataTree | None:
    """Return a DataTree itself, and that of a Dataset with names such as "measurements_r10m_b02"; else None."""
    if not isinstance(scene, xr.Dataset):
        return scene if isinstance(scene, xr.DataTree) else None
    return _unflattened(scene)


def _unflattened(ds: xr.Dataset) -> xr.DataTree | None:
    """Return the tree of a Dataset that holds its nodes side by side; None for another Dataset."""
    told = {name: found for name in (*ds.variables, *ds.dims) if (found := _FLAT.fullmatch(str(name)))}
    names = [name for name in ds.data_vars if name in told]
    if not any(resolve(told[name]["name"]) for name in names):
        return None
    nodes: dict[str, list[Hashable]] = {}
    for name in names:
        above = (told[name]["above"] or "measurements").replace("_", "/")
        above += "/reflectance" if above == "measurements" else ""  # left out where it has no sibling
        nodes.setdefault(f"/{above}/{told[name]['node']}", []).append(name)
    return xr.DataTree.from_dict({path: _plainly_named(ds[listed], told) for path, listed in nodes.items()})


def _plainly_named(part: xr.Dataset, told: Mapping[Hashable, re.Match[str]]) -> xr.Dataset:
    """Return the variables of one node under their own names."""
    return part.rename({key: told[key]["name"] for key in {*part.variables, *part.dims} if key in told})


def band_nodes(tree: xr.DataTree) -> dict[str, xr.DataTree]:
    """Return the sibling nodes that hold bands, by path.

    Products of EOPF name variables of masks by band as well; reflectance is in the nodes under "reflectance".
    """
    families: dict[PurePosixPath, dict[str, xr.DataTree]] = {}
    for node in tree.subtree:
        if any(resolve(name) for name in node.data_vars):
            families.setdefault(PurePosixPath(node.path).parent, {})[node.path] = node
    if not families:
        raise BandError(
            f"no Sentinel-2 band in any node of the DataTree ({', '.join(node.path for node in tree.subtree)}); "
            "expected nodes such as /measurements/reflectance/r10m, with variables named by band"
        )
    reflectance = {path: nodes for path, nodes in families.items() if path.name == "reflectance"}
    families = reflectance or families
    if len(families) > 1:
        first = next(iter(families))
        raise BandError(
            f"several groups of nodes hold bands: {', '.join(map(str, families))}; expected one scene. Take one: "
            f'dt["{first}"].s2sr.upsample()'
        )
    return next(iter(families.values()))


def restored_node(tree: xr.DataTree) -> xr.Dataset:
    """Return the node that holds what ``upsample(into=True)`` restored, with names, coordinates and CRS.

    Raises
    ------
    BandError
        If none does.
    """
    for node in tree.subtree:
        if any("s2sr_model" in da.attrs for da in node.data_vars.values()):
            return node.to_dataset()
    raise BandError(
        f"no node of the DataTree holds a restored band ({', '.join(node.path for node in tree.subtree)}); expected "
        "the tree that upsample gave: dt = dt.s2sr.upsample(into=True)"
    )


def plain_dims(result: xr.Dataset) -> xr.Dataset:
    """Return a result with dims named as in the nodes of a tree, which hold one pixel size each: y for y_20m."""
    names = {dim: re.sub(r"_\d+m$", "", str(dim)) for dim in result.dims}
    return result.rename({dim: name for dim, name in names.items() if name != dim and name not in result.variables})


def into_tree(tree: xr.DataTree, result: xr.Dataset) -> xr.DataTree:
    """Return the tree with the result in the node of its pixel size, beside what that node holds.

    Raises
    ------
    GridError
        If no node holds bands of that pixel size.
    """
    place = _grids(result)
    [(spacing, dims)] = place.items()
    nodes = band_nodes(tree)
    grids = {path: _grids(node_dataset(node)) for path, node in nodes.items()}
    homes = {path: dims_of[spacing] for path, dims_of in grids.items() if spacing in dims_of}
    if not homes:
        raise GridError(
            f"no node of the DataTree holds bands of {spacing} m, where the result would go (found: "
            f"{', '.join(nodes)}); expected one. Leave into out: the result is then a Dataset"
        )
    path, own = next(iter(homes.items()))
    result = result.rename({old: name for old, name in zip(dims, own, strict=True) if old != name})
    out = tree.copy()
    relative = str(PurePosixPath(path).relative_to(tree.path))
    node = out[relative]
    assert isinstance(node, xr.DataTree)
    native, full = node.to_dataset(inherit=False), node_dataset(node)
    cuts = {dim: _place(full[dim], result[dim]) for dim in own if full.sizes[dim] != result.sizes[dim]}
    if cuts:  # what tells where its pixels lie would be false
        native = native.isel(cuts).assign_coords({dim: result[dim].variable for dim in own}).copy()
        native.attrs = {key: value for key, value in native.attrs.items() if key not in GRID_ATTRS}
        for name in {*mappings(result)} & {*native.variables}:
            native[name].attrs.update(result[name].attrs)
    # What was restored before is replaced; what came through is there already, and native pixels stay. Pixels alone,
    # since coordinates are those of the node, where a CRS may be a data variable.
    fresh = {
        name: da.variable
        for name, da in result.data_vars.items()
        if name not in native or ("s2sr_model" in da.attrs and native[name].dims == da.dims)
    }
    node.dataset = native.assign(fresh)
    return out


def node_dataset(node: xr.DataTree) -> xr.Dataset:
    """Return the Dataset of a node; of a GeoZarr, with the attributes that its group tells of it."""
    ds = node.to_dataset()
    ds.attrs = level_attrs(node.name or "", ds.attrs, {} if node.parent is None else node.parent.attrs)
    return placed(ds)


def _place(whole: xr.DataArray, part: xr.DataArray) -> slice:
    """Return the part of a coordinate that another one is."""
    start = int(np.abs(whole.values - part.values[0]).argmin())
    return slice(start, start + part.size)


def _grids(node: xr.Dataset) -> dict[int, tuple[Hashable, Hashable]]:
    """Return rows and columns of the bands in a node, by pixel size in metres."""
    grids: dict[int, tuple[Hashable, Hashable]] = {}
    for name, da in node.data_vars.items():
        if band := resolve(name):
            rows, cols = spatial_dims(da)
            grids.setdefault(round(abs(read_axis(da, cols, float(BANDS[band].gsd)).step)), (rows, cols))
    return grids
