"""``xr-s2sr evaluate``: score models on a scene, beside bicubic interpolation."""

from __future__ import annotations

import argparse
from pathlib import Path

import xr_s2sr
from xr_s2sr.cli import options
from xr_s2sr.io.write import check_writer, save_netcdf
from xr_s2sr.quality import PROTOCOLS
from xr_s2sr.quality.noise import DETECTORS
from xr_s2sr.targets import check_apart, check_target


def add_parser(commands: options.Commands) -> None:
    """Declare the command."""
    parser = commands.add_parser("evaluate", help="score models on a scene of your own, beside bicubic")
    options.add_scene(parser)
    parser.add_argument("--protocol", choices=PROTOCOLS, default="sensor", help="how to degrade (sensor)")
    options.add_restoring(parser, "by default all of 20 m and 60 m")
    parser.add_argument(
        "--satellite",
        choices=tuple(DETECTORS),
        help="its noise, with --protocol sensor, or its MTF, with --protocol mtf",
    )
    parser.add_argument("--uncertainty", action="store_true", help="also score the models' standard errors")
    parser.add_argument("-o", "--out", type=Path, metavar="FILE", help="also write the scores as NetCDF")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the table of scores."""
    if arguments.out is not None:
        check_writer(arguments.out, ".nc")
        check_target(arguments.out, "file", (".nc",))
    ds = options.open_scene(arguments)
    sources = options.sources(arguments, ds)
    if arguments.out is not None:
        check_apart(sources, arguments.out)
    scores = xr_s2sr.evaluate(
        ds,
        protocol=arguments.protocol,
        satellite=arguments.satellite,
        uncertainty=arguments.uncertainty,
        **options.restoring(arguments),
    )
    print(scores)
    if arguments.out is not None:
        save_netcdf(scores.dataset, arguments.out, sources)
        print(f"wrote {arguments.out}")
    return 0
