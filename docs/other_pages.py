"""What these pages link to in the documentation of others: inventories for intersphinx that need no network.

Each project lists the objects that are named here, by role, with the page that describes them ("$" is the name).
"""

from __future__ import annotations

import zlib
from pathlib import Path

#: By project: address, and objects as (name, domain:role, page).
PROJECTS: dict[str, tuple[str, list[tuple[str, str, str]]]] = {
    "xarray": (
        "https://docs.xarray.dev/en/stable/",
        [
            ("xarray.Dataset", "py:class", "generated/xarray.Dataset.html#$"),
            ("xarray.DataArray", "py:class", "generated/xarray.DataArray.html#$"),
            ("xarray.DataTree", "py:class", "generated/xarray.DataTree.html#$"),
            ("xarray.open_zarr", "py:function", "generated/xarray.open_zarr.html#$"),
            ("xarray.open_datatree", "py:function", "generated/xarray.open_datatree.html#$"),
        ],
    ),
    "dask": (
        "https://docs.dask.org/en/stable/",
        [("dask.compute", "py:function", "api.html#$"), ("dask.annotate", "py:function", "api.html#$")],
    ),
    "distributed": ("https://distributed.dask.org/en/stable/", [("distributed.Client", "py:class", "api.html#$")]),
    "odc-stac": (
        "https://odc-stac.readthedocs.io/en/latest/",
        [("odc.stac.load", "py:function", "_api/odc.stac.load.html#$")],
    ),
    "stackstac": (
        "https://stackstac.readthedocs.io/en/latest/",
        [("stackstac.stack", "py:function", "api/main/stackstac.stack.html#$")],
    ),
    "satpy": (
        "https://satpy.readthedocs.io/en/stable/",
        [("satpy.scene.Scene", "py:class", "api/satpy.scene.html#$")],
    ),
}


def write(folder: Path) -> dict[str, tuple[str, str]]:
    """Write an inventory for each project; return what ``intersphinx_mapping`` takes."""
    folder.mkdir(parents=True, exist_ok=True)
    mapping = {}
    for project, (url, objects) in PROJECTS.items():
        head = f"# Sphinx inventory version 2\n# Project: {project}\n# Version: \n"
        head += "# The remainder of this file is compressed using zlib.\n"
        lines = "".join(f"{name} {role} 1 {page} -\n" for name, role, page in objects)
        path = folder / f"{project}.inv"
        path.write_bytes(head.encode() + zlib.compress(lines.encode()))
        mapping[project] = (url, str(path))
    return mapping
