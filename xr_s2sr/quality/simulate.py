"""Simulate a Dataset as a sensor with larger pixels would have seen it (Wald's protocol)."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
import xarray as xr
from affine import Affine
from numpy.typing import NDArray

from xr_s2sr import arguments
from xr_s2sr.bands import CIRRUS, EFFECTIVE_MTF, MTF
from xr_s2sr.errors import GridError, InputError
from xr_s2sr.layouts.given_form import turned_back, with_given_names
from xr_s2sr.layouts.normalize import Scene, to_native
from xr_s2sr.psf import degraded_mtf
from xr_s2sr.quality import degradation
from xr_s2sr.quality.degradation import PROTOCOLS, Protocol
from xr_s2sr.quality.noise import DETECTORS
from xr_s2sr.scene.crs import georeference
from xr_s2sr.scene.grid import DEGRADED_BY, degraded_by
from xr_s2sr.scene.pixels import measured_in
from xr_s2sr.scene.plausibility import check_pixels
from xr_s2sr.scene.radiometry import Units
from xr_s2sr.scene.scene import MTF_ATTR, NativeScene, SceneBand
from xr_s2sr.spans import Extent

#: Attributes that describe the stored numbers of the input and not those of a simulated band.
_STORAGE_ATTRS = ("scale_factor", "add_offset", "scale", "offset", "units", "_FillValue", "nodata", "missing_value")


def degrade(
    ds: Scene,
    factor: int,
    *,
    protocol: Protocol = "sensor",
    satellite: str | None = None,
    units: Units | None = None,
    offset: float | None = None,
) -> xr.Dataset:
    """Simulate the scene at lower resolution, for Wald's protocol.

    Every band is blurred by a Gaussian and averaged over `factor` x `factor` of its pixels, so the 20 m bands of a
    scene degraded by 2 are the known truth of what :func:`xr_s2sr.upsample` makes of it.

    Parameters
    ----------
    ds : Dataset, DataArray or DataTree
        As for :func:`xr_s2sr.upsample`; any slice of a scene will do.
    factor : int
        Ratio of the new pixel size to the old, 2 or more: 2 to evaluate 20 m bands, 6 for 60 m bands.
    protocol : {"sensor", "paper", "mtf"}
        Width of the Gaussian, see :func:`xr_s2sr.quality.degradation_sigma`; "sensor" also gives the noise back that
        averaging took (:func:`xr_s2sr.quality.sensor.noise_given_back`, seeded: results repeat).
    satellite : str, optional
        For "sensor", "S2A" (the default), "S2B" or "S2C": whose noise (:data:`xr_s2sr.quality.noise.DETECTORS`). The
        MTF is in any case the effective one of real products (:data:`xr_s2sr.bands.EFFECTIVE_MTF`). For "mtf", one of
        :data:`xr_s2sr.bands.MTF`: use its published MTF per band, not 0.29.
    units, offset
        As for :func:`xr_s2sr.upsample`.

    Returns
    -------
    Dataset
        The bands, under their names and native dims, as float32 in the unit of the input (written down in
        ``scale_factor`` and ``add_offset`` of the attrs, unless it is reflectance). Coordinates are the centres of
        the larger pixels: 20, 40 and 120 m for a factor of 2. It covers the whole pixels that all bands cover and
        that nest at the new size, from the first whole pixel of the coarsest band on. Other variables are left out,
        and so is B10, which is not restored. With the attribute ``s2sr_degraded_by`` of each band, ``upsample``,
        ``validate`` and ``evaluate`` expect larger pixels.

    Raises
    ------
    BandError, GridError, RadiometryError, LazyError
        As for :func:`xr_s2sr.upsample`; GridError also if the scene is smaller than one new pixel.
    InputError
        If `factor`, `protocol` or `satellite` is unknown.

    Notes
    -----
    A simulated pixel is NaN where anything invalid (nodata, NaN, saturated) would have gone into it; the Gaussian
    ends at four times its width. Beyond the borders, pixels are mirrored.

    References
    ----------
    Wald, Ranchin, Mangolini 1997 (PE&RS 63); Lanaras et al. 2018, arXiv:1803.04271, section 3.2.

    Examples
    --------
    >>> from xr_s2sr import tutorial
    >>> ds, _ = tutorial.synthetic_scene(size=120)
    >>> small = ds.s2sr.degrade(2)
    >>> small.B11.shape, float(small.x_20m[1] - small.x_20m[0])
    ((30, 30), 40.0)
    """
    factor = arguments.count("factor", factor, least=2)
    check_protocol(protocol, satellite)
    native = to_native(ds)
    scene = native.read(units, offset)
    if CIRRUS in scene.variables:
        scene = scene.only([band for band in scene.variables if band != CIRRUS])
    simulated, _ = simulate(scene, factor, protocol, satellite)
    return with_given_names(turned_back(simulated, native.turned, native.names.bands), native.names)


def simulate(
    scene: NativeScene,
    factor: int,
    protocol: Protocol,
    satellite: str | None = None,
    *,
    coarsest: SceneBand | None = None,
) -> tuple[xr.Dataset, Extent]:
    """Degrade a scene; also return the 10 m pixels of it that the result covers.

    The area is made up of whole pixels of `coarsest`, by default the coarsest band of the scene.
    """
    scene.check()
    scene.check_one_offset()
    scene = check_pixels(scene, scene.bands)
    covered = whole_pixels(scene, coarsest or max(scene.bands.values(), key=lambda band: band.factor), factor)
    rule = written(protocol, satellite)
    variables: dict[Hashable, xr.DataArray] = {}
    for band in scene.bands.values():
        sigma = sigma_of(band.id, factor, protocol, satellite)
        # NaN spreads exactly as far as the kernel reaches
        image = degradation.degrade(
            measured_in(scene, band.id, covered),
            factor,
            protocol,
            sigma=sigma,
            band=band.id,
            scale=band.radiometry.scale,
            offset=band.radiometry.offset,
            satellite=satellite or "S2A",
        )
        variables[band.name] = _variable(scene[band.id], band, covered, factor, image.astype(np.float32), rule, sigma)
    t = scene.grid.corner(covered[0].start, covered[1].start)
    larger = Affine(t.a * factor, 0.0, t.c, 0.0, t.e * factor, t.f)
    in_order = {name: variables[name] for name in scene.ds.data_vars if name in variables}
    return georeference(xr.Dataset(in_order, attrs=scene.ds.attrs), larger), covered


def check_protocol(protocol: Any, satellite: Any) -> None:
    """Refuse an unknown protocol or satellite."""
    arguments.choice("protocol", protocol, PROTOCOLS)
    if satellite is None:
        return
    if protocol == "paper":
        raise InputError(
            f"satellite={satellite!r} has a noise and an MTF, neither of which protocol={protocol!r} uses; expected "
            'protocol="sensor" or "mtf"'
        )
    arguments.choice("satellite", satellite, DETECTORS if protocol == "sensor" else MTF)


def written(protocol: str, satellite: str | None) -> str:
    """Return a protocol as results say it."""
    return protocol if satellite is None else f"{protocol} ({satellite})"


def sigma_of(band: str, factor: int, protocol: Protocol, satellite: str | None) -> float:
    """Return the width of a band's Gaussian, in its own pixels; that of B10, of which no table tells, is nominal."""
    known = EFFECTIVE_MTF if protocol == "sensor" else MTF[satellite] if satellite else {}
    return degradation.degradation_sigma(factor, protocol, known.get(band))


