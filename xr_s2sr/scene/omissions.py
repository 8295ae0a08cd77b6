"""Warnings of what a result leaves out (bands, ancillary variables, pixels), and of what was assumed for it."""

from __future__ import annotations

import xarray as xr

from xr_s2sr.errors import warn
from xr_s2sr.scene.ancillary import off_grid
from xr_s2sr.scene.crs import is_utm, read_crs
from xr_s2sr.scene.grid import loading
from xr_s2sr.scene.info import SceneInfo
from xr_s2sr.scene.offsets import unsaid
from xr_s2sr.scene.result_grid import ResultGrid
from xr_s2sr.scene.unknown import renaming, unknown_bands
from xr_s2sr.spans import Span


def warn_of_omissions(
    ds: xr.Dataset, info: SceneInfo, target: ResultGrid, *, ancillary: bool, turned: tuple[bool, bool] = (False, False)
) -> None:
    """Name the bands and, if asked, the ancillary variables that are left out, and an extent that is smaller.

    Rows and columns are counted as the user does, from the other end where they were turned over.
    """
    for reason in info.left_out:
        warn(reason)
    own = () if target.native is None else (target.reference,)
    if ancillary and (left_out := off_grid(ds, info, own)):
        grid = "10 m grid" if target.step == 1 else "10 m or 20 m grid"
        bands = unknown_bands(ds, left_out)
        named = f". Name the bands among them: {renaming(bands)}" if bands else ""
        warn(
            f"left out, as they are not bands and not on the {grid}: {', '.join(left_out)}. Bring them along by "
            f'nearest neighbour with upsample(keep="all"), or drop them first{named}',
        )
    rows, cols = (
        Span(size - span.stop, size - span.start) if over else span
        for span, size, over in zip(target.covered, info.grid.shape, turned, strict=True)
    )
    # at 20 m, a border of one pixel may hold no whole one
    if any(size - len(span) >= 2 * target.step - 1 for size, span in zip(info.grid.shape, target.covered, strict=True)):
        warn(
            f"the bands' extents differ: the result covers rows {rows.start}:{rows.stop} and columns "
            f"{cols.start}:{cols.stop} of {info.grid.shape[0]} x {info.grid.shape[1]} pixels at 10 m",
        )


def warn_of_projection(ds: xr.Dataset, info: SceneInfo) -> None:
    """Warn of a CRS in which no tile is delivered: pixels were resampled, and grids nest that never did."""
    fine = ds[info.fine.name]
    crs = read_crs(fine) or read_crs(ds)
    if crs is not None and not is_utm(crs):
        warn(
            f"the scene is in {crs.to_string()}, to which the pixels of Sentinel-2 were resampled: the result is worse "
            f"for it. Load it in the UTM zone of its tile, {loading(10)}, and reproject the result"
        )


def warn_of_offset(ds: xr.Dataset, info: SceneInfo) -> None:
    """Warn once where DN of a date that may have an offset were taken without one."""
    if message := unsaid((ds[band.name], band.radiometry) for band in info.bands.values()):
        warn(message)


def warn_of_uncovered(ds: xr.Dataset, info: SceneInfo, result: xr.Dataset) -> None:
    """Name the ancillary variables that were asked for and do not cover the result."""
    if uncovered := [name for name in off_grid(ds, info) if name not in result]:
        warn(f"left out, as they do not cover the result: {', '.join(uncovered)}. Load them over the same area")
