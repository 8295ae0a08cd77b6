"""Pictures: before and after, side by side or under a slider, and how far standard errors can be relied on."""

from __future__ import annotations

from xr_s2sr.plot.figures import compare, reliability
from xr_s2sr.plot.png import NODATA_COLOUR, before_after, rgb, stretch
from xr_s2sr.plot.swipe import Swipe, swipe
from xr_s2sr.plot.view import COMPOSITES

__all__ = ["COMPOSITES", "NODATA_COLOUR", "Swipe", "before_after", "compare", "reliability", "rgb", "stretch", "swipe"]
