"""A synthetic Sentinel-2 scene whose 10 m truth is known: for the tutorial, the tests and the pictures.

The landscape itself is painted in landscape.py; here the sensor looks at it.
"""

from __future__ import annotations

import math

import numpy as np
import rioxarray  # noqa: F401  (registers .rio)
import xarray as xr
from affine import Affine
from numpy.typing import NDArray

from xr_s2sr.bands import BANDS, CIRRUS, EFFECTIVE_MTF, NOMINAL_MTF
from xr_s2sr.errors import InputError
from xr_s2sr.psf import psf_variance, sigma_between
from xr_s2sr.quality import blur, degrade
from xr_s2sr.tutorial.landscape import paint_landscape

_CRS, _LEFT, _TOP = "EPSG:32633", 399_960.0, 5_600_040.0  # the corner is a multiple of 60 m, as in the real tiling grid
_NOISE_DN = {10: 5.0, 20: 4.0, 60: 3.5}
_LONG_NAMES = """coastal aerosol,blue,green,red,red edge 1,red edge 2,red edge 3,near infrared
narrow near infrared,water vapour,short-wave infrared 1,short-wave infrared 2""".replace("\n", ",").split(",")
_NAMES = dict(zip((band for band in BANDS if band != CIRRUS), _LONG_NAMES, strict=True))


def synthetic_scene(size: int = 600, seed: int = 0) -> tuple[xr.Dataset, xr.Dataset]:
    """Make a Sentinel-2 scene in native resolutions together with its 10 m truth.

    Fields, woods, a river, a lake, roads, a town, a cloud brighter than reflectance 1 with its shadow, and a
    corner without data. The truth and the 10 m bands have the nominal MTF at 10 m (:data:`xr_s2sr.bands.NOMINAL_MTF`);
    the coarse bands are the truth blurred to what real products have (:data:`xr_s2sr.bands.EFFECTIVE_MTF`). On every
    band there are 3.5 to 5 DN of Gaussian noise.

    Parameters
    ----------
    size : int, default 600
        Rows and columns of the 10 m grid; a multiple of 6, at least 60. The scene is ``10 * size`` metres wide.
    seed : int, default 0
        Same seed, same scene.

    Returns
    -------
    ds : xarray.Dataset
        Native form, uint16 DN (reflectance x 10000, nodata 0): B02 B03 B04 B08 on ``(y, x)`` of shape
        (size, size), B05 B06 B07 B8A B11 B12 on ``(y_20m, x_20m)`` of shape (size/2, size/2), B01 B09 on
        ``(y_60m, x_60m)`` of shape (size/6, size/6). Coordinates are pixel centres in metres, UTM 33N.
    truth : xarray.Dataset
        The same 12 bands on ``(y, x)``, without noise.

    Raises
    ------
    InputError
        If `size` or `seed` cannot be used (also a ValueError).

    Examples
    --------
    >>> ds, truth = synthetic_scene(120)
    >>> ds["B04"].shape, ds["B11"].shape, ds["B09"].shape, truth["B11"].shape
    ((120, 120), (60, 60), (20, 20), (120, 120))
    """
    if isinstance(size, bool) or not isinstance(size, int) or size < 60 or size % 6:
        near = max(60, round(size / 6) * 6) if isinstance(size, int | float) and 0 < size < 1e5 else 600
        raise InputError(f"size is {size!r}; expected an int, a multiple of 6 and at least 60: synthetic_scene({near})")
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise InputError(f"seed is {seed!r}; expected an int of 0 or more: synthetic_scene(seed=0)")
    rng = np.random.default_rng(seed)
    reflectance = paint_landscape(size, rng)
    # The swath ends in a straight line across the lower right corner: 2.5 % of the area, in whole 60 m pixels.
    row, col = (np.mgrid[: size // 6, : size // 6] + 0.5) / (size // 6)
    valid60 = (1 - col) / 0.16 + (1 - row) / 0.315 > 1
    ds, truth = xr.Dataset(), xr.Dataset()
    for name, dn in zip(_NAMES, 1e4 * reflectance, strict=True):
        gsd = BANDS[name].gsd
        # Degrade first and mask afterwards: nodata must not bleed into its neighbours.
        dn = blur(dn, math.sqrt(psf_variance(NOMINAL_MTF[name])))
        sigma = sigma_between(gsd // 10, EFFECTIVE_MTF[name], NOMINAL_MTF[name])
        coarse = degrade(dn, gsd // 10, sigma=sigma) if gsd > 10 else dn
        ds[name] = _band(name, gsd, coarse + _NOISE_DN[gsd] * rng.standard_normal(coarse.shape), valid60)
        truth[name] = _band(name, 10, dn, valid60)
    title = "synthetic Sentinel-2 scene (xr_s2sr.tutorial), not an observation"
    ds, truth = (d.rio.write_crs(_CRS).rio.write_transform(Affine(10, 0, _LEFT, 0, -10, _TOP)) for d in (ds, truth))
    return ds.assign_attrs(title=title, seed=seed), truth.assign_attrs(title=f"10 m truth of a {title}", seed=seed)


def _band(name: str, gsd: int, dn: NDArray[np.float64], valid60: NDArray[np.bool_]) -> xr.DataArray:
    """Round to uint16 DN, a valid pixel never 0, and georeference."""
    valid = valid60.repeat(60 // gsd, 0).repeat(60 // gsd, 1)
    suffix, centres = "" if gsd == 10 else f"_{gsd}m", gsd * (np.arange(len(dn)) + 0.5)
    coords = {
        dim + suffix: (dim + suffix, at, {"units": "metre", "standard_name": f"projection_{dim}_coordinate"})
        for dim, at in (("y", _TOP - centres), ("x", _LEFT + centres))
    }
    attrs = {"long_name": _NAMES[name], "wavelength_nm": BANDS[name].wavelength, "nodata": 0}
    counts = np.where(valid, np.clip(np.rint(dn), 1, 65535), 0).astype(np.uint16)
    band = xr.DataArray(counts, coords, tuple(coords), name, attrs)
    band.encoding["grid_mapping"] = "spatial_ref"  # rioxarray would mark only the bands on (y, x)
    return band
