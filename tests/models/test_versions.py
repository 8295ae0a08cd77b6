"""Weights and the versions of their cards, held together: who changes the one changes the other."""

from __future__ import annotations

from xr_s2sr import models

#: By name: the version, and the SHA-256 of the file.
WEIGHTS = {
    "s2sr-20m": ("0.5.0", "ff682675006a2428ebd45f4533767282d8c63bcc0e40e068dc1d108ff716e198"),
    "s2sr-20m-fast": ("0.4.0", "869c6e7b971986aabc63b7f87c225e8023fb5eff5496cc5d82643c8e882af3ab"),
    "s2sr-60m": ("0.4.0", "2bbab07b5f520878fffd24c801027f7e69830ec0bc46ee60b45fa00c05623669"),
    "s2sr-60m-fast": ("0.5.0", "a2616b5998b89186624e394eb3b8ee401dfb25ca3ffd509c288b39135848252e"),
}


def test_other_weights_have_another_version() -> None:
    """A result names the version: with other weights under the old one, nobody could tell which made it."""
    found = {name: models.load(name) for name in models.packaged()}
    assert {name: (model.card.version, model.sha256) for name, model in found.items()} == WEIGHTS
