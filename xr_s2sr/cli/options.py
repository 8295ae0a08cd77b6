"""Options that several commands share, and the scene that they open."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import xarray as xr

from xr_s2sr import arguments, tutorial
from xr_s2sr.bands import resolve
from xr_s2sr.errors import InputError
from xr_s2sr.io.open_any import inputs, open_any
from xr_s2sr.io.subset import by_blocks, subset
from xr_s2sr.planning import DEVICES
from xr_s2sr.scene.radiometry import UNITS

#: What ``add_subparsers`` returns; each command adds its parser to it.
Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"

#: Name of the built-in synthetic scene. A folder of that name is given as ./demo.
DEMO = "demo"


def add_scene(parser: argparse.ArgumentParser) -> None:
    """Declare the scene that the command reads."""
    forms = "a SAFE folder or .zip, a .nc, a .zarr, a GeoTIFF of all bands, or a folder with a GeoTIFF or JP2 for each"
    parser.add_argument("scene", metavar="IN", help=f'{forms}; or "{DEMO}"')
    parser.add_argument("--time", metavar="DATE", help="of several dates the one that begins so, such as 2024-06-01")


def add_device(parser: argparse.ArgumentParser) -> None:
    """Declare the device of the network."""
    parser.add_argument(
        "--device", type=device, default="auto", help="auto, cpu, cuda, or an execution provider of ONNX Runtime"
    )


def device(text: str) -> str:
    """Read a device; other text is wrong usage."""
    try:
        return arguments.device(text, DEVICES)
    except InputError as refused:
        raise argparse.ArgumentTypeError(str(refused)) from refused


def add_restoring(parser: argparse.ArgumentParser, bands: str) -> None:
    """Declare which part of a scene is restored, which bands (with this help), from which values, and how."""
    parser.add_argument("--bands", type=names, metavar="B05,B11", help=bands)
    parser.add_argument("--bbox", type=bounds, metavar="MINX,MINY,MAXX,MAXY", help="a part, in the scene's own CRS")
    parser.add_argument("--model", action="append", metavar="MODEL", help="name or ONNX file; may be repeated")
    parser.add_argument(
        "--adapt",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="follow the network by local regressions (by default what the model says: the packaged ones, yes)",
    )
    add_device(parser)
    parser.add_argument(
        "--units", type=str.lower, choices=tuple(UNITS), help="of the pixels, if the metadata do not tell"
    )
    parser.add_argument("--offset", type=float, help="added to the pixels: -1000 from processing baseline 04.00 on")
    parser.add_argument("--nodata", type=float, help="pixels of this value hold no data, if the metadata do not tell")


def restoring(given: argparse.Namespace) -> dict[str, Any]:
    """Return the arguments that ``upsample`` and ``evaluate`` share."""
    return {key: getattr(given, key) for key in ("bands", "model", "adapt", "device", "units", "offset")}


def count(text: str) -> int:
    """Parse a number of things: at least one."""
    try:
        return arguments.count("the number", int(text))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text[:80]!r} is not a number to count with; expected 1 or more") from None


def share(text: str) -> float:
    """Parse a share, from 0 to 1."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a share; expected a number from 0 to 1, such as 0.33")
    return value


def bounds(text: str) -> tuple[float, ...]:
    """Parse the value of --bbox; the order of its numbers is checked when the scene is opened."""
    try:
        left, bottom, right, top = (float(number) for number in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a bounding box; expected four numbers with commas between them: MINX,MINY,MAXX,MAXY"
        ) from None
    return left, bottom, right, top


def names(text: str) -> list[str]:
    """Read the value of --bands."""
    return [name.strip() for name in text.split(",")]


def open_scene(given: argparse.Namespace, chunks: int | None = None) -> xr.Dataset:
    """Open the scene of a command, or the part of it that is asked for.

    Parameters
    ----------
    given : Namespace
        Values of the options of :func:`add_scene`, and of :func:`add_restoring` if the command has these.
    chunks : int, optional
        Side of dask chunks in 10 m pixels, brought to whole blocks of the files.
    """
    name, bbox, nodata = given.scene, getattr(given, "bbox", None), getattr(given, "nodata", None)
    demo = name == DEMO
    ds = subset(tutorial.synthetic_scene()[0], None, bbox, None, name) if demo else open_any(name, bbox=bbox)
    if chunks is not None:
        ds = by_blocks(ds, chunks)
    if given.time is not None:
        ds = _one_date(ds, given.time, name)
    return ds if nodata is None else _with_nodata(ds, nodata)


def _one_date(ds: xr.Dataset, time: str, name: str) -> xr.Dataset:
    """Return the one date that begins with a text."""
    if "time" not in ds.coords or ds["time"].dtype.kind != "M":
        raise InputError(f"{name} says of no date when it was; leave --time out")
    dates = [str(date)[:19] for date in ds["time"].values.reshape(-1)]
    found = [k for k, date in enumerate(dates) if date.startswith(time.strip().rstrip("Z"))]
    if len(found) != 1:
        raise InputError(
            f"{name} holds {len(found)} dates that begin with {time}; expected one of {', '.join(dates[:20])}: "
            f"--time {dates[0]}"
        )
    return ds.isel(time=found[0]) if ds["time"].ndim else ds


def _with_nodata(ds: xr.Dataset, nodata: float) -> xr.Dataset:
    """Let bands of integers say which value means "no data"; make it NaN in those of floats."""
    changed = {}
    for name, da in ds.data_vars.items():
        if not resolve(name):
            continue
        if da.dtype.kind == "f":
            changed[name] = da.copy(deep=False, data=da.where(da != nodata).data)
            continue
        info = np.iinfo(da.dtype)
        if not (nodata.is_integer() and info.min <= nodata <= info.max):
            raise InputError(f"--nodata {nodata:g} is no value of {name!r}, which is {da.dtype}; expected one of it")
        changed[name] = da.assign_attrs(_FillValue=int(nodata))
    return ds.assign(changed)


def sources(given: argparse.Namespace, ds: xr.Dataset) -> set[Path]:
    """Return the files and folders that a command reads, none of which it may replace."""
    return inputs(None if given.scene == DEMO else Path(given.scene), ds, given.model)
