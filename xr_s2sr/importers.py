"""Other people's weights as models of ours (extra ``import``)."""

from xr_s2sr.models.keras import keras

__all__ = ["keras"]