def whole_pixels(scene: NativeScene, coarsest: SceneBand, factor: int) -> Extent:
    """Return the 10 m pixels to degrade: those that all bands cover, in whole degraded pixels of the coarsest band.

    Raises
    ------
    GridError
        If there is no such pixel.
    """
    covered = scene.common_extent(scene.bands)
    side = coarsest.factor * factor
    rows, cols = (span.whole(at, coarsest.factor, side) for span, at in zip(covered, coarsest.start, strict=True))
    if not (len(rows) and len(cols)):
        raise GridError(
            f"the bands share {len(covered[0])} x {len(covered[1])} pixels of 10 m, too few to degrade "
            f"{coarsest.name!r} by {factor}; expected {side + coarsest.factor - 1} or more a side. Take a larger slice"
        )
    return rows, cols


def _variable(
    native: xr.DataArray,
    band: SceneBand,
    covered: Extent,
    factor: int,
    image: NDArray[np.float32],
    rule: str,
    sigma: float,
) -> xr.DataArray:
    """Return a simulated band: the native one's name, dims, leading coords and attrs, on larger pixels."""
    coords: dict[Hashable, Any] = {
        key: coord for key, coord in native.coords.items() if not {*native.dims[-2:]} & {*coord.dims}
    }
    for axis, span, start, size in zip((band.grid.y, band.grid.x), covered, band.start, image.shape[-2:], strict=True):
        first = axis.edge + (span.start - start) // band.factor * axis.step
        centres = first + axis.step * factor * (np.arange(size) + 0.5)
        coords[axis.dim] = (axis.dim, centres, native.coords[axis.dim].attrs)
    scale, offset = band.radiometry.scale, band.radiometry.offset
    attrs = {key: value for key, value in native.attrs.items() if key not in _STORAGE_ATTRS}
    if (scale, offset) != (1.0, 0.0):
        attrs |= {"scale_factor": scale, "add_offset": offset}
    attrs |= {
        DEGRADED_BY: factor * degraded_by(native),
        "s2sr_degradation": rule,
        MTF_ATTR: round(degraded_mtf(band.mtf, sigma, factor), 4),
    }
    da = xr.DataArray(image, coords, native.dims, band.name, attrs)
    if "grid_mapping" in native.encoding:
        da.encoding["grid_mapping"] = native.encoding["grid_mapping"]
    return da
