"""Extent that several bands have in common, in whole pixels of the result."""

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


def whole_pixels(info: SceneInfo, covered: Extent, factor: int) -> Extent:
    """Return the part of an extent that consists of whole pixels of 10 m times a factor.

    Raises
    ------
    GridError
        If there are none.
    """
    coarse = min((b for b in info.bands.values() if b.factor >= factor), key=lambda b: b.factor, default=None)
    if coarse is None:
        raise GridError(
            f"no band of {10 * factor} m or 60 m tells where pixels of {10 * factor} m lie; expected one. Load one "
            'too, such as B05, or average: ds.coarsen(y=2, x=2, boundary="trim").mean()'
        )
    spans = []
    for span, anchor in zip(covered, coarse.start, strict=True):
        start, stop = span.start + (anchor - span.start) % factor, span.stop - (span.stop - anchor) % factor
        if start >= stop:
            raise GridError(
                f"the bands have {len(covered[0])} x {len(covered[1])} pixels of 10 m in common, which hold no whole "
                f"pixel of {10 * factor} m; expected some. Select a larger area, or leave resolution out"
            )
        spans.append(Span(start, stop))
    return spans[0], spans[1]
