"""``xr-s2sr demo``: super-resolve the synthetic scene, score it against its truth."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import xarray as xr

from xr_s2sr import tutorial, upsample
from xr_s2sr.bands import BANDS, BY_GSD
from xr_s2sr.cli import options
from xr_s2sr.errors import InputError
from xr_s2sr.io.write import to_cog
from xr_s2sr.plot import before_after, rgb
from xr_s2sr.quality import rmse

#: Where the files go by default; there, those of an earlier run are replaced.
OUT = Path("xr-s2sr-demo")
#: What to do with a scene of one's own.
NEXT = """
next, with a scene of yours:
  xr-s2sr info YOUR.SAFE                  what it holds, and what its values are
  xr-s2sr upsample YOUR.SAFE -o sr.tif    its bands at 10 m, for QGIS and the like
  sr = xr_s2sr.open("YOUR.SAFE").s2sr.upsample()    the same in Python"""
#: Rows of the picture: composites of bands of one resolution, and a single band.
PICTURE = (("B12", "B8A", "B05"), ("B07", "B06", "B05"), ("B01",))


def add_parser(commands: options.Commands) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "demo", help="super-resolve the built-in synthetic scene and score it against its truth"
    )
    parser.add_argument(
        "-o", "--out", type=Path, metavar="DIR", help=f"folder for the files, where none is replaced ({OUT})"
    )
    parser.add_argument(
        "--size", type=options.count, default=600, help="pixels of 10 m along a side, a multiple of 6 (600)"
    )
    parser.add_argument("--seed", type=int, default=0, help="another seed is another landscape (0)")
    options.add_device(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Make the scene, super-resolve it, print the scores, write a GeoTIFF and a picture."""
    out = OUT if arguments.out is None else arguments.out
    tif, png = out / "sr.tif", out / "before_after.png"
    for path in () if arguments.out is None else (tif, png):
        if path.exists():
            raise InputError(f"{path} is there already, so it is not replaced; give a folder without it: -o {out}-2")
    print(f"synthetic scene, {arguments.size} x {arguments.size} pixels of 10 m, seed {arguments.seed}")
    ds, truth = tutorial.synthetic_scene(arguments.size, arguments.seed)
    started = time.perf_counter()
    sr = upsample(ds, device=arguments.device)
    seconds = time.perf_counter() - started
    cubic = upsample(ds, model="bicubic")
    print(f"upsampled in {seconds:.1f} s (the first run in a process loads the model and compiles kernels)\n")
    print("RMSE against the known 10 m truth, in DN (reflectance x 10000)")
    print(f"{'band':<6}{'GSD':>5}{'bicubic':>10}{'xr_s2sr':>10}{'ratio':>8}")
    worse = []
    for band in (band for band in BANDS if band in sr and band not in BY_GSD[10]):
        errors = [rmse_valid(restored[band], truth[band]) for restored in (cubic, sr)]
        if errors[1] >= errors[0]:
            worse.append(band)
        gsd = f"{BANDS[band].gsd} m"
        print(f"{band:<6}{gsd:>5}{errors[0]:>10.1f}{errors[1]:>10.1f}{errors[1] / errors[0]:>8.2f}")
    out.mkdir(parents=True, exist_ok=True)
    to_cog(sr[[band for band in BANDS if band in sr]], tif)
    write_picture(ds, sr, truth, png)
    print(f"\nwrote {tif} ({len(sr.data_vars)} bands) and {png} (native | 10 m | truth)")
    print(NEXT)
    if worse:
        print(f"xr-s2sr: no better than bicubic: {', '.join(worse)}", file=sys.stderr)
    return 1 if worse else 0


def rmse_valid(restored: xr.DataArray, truth: xr.DataArray) -> float:
    """Return the RMSE over the pixels that are valid, and so not 0, in both."""
    a, b = restored.values, truth.values
    return float(rmse(a[np.newaxis], b[np.newaxis], border=0, valid=(a != 0) & (b != 0))[0])


def write_picture(
    ds: xr.Dataset, sr: xr.Dataset, truth: xr.Dataset, path: Path, shown: Sequence[tuple[str, ...]] = PICTURE
) -> None:
    """Write the edge of the town, at most 120 pixels per side: native, restored and as it is known to be."""
    size = min(120, ds.sizes["y"] // 24 * 6, ds.sizes["x"] // 24 * 6)
    # Fields, river, motorway and the first streets of the town, in a scene of any size.
    top, left = (min(int(part * ds.sizes["y"]), ds.sizes["y"] - size) // 6 * 6 for part in (0.32, 0.42))
    rows, titles = [], []
    for bands in shown:
        gsd = BANDS[bands[0]].gsd
        images = []
        for scene, factor in ((ds, gsd // 10), (sr, 1), (truth, 1)):
            part = tuple(slice(start // factor, (start + size) // factor) for start in (top, left))
            cut = [scene[band].values[part] for band in bands]
            images.append(rgb(*cut) if len(cut) == 3 else cut[0])
        rows.append((images[0], images[1], gsd // 10, images[2]))
        titles.append((f"{' '.join(bands)}, native {gsd} m", "restored, 10 m", "truth, 10 m"))
    # without matplotlib there is no text in the picture; what it shows is printed, too
    before_after(rows, path, zoom=3, percentiles=(1, 99), titles=titles if find_spec("matplotlib") else ())
