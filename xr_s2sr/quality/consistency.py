"""Compare a result, degraded as the sensor does, with the image that the sensor took: ``consistency``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xr_s2sr.bands import BANDS
from xr_s2sr.errors import BandError, GridError, InputError
from xr_s2sr.interpolation import gaussian
from xr_s2sr.layouts.normalize import Scene, bands_of_result, restored_bands, to_native
from xr_s2sr.quality import degradation
from xr_s2sr.quality.degradation import Protocol
from xr_s2sr.quality.simulate import check_protocol, sigma_of, written
from xr_s2sr.scene.crs import check_one_crs
from xr_s2sr.scene.grid import TOLERANCE, degraded_by, nest, read_axis, read_grid, spatial_dims
from xr_s2sr.scene.pixels import dn, measured
from xr_s2sr.scene.plausibility import check_pixels
from xr_s2sr.scene.radiometry import Units, resolve_radiometry
from xr_s2sr.scene.scene import NativeScene, SceneBand
from xr_s2sr.spans import Span


def consistency(
    sr: Scene,
    ds: Scene,
    *,
    protocol: Protocol = "sensor",
    satellite: str | None = None,
    units: Units | None = None,
    offset: float | None = None,
) -> xr.Dataset:
    """Degrade a restored scene as the sensor does, and compare it with the native scene, per band.

    Wald's first property (1997): a synthetic image, once degraded to its original resolution, should be as identical
    as possible to the original image. It needs no truth, so it can be had at 10 m; but it says nothing about the
    detail that the sensor could not see.

    Parameters
    ----------
    sr : Dataset, DataArray or DataTree
        The result of :func:`xr_s2sr.upsample` for `ds`, or a part of it.
    ds : Dataset, DataArray or DataTree
        The native scene. The two are aligned by their coordinates.
    protocol : {"sensor", "mtf", "paper"}
        Width of the Gaussian, see :func:`xr_s2sr.quality.degradation_sigma`. "sensor": the effective blur of products,
        which the adaptive step assumes too; "mtf": the nominal one. No noise is added.
    satellite : {"S2A", "S2C"}, optional
        For "mtf": use this satellite's MTF per band, not the nominal one.
    units, offset
        As for :func:`xr_s2sr.upsample`; for both Datasets.

    Returns
    -------
    Dataset
        On ``band``, the restored bands: ``rmse`` and ``bias`` (degraded result minus native, mean) in DN (reflectance
        x 10000); ``relative_rmse`` and ``relative_bias``, over the native band's mean; ``pixels``, the native pixels
        compared: all for which the result holds every pixel that the Gaussian needs, valid.

    Raises
    ------
    BandError
        If `sr` holds no restored band of `ds`.
    GridError
        If the grids do not nest, the dates or the CRS differ, or no pixel can be compared.
    RadiometryError, LazyError
        As for :func:`xr_s2sr.degrade`.
    InputError
        If `protocol` or `satellite` is unknown, or `satellite` is given for another protocol than "mtf".
    ArgumentTypeError
        If `sr` is not an xarray object.

    References
    ----------
    Wald, Ranchin, Mangolini 1997 (PE&RS 63).

    Examples
    --------
    >>> from xr_s2sr import tutorial
    >>> ds, _ = tutorial.synthetic_scene(size=120)
    >>> ds.s2sr.upsample("B11").s2sr.consistency(ds).sizes["band"]
    1
    """
    check_protocol(protocol, satellite)
    if satellite is not None and protocol == "sensor":  # what it knows of a satellite is the noise
        raise InputError(
            f"satellite={satellite!r} has an MTF of its own, which protocol='sensor' does not use; expected "
            f'protocol="mtf": sr.s2sr.consistency(ds, protocol="mtf", satellite={satellite!r})'
        )
    result = restored_bands(sr)
    bands, scene = bands_of_result(result), to_native(ds).read(units, offset)
    scene.check_one_offset()
    restored = _restored(bands, scene)
    if not restored:
        held = ", ".join(map(str, result.data_vars)) or "empty"
        raise BandError(
            f"nothing to compare: the first Dataset ({held}) holds no 20 m or 60 m band restored to 10 m that the "
            f"second ({', '.join(scene.variables)}) holds natively; expected "
            "sr.s2sr.consistency(ds) with sr = ds.s2sr.upsample()"
        )
    scene = scene.only([band for band in scene.variables if BANDS[band].is_fine or band in restored])
    scene.check()
    scene = check_pixels(scene, restored)
    rows = []
    for key, fine in restored.items():
        band, native = scene.bands[key], scene[key]
        radiometry = resolve_radiometry(fine, units, offset)
        sigma = sigma_of(key, band.factor, protocol, satellite)
        # native pixels at each border for which the Gaussian would need pixels beyond it
        reach = -(-(len(gaussian(sigma)) // 2) // band.factor)
        spans = _shared(fine, native, band, reach)
        (rows_sr, rows_ds), (cols_sr, cols_ds) = ((near.slice, far.slice) for near, far in spans)
        image = dn(measured(fine[..., rows_sr, cols_sr].values, radiometry), radiometry)
        truth = dn(measured(native[..., rows_ds, cols_ds].values, band.radiometry), band.radiometry)
        rows.append(_compared(degradation.degrade(image, band.factor, sigma=sigma), truth, reach, band.name))
    keys = ("rmse", "bias", "relative_rmse", "relative_bias", "pixels")
    return xr.Dataset(
        {
            key: ("band", list(column), {"units": "DN" if key in ("rmse", "bias") else "1"})
            for key, column in zip(keys, zip(*rows, strict=True), strict=True)
        },
        {"band": list(restored)},
        {"protocol": written(protocol, satellite)},
    )


def _restored(result: Mapping[str, xr.DataArray], scene: NativeScene) -> dict[str, xr.DataArray]:
    """Return the bands of a result that are coarse bands of the scene and lie on 10 m pixels."""
    restored = {}
    for band, da in result.items():
        if BANDS[band].gsd > 10 and band in scene.variables:
            pitch = 10 * degraded_by(da)
            axis = read_axis(da, spatial_dims(da)[1], pitch)
            if abs(abs(axis.step) - pitch) <= TOLERANCE * pitch:
                restored[band] = da
    return restored


def _shared(sr: xr.DataArray, native: xr.DataArray, band: SceneBand, reach: int) -> list[tuple[Span, Span]]:
    """Return the rows and columns of both that cover the same whole native pixels."""
    if sr.shape[:-2] != native.shape[:-2]:
        raise GridError(
            f"{sr.name!r} has the leading dimensions {dict(zip(sr.dims[:-2], sr.shape[:-2], strict=True))} in the "
            f"result and {dict(zip(native.dims[:-2], native.shape[:-2], strict=True))} in the scene; "
            "expected the same. Select the dates of the result: ds.sel(time=sr.time)"
        )
    check_one_crs(sr, native, "Compare")
    grid = read_grid(sr, 10, degraded=degraded_by(sr))
    start = nest(grid, band.grid, band.factor, (str(sr.name), band.name))
    spans = []
    for n, m, at in zip(grid.shape, band.grid.shape, start, strict=True):
        first, last = max(0, -(at // band.factor)), min(m, (n - at) // band.factor)
        least = 2 * reach + 1
        if last - first < least:
            raise GridError(
                f"the result covers {max(0, last - first)} whole native pixels of {band.name!r} along one axis; "
                f"expected {least} or more, as the Gaussian reaches over the outer ones. Take a larger part of the "
                "same place"
            )
        spans.append((Span(at + first * band.factor, at + last * band.factor), Span(first, last)))
    return spans


def _compared(image: NDArray[Any], truth: NDArray[Any], reach: int, name: str) -> tuple[float, ...]:
    """Return RMSE, bias, both over the truth's mean, and the number of pixels, leaving out `reach` at the borders."""
    inner = (..., slice(reach, -reach), slice(reach, -reach))
    image, truth = image[inner], truth[inner]
    valid = np.isfinite(image) & np.isfinite(truth)
    if not valid.any():
        raise GridError(
            f"no native pixel of {name!r} can be compared; expected some without anything invalid around "
            "them. Take a part of the scene with fewer invalid pixels"
        )
    error, mean = (image - truth)[valid], truth[valid].mean()
    rmse, bias = float(np.sqrt((error**2).mean())), float(error.mean())
    return rmse, bias, rmse / mean, bias / mean, int(valid.sum())
