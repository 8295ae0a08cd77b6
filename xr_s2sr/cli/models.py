"""``xr-s2sr models``: list the packaged models."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from xr_s2sr.cli import options
from xr_s2sr.models import load, packaged


def add_parser(commands: options.Commands) -> None:
    """Declare the command."""
    commands.add_parser("models", help="list the packaged models").set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print name, bands, licence, hash and scores of each."""
    for name, path in packaged().items():
        model = load(name)
        card = model.card
        print(f"{name} {card.version}: {', '.join(card.targets)} from {', '.join(card.bands)}")
        licence = card.licence or "no licence given"
        print(f"  {path.stat().st_size / 1e6:.1f} MB, halo {card.halo} pixels of 10 m, {licence}")
        print(f"  sha256 {model.sha256}")
        for key, value in card.scores.items():
            print(f"  {key}: {_by_band(value, card.targets)}")
    return 0


def _by_band(value: Any, targets: Sequence[str]) -> str:
    """Return a score as text; one that has a value for each target with their names."""
    if not isinstance(value, list) or len(value) != len(targets):
        return str(value)
    return ", ".join(f"{band} {score}" for band, score in zip(targets, value, strict=True))
