"""Wald's protocol on Datasets: the scene as a sensor with larger pixels would have seen it."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import xarray as xr
from affine import Affine
from numpy.typing import NDArray

from xr_s2sr import arguments, quality
from xr_s2sr.bands import MTF
from xr_s2sr.crs import georeference
from xr_s2sr.errors import GridError, InputError
from xr_s2sr.grid import DEGRADED_BY, degraded_by
from xr_s2sr.held import Held
from xr_s2sr.layout import Scene, arrange
from xr_s2sr.pixels import measured
from xr_s2sr.prepare import check_pixels, look
from xr_s2sr.quality import PROTOCOLS, Protocol
from xr_s2sr.radiometry import Units
from xr_s2sr.sensor import NOMINAL_MTF
from xr_s2sr.survey import Survey
from xr_s2sr.windows import Extent, Span

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
        How many times larger the pixels become, 2 or more: 2 to evaluate 20 m bands, 6 for 60 m bands.
    protocol : {"sensor", "paper", "mtf"}
        Width of the Gaussian, see :func:`xr_s2sr.quality.degradation_sigma`; "sensor" also gives the noise back that
        averaging took (:func:`xr_s2sr.sensor.noise_given_back`, seeded: results repeat).
    satellite : {"S2A"}, optional
        For "sensor" and "mtf": use this satellite's MTF per band (:data:`xr_s2sr.bands.MTF`), not the nominal ones
        (:data:`xr_s2sr.sensor.NOMINAL_MTF` and 0.29).
    units, offset
        As for :func:`xr_s2sr.upsample`.

    Returns
    -------
    Dataset
        The bands, under their names and native dims, as float32 in the unit of the input (written down in
        ``scale_factor`` and ``add_offset`` of the attrs, unless it is reflectance). Coordinates are the centres of
        the larger pixels: 20, 40 and 120 m for a factor of 2. It covers the whole pixels that all bands cover and
        that nest at the new size, from the first whole pixel of the coarsest band on. What is no band is left out.
        The attribute ``s2sr_degraded_by`` of each band tells ``upsample``, ``validate`` and ``evaluate`` that larger
        pixels are meant.

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
    return simulate(arrange(ds).ds, factor, protocol, satellite, units, offset)[0]


def simulate(
    ds: xr.Dataset,
    factor: int,
    protocol: Protocol,
    satellite: str | None,
    units: Units | None = None,
    offset: float | None = None,
    *,
    cells: Held | None = None,
) -> tuple[xr.Dataset, Survey, Extent]:
    """:func:`degrade`, together with the survey of the input and the 10 m pixels of it that the result covers.

    `cells` is the band of whose pixels the area is made up; by default the coarsest of `ds`.
    """
    factor = arguments.count("factor", factor, least=2)
    check_protocol(protocol, satellite)
    found = look(ds, units, offset)
    found.check()
    found.check_one_offset()
    check_pixels(ds, found, list(found.held))
    covered = whole_cells(found, cells or max(found.held.values(), key=lambda held: held.factor), factor)
    rule = protocol if satellite is None else f"{protocol} ({satellite})"
    variables: dict[Hashable, xr.DataArray] = {}
    for band, held in found.held.items():
        sigma = sigma_of(band, factor, protocol, satellite)
        native = measured(part(ds[held.name], held, covered), held.radiometry)
        # NaN spreads exactly as far as the kernel reaches
        image = quality.degrade(native, factor, protocol, sigma=sigma, band=band).astype(np.float32)
        variables[held.name] = _variable(ds[held.name], held, covered, factor, image, rule)
    t = found.grid.corner(covered[0].start, covered[1].start)
    larger = Affine(t.a * factor, 0.0, t.c, 0.0, t.e * factor, t.f)
    in_order = {name: variables[name] for name in ds.data_vars if name in variables}
    return georeference(xr.Dataset(in_order, attrs=ds.attrs), larger), found, covered


def check_protocol(protocol: Any, satellite: Any, choices: Sequence[str] = PROTOCOLS) -> None:
    """Refuse an unknown protocol or satellite."""
    arguments.choice("protocol", protocol, choices)
    if satellite is None:
        return
    arguments.choice("satellite", satellite, MTF)
    if protocol == "paper":
        raise InputError(
            f"satellite={satellite!r} has an MTF, which protocol={protocol!r} does not use; expected "
            'protocol="sensor" or "mtf"'
        )


def sigma_of(band: str, factor: int, protocol: Protocol, satellite: str | None) -> float:
    """Width of a band's Gaussian, in its own pixels."""
    nominal = NOMINAL_MTF[band] if protocol == "sensor" else None
    return quality.degradation_sigma(factor, protocol, MTF[satellite][band] if satellite else nominal)


def whole_cells(found: Survey, coarsest: Held, factor: int) -> Extent:
    """The 10 m pixels to degrade: what all bands cover, in whole cells of the coarsest one, degraded.

    Raises
    ------
    GridError
        If there is no such cell.
    """
    from xr_s2sr.jobs import common_extent  # brings numba

    covered = common_extent(found, list(found.held))
    cell = coarsest.factor * factor
    spans = []
    for span, anchor in zip(covered, coarsest.start, strict=True):
        start = span.start + (anchor - span.start) % coarsest.factor
        size = max(0, span.stop - start) // cell * cell
        if size == 0:
            raise GridError(
                f"the bands share {len(covered[0])} x {len(covered[1])} pixels of 10 m, too few to degrade "
                f"{coarsest.name!r} by {factor}; expected {cell + coarsest.factor - 1} or more a side. "
                "Take a larger slice"
            )
        spans.append(Span(start, start + size))
    return spans[0], spans[1]


def part(da: xr.DataArray, held: Held, covered: Extent) -> NDArray[Any]:
    """A band's pixels in an extent that begins and ends with whole ones, shape (..., y, x)."""
    rows, cols = (
        slice((span.start - start) // held.factor, (span.stop - start) // held.factor)
        for span, start in zip(covered, held.start, strict=True)
    )
    pixels: NDArray[Any] = np.asarray(da.variable[..., rows, cols].values)
    return pixels


def _variable(
    native: xr.DataArray, held: Held, covered: Extent, factor: int, image: NDArray[np.float32], rule: str
) -> xr.DataArray:
    """A simulated band: the native one's name, dims, leading coords and attrs, on larger pixels."""
    coords: dict[Hashable, Any] = {
        key: coord for key, coord in native.coords.items() if not {*native.dims[-2:]} & {*coord.dims}
    }
    for axis, span, start, size in zip((held.grid.y, held.grid.x), covered, held.start, image.shape[-2:], strict=True):
        first = axis.edge + (span.start - start) // held.factor * axis.step
        centres = first + axis.step * factor * (np.arange(size) + 0.5)
        coords[axis.dim] = (axis.dim, centres, native.coords[axis.dim].attrs)
    told = held.radiometry.scale, held.radiometry.offset
    attrs = {key: value for key, value in native.attrs.items() if key not in _STORAGE_ATTRS}
    if told != (1.0, 0.0):
        attrs |= {"scale_factor": told[0], "add_offset": told[1]}
    attrs |= {DEGRADED_BY: factor * degraded_by(native), "s2sr_degradation": rule}
    da = xr.DataArray(image, coords, native.dims, held.name, attrs)
    if "grid_mapping" in native.encoding:
        da.encoding["grid_mapping"] = native.encoding["grid_mapping"]
    return da
