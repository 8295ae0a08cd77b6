"""Pixels against metadata: a typical reflectance that no surface has means that the unit is not what was thought."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from xr_s2sr.baseline import BASELINE_OFFSET
from xr_s2sr.errors import RadiometryError
from xr_s2sr.pixels import valid
from xr_s2sr.radiometry import UNITS, Radiometry, Units

if TYPE_CHECKING:
    from xr_s2sr.held import Held

#: No surface is this bright, and none so dark: atmospheric correction may go a little below 0, not its median so far.
BRIGHTEST, DARKEST = 5.0, -0.03


def check_pixels(da: xr.DataArray, held: Held) -> None:
    """Refuse pixels whose median contradicts the metadata, on any date.

    Of pixels that are still in a file, the middle of the image is looked at; dask arrays are not.

    Raises
    ------
    RadiometryError
        With both facts: the median, and what the metadata would make of it.
    """
    if da.chunks is not None:
        return
    if not da.variable._in_memory:  # xarray has no public name for it
        da = da.isel({dim: _middle(da.sizes[dim]) for dim in da.dims[-2:]})
    data = da.data
    if not isinstance(data, np.ndarray) or data.size == 0:
        return
    # a few thousand pixels spread over the image tell a median well enough
    rows, cols = (slice(None, None, max(1, n // 64)) for n in data.shape[-2:])
    for index in np.ndindex(*data.shape[:-2]):
        told = {dim: da[dim].values[i] for dim, i in zip(da.dims, index, strict=False) if dim in da.coords}
        date = ", ".join(f"{dim}={str(value)[:10]}" for dim, value in told.items()) or f"index {index}"
        check(data[(*index, rows, cols)], held.at(index), str(da.name), f" at {date}" if index else "")


def _middle(size: int) -> slice:
    return slice(max(0, size // 2 - 32), size // 2 + 32)


def check(pixels: np.ndarray, radiometry: Radiometry, name: str, when: str = "") -> None:
    """Refuse pixels of one date whose median is no reflectance."""
    sample = pixels[valid(pixels, radiometry.validity)]
    if sample.size == 0:
        return
    median = float(np.median(sample.astype(np.float64)))
    reflectance = median * radiometry.scale + radiometry.offset
    if DARKEST <= reflectance <= BRIGHTEST:
        return
    fact = (
        f"{name!r} has a median of {median:g}{when}, which would be a reflectance of {reflectance:.4g} "
        f"({radiometry.source})"
    )
    if reflectance < DARKEST:
        already = radiometry.offset < 0
        shift = 0.0 if already else -BASELINE_OFFSET * UNITS["dn"] / radiometry.scale
        raise RadiometryError(
            f"{fact}; expected {DARKEST:g} or more. The offset seems to have been taken off "
            f"{'already' if already else 'twice'}: upsample(offset={shift:g})"
        )
    likely: Units = "percent" if median < 100 and radiometry.scale == 1.0 else "dn"
    fix = f"Say what the values are: upsample(units={likely!r})"
    if radiometry.scale == UNITS[likely]:
        fix = f'Bring the values to DN, or correct the offset: ds["{name}"] = ..., upsample(offset=0)'
    raise RadiometryError(f"{fact}; expected at most {BRIGHTEST:g}. {fix}")
