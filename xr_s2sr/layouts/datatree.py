"""DataTrees with one node a resolution, as EOPF Zarr products are opened: read, and given back with the result."""

from __future__ import annotations

from pathlib import PurePosixPath

import xarray as xr

from xr_s2sr.bands import resolve
from xr_s2sr.errors import BandError
from xr_s2sr.layouts.combine import merge, parts


def read_tree(tree: xr.DataTree) -> tuple[xr.Dataset, list[str]]:
    """Return the sibling nodes that hold bands as one Dataset in native resolutions, and notes.

    Raises
    ------
    BandError
        If no siblings hold bands in their native pixels, or several groups of siblings do.
    """
    nodes = band_nodes(tree)
    ds, notes = merge([part for node in nodes.values() for part in parts(node.to_dataset())])
    return ds, [f"a DataTree: bands from {', '.join(sorted(nodes))}", *notes]


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


def into_tree(tree: xr.DataTree, result: xr.Dataset) -> xr.DataTree:
    """Return the tree with the result in its 10 m node, beside what that node holds."""

    def spacing(node: xr.DataTree) -> float:
        return min(part.spacing for part in parts(node.to_dataset()))

    finest = min(band_nodes(tree).values(), key=spacing)
    out = tree.copy()
    relative = str(PurePosixPath(finest.path).relative_to(tree.path))
    node = out[relative]
    assert isinstance(node, xr.DataTree)
    native = node.to_dataset(inherit=False)
    for dim in {*native.dims} & {*result.dims}:
        if native.sizes[dim] != result.sizes[dim]:
            native = native.sel({dim: result[dim]})
    fresh = result.drop_vars([name for name in result.data_vars if name in native])
    node.dataset = native.assign(fresh.data_vars)
    return out
