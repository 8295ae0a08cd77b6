"""A user-defined function (UDF) of openEO: all bands of a Sentinel-2 cube at 10 m. See the page "openEO"."""

from __future__ import annotations

import xarray as xr

import xr_s2sr  # noqa: F401  (registers .s2sr)


def apply_datacube(cube: xr.DataArray, context: dict) -> xr.DataArray:
    """Restore the 20 m and 60 m bands of a cube at 10 m.

    Parameters
    ----------
    cube : DataArray
        Dims (t, bands, y, x) or (bands, y, x), in pixels of 10 m onto which coarser bands were repeated (nearest
        neighbour); bands labelled B02, B03 and so on; DN, which is reflectance times 10000.
    context : dict
        Arguments of ``upsample``, such as ``{"offset": -1000}`` where the back-end has not taken the offset off.

    Returns
    -------
    DataArray
        Of the same dims, bands and coordinates.
    """
    settings = {"units": "dn", "offset": 0, "progress": False, **(context or {})}
    sr = cube.s2sr.upsample(**settings)
    return sr.drop_vars([name for name in sr.coords if str(name).startswith("s2sr_")])
