"""What comes before the first pixel is computed: what a Dataset holds, what is wanted of it, and what that needs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from xr_s2sr import arguments, plausibility
from xr_s2sr.bands import BANDS, CIRRUS, resolve_requested
from xr_s2sr.baseline import offset_argument
from xr_s2sr.errors import BandError, LazyError
from xr_s2sr.models import Model
from xr_s2sr.radiometry import UNITS
from xr_s2sr.survey import Survey, survey
from xr_s2sr.windows import Extent

if TYPE_CHECKING:
    from xr_s2sr.jobs import Job


def prepare(
    ds: xr.Dataset,
    bands: Any,
    given: list[str | Path | Model] | None,
    units: Any,
    offset: Any,
    info: Survey | None = None,
) -> tuple[Survey, list[str], list[Job], Extent]:
    """All that comes before the first pixel is computed: what is there, wanted, to be run, and covered by all.

    `info` is the survey of `ds`, where it was made before.
    """
    from xr_s2sr import jobs

    found = look(ds, units, offset) if info is None else replace(info, left_out=[])
    wanted = wanted_bands(found, bands)
    chosen = jobs.choose_models([band for band in wanted if BANDS[band].gsd > 10], given)
    chosen = jobs.require(found, chosen, by_name=bands is not None)
    left_out = found.left_out
    wanted = [band for band in wanted if BANDS[band].gsd == 10 or any(band in job.targets for job in chosen)]
    # what is wrong with bands that are not involved is no reason to stop
    found = look(ds.drop_vars(idle(found, chosen)), units, offset, found)
    found.check()
    found.left_out += left_out
    needed = needed_bands(found, chosen, wanted)
    for band in needed:
        plausibility.check_pixels(ds[found.held[band].name], found.held[band])  # of dask arrays, in their tasks
    return found, wanted, chosen, jobs.common_extent(found, needed)


def look(ds: xr.Dataset, units: Any, offset: Any, known: Survey | None = None) -> Survey:
    """Survey a Dataset with the user's own word on its pixels.

    `known` is the survey of a Dataset that has these variables and more; nothing is read again that it says.
    """
    part = None if known is None else known.part(ds.data_vars)
    if part is not None:
        return part
    if units is not None:
        arguments.choice("units", units, UNITS)
    return survey(ds, units, offset_argument(offset))


def wanted_bands(found: Survey, bands: Any) -> list[str]:
    """Ids of the bands to return: those asked for, or every restorable one."""
    if bands is None:
        wanted = [band for band in found.variables if BANDS[band].gsd > 10 and band != CIRRUS]
        if not wanted:
            found.check()
            raise BandError(
                f"nothing to upsample: no 20 m or 60 m band (found: {', '.join(found.variables)}). Load some, such as "
                "B05 or B11, or name the variables by band"
            )
        return wanted
    wanted = resolve_requested(arguments.names("bands", bands))
    absent = [band for band in wanted if band not in found.variables]
    if absent:
        raise BandError(
            f"asked for {', '.join(absent)}, but the Dataset holds {', '.join(found.variables) or 'no band'}. Load the "
            "band, or name its variable by band"
        )
    return wanted


def idle(found: Survey, chosen: Iterable[Job]) -> list[str]:
    """Variables at 20 m and 60 m that no model reads."""
    read = {band for job in chosen for band in job.bands}
    return [name for band, name in found.variables.items() if BANDS[band].gsd > 10 and band not in read]


def needed_bands(found: Survey, chosen: Iterable[Job], wanted: Iterable[str]) -> list[str]:
    """Ids of the bands that are read, or whose coordinates the result takes."""
    passed = {band for band in wanted if BANDS[band].gsd == 10}
    return sorted({found.fine.id, *passed, *(band for job in chosen for band in job.bands)})


def check_pixels(ds: xr.Dataset, found: Survey, needed: Sequence[str]) -> None:
    """Refuse what cannot be computed in memory, and pixels that contradict their unit; warn of undeclared nodata."""
    from xr_s2sr.run import numba_ready  # brings numba

    undeclared = plausibility.Undeclared()
    for band in needed:
        held = found.held[band]
        if ds[held.name].chunks is not None:
            raise LazyError(
                f"{held.name!r} is a dask array; this method computes in memory. Take a part of the scene and load it: "
                "ds = ds.isel(...).load()"
            )
        plausibility.check_pixels(ds[held.name], held)
        pixels = numba_ready(ds[held.name].values)
        for index in np.ndindex(pixels.shape[:-2]):
            undeclared.look(pixels[index], held.at(index), held.name, index)
    undeclared.warn()
