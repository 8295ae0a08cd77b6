"""``xr-s2sr import-keras``: turn Keras weights into an ONNX file with a model card."""

from __future__ import annotations

import argparse
from pathlib import Path

from xr_s2sr.cli import options
from xr_s2sr.importers import keras


def add_parser(commands: options.Commands) -> None:
    """Declare the command."""
    parser = commands.add_parser("import-keras", help="turn Keras weights of DSen2 or AESR into an ONNX file")
    parser.add_argument("weights", type=Path, metavar="FILE", help="HDF5 file as Keras writes it")
    parser.add_argument("-o", "--out", type=Path, metavar="ONNX", help="by default beside FILE")
    parser.add_argument("--licence", default="GPL-3.0", help="of the weights, for the card (GPL-3.0)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Write the ONNX file and print what it is."""
    model = keras(arguments.weights, arguments.out, licence=arguments.licence)
    card = model.card
    print(f"wrote {model.path}: {', '.join(card.targets)} from {', '.join(card.bands)}")
    print(f"  {card.training}")
    print(f"  halo {card.halo} pixels of 10 m, licence {card.licence}")
    return 0
