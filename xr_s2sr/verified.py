"""Copies in dask arrays: taken at their word when the graph is built, checked when their blocks are computed."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xr_s2sr.errors import GridError
from xr_s2sr.pixels import Validity, numba_ready
from xr_s2sr.radiometry import validity_in_any_unit


def verified(da: xr.DataArray, gsd: int, factor: int, corner: tuple[int, int]) -> Any:
    """The dask array of a band held as copies; computing a block that holds none raises.

    Parameters
    ----------
    da : DataArray
    gsd : int
        The band's own.
    factor : int
        Pixels along the side of a cell.
    corner : (int, int)
        Row and column at which cells start.
    """
    settings = {"band": str(da.name), "gsd": gsd, "factor": factor, "corner": corner}
    validity = validity_in_any_unit(da)
    return da.data.map_blocks(
        _checked, **settings, validity=validity, dtype=da.dtype, meta=np.empty((0,) * da.ndim, da.dtype)
    )


def _checked(
    block: NDArray[Any],
    band: str,
    gsd: int,
    factor: int,
    corner: tuple[int, int],
    validity: Validity,
    block_info: Any = None,
) -> NDArray[Any]:
    """The block itself.

    Raises
    ------
    GridError
        If neighbours differ inside of a cell.
    """
    from xr_s2sr.cells import seams  # brings numba

    starts = [start for start, _ in block_info[0]["array-location"][-2:]]
    marks = tuple(np.zeros(size, bool) for size in block.shape[-2:])
    for index in np.ndindex(block.shape[:-2]):
        seams(numba_ready(block[index]), validity, *marks)
    for mark, start, at in zip(marks, starts, corner, strict=True):
        if ((np.flatnonzero(mark) + start - at) % factor).any():
            raise GridError(
                f"{band!r} was taken for copies of {gsd} m pixels on a finer grid, but pixels differ inside of a cell "
                "of Sentinel-2's grid: interpolated, or copied from elsewhere. Load it at its native resolution: "
                f"odc.stac.load(items, bands=[{band!r}], resolution={gsd})"
            )
    return block
