"""Import of other people's weights as models (extra ``import``)."""

from __future__ import annotations

from xr_s2sr.models.importers import keras

__all__ = ["keras"]
