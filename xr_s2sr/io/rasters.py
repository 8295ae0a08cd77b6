"""Files as lazy variables: their pixels are read when they are asked for; what is damaged is named by then."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import rioxarray
import xarray as xr
from numpy.typing import NDArray
from xarray.backends import BackendArray
from xarray.backends.locks import SerializableLock
from xarray.core import indexing

from xr_s2sr.errors import DependencyError, InputError, ProductError
from xr_s2sr.io.guarded import check_plain

#: First bytes of TIFF and BigTIFF files, of either order of bytes.
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

#: Dimensions of a resolution in the Datasets that we open.
DIMS = {10: ("y", "x"), 20: ("y_20m", "x_20m"), 60: ("y_60m", "x_60m")}


@lru_cache(maxsize=1)
def jpeg2000() -> str:
    """Return the name of GDAL's driver for JPEG 2000.

    Raises
    ------
    DependencyError
        If GDAL was built without one.
    """
    with rasterio.Env() as env:
        there = env.drivers()
    for name in ("JP2OpenJPEG", "JP2KAK", "JP2ECW", "JP2MrSID"):
        if name in there:
            return name
    raise DependencyError(
        "this GDAL cannot read JPEG 2000, in which SAFE products keep their images; expected the driver JP2OpenJPEG. "
        "Install rasterio's own: pip install --force-reinstall rasterio"
    )


def open_image(path: str) -> xr.DataArray:
    """Open a GeoTIFF or JPEG 2000 file of one band, on (y, x), with coordinates, CRS and tags; no pixel is read.

    Only the driver that the file's name calls for may open it. GDAL by itself goes by the content, and a VRT that calls
    itself .jp2 or .tif would read any other file, or an address. Several files are read at once: each has its own lock,
    where rioxarray has one for all.

    Raises
    ------
    ProductError
        If the driver cannot read the file, or it is none.
    InputError
        If it has several bands.
    DependencyError
        If GDAL was built without the driver.
    """
    image = open_bands(path)
    if image.sizes["band"] != 1:
        raise InputError(f"{path} holds several bands; expected a file for each band")
    return image.isel(band=0, drop=True)


def open_bands(path: str) -> xr.DataArray:
    """Open a GeoTIFF or JPEG 2000 file of any number of bands, on (band, y, x), as :func:`open_image` does one."""
    check_plain(Path(path))
    check_mask_file(Path(path))
    driver = "GTiff" if path.lower().endswith((".tif", ".tiff")) else jpeg2000()
    try:
        image = rioxarray.open_rasterio(path, cache=False, lock=SerializableLock(), driver=driver)
    except OSError as error:
        raise unreadable(path, error) from error
    if not isinstance(image, xr.DataArray):
        raise InputError(f"{path} holds several images; expected one of several bands")
    return image


def check_mask_file(image: Path) -> None:
    """Refuse a mask beside an image that is not a TIFF: GDAL opens what lies there as .msk by its content.

    Raises
    ------
    ProductError
    """
    beside = image.parent.iterdir() if image.parent.is_dir() else ()  # of a product in a zip, all were looked at
    for path in beside:
        if path.name.lower() != f"{image.name.lower()}.msk":
            continue
        check_plain(path)
        with path.open("rb") as file:
            start = file.read(4)
        if start not in _TIFF:
            raise ProductError(
                f"{path} is not a TIFF, and could name any other file; expected a mask as GDAL writes it. Remove it: "
                "masks beside an image are not used"
            )


def unreadable(path: str, error: BaseException, what: str = "") -> ProductError:
    """Return the error for a file that GDAL refuses, at once or when its pixels, or `what` in it, are asked for."""
    reason = str(error).partition("\n")[0].rstrip(".")
    return ProductError(
        f"{what}{path} cannot be read: {reason}; expected a whole raster file of the kind that its name says. Download "
        "or copy it again"
    )


class _Pixels(BackendArray):
    """The pixels of a variable of a file, 0 where its detector mask is 0."""

    def __init__(
        self,
        variable: xr.Variable,
        path: str,
        failed: Callable[[str, BaseException], InputError],
        detectors: xr.Variable | None,
    ) -> None:
        self.variable, self.path, self.failed, self.detectors = variable, path, failed, detectors
        self.shape, self.dtype = variable.shape, variable.dtype

    def __getitem__(self, key: Any) -> Any:
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.OUTER, self._read)

    def _read(self, key: tuple[Any, ...]) -> NDArray[Any]:
        try:
            pixels: NDArray[Any] = self.variable[key].values
            looked = None if self.detectors is None else self.detectors[key].values != 0
        except (MemoryError, Warning):  # whatever the file is
            raise
        except Exception as error:  # any, for chunks that make no sense
            raise self.failed(self.path, error) from error
        return pixels if looked is None else np.where(looked, pixels, pixels.dtype.type(0))


def lazy_pixels(
    variable: xr.Variable,
    path: str,
    failed: Callable[[str, BaseException], InputError],
    detectors: xr.Variable | None = None,
) -> Any:
    """Return pixels that are read, and then kept in memory, when they are asked for.

    Parameters
    ----------
    variable : Variable
        As it was opened.
    path : str
        Of the file.
    failed : callable
        Makes the error, of the path and what was raised, when the file turns out to be damaged.
    detectors : Variable, optional
        A mask of the same shape; pixels where it is 0 become 0.
    """
    pixels: Any = indexing.LazilyIndexedArray(_Pixels(variable, path, failed, detectors))
    return indexing.MemoryCachedArray(indexing.CopyOnWriteArray(pixels))  # type: ignore[no-untyped-call]


def lazy_variable(
    image: xr.DataArray, path: str, dims: tuple[str, str], attrs: dict[str, Any], detectors: xr.DataArray | None = None
) -> xr.Variable:
    """Make a variable of an image, as :func:`open_image` gives it; where `detectors` are 0, its pixels become 0."""
    pixels = lazy_pixels(image.variable, path, unreadable, None if detectors is None else detectors.variable)
    blocks = [image.encoding["preferred_chunks"][dim] for dim in image.dims]
    stored = {"source": path, "preferred_chunks": dict(zip(dims, blocks, strict=True))}
    return xr.Variable(dims, pixels, attrs, {"grid_mapping": "spatial_ref", **stored})


def axis_coords(dims: tuple[str, str], y: Any, x: Any) -> dict[str, xr.Variable]:
    """Return pixel centres in metres as coordinates."""
    return {
        dim: xr.Variable(
            (dim,), np.asarray(at, float), {"units": "metre", "standard_name": f"projection_{axis}_coordinate"}
        )
        for axis, dim, at in zip("yx", dims, (y, x), strict=True)
    }


def centres(edge: float, step: float, size: int) -> NDArray[np.float64]:
    """Return pixel centres from the outer edge and the signed step."""
    return np.asarray(edge + step * (np.arange(size) + 0.5), np.float64)
