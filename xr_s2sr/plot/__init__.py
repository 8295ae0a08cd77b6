"""Pictures: before and after, side by side or under a slider, and how far standard errors can be relied on."""

from __future__ import annotations

from xr_s2sr.plot.png import NODATA_COLOUR, before_after, rgb, stretch
from xr_s2sr.plot.reliability import reliability

__all__ = ["NODATA_COLOUR", "before_after", "reliability", "rgb", "stretch"]
