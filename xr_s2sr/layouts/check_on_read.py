"""Replicated bands in dask arrays: trusted when the graph is built, checked when their blocks are computed."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xr_s2sr.errors import GridError
from xr_s2sr.scene.grid import loading
from xr_s2sr.scene.pixels import numba_ready, writable
from xr_s2sr.scene.radiometry import validity_in_any_unit
from xr_s2sr.scene.validity import Validity


def decimated(da: xr.DataArray, gsd: int, factor: int, corner: tuple[int, int]) -> Any:
    """Return the native pixels of a replicated band as a dask array; computing a block that is not replicated raises.

    Parameters
    ----------
    da : DataArray
    gsd : int
        The band's own.
    factor : int
        Pixels along the side of a cell.
    corner : (int, int)
        Row and column at which the first cell starts: 0 or less.
    """
    edges = [_cell_edges(sizes, factor, start) for sizes, start in zip(da.data.chunks[-2:], corner, strict=True)]
    whole = da.data.rechunk({da.ndim - 2 + axis: _sizes(along) for axis, along in enumerate(edges)})
    cells = [
        _sizes([0, *(-((start - edge) // factor) for edge in along[1:])])
        for along, start in zip(edges, corner, strict=True)
    ]
    return whole.map_blocks(
        _decimated,
        band=str(da.name),
        gsd=gsd,
        factor=factor,
        corner=corner,
        validity=validity_in_any_unit(da),
        chunks=(*whole.chunks[:-2], *cells),
        dtype=da.dtype,
        meta=np.empty((0,) * da.ndim, da.dtype),
    )


def _cell_edges(sizes: Sequence[int], factor: int, start: int) -> list[int]:
    """Return the edges of blocks along an axis, moved on to the next edge of a cell."""
    size = sum(sizes)
    moved = (min(size, start - (start - stop) // factor * factor) for stop in accumulate(sizes))
    return [0, *dict.fromkeys(moved)]


def _sizes(edges: Sequence[int]) -> tuple[int, ...]:
    """Return the lengths between edges."""
    return tuple(stop - begin for begin, stop in pairwise(edges))


def _decimated(
    block: NDArray[Any],
    band: str,
    gsd: int,
    factor: int,
    corner: tuple[int, int],
    validity: Validity,
    block_info: Any = None,
) -> NDArray[Any]:
    """Return the first valid pixel of each cell.

    Raises
    ------
    GridError
        If valid pixels differ inside of a cell.
    """
    from xr_s2sr.kernels import decimate  # brings numba

    begins = [begin for begin, _ in block_info[0]["array-location"][-2:]]
    row, col = (-((begin - start) % factor) for begin, start in zip(begins, corner, strict=True))
    out = np.empty(block_info[None]["chunk-shape"], writable(block.dtype))
    for index in np.ndindex(block.shape[:-2]):
        differing, _ = decimate(numba_ready(block[index]), factor, row, col, validity, out[index])
        if differing:
            raise GridError(
                f"{band!r} was taken for copies of {gsd} m pixels on a finer grid, but pixels differ inside of a cell "
                "of Sentinel-2's grid: interpolated, or copied from elsewhere. If they are copies, let the pixels tell "
                f"where: ds = ds.load(). If not, load it at its native pixels: {loading(gsd, band)}"
            )
    return out.astype(block.dtype, copy=False)
