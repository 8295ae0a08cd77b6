"""Sentinel-2's 20 m and 60 m bands at 10 m, as an xarray accessor.

>>> import xarray as xr, xr_s2sr
>>> ds, truth = xr_s2sr.tutorial.synthetic_scene(size=60)
>>> sr = ds.s2sr.upsample()
>>> sr.sizes["x"]
60
"""

from __future__ import annotations

from xr_s2sr import accessor as _accessor  # noqa: F401  (registers .s2sr)
from xr_s2sr import bands, errors, importers, models, plot, quality, tutorial
from xr_s2sr.api import upsample, validate
from xr_s2sr.bands import BANDS
from xr_s2sr.errors import S2SRError, S2SRWarning
from xr_s2sr.inference.engine import release_sessions
from xr_s2sr.io.open_any import open_any as open
from xr_s2sr.io.safe import open_safe
from xr_s2sr.io.write import to_cog
from xr_s2sr.layouts.combine import combine
from xr_s2sr.quality.consistency import consistency
from xr_s2sr.quality.evaluate import evaluate
from xr_s2sr.quality.simulate import degrade
from xr_s2sr.version import __version__

__all__ = [
    "BANDS",
    "S2SRError",
    "S2SRWarning",
    "__version__",
    "bands",
    "combine",
    "consistency",
    "degrade",
    "errors",
    "evaluate",
    "importers",
    "models",
    "open",
    "open_safe",
    "plot",
    "quality",
    "release_sessions",
    "to_cog",
    "tutorial",
    "upsample",
    "validate",
]


def __dir__() -> list[str]:
    """List what is public: the names on the page of the API."""
    return sorted(__all__)
