"""Grids in each other: the start of a coarse grid in a fine one, in whole pixels, or the reason why it has none."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from xr_s2sr.errors import GridError
from xr_s2sr.scene.grid import TOLERANCE, Grid


def nest(
    fine: Grid, coarse: Grid, factor: int, names: tuple[str, str], dims: Sequence[Hashable] = ()
) -> tuple[int, int]:
    """Return the start of a coarse grid in a fine one, in whole fine pixels.

    Parameters
    ----------
    fine, coarse : Grid
    factor : int
        Coarse over fine pixel size.
    names : (str, str)
        Variables that stand for the two grids, for the message.
    dims : sequence of hashable
        All spatial dimensions of the scene, for the line that shifts them; by default those of the two grids.

    Returns
    -------
    (int, int)
        Row and column of the fine grid at which the coarse grid's first pixel starts; may be negative.

    Raises
    ------
    GridError
        If pixel edges do not coincide, or an axis runs the other way.
    """
    start = []
    for near, far in ((fine.y, coarse.y), (fine.x, coarse.x)):
        if near.step * far.step < 0:
            raise GridError(
                f"{names[0]!r} and {names[1]!r} run in opposite directions along {near.dim!r} and {far.dim!r}. "
                f'Sort one: ds = ds.sortby("{far.dim}", ascending={near.step > 0})'
            )
        offset = (far.edge - near.edge) / near.step
        if abs(offset - round(offset)) > TOLERANCE * factor:
            if factor % 2 == 0 and _centres_coincide(fine, coarse, TOLERANCE * factor):
                listed = ", ".join(f'"{dim}"' for dim in dims or (fine.y.dim, fine.x.dim, coarse.y.dim, coarse.x.dim))
                raise GridError(
                    f"the grids of {names[0]!r} and {names[1]!r} share coordinates along {near.dim!r}, as upper left "
                    'corners would; expected pixel centres. Load with centres (stackstac: xy_coords="center"), or '
                    f"shift all by half a pixel: ds = ds.assign_coords({{d: ds[d] + float(ds[d][1] - ds[d][0]) / 2 "
                    f"for d in ({listed})}})"
                )
            raise GridError(
                f"the {abs(far.step):g} m grid of {names[1]!r} does not nest in the {abs(near.step):g} m grid of "
                f"{names[0]!r}: its edges lie {abs(offset - round(offset)):.2f} pixels off along {near.dim!r}. "
                "Load both on the tile's own grid, without resampling"
            )
        start.append(round(offset))
    _check_corners(fine, coarse, factor, names, start)
    return start[0], start[1]


def _check_corners(fine: Grid, coarse: Grid, factor: int, names: tuple[str, str], start: Sequence[int]) -> None:
    """Refuse coarse corners beside fine centres: the same extent, shifted by half a pixel, off Sentinel-2's tiling."""
    pairs = (fine.y, coarse.y), (fine.x, coarse.x)
    half = all(2 * abs(offset) == factor for offset in start)
    if not (half and all(near.size == factor * far.size for near, far in pairs)) or _on_tiling_grid(coarse):
        return
    shifts = {far.dim: round(far.edge - near.edge, 3) for near, far in pairs}
    end = "min" if (start[0] < 0) == (fine.y.step < 0) else "max"  # by its place: the scene may run the other way
    moved = ", ".join(f'"{dim}": ds["{dim}"] {"-+"[shift < 0]} {abs(shift):g}' for dim, shift in shifts.items())
    raise GridError(
        f"{names[1]!r} has the extent of {names[0]!r}, but shifted by half a pixel of its own along both "
        f"{coarse.y.dim!r} and {coarse.x.dim!r}, so its coordinates seem to be upper left corners; expected pixel "
        f"centres. Shift them: ds = ds.assign_coords({{{moved}}}). If the shift is real, leave out the row beyond it: "
        f'ds = ds.drop_sel({{"{fine.y.dim}": ds["{fine.y.dim}"].{end}()}})'
    )


def _on_tiling_grid(grid: Grid) -> bool:
    """Tell whether pixel edges lie on multiples of the pixel size; in the south, rows count from 10 000 km."""
    places = [(axis.edge - origin) / axis.step for axis, origin in ((grid.x, 0), (grid.y, 0), (grid.y, 1e7))]
    x, *y = (abs(place - round(place)) <= TOLERANCE for place in places)
    return x and any(y)


def _centres_coincide(fine: Grid, coarse: Grid, tolerance: float) -> bool:
    """Tell whether coarse coordinates are also fine ones, on both axes; true of corners, never of centres."""
    apart = [(far.first - near.first) / near.step for near, far in ((fine.y, coarse.y), (fine.x, coarse.x))]
    return all(abs(a - round(a)) <= tolerance for a in apart)
