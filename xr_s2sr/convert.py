"""``xr-s2sr upsample``: a scene on disk in, its bands at 10 m on disk out, in bounded memory."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import xarray as xr

from xr_s2sr import tutorial
from xr_s2sr.api import upsample
from xr_s2sr.files import open_any
from xr_s2sr.lazy import computing
from xr_s2sr.radiometry import UNITS
from xr_s2sr.replacing import check_apart, check_target
from xr_s2sr.subset import subset
from xr_s2sr.write import save

#: Suffixes of outputs that are one file.
FILES = (".tif", ".tiff", ".nc")
#: Side of a chunk, in 10 m pixels: about 100 MB of input, and as much of output, for each thread.
CHUNK = 1830


def bounds(text: str) -> tuple[float, ...]:
    """Parse the value of --bbox; the order of its numbers is checked when the scene is opened."""
    try:
        left, bottom, right, top = (float(number) for number in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a bounding box; expected four numbers with commas between them: MINX,MINY,MAXX,MAXY"
        ) from None
    return left, bottom, right, top


def open_scene(scene: str | Path, bbox: Iterable[float] | None = None, chunks: int | None = None) -> xr.Dataset:
    """Open a scene on disk, or make the synthetic one for "demo"."""
    if str(scene) == "demo":
        return subset(tutorial.synthetic_scene()[0], None, bbox, chunks, "the synthetic scene")
    return open_any(Path(scene), bbox=bbox, chunks=chunks)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    parser.add_argument(
        "scene", type=Path, metavar="IN", help='SAFE folder or .zip, .zarr, .nc, folder of GeoTIFF or JP2; or "demo"'
    )
    parser.add_argument(
        "-o",
        "--out",
        type=Path,
        metavar="OUT",
        help=".tif: one COG; .zarr; .nc; else a folder of COGs, one a band (by default IN_10m.tif, in this folder)",
    )
    parser.add_argument("--bands", metavar="B05,B11", help="to write; by default all")
    parser.add_argument("--bbox", type=bounds, metavar="MINX,MINY,MAXX,MAXY", help="a part, in the scene's own CRS")
    parser.add_argument("--model", action="append", metavar="MODEL", help="name or ONNX file; may be repeated")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--threads", type=int, help="by default one for each processor")
    parser.add_argument("--units", choices=tuple(UNITS), help="of the pixels, if the metadata do not tell")
    parser.add_argument("--offset", type=float, help="added to the pixels: -1000 from processing baseline 04.00 on")
    parser.add_argument("--keep", choices=("fine", "all"), default="fine", help="all: also masks and classes, at 10 m")
    parser.add_argument("--chunk", type=int, default=CHUNK, help=f"side of what is computed at once ({CHUNK} pixels)")


def run(arguments: argparse.Namespace) -> int:
    """Open, upsample lazily, write; says what was written on stdout."""
    out = arguments.out or Path(f"{arguments.scene.name.split('.')[0]}_10m.tif")
    check_apart(arguments.scene, out)
    check_target(out, "zarr" if out.suffix == ".zarr" else "file" if out.suffix in FILES else "folder")
    bands = arguments.bands and [band.strip() for band in arguments.bands.split(",")]
    started = time.perf_counter()
    # every band is opened: a model restores one band the better for having all
    ds = open_scene(arguments.scene, arguments.bbox, arguments.chunk)
    sr = upsample(
        ds,
        bands,
        keep=arguments.keep,
        model=arguments.model,
        device=arguments.device,
        units=arguments.units,
        offset=arguments.offset,
        chunks=arguments.chunk,
    )
    with computing(arguments.threads, progress=sys.stderr.isatty()):
        save(sr, out)
    seconds = time.perf_counter() - started
    rows, cols = next(iter(sr.data_vars.values())).shape[-2:]
    print(f"wrote {out}: {', '.join(map(str, sr.data_vars))}; {rows} x {cols} pixels of 10 m in {seconds:.0f} s")
    return 0
