"""Offsets that differ between dates: by the processing baseline of a cube's items, or given by the user.

From processing baseline 04.00 on, reflectance = (DN - 1000) / 10000. Reprocessing (Collection 1) gives old dates the
offset too, so a date alone tells nothing.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr

from xr_s2sr import arguments
from xr_s2sr.errors import RadiometryError
from xr_s2sr.scene.radiometry import UNITS, By, Origin, Radiometry, Units, resolve_radiometry

#: DN added by processing baselines from 04.00 on (RADIO_ADD_OFFSET, BOA_ADD_OFFSET), and which those are.
BASELINE_OFFSET, FIRST_BASELINE = -1000.0, 4.0

#: Since then ESA's products have the offset. It tells nothing of a collection that took it off, or was reprocessed.
FIRST_OFFSET = np.datetime64("2022-01-25")
#: Coordinates that hold the date of a scene, or of each in a cube.
DATES = ("time", "t", "date", "datetime")

#: Where items and their cubes keep the baseline.
BASELINE_KEYS = ("s2:processing_baseline", "processing_baseline", "processing:version")
#: Says whether Earth Search has taken the offset off; known to be wrong at times, so nothing follows from either.
EARTH_SEARCH = "earthsearch:boa_offset_applied"
#: Coordinate that products are opened with: DN to add, date by date where several are joined, as xarray then keeps the
#: attributes of the first.
DN_OFFSET = "dn_offset"


@dataclass(frozen=True)
class DateOffsets:
    """Reflectance at value 0 by position along a leading dimension."""

    dim: Hashable
    values: tuple[float, ...]


def radiometric_state(
    da: xr.DataArray, units: Units | None, offset: float | xr.DataArray | None
) -> tuple[Radiometry, DateOffsets | None]:
    """Resolve the meaning of the values: by arguments, attributes, encoding, processing baseline, assumption.

    Returns
    -------
    Radiometry
        With the first date's offset, where offsets differ.
    DateOffsets or None
        Where they do.
    """
    one = None if isinstance(offset, xr.DataArray) else offset
    radiometry = resolve_radiometry(da, units, one)
    dated: tuple[DateOffsets | float, Origin] | None = None
    if isinstance(offset, xr.DataArray):
        dated = by_date(da, radiometry, offset), Origin(By.USER, " by date")
    elif one is None:
        _check_one_offset(da, radiometry)
        dated = by_baseline(da, radiometry)
    if dated is None:
        return radiometry, None
    offsets, origin = dated
    first = offsets if isinstance(offsets, float) else offsets.values[0]
    known = replace(radiometry, offset=first, offset_from=origin)
    return known, None if isinstance(offsets, float) else offsets


def unsaid(bands: Iterable[tuple[xr.DataArray, Radiometry]]) -> str | None:
    """Say that the offset was assumed to be 0 where the dates make that doubtful; None where they do not.

    Parameters
    ----------
    bands : iterable of (DataArray, Radiometry)
        Of one scene, all on the same dates.
    """
    da = next(
        (da for da, radiometry in bands if radiometry.assumed_dn and radiometry.offset_from.by is By.NOBODY), None
    )
    if da is None:
        return None
    known = (da.coords[key] for key in DATES if key in da.coords)
    coord = next((coord for coord in known if coord.dtype.kind == "M" and coord.ndim <= 1), None)
    if coord is None or not (coord.values >= FIRST_OFFSET).any():
        return None
    line = "upsample(offset=-1000) if it is there, upsample(offset=0) if not"
    if coord.ndim and not (coord.values >= FIRST_OFFSET).all():
        [dim] = coord.dims
        line += f'; by date, upsample(offset=xr.where(ds["{dim}"] < np.datetime64("{FIRST_OFFSET}"), 0, -1000))'
    day = str(coord.max().values)[:10]
    return (
        f"nothing says the offset of the DN; 0 is assumed. ESA's products of {day} have one of -1000 "
        f"(processing baseline 04.00), unless the collection has taken it off. Say which: {line}"
    )


def by_date(da: xr.DataArray, radiometry: Radiometry, offset: xr.DataArray) -> DateOffsets:
    """Return a user's own offsets along a leading dimension, in the unit of the values.

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


