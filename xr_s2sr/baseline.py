"""Offsets that differ between dates: what the items of a cube say of their processing baseline, or the user does.

From processing baseline 04.00 on, reflectance = (DN - 1000) / 10000. Reprocessing (Collection 1) gives old dates the
offset too, so a date alone tells nothing.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr

from xr_s2sr.errors import RadiometryError
from xr_s2sr.radiometry import Radiometry, Units, resolve_radiometry

#: DN added by processing baselines from 04.00 on (RADIO_ADD_OFFSET, BOA_ADD_OFFSET), and which those are.
BASELINE_OFFSET, FIRST_BASELINE = -1000.0, 4.0

#: Where items and their cubes keep the baseline.
BASELINE_KEYS = ("s2:processing_baseline", "processing_baseline", "processing:version")
#: Says whether Earth Search has taken the offset off; known to be wrong at times, so nothing follows from either.
EARTH_SEARCH = "earthsearch:boa_offset_applied"


@dataclass(frozen=True)
class DateOffsets:
    """Reflectance at value 0 by position along a leading dimension."""

    dim: Hashable
    values: tuple[float, ...]


def radiometric_state(
    da: xr.DataArray, units: Units | None, offset: float | xr.DataArray | None
) -> tuple[Radiometry, DateOffsets | None]:
    """What the values mean, resolved once: by arguments, attributes, encoding, processing baseline, assumption.

    Returns
    -------
    Radiometry
        With the first date's offset, where offsets differ.
    DateOffsets or None
        Where they do.
    """
    if isinstance(offset, xr.DataArray):
        radiometry = resolve_radiometry(da, units)
        told: tuple[DateOffsets | float, str] | None = by_date(da, radiometry, offset), "offset= by date"
    else:
        radiometry = resolve_radiometry(da, units, offset)
        told = None if offset is not None else by_baseline(da, radiometry)
    if told is None:
        return radiometry, None
    offsets, where = told
    scale, _, nodata = radiometry.source.partition("; ")
    scale = scale.removesuffix(", no offset")
    first = offsets if isinstance(offsets, float) else offsets.values[0]
    known = replace(radiometry, offset=first, source=f"{scale}, {where}; {nodata}")
    return known, None if isinstance(offsets, float) else offsets


def by_date(da: xr.DataArray, radiometry: Radiometry, offset: xr.DataArray) -> DateOffsets:
    """A user's own offsets along a leading dimension, in the unit of the values.

    Raises
    ------
    RadiometryError
        If they do not fit the band's dates.
    """
    [dim], n = offset.dims, offset.size
    if dim not in da.dims[:-2] or da.sizes[dim] != n:
        lead = dict(zip(da.dims[:-2], da.shape[:-2], strict=True))
        raise RadiometryError(
            f"offset has {n} values along {dim!r}, {da.name!r} the leading dimensions {lead or 'none'}; expected one "
            f"value a date: upsample(offset=xr.DataArray([...], dims={dim!r}))"
        )
    if dim in offset.coords and dim in da.coords and not (offset[dim].values == da[dim].values).all():
        raise RadiometryError(
            f"offset and {da.name!r} have other coordinates along {dim!r}; expected the same dates in the same order: "
            f'offset = offset.sel({dim}=ds["{dim}"])'
        )
    return DateOffsets(dim, tuple(float(value) * radiometry.scale for value in offset.values))


def by_baseline(da: xr.DataArray, radiometry: Radiometry) -> tuple[DateOffsets | float, str] | None:
    """What the processing baseline says of the offset, and where that was found; None if nothing does.

    Only of DN whose offset nothing else tells.
    """
    if not radiometry.assumed_dn or EARTH_SEARCH in da.coords or EARTH_SEARCH in da.attrs:
        return None
    for key in BASELINE_KEYS:
        if key in da.coords and set(da.coords[key].dims) <= set(da.dims[:-2]) and da.coords[key].ndim <= 1:
            told = da.coords[key]
            values = [_offset(item) for item in told.values.reshape(-1)]
            where = f"offset by processing baseline ({key})"
        elif key in da.attrs:
            values, told, where = [_offset(da.attrs[key])], None, f"offset by processing baseline (attrs {key})"
        else:
            continue
        if any(value is None for value in values):
            return None
        offsets = tuple(float(value or 0.0) * radiometry.scale for value in values)
        if told is None or told.ndim == 0 or len(set(offsets)) == 1:
            return offsets[0], where
        return DateOffsets(told.dims[0], offsets), where
    return None


def _offset(baseline: Any) -> float | None:
    """DN to add for a baseline such as "05.09", "N0400" or 5.09; None if it is none."""
    found = re.fullmatch(r"[Nn]?(\d\d)\.?(\d\d)|(\d(?:\.\d+)?)", str(baseline).strip())
    if found is None:
        return None
    number = float(found[3]) if found[3] else int(found[1]) + int(found[2]) / 100
    return BASELINE_OFFSET if number >= FIRST_BASELINE else 0.0


def offset_argument(value: object) -> float | xr.DataArray | None:
    """`offset` as one number, or finite numbers along one dimension."""
    from xr_s2sr import arguments

    if isinstance(value, xr.DataArray) and value.ndim == 1 and value.dtype.kind in "iuf":
        if not np.isfinite(value.values).all():
            raise RadiometryError(f"offset holds {value.values.tolist()}; expected finite numbers, one a date")
        return value
    return None if value is None else arguments.number("offset", value)
