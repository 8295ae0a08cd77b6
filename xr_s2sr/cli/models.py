"""``xr-s2sr models``: list the packaged models."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from xr_s2sr.cli import options
from xr_s2sr.models import ModelCard, load, packaged


def add_parser(commands: options.Commands) -> None:
    """Declare the command."""
    parser = commands.add_parser("models", help="list the packaged models")
    parser.add_argument("--scores", action="store_true", help="also the scores of each band's standard errors")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print name, bands, licence, hash and scores of each."""
    for name, path in packaged().items():
        model = load(name)
        card = model.card
        print(f"{name} {card.version}: {', '.join(card.targets)} from {', '.join(card.bands)}")
        licence = card.licence or "no licence given"
        print(f"  {path.stat().st_size / 1e6:.1f} MB, halo {card.halo} pixels of 10 m, {licence}")
        print(f"  sha256 {model.sha256}")
        print(*_mean_scores(card), sep="\n")
        if arguments.scores:
            print(*_band_scores(card), sep="\n")
    return 0


def _mean_scores(card: ModelCard) -> Iterator[str]:
    """Yield a line for each score over all bands, with its values by all protocols."""
    found: dict[str, list[str]] = {}
    for key, value in card.scores.items():
        if not isinstance(value, list):
            score, _, protocol = key.rpartition(", ")
            found.setdefault(score, []).append(f"{value} {protocol}")
    for score, values in found.items():
        yield f"  {score}: {', '.join(values)}"


def _band_scores(card: ModelCard) -> Iterator[str]:
    """Yield a table of the scores that have a value for each band."""
    rows = {key: value for key, value in card.scores.items() if isinstance(value, list)}
    width = max(map(len, rows), default=0)
    yield f"  {'':{width}}" + "".join(f"{band:>7}" for band in card.targets)
    for key, values in rows.items():
        yield f"  {key:{width}}" + "".join(f"{value:7.3f}" for value in values)