def _check_one_offset(da: xr.DataArray, radiometry: Radiometry) -> None:
    """Refuse DN of products with several offsets, of which the attributes tell one.

    Raises
    ------
    RadiometryError
    """
    told = da.coords.get(DN_OFFSET)
    if told is None or told.ndim != 1 or radiometry.scale != UNITS["dn"] or len({*told.values.tolist()}) == 1:
        return
    listed = ", ".join(f"{value:g}" for value in np.unique(told.values))
    raise RadiometryError(
        f"{da.name!r} joins products whose DN have the offsets {listed}, and its attributes tell one; "
        f"expected one value a date: upsample(offset=ds.{DN_OFFSET}). Or open them as reflectance: "
        'xr.open_mfdataset(..., engine="s2sr", mask_and_scale=True)'
    )


def by_baseline(da: xr.DataArray, radiometry: Radiometry) -> tuple[DateOffsets | float, Origin] | None:
    """Return the offset by processing baseline and the source of that; None if nothing says the baseline.

    Only for DN whose offset nothing else gives. Where one coordinate lacks a date, another may know it.

    Raises
    ------
    RadiometryError
        If it is known of some dates and not of others.
    """
    if not radiometry.assumed_dn or EARTH_SEARCH in da.attrs:
        return None
    coords = {key: da.coords[key] for key in (*BASELINE_KEYS, EARTH_SEARCH) if key in da.coords}
    coords = {key: coord for key, coord in coords.items() if coord.ndim <= 1 and {*coord.dims} <= {*da.dims[:-2]}}
    coords = coords or {f"attrs {key}": xr.DataArray(str(da.attrs[key])) for key in BASELINE_KEYS if key in da.attrs}
    dim: Hashable = next((coord.dims[0] for coord in coords.values() if coord.ndim), None)
    size = 1 if dim is None else da.sizes[dim]
    by_key = {key: np.broadcast_to(coord.values, size) for key, coord in coords.items() if {*coord.dims} <= {dim}}
    unsure = ~np.asarray(xr.DataArray(by_key.pop(EARTH_SEARCH, np.full(size, None))).isnull().values)
    offsets: list[float | None] = [None] * size
    keys = []
    for key, values in by_key.items():
        own = [None if flagged else _offset(value) for value, flagged in zip(values, unsure, strict=True)]
        filled = [b if a is None else a for a, b in zip(offsets, own, strict=True)]
        if filled != offsets:
            offsets = filled
            keys.append(key)
    known = [offset for offset in offsets if offset is not None]
    if not known:
        return None
    if len(known) < size:
        raise _unknown_dates(da, dim, [k for k, offset in enumerate(offsets) if offset is None], keys)
    origin = Origin(By.BASELINE, ", ".join(keys))
    offset_values = tuple(offset * radiometry.scale for offset in known)
    return (offset_values[0] if len({*offset_values}) == 1 else DateOffsets(dim, offset_values)), origin


def _unknown_dates(da: xr.DataArray, dim: Hashable, unknown: list[int], keys: list[str]) -> RadiometryError:
    """Return the error for dates that lack what the others have."""
    named = [str(da[dim].values[k])[:10] if dim in da.coords else str(k) for k in unknown]
    listed = ", ".join(named[:6]) + (f" and {len(named) - 6} more" if len(named) > 6 else "")
    return RadiometryError(
        f"{da.name!r} has no processing baseline that tells the offset at {dim}={listed}, and one on the other "
        f"dates ({', '.join(keys)}); expected one a date. Say the offsets, 0 or -1000 a date: upsample(offset="
        f"xr.DataArray([...], dims={dim!r})). Or leave those dates out: ds = ds.drop_isel({dim}={unknown})"
    )


def _offset(baseline: Any) -> float | None:
    """Return the DN to add for a baseline such as "05.09", "N0400" or 5.09; None if it is not a baseline."""
    match = re.fullmatch(r"[Nn]?(\d\d)\.?(\d\d)|(\d(?:\.\d+)?)", str(baseline).strip())
    if match is None:
        return None
    number = float(match[3]) if match[3] else int(match[1]) + int(match[2]) / 100
    return BASELINE_OFFSET if number >= FIRST_BASELINE else 0.0


def offset_argument(value: object) -> float | xr.DataArray | None:
    """Return `offset` as one number, or finite numbers along one dimension; refuse anything else."""
    if isinstance(value, xr.DataArray) and value.ndim == 1 and value.dtype.kind in "iuf":
        if not np.isfinite(value.values).all():
            raise RadiometryError(f"offset holds {value.values.tolist()}; expected finite numbers, one a date")
        return value
    return None if value is None else arguments.number("offset", value)
