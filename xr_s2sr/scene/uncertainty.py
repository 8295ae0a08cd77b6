"""Standard errors of restored bands as variables: how they are stored, and what they say of themselves."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal, TypeAlias

import numpy as np
import xarray as xr

from xr_s2sr.bands import Output, uncertainty_of
from xr_s2sr.errors import InputError
from xr_s2sr.scene.band import SceneBand
from xr_s2sr.scene.radiometry import Radiometry, Storage
from xr_s2sr.scene.result_grid import GRID_ATTRS

#: How standard errors are stored: as float32; as uint16 in steps of :data:`STEP`; as the bands themselves are, for
#: arrays that hold all in one dtype.
ErrorForm: TypeAlias = Literal["float32", "uint16", "band"]

#: Reflectance that is 1 in uint16: 0.1 DN; the largest is 0.655.
STEP = 1e-5

_UNITS = {1.0: "1", 1e-2: "percent", 1e-4: "DN"}


def error_form(uncertainty: bool | Literal["uint16"], *, stacked: bool) -> ErrorForm | None:
    """Return the form that the argument `uncertainty` asks for; `stacked` bands share one dtype.

    Raises
    ------
    InputError
        If stacked bands are to have another dtype.
    """
    if stacked and uncertainty == "uint16":
        raise InputError(
            'uncertainty="uint16" is for one variable a band, and the bands are stacked in one array; expected '
            'uncertainty=True, or one variable a band: xr_s2sr.combine(da).s2sr.upsample(uncertainty="uint16")'
        )
    if not uncertainty:
        return None
    return "band" if stacked else "uint16" if uncertainty == "uint16" else "float32"


def error_radiometry(band: Radiometry, form: ErrorForm) -> Radiometry:
    """Return how the standard errors of a band are stored: in its unit, so with its scale and without its offset."""
    if form == "band":
        return replace(band, offset=0.0, top=math.inf)
    if form == "uint16":
        dtype = np.dtype(np.uint16)
        return Radiometry(dtype, STEP, 0.0, 0.0, math.inf, Storage(dtype, 1.0, 0.0, 0.0))
    return Radiometry(np.dtype(np.float32), band.scale, 0.0, math.nan, math.inf)


def output_radiometry(bands: Mapping[str, SceneBand], output: Output, form: ErrorForm | None) -> Radiometry:
    """Return how an output of a model run is stored."""
    own = bands[output.band].radiometry
    return error_radiometry(own, form) if output.error and form else own


def error_variable(band: xr.DataArray, radiometry: Radiometry, data: Any, form: ErrorForm) -> xr.DataArray:
    """Return the standard errors of a restored band as a variable beside it.

    Parameters
    ----------
    band : DataArray
        The restored band, which gets the name of the result among its ``ancillary_variables``.
    radiometry : Radiometry
        The band's.
    data : array, shape (..., y, x)
    form : {"float32", "uint16", "band"}
    """
    name = uncertainty_of(band.name)
    listed = str(band.attrs.get("ancillary_variables", "")).split()
    band.attrs["ancillary_variables"] = " ".join(dict.fromkeys([*listed, name]))
    out = band.copy(deep=False, data=data).rename(name)
    out.attrs = {key: value for key, value in band.attrs.items() if key in GRID_ATTRS or str(key).startswith("s2sr_")}
    title, standard = band.attrs.get("long_name"), band.attrs.get("standard_name")
    out.attrs["long_name"] = f"standard error of {title if isinstance(title, str) else band.name}"
    if isinstance(standard, str) and " " not in standard:  # one modifier at most
        out.attrs["standard_name"] = f"{standard} standard_error"
    scale = next((float(band.attrs[key]) for key in ("scale_factor", "scale") if key in band.attrs), None)
    units = band.attrs.get("units", "1" if scale not in (None, 1.0) else _UNITS.get(radiometry.scale))
    if units is not None:
        out.attrs["units"] = units
    if form == "uint16":
        # of the values that the band's own attributes say are still to be scaled, the step is scaled alike
        out.attrs |= {"scale_factor": STEP / radiometry.scale * (scale or 1.0), "_FillValue": np.uint16(0)}
    elif scale is not None:
        out.attrs["scale_factor"] = scale
    if form == "band":
        out.attrs |= {key: band.attrs[key] for key in ("_FillValue", "nodata", "missing_value") if key in band.attrs}
    elif "grid_mapping" in band.encoding:
        out.encoding = {"grid_mapping": band.encoding["grid_mapping"]}
    else:
        out.encoding = {}
    return out
