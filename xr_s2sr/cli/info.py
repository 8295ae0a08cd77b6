"""``xr-s2sr info``: say what a scene holds, and what keeps it from being upsampled."""

from __future__ import annotations

import argparse

from xr_s2sr import validate
from xr_s2sr.bands import resolve
from xr_s2sr.cli import options

#: Attributes of a Dataset that describe its product, as open_safe writes them.
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


def add_parser(commands: options.Commands) -> None:
    """Declare the command."""
    parser = commands.add_parser("info", help="say what a scene holds, and what keeps it from being upsampled")
    options.add_scene(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print what the product says of itself, and the report; 1 where upsampling would fail."""
    ds = options.open_scene(arguments)
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
