"""Extent that several bands have in common."""

from __future__ import annotations

from collections.abc import Collection

from xr_s2sr.errors import GridError
from xr_s2sr.scene.info import SceneInfo
from xr_s2sr.spans import Extent, Span


def common_extent(info: SceneInfo, needed: Collection[str]) -> Extent:
    """Return the rows and columns of the 10 m grid that all needed bands cover.

    Raises
    ------
    GridError
        If there are none.
    """
    extents = [info.bands[band].extent for band in needed]
    rows, cols = ((max(e[axis].start for e in extents), min(e[axis].stop for e in extents)) for axis in (0, 1))
    if rows[0] >= rows[1] or cols[0] >= cols[1]:
        listed = "; ".join(
            f"{band.name!r} rows {band.extent[0].start}:{band.extent[0].stop}, columns "
            f"{band.extent[1].start}:{band.extent[1].stop}"
            for band in {h.factor: h for b, h in info.bands.items() if b in needed}.values()
        )
        raise GridError(
            f"the resolutions do not overlap, counted in 10 m pixels: {listed}. Select the same area in each: "
            "ds.sel(y=..., x=..., y_20m=..., x_20m=...)"
        )
    return Span(*rows), Span(*cols)
