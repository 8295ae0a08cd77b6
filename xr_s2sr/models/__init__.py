"""Models as data: cards, the packaged and published files, and import of others' weights.

The names below are public. Inside the package, import from the modules themselves: ``models.card`` needs no other.
"""

from __future__ import annotations

from xr_s2sr.models.card import CARD_KEY, Model, ModelCard
from xr_s2sr.models.download import fetch
from xr_s2sr.models.published import PUBLISHED
from xr_s2sr.models.registry import BICUBIC, DEFAULTS, bicubic, is_packaged, load, packaged

__all__ = [
    "BICUBIC",
    "CARD_KEY",
    "DEFAULTS",
    "PUBLISHED",
    "Model",
    "ModelCard",
    "bicubic",
    "fetch",
    "is_packaged",
    "load",
    "packaged",
]
