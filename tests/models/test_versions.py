"""Weights and the versions of their cards, held together: who changes the one changes the other."""

from __future__ import annotations

from xr_s2sr import models

#: By name: the version, and the SHA-256 of the file.
WEIGHTS = {
    "s2sr-20m": ("0.4.0", "d89e05ea335bd0dedf7bfb2dfd2e269aa3dff37e5d9dbbf47f5d73af5d5c3d34"),
    "s2sr-20m-accurate": ("0.3.0", "7a65d267e64c62966ac7785bbc8c4efd9ab6e9285f7e529d32336b1858447f93"),
    "s2sr-20m-fast": ("0.3.0", "cb072e6fd416a00fceee6751064fd8e99f33ca1b30c0fae907b4bedc57adaf02"),
    "s2sr-60m": ("0.3.0", "1ce0778fff9498ac6322fb4c2c6115e3bc870d3a7d2b568287d157118a382ee2"),
    "s2sr-60m-fast": ("0.4.0", "3f9b03612650083b1a68e2cfe9bcf57ee6ddd823f325365c6acdbb46c8966c8b"),
}


def test_other_weights_have_another_version() -> None:
    """A result names the version: with other weights under the old one, nobody could tell which made it."""
    found = {name: models.load(name) for name in models.packaged()}
    assert {name: (model.card.version, model.sha256) for name, model in found.items()} == WEIGHTS
