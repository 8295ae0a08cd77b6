"""``xr-s2sr upsample``: a scene on disk in, its bands at 10 m on disk out, in bounded memory."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import xarray as xr

import xr_s2sr
from xr_s2sr.api import RESOLUTIONS
from xr_s2sr.bands import resolve
from xr_s2sr.cli import options
from xr_s2sr.errors import InputError
from xr_s2sr.io.open_any import home_of
from xr_s2sr.io.scheduling import computing
from xr_s2sr.io.write import form_of, save
from xr_s2sr.targets import check_apart, check_target

#: Side of a chunk, in 10 m pixels: one window for each thread, which takes a GB.
CHUNK = 1200


def add_parser(commands: options.Commands) -> None:
    """Declare the command."""
    parser = commands.add_parser("upsample", help="bring a scene's bands to 10 m, or to 20 m, file to file")
    options.add_scene(parser)
    parser.add_argument(
        "-o",
        "--out",
        type=Path,
        metavar="OUT",
        help=".tif: one COG; .zarr; .nc; else a folder of COGs, one per band (by default IN_10m.tif, in this folder)",
    )
    parser.add_argument(
        "--resolution",
        type=int,
        choices=RESOLUTIONS,
        default=10,
        help="pixel size of the result; 20: 10 m bands averaged",
    )
    options.add_restoring(parser, "to write; by default all")
    parser.add_argument("--threads", type=options.count, help="by default one for each processor")
    parser.add_argument("--precision", choices=("auto", "fp32", "fp16"), default="auto", help="deprecated: it is fp32")
    parser.add_argument(
        "--uncertainty",
        nargs="?",
        const="float32",
        choices=("float32", "uint16"),
        help="also the standard error of every band, if its model gives it (float32; uint16: in steps of 0.1 DN)",
    )
    parser.add_argument("--keep", choices=("fine", "all"), default="fine", help="all: also masks and classes, at 10 m")
    parser.add_argument(
        "--stac",
        nargs="?",
        const=True,
        default=False,
        metavar="TIME",
        help="write a STAC item beside GeoTIFFs; TIME, such as 2024-06-01T10:00:00Z, if the scene does not tell it",
    )
    parser.add_argument(
        "--chunk", type=options.count, default=CHUNK, help=f"side of what is computed at once ({CHUNK} pixels)"
    )
    parser.set_defaults(run=run)


def _one_date(sr: xr.Dataset) -> str:
    """Return how one date is chosen, where a scene has several."""
    dates = sr.coords.get("time")
    if dates is None or dates.dtype.kind != "M" or not dates.size:
        return ""
    return f". Or choose one date: --time {str(dates.values.flat[0])[:10]}"


def run(arguments: argparse.Namespace) -> int:
    """Open, upsample lazily, write; print what was written."""
    scene = Path(arguments.scene)
    out = arguments.out or Path(f"{scene.name.split('.')[0]}_{arguments.resolution}m.tif")
    if arguments.scene != options.DEMO:
        check_apart({scene, home_of(scene)}, out)
    check_target(out, form_of(out))
    geotiffs = out.suffix.lower() not in (".zarr", ".nc")
    if arguments.stac and not geotiffs:
        raise InputError(
            f"a STAC item describes GeoTIFFs, not {out.name}; expected a .tif or a folder: -o {out.stem}.tif"
        )
    started = time.perf_counter()
    # every band is opened: a model restores one band the better for having all
    ds = options.open_scene(arguments, arguments.chunk)
    sr = xr_s2sr.upsample(
        ds,
        keep=arguments.keep,
        resolution=arguments.resolution,
        uncertainty="uint16" if arguments.uncertainty == "uint16" else arguments.uncertainty is not None,
        chunks=arguments.chunk,
        precision=arguments.precision,
        **options.restoring(arguments),
    )
    placed = [da for name, da in sr.data_vars.items() if resolve(name)]
    if geotiffs and (lead := placed[0].dims[:-2]):
        raise InputError(
            f"{scene} has the dimensions {', '.join(map(str, lead))} before rows and columns, which a GeoTIFF has not; "
            f"expected a form that holds them: -o {out.with_suffix('.zarr')}, or .nc{_one_date(sr)}"
        )
    with computing(arguments.threads, progress=sys.stderr.isatty()):
        save(sr, out, arguments.stac, options.sources(arguments, ds), arguments.threads)
    seconds = time.perf_counter() - started
    rows, cols = placed[0].shape[-2:]
    size = f"{rows} x {cols} pixels of {arguments.resolution} m"
    print(f"wrote {out}: {', '.join(map(str, sr.data_vars))}; {size} in {seconds:.0f} s")
    return 0
