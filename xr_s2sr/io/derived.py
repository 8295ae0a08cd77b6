"""Variables that were computed from bands, and kept attributes that describe the bands only."""

from __future__ import annotations

import xarray as xr

from xr_s2sr.bands import Output, resolve
from xr_s2sr.errors import warn

#: Attributes that would be written as facts about the numbers.
STORED_AS = ("scale_factor", "add_offset", "scale", "offset", "_FillValue", "nodata", "missing_value")


def warn_of_kept_attributes(ds: xr.Dataset) -> None:
    """Warn of variables that are no bands by their names, but have the attributes of restored ones.

    xarray keeps attributes through arithmetic: an index of bands that are still to be scaled says that it is, too.
    """
    for name, da in ds.data_vars.items():
        kept = [key for key in STORED_AS if key in da.attrs]
        if kept and "s2sr_native_gsd" in da.attrs and not resolve(Output.of(name).band):
            listed = ", ".join(f"{key} {da.attrs[key]}" for key in kept)
            warn(
                f"{name!r} is no band by its name, but has attributes of a restored one ({listed}), which xarray keeps "
                f'through arithmetic. If they are not true of it: sr["{name}"] = sr["{name}"].drop_attrs(deep=False)'
            )
