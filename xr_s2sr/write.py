"""``to_cog``: a result to a cloud-optimised GeoTIFF, all bands in one pass and never as a whole in memory."""

from __future__ import annotations

import math
import os
import tempfile
from os import PathLike
from pathlib import Path

import xarray as xr

from xr_s2sr.errors import ArgumentTypeError, InputError
from xr_s2sr.grid import spatial_dims
from xr_s2sr.radiometry import resolve_radiometry


def to_cog(ds: xr.Dataset, path: str | PathLike[str], *, compress: str = "deflate") -> Path:
    """Write the bands of a Dataset as one cloud-optimised GeoTIFF, with overviews.

    Of dask arrays, chunk after chunk of all bands is computed and written, so that the network runs once for each and
    memory stays that of some chunks. The pixels go to a temporary file beside `path` first, which takes their
    uncompressed size on disk; `path` itself appears when it is complete.

    Parameters
    ----------
    ds : Dataset
        Variables of one grid, without leading dimensions.
    path : str or path
        An existing file is replaced.
    compress : str
        Any compression of GDAL's COG driver, such as "deflate", "zstd" or "none".

    Returns
    -------
    Path
        `path`.

    Raises
    ------
    ArgumentTypeError
        If `ds` is no Dataset.
    InputError
        If a variable does not fit: other dimensions, no numbers, or another nodata value.

    Notes
    -----
    On a dask cluster, workers write into the temporary file, one at a time, so `path` must be on storage that all
    machines share.

    Examples
    --------
    >>> sr = ds.s2sr.upsample()  # doctest: +SKIP
    >>> sr.s2sr.to_cog("sr.tif")  # doctest: +SKIP
    """
    from rasterio.shutil import copy

    path = Path(path)
    stack = stacked(ds)
    lock = None
    if stack.chunks is not None:
        from xr_s2sr.lazy import write_lock

        lock = write_lock(stack)
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder:
        plain, cog = Path(folder, "plain.tif"), Path(folder, "cog.tif")
        # not compressed: chunks cut through the file's blocks, which are then written several times
        layout = {"tiled": True, "blockxsize": 512, "blockysize": 512, "interleave": "band", "bigtiff": "if_safer"}
        stack.rio.to_raster(plain, lock=lock, **layout)
        predictor = "no" if compress.lower() == "none" else "yes"
        copy(plain, cog, driver="COG", compress=compress, predictor=predictor, bigtiff="if_safer")
        os.replace(cog, path)
    return path


def stacked(ds: xr.Dataset) -> xr.DataArray:
    """The variables as bands of one array, named, with CRS and nodata."""
    if not isinstance(ds, xr.Dataset):
        raise ArgumentTypeError(f"expected the Dataset that upsample() gave, not a {type(ds).__name__}")
    if not ds.data_vars:
        raise InputError("nothing to write: the Dataset holds no variable; expected some bands")
    first = next(iter(ds.data_vars.values()))
    dims = spatial_dims(first)
    foreign = [str(name) for name, v in ds.data_vars.items() if v.dims != dims or v.dtype.kind not in "iuf"]
    if foreign:
        name = foreign[0]
        raise InputError(
            f"{name!r} has the dimensions {ds[name].dims} and dtype {ds[name].dtype}; expected numbers on {dims}, as "
            "all bands of a GeoTIFF. Select one date: sr.isel(time=0), and the variables to write: sr[[...]]"
        )
    blanks = {str(name): resolve_radiometry(v).blank for name, v in ds.data_vars.items()}
    kinds = {"nan" if math.isnan(blank) else blank for blank in blanks.values()}
    if len(kinds) > 1:
        raise InputError(
            f"the variables have different nodata values ({blanks}), a GeoTIFF has one. Write those that share one: "
            "sr[[...]].s2sr.to_cog(...)"
        )
    stack = ds.to_dataarray("band").rename(None)
    stack.encoding, stack.attrs = {}, {"long_name": tuple(blanks)}
    stack = stack.rio.set_spatial_dims(y_dim=dims[0], x_dim=dims[1])
    if ds.rio.crs is not None:
        stack = stack.rio.write_crs(ds.rio.crs)
    result: xr.DataArray = stack.rio.write_nodata(next(iter(blanks.values())))
    return result
