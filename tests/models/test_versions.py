"""Weights and the versions of their cards, held together: who changes the one changes the other."""

from __future__ import annotations

from xr_s2sr import models

#: By name: the version, and the SHA-256 of the file.
WEIGHTS = {
    "s2sr-20m": ("0.5.0", "851a6d3407e43720cf7e5152f99887f590888957bd882984995a44159a0db6aa"),
    "s2sr-20m-fast": ("0.4.0", "24fdc8cc3d05875836e968385c274255b6ebf26cedaba445711952c163380938"),
    "s2sr-60m": ("0.4.0", "bcce04f66973e3e31dba75acbb290339aa717680de4ebfff93c250cded8112f8"),
    "s2sr-60m-fast": ("0.5.0", "9569739b8dc14fb4a5ce559b342c807aded3862a35aeee9ae2339e4731b357ed"),
}


def test_other_weights_have_another_version() -> None:
    """A result names the version: with other weights under the old one, nobody could tell which made it."""
    found = {name: models.load(name) for name in models.packaged()}
    assert {name: (model.card.version, model.sha256) for name, model in found.items()} == WEIGHTS
