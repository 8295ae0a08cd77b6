"""SAFE products, as ESA distributes them, as native-resolution Datasets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from os import PathLike
from typing import Any

import xarray as xr

from xr_s2sr import arguments
from xr_s2sr.bands import BANDS, BY_GSD
from xr_s2sr.errors import ProductError, warn
from xr_s2sr.io.rasters import DIMS, axis_coords, centres, lazy_variable, open_image
from xr_s2sr.io.safe_files import Files, locate
from xr_s2sr.io.safe_metadata import Image, Product, read_product
from xr_s2sr.io.subset import subset, wanted_bands
from xr_s2sr.scene.crs import georeference, mapping_variable
from xr_s2sr.scene.offsets import DN_OFFSET


def open_safe(
    path: str | PathLike[str],
    bands: str | Iterable[str] | None = None,
    bbox: Iterable[float] | None = None,
    chunks: int | Mapping[Any, Any] | None = None,
) -> xr.Dataset:
    """Open a Sentinel-2 product of level 1C or 2A, each band at its native resolution.

    Parameters
    ----------
    path : str or path
        A ``.SAFE`` folder, the ``.zip`` of one (read without unpacking), its ``MTD_MSIL1C.xml`` or
        ``MTD_MSIL2A.xml``, or one of its granules: a folder below ``GRANULE``, which may be in the zip. Products of
        every processing baseline, with the compact names and with the long ones of before December 2016.
    bands : str or iterable of str, optional
        Bands to open, by any alias. The 10 m bands B02, B03, B04 and B08, which guide every restoration, always come
        along. By default all that the product has. The packaged models read more than the band that they restore
        (``s2sr-20m`` all 20 m bands, ``s2sr-60m`` all bands), so to restore some only, open all and ask ``upsample``
        for those; what its models do not need is not read.
    bbox : (minx, miny, maxx, maxy), optional
        The rectangle to open, in the product's own CRS (metres, UTM); snapped outwards to whole 60 m cells, so that
        the grids keep nesting, and cut at the edge of the tile.
    chunks : int or mapping, optional
        Back the arrays by dask. An int is the side of a chunk in 10 m pixels, rounded up to a multiple of 6; those of
        the 20 m and 60 m bands cover the same ground. A mapping is passed to ``Dataset.chunk``.

    Returns
    -------
    Dataset
        10 m bands on ``(y, x)``, 20 m bands on ``(y_20m, x_20m)``, 60 m bands on ``(y_60m, x_60m)``: the DN as they
        are in the files, with ``scale_factor`` and ``add_offset`` (reflectance = DN * scale_factor + add_offset) and
        ``_FillValue`` 0 in the attributes. Scalar coordinates ``time`` (start of the datatake), ``spatial_ref`` and
        ``dn_offset`` (DN to add: ``add_offset`` over ``scale_factor``); attributes ``product``, ``level``,
        ``platform``, ``processing_baseline``, ``tile``, ``relative_orbit``, ``orbit_direction`` and ``cloud_cover``
        (percent). What the product has of SCL, CLD and SNW (cloud and snow probability), AOT and WVP comes along at its
        finest resolution; no network sees it.

    Raises
    ------
    ProductError
        If it is not such a product, or is broken; when a damaged image is read, too. Several granules in one old
        product: the message names them.
    BandError
        If a band is unknown, or not in the product (B10 in level 2A).
    InputError
        If `bbox` is not a rectangle, or lies outside of the product.
    ArgumentTypeError
        If `path`, `bands`, `bbox` or `chunks` has the wrong type.
    DependencyError
        If `chunks` is given and dask is not installed, or GDAL reads no JPEG 2000.

    Warns
    -----
    S2SRWarning
        If files of which the metadata tell are missing, and were not asked for by `bands`.

    Notes
    -----
    Only metadata are read; pixels are read when they are used, and then kept. The offset comes from the metadata,
    for each band; products without a list of offsets (before processing baseline 04.00) have none.

    Nodata is DN 0, whatever ``Special_Values`` says, and saturation DN 65535. From baseline 04.00 on, products have
    a raster of detector footprints for each band (``MSK_DETFOO``): pixels where it is 0, which no detector saw,
    become 0 as they are read. The polygons (GML) of older products are not used; pixels outside are 0 there anyway.
    """
    files = locate(arguments.path("path", path, "S2B_MSIL2A_20230823T095559.SAFE"))
    product = read_product(files)
    wanted = wanted_bands(product.bands, bands, files.root)
    _require(product, files, wanted, asked=bands is not None)
    images = {band: product.bands[band] for band in wanted} | {**product.companions}
    variables = {name: _variable(product, files, image) for name, image in images.items() if image.name is not None}
    coords = _coords(product, variables.values())
    offsets = {float(product.offsets[band]) for band in variables if band in BANDS}
    if len(offsets) == 1:  # one for all bands, as far as is known of products
        coords[DN_OFFSET] = xr.Variable((), offsets.pop(), {"long_name": "added to DN before they are scaled"})
    ds = xr.Dataset(variables, coords, product.attrs)
    ds = georeference(ds, product.transform(10))
    return subset(ds, None, bbox, chunks, files.root)


def _require(product: Product, files: Files, wanted: list[str], *, asked: bool) -> None:
    """Refuse a product without every guide and every band asked for; warn of what else the metadata promise in vain."""
    unlisted = [band for band in BY_GSD[10] if band not in product.bands]
    if unlisted:
        raise ProductError(
            f"{files.path(files.metadata)} lists no {', '.join(unlisted)} at 10 m; expected all 10 m bands, which "
            "guide every restoration. Sen2Cor makes them if it runs at 10 m: L2A_Process --resolution 10"
        )
    needed = set(wanted) if asked else set(BY_GSD[10])
    for band in (band for band in product.bands if band in needed):
        if product.bands[band].name is None:
            raise ProductError(
                f"the image of {band} is missing: {files.path(product.bands[band].listed_name)}; expected it, since "
                f"{files.metadata} lists it. Download the product again"
            )
    detectors = {f"MSK_DETFOO of {band}": mask for band in wanted if (mask := product.bands[band].detectors)}
    others = {**product.bands, **product.companions, **detectors}
    missing = [f"{what} ({image.listed_name})" for what, image in others.items() if image.name is None]
    if missing:
        warn(
            f"{files.root} lacks files that its metadata list; left out: {', '.join(missing)}",
        )


def _variable(product: Product, files: Files, image: Image) -> xr.Variable:
    """Return an image whose pixels are read when they are used; refuse one of another size or place."""
    path = files.path(image.name or image.listed_name)
    pixels = open_image(path)
    expected = product.shapes[image.gsd]
    if pixels.shape != expected:
        raise ProductError(
            f"{path} has {pixels.shape[0]} x {pixels.shape[1]} pixels; expected {expected[0]} x {expected[1]}, as the "
            f"tile's metadata say for {image.gsd} m. Download the product again"
        )
    _check_place(product, pixels, image.gsd, path)
    mask = None if image.detectors is None else image.detectors.name
    detectors = None if mask is None else open_image(files.path(mask))
    if detectors is not None and detectors.shape != expected:
        warn(
            f"{mask} has {detectors.shape[0]} x {detectors.shape[1]} pixels, its band {expected[0]} x "
            f"{expected[1]}: the detector footprint is left out",
        )
        detectors = None
    return lazy_variable(pixels, path, DIMS[image.gsd], image.attrs, detectors)


def _check_place(product: Product, pixels: xr.DataArray, gsd: int, path: str) -> None:
    """Refuse an image that says itself to lie elsewhere than the tile's metadata say."""
    t, crs = pixels.rio.transform(recalc=True), pixels.rio.crs
    if crs is None and t.a == 1:  # an image without georeference
        return
    if crs is not None and crs != product.crs:
        raise ProductError(
            f"{path} is in {crs.to_string()}; expected {product.crs.to_string()}, as the tile's metadata say. The "
            "image is of another tile: download the product again"
        )
    if not t.almost_equals(product.transform(gsd), 0.01 * gsd):
        left, upper = product.corner
        raise ProductError(
            f"{path} has its upper left corner at {t.c:.0f}, {t.f:.0f} and pixels of {t.a:.0f} x {-t.e:.0f} m; "
            f"expected {left:.0f}, {upper:.0f} and {gsd} m, as the tile's metadata say. Download the product again"
        )


def _coords(product: Product, variables: Iterable[xr.Variable]) -> dict[str, xr.Variable]:
    """Return coordinates: pixel centres by the tile's metadata, the datatake's time, and the CRS."""
    coords: dict[str, xr.Variable] = {}
    left, upper = product.corner
    used = {variable.dims for variable in variables}
    for gsd, (rows, cols) in product.shapes.items():
        if DIMS.get(gsd) in used:
            coords |= axis_coords(DIMS[gsd], centres(upper, -gsd, rows), centres(left, gsd, cols))
    coords["spatial_ref"] = mapping_variable(product.crs)
    if product.time is not None:
        coords["time"] = xr.Variable((), product.time)
    return coords
