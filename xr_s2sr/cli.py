"""The command line: ``xr-s2sr demo``, ``info``, ``evaluate``, ``models``, ``import-keras`` and ``train``."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import xarray as xr

from xr_s2sr import __version__, convert
from xr_s2sr.bands import BANDS, BY_GSD, MTF, resolve
from xr_s2sr.errors import DependencyError, S2SRError
from xr_s2sr.pixels import Validity, valid
from xr_s2sr.quality import PROTOCOLS, rmse
from xr_s2sr.radiometry import UNITS
from xr_s2sr.training.options import add_options

SCENE = "a SAFE folder or .zip, a .nc, a .zarr, or a folder with a GeoTIFF or JP2 for each band"
#: Attributes of a Dataset that tell of its product, as open_safe writes them.
FACTS = (
    "product",
    "level",
    "platform",
    "processing_baseline",
    "tile",
    "relative_orbit",
    "orbit_direction",
    "cloud_cover",
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code: 0, or 1 for anything refused, in one line on stderr."""
    parser = build_parser()
    arguments = parser.parse_args(argv)
    try:
        code: int = arguments.run(arguments)
        return code
    except (S2SRError, OSError) as error:
        if arguments.debug:
            raise
        print(f"xr-s2sr: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("xr-s2sr: interrupted", file=sys.stderr)
        return 130


def build_parser() -> argparse.ArgumentParser:
    """The parser, for :func:`main` and for the docs."""
    parser = argparse.ArgumentParser(prog="xr-s2sr", description="Sentinel-2's 20 m and 60 m bands at 10 m.")
    parser.add_argument("--version", action="version", version=f"xr-s2sr {__version__}")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    demo = commands.add_parser("demo", help="super-resolve the built-in synthetic scene and score it against its truth")
    demo.add_argument(
        "-o", "--out", type=Path, default=Path("xr-s2sr-demo"), metavar="DIR", help="folder for the files"
    )
    demo.add_argument("--size", type=int, default=600, help="pixels of 10 m along a side, a multiple of 6 (600)")
    demo.add_argument("--seed", type=int, default=0, help="another seed is another landscape (0)")
    demo.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    demo.set_defaults(run=run_demo)
    models = commands.add_parser("models", help="list the packaged models")
    models.set_defaults(run=run_models)
    importing = commands.add_parser("import-keras", help="turn Keras weights of DSen2 or AESR into an ONNX file")
    importing.add_argument("weights", type=Path, metavar="FILE", help="HDF5 file as Keras writes it")
    importing.add_argument("-o", "--out", type=Path, metavar="ONNX", help="by default beside FILE")
    importing.add_argument("--licence", default="GPL-3.0", help="of the weights, for the card (GPL-3.0)")
    importing.set_defaults(run=run_import_keras)
    info = commands.add_parser("info", help="say what a scene holds, and what keeps it from being upsampled")
    info.add_argument("scene", metavar="IN", help=f'{SCENE}; or "demo"')
    info.set_defaults(run=run_info)
    evaluate = commands.add_parser("evaluate", help="score models on a scene of your own, beside bicubic")
    evaluate.add_argument("scene", metavar="IN", help=f'{SCENE}; or "demo"')
    evaluate.add_argument(
        "--bbox", type=convert.bounds, metavar="MINX,MINY,MAXX,MAXY", help="a part, in the scene's own CRS"
    )
    evaluate.add_argument("--protocol", choices=PROTOCOLS, default="sensor", help="how to degrade (sensor)")
    evaluate.add_argument("--model", action="append", metavar="MODEL", help="name or ONNX file; may be repeated")
    evaluate.add_argument("--bands", metavar="B05,B11", help="by default all of 20 m and 60 m")
    evaluate.add_argument("--satellite", choices=tuple(MTF), help="use its MTF per band, with --protocol sensor or mtf")
    evaluate.add_argument("--units", choices=tuple(UNITS), help="of the pixels, if the metadata do not tell")
    evaluate.add_argument("--offset", type=float, help="added to the pixels: -1000 from processing baseline 04.00 on")
    evaluate.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    evaluate.add_argument("-o", "--out", type=Path, metavar="FILE", help="also write the scores as NetCDF")
    evaluate.set_defaults(run=run_evaluate)
    upsampling = commands.add_parser("upsample", help="bring a scene's 20 m and 60 m bands to 10 m, file to file")
    convert.add_options(upsampling)
    upsampling.set_defaults(run=convert.run)
    train = commands.add_parser("train", help="train a network, or refine a packaged one, on scenes of your own")
    add_options(train)
    train.set_defaults(run=run_train)
    return parser


def run_demo(arguments: argparse.Namespace) -> int:
    """Make the scene, super-resolve it, print the scores, write a GeoTIFF and a picture."""
    from xr_s2sr import tutorial, upsample
    from xr_s2sr.plot import before_after

    print(f"synthetic scene, {arguments.size} x {arguments.size} pixels of 10 m, seed {arguments.seed}")
    ds, truth = tutorial.synthetic_scene(arguments.size, arguments.seed)
    started = time.perf_counter()
    sr = upsample(ds, device=arguments.device, progress=sys.stderr.isatty())
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
    arguments.out.mkdir(parents=True, exist_ok=True)
    tif, png = arguments.out / "sr.tif", arguments.out / "before_after.png"
    write_stack(sr, tif)
    before_after(demo_rows(ds, sr, truth), png, zoom=3)
    print(f"\nwrote {tif} ({len(sr.data_vars)} bands) and {png} (native | 10 m | truth: B11, B05, B01)")
    if worse:
        print(f"xr-s2sr: no better than bicubic: {', '.join(worse)}", file=sys.stderr)
    return 1 if worse else 0


def rmse_valid(restored: xr.DataArray, truth: xr.DataArray, nodata: int = 0) -> float:
    """RMSE over the pixels that are valid in both."""
    a, b, mark = restored.values, truth.values, Validity(nodata)
    return float(rmse(a[np.newaxis], b[np.newaxis], border=0, valid=valid(a, mark) & valid(b, mark))[0])


def write_stack(sr: xr.Dataset, path: Path) -> None:
    """All bands in one GeoTIFF, named, compressed."""
    names = [band for band in BANDS if band in sr]
    stack = sr[names].to_dataarray("band").assign_attrs(long_name=tuple(names))
    stack.rio.write_nodata(0).rio.to_raster(path, compress="deflate", predictor=2, tiled=True)


def demo_rows(
    ds: xr.Dataset, sr: xr.Dataset, truth: xr.Dataset
) -> list[tuple[np.ndarray, np.ndarray, int, np.ndarray]]:
    """Rows of the picture: a crop of at most 120 pixels around the town, of three bands."""
    size = min(120, ds.sizes["y"] // 24 * 6, ds.sizes["x"] // 24 * 6)
    # the town lies at a fifth of the height and two fifths of the width of every scene
    top, left = (min(int(part * ds.sizes["y"]), ds.sizes["y"] - size) // 6 * 6 for part in (0.22, 0.45))
    rows = []
    for band in ("B11", "B05", "B01"):
        factor = BANDS[band].gsd // 10
        fine = slice(top, top + size), slice(left, left + size)
        coarse = tuple(slice(s.start // factor, s.stop // factor) for s in fine)
        rows.append((ds[band].values[coarse], sr[band].values[fine], factor, truth[band].values[fine]))
    return rows


def run_models(arguments: argparse.Namespace) -> int:
    """Print what the packaged models are."""
    from xr_s2sr.models import load, packaged

    for name, path in packaged().items():
        model = load(name)
        card = model.card
        print(f"{name} {card.version}: {', '.join(card.targets)} from {', '.join(card.bands)}")
        licence = card.licence or "no licence given"
        print(f"  {path.stat().st_size / 1e6:.1f} MB, halo {card.halo} pixels of 10 m, {licence}")
        print(f"  sha256 {model.sha256}")
        for key, value in card.scores.items():
            print(f"  {key}: {value}")
    return 0


def run_import_keras(arguments: argparse.Namespace) -> int:
    """Write the ONNX file and say what it is."""
    from xr_s2sr.importers import keras

    model = keras(arguments.weights, arguments.out, licence=arguments.licence)
    card = model.card
    print(f"wrote {model.path}: {', '.join(card.targets)} from {', '.join(card.bands)}")
    print(f"  {card.training}")
    print(f"  halo {card.halo} pixels of 10 m, licence {card.licence}")
    return 0


def run_info(arguments: argparse.Namespace) -> int:
    """Print what the product says of itself, and the report; 1 where upsampling would fail."""
    from xr_s2sr import validate

    ds = convert.open_scene(arguments.scene)
    facts = {key: ds.attrs[key] for key in FACTS if key in ds.attrs}
    if "time" in ds.coords and ds["time"].ndim == 0:
        facts["time"] = ds["time"].dt.strftime("%Y-%m-%dT%H:%M:%SZ").item()
    others = [f"{name} ({', '.join(map(str, da.dims))})" for name, da in ds.data_vars.items() if resolve(name) is None]
    if others:
        facts["besides bands"] = ", ".join(others)
    for key, value in facts.items():
        print(f"{key.replace('_', ' ')}: {value}")
    report = validate(ds)
    print(report)
    return 0 if report else 1


def run_evaluate(arguments: argparse.Namespace) -> int:
    """Print the table of scores."""
    from xr_s2sr import evaluate

    scores = evaluate(
        convert.open_scene(arguments.scene, arguments.bbox),
        arguments.model,
        protocol=arguments.protocol,
        bands=arguments.bands and [band.strip() for band in arguments.bands.split(",")],
        satellite=arguments.satellite,
        units=arguments.units,
        offset=arguments.offset,
        device=arguments.device,
        progress=sys.stderr.isatty(),
    )
    print(scores)
    if arguments.out is not None:
        scores.dataset.to_netcdf(arguments.out)
        print(f"wrote {arguments.out}")
    return 0


def run_train(arguments: argparse.Namespace) -> int:
    """Train and export; needs the extra."""
    try:
        from xr_s2sr.training.__main__ import run
    except ModuleNotFoundError as error:
        if error.name not in ("torch", "onnx"):
            raise
        raise DependencyError(
            f"training needs {error.name}. Install the extra: pip install 'xr_s2sr[train]'"
        ) from error
    return run(arguments)


if __name__ == "__main__":
    sys.exit(main())
