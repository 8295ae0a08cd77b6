"""Results as files: one COG, a folder of COGs, Zarr or NetCDF; written aside, and put in place when complete."""

from __future__ import annotations

import errno
import math
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from xr_s2sr import arguments
from xr_s2sr.bands import Output, resolve
from xr_s2sr.errors import ArgumentTypeError, DependencyError, InputError, warn
from xr_s2sr.io import readable
from xr_s2sr.io import stac as stac_item
from xr_s2sr.io.open_any import read_from
from xr_s2sr.io.scheduling import elsewhere, own_pool, run_together
from xr_s2sr.layouts.normalize import Scene, restored_bands
from xr_s2sr.replacing import replaced
from xr_s2sr.scene.corners import centred
from xr_s2sr.scene.crs import crs_of_bands, crs_refused, mapped_crs, with_mapping, write_crs
from xr_s2sr.scene.grid import spatial_dims
from xr_s2sr.scene.pixels import blanked
from xr_s2sr.scene.radiometry import number_in, resolve_radiometry
from xr_s2sr.scene.result import KEPT_ENCODING
from xr_s2sr.targets import Kind, check_name

#: Profile in which pixels are written first. Blocks are small, as chunks cut through them, and such are written twice.
ASIDE = {"tiled": True, "blockxsize": 256, "blockysize": 256, "interleave": "band", "bigtiff": "if_safer"}

#: Bytes of blocks that GDAL may keep; by default it is a twentieth of the machine's memory.
CACHE = 256 * 2**20

#: Bytes of pixels that may be kept in memory until GDAL makes COGs of them.
IN_MEMORY = 2**29

#: Compressions of GDAL's COG driver that give back the same numbers.
LOSSLESS = ("deflate", "zstd", "lzw", "lzma", "lerc", "lerc_deflate", "lerc_zstd", "packbits", "none")

#: Blocks of a band that its statistics are made of, at most.
SAMPLED = 16

#: Bands that a program shows at first, in their colours.
COLOURS = {"B04": "red", "B03": "green", "B02": "blue"}

#: Bytes that a NetCDF file may take beside its arrays.
HDF5_OVERHEAD = 2**16

#: Attributes that would be written as facts about the numbers.
STORED_AS = ("scale_factor", "add_offset", "scale", "offset", "_FillValue", "nodata", "missing_value")

#: How the names of GeoTIFFs end.
TIFF = (".tif", ".tiff")

#: Packages, one of which writes the form of this suffix.
WRITERS = {".nc": ("netCDF4", "h5netcdf"), ".zarr": ("zarr",)}


def to_cog(ds: Scene, path: str | PathLike[str], *, compress: str = "deflate", stac: bool | str = False) -> Path:
    """Write the bands of a Dataset as cloud-optimised GeoTIFF, with overviews: one file, or a file each.

    Of dask arrays, chunk after chunk of all bands is computed and written, so that the network runs once for each and
    memory stays that of some chunks. The pixels go to a temporary file beside `path` first, lightly compressed; `path`
    itself appears, or is replaced, when all is complete. Of the threads that compress, there is one for each
    processor, or what the environment variable GDAL_NUM_THREADS says.

    Parameters
    ----------
    ds : Dataset, DataArray or DataTree
        What :func:`xr_s2sr.upsample` gave, in any form: variables of one grid, without leading dimensions. Variables
        without rows and columns are left out with a warning; fill values of bands become nodata.
    path : str or path
        A ``.tif``: one file with all bands. Else a folder, for a file each, such as ``B05.tif``; other files that
        it holds stay. Files from which variables of `ds` were read are not replaced.
    compress : {"deflate", "zstd", "lzw", "lzma", "lerc", "lerc_deflate", "lerc_zstd", "packbits", "none"}
        A compression of GDAL that loses nothing.
    stac : bool or str
        Write a STAC item too, ``sr.json`` beside ``sr.tif`` or in the folder ``sr`` (needs pystac). It takes a CRS, and
        a time: the scalar coordinate ``time``, or what is given here, such as "2024-06-01T10:00:00Z". A file of that
        name is replaced if it is a STAC item.

    Returns
    -------
    Path
        `path`.

    Raises
    ------
    ArgumentTypeError
        If `ds` is not an xarray object, or an argument of another type than expected.
    BandError
        If a DataArray holds no bands, or a DataTree none that were restored.
    DependencyError
        If a STAC item is wanted and pystac is not installed.
    InputError
        If a variable does not fit: other dimensions, no numbers, or, for one file, another nodata value; if
        a folder stands in the place of a file, or the other way round; if a name cannot be that of a file, or the file
        is an input; or, for a STAC item, CRS or time are missing.
    WriteError
        If it cannot be written (also an OSError): a full disk, a folder without permission. What was there is kept: of
        a folder of files, all are replaced or none.

    Notes
    -----
    Bands carry their name, scale, offset and approximate statistics, and where they come from as tags. Of a file with
    B04, B03 and B02, these are what QGIS shows at first, as red, green and blue. Overviews of classes repeat pixels,
    others are cubic. On a dask cluster, workers write into the temporary files, one at a time, so `path` must be on
    storage that all machines share.

    Examples
    --------
    >>> sr = ds.s2sr.upsample()  # doctest: +SKIP
    >>> sr.s2sr.to_cog("sr.tif")  # doctest: +SKIP
    """
    bands = restored_bands(ds)
    out = arguments.path("path", path, "sr.tif")
    if not isinstance(stac, bool | str | None):
        raise ArgumentTypeError(
            f"stac={arguments.shown(stac)} is a {type(stac).__name__}; expected True or a time: "
            'to_cog("sr.tif", stac="2024-06-01T10:00:00Z")'
        )
    return _to_cog(bands, out, compress, stac, read_from(bands))


def _to_cog(
    ds: xr.Dataset, path: Path, compress: str, stac: bool | str, sources: Iterable[Path], threads: int | None = None
) -> Path:
    """See :func:`to_cog`; `sources` are the files that are read, `threads` those that compress."""
    import rasterio

    ds = _rasters(georeferenced(ds))
    _warn_of_kept_attributes(ds)
    lossless = arguments.choice("compress", compress.lower() if isinstance(compress, str) else compress, LOSSLESS)
    one = path.suffix.lower() in TIFF
    target = Path(os.path.realpath(path))  # a link stays, and what it leads to is replaced
    bands = [] if one else [check_name(str(name), [*map(str, ds.data_vars)]) for name in ds.data_vars]
    stacks = {band: stacked(ds[[band]]) for band in bands} or {"": stacked(ds)}
    names = [f"{band}.tif" for band in bands]
    if stac:
        name = target.stem if one else target.name
        files = dict(zip(stacks, names or [target.name], strict=True))
        item = stac_item.item_text(ds, stacks, files, name, stac if isinstance(stac, str) else None)
        stac_item.check_replaceable((target.parent if one else target) / f"{name}.json")
        names.append(f"{name}.json")
    warn_without_crs(ds)
    # GDAL reads it when it first keeps a block; an environment variable of the user's stays
    cache = {} if "GDAL_CACHEMAX" in os.environ else {"GDAL_CACHEMAX": CACHE}
    kind: Kind = "file" if one else "folder"
    writing = replaced(path, kind, readable.check, names=names, suffixes=TIFF if one else (), sources=sources)
    with writing as part, rasterio.Env(**cache), own_pool(ds):
        compressing = str(threads or os.environ.get("GDAL_NUM_THREADS", "all_cpus"))
        with _plain_files(ds, stacks, part, compressing) as files_aside:
            for name, file in files_aside.items():
                within = stacks[name].attrs["long_name"]
                classes = not any(resolve(Output.of(band).band) or ds[band].dtype.kind == "f" for band in within)
                _make_cog(file, part / f"{name or 'all'}.tif", lossless, compressing, classes)
                Path(file).unlink(missing_ok=True)  # it may be in memory
        if stac:
            (part / names[-1]).write_text(item, encoding="utf-8")
    return path


def _warn_of_kept_attributes(ds: xr.Dataset) -> None:
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


def check_writer(out: Path, suffix: str) -> None:
    """Refuse a form that no installed package writes, before any pixel is computed."""
    names = WRITERS.get(suffix, ())
    if names and not any(map(find_spec, names)):
        raise DependencyError(f"{out} needs {' or '.join(names)} to be written: pip install {names[0]}")


def form_of(out: Path) -> Kind:
    """Return the kind of output that a name asks for."""
    suffix = out.suffix.lower()
    return "zarr" if suffix == ".zarr" else "file" if suffix in (*TIFF, ".nc") else "folder"


def save(
    sr: xr.Dataset,
    out: Path,
    stac: bool | str = False,
    sources: Iterable[Path] = (),
    threads: int | None = None,
) -> None:
    """Write a result in the form that the suffix asks for; what was there is replaced when all is written.

    Parameters
    ----------
    sr : Dataset
    out : Path
    stac : bool or str
        As in :func:`to_cog`.
    sources : iterable of Path
        The files and folders that were read; none of them is replaced.
    threads : int, optional
        Those that compress a GeoTIFF, when all is computed; by default one for each processor.
    """
    suffix, sources = out.suffix.lower(), {*sources, *read_from(sr)}
    if suffix not in (".zarr", ".nc"):
        _to_cog(sr, out, LOSSLESS[0], stac, sources, threads)
        return
    check_writer(out, suffix)
    sr = georeferenced(sr).copy()
    warn_without_crs(sr)
    for variable in sr.variables.values():  # the output is not compressed and cut as the input was
        variable.encoding = {key: value for key, value in variable.encoding.items() if key in KEPT_ENCODING}
    if suffix == ".nc":
        save_netcdf(sr, out, sources)
        return
    with replaced(out, "zarr", readable.check, sources=sources) as part, own_pool(sr), warnings.catch_warnings():
        # zarr 3 says of every store that other programs may not know this yet
        warnings.filterwarnings("ignore", "Consolidated metadata", UserWarning)
        sr.to_zarr(part / "all.zarr")


def save_netcdf(ds: xr.Dataset, out: Path, sources: Iterable[Path]) -> None:
    """Write a NetCDF file, or replace one that is not among the `sources`.

    What the library says of a full disk becomes an OSError, as any other library has it. HDF5 does not survive a full
    disk: it keeps the file open, takes space again later, and can end the process. So the space is asked for first.
    """
    stored = (v.size * np.dtype(v.encoding.get("dtype", v.dtype)).itemsize for v in ds.variables.values())
    needed = sum(stored) + HDF5_OVERHEAD
    with replaced(out, "file", readable.check, suffixes=(".nc",), sources=sources) as part, own_pool(ds):
        file, free = part / "all.nc", shutil.disk_usage(part).free
        if needed > free:
            raise OSError(errno.ENOSPC, f"{os.strerror(errno.ENOSPC)}: {needed} bytes are needed, {free} are free")
        try:
            ds.to_netcdf(file)
        except (OSError, RuntimeError) as problem:
            if file.exists():
                os.truncate(file, 0)  # removing alone would free nothing of a file that is kept open
            if isinstance(problem, RuntimeError) and str(problem).startswith("NetCDF: "):
                raise OSError(str(problem)) from problem
            raise  # also a RuntimeError of the pixels' own graph


@contextmanager
def _plain_files(
    ds: xr.Dataset, stacks: Mapping[str, xr.DataArray], folder: Path, threads: str
) -> Iterator[dict[str, str]]:
    """Write all stacks as described GeoTIFFs that GDAL can make COGs of; in the block, these are there.

    They are written in one pass over the blocks of all: in memory if they are small and no other process writes them,
    else beside the result, lightly compressed.
    """
    import rasterio

    lazy = any(stack.chunks is not None for stack in stacks.values())
    in_memory = sum(stack.nbytes for stack in stacks.values()) <= IN_MEMORY and not (lazy and elsewhere())
    with ExitStack() as held:
        if in_memory:
            files = {name: held.enter_context(rasterio.MemoryFile(ext=".tif")).name for name in stacks}
        else:
            aside = held.enter_context(tempfile.TemporaryDirectory(dir=folder))
            files = {name: f"{aside}/{name or 'all'}.tif" for name in stacks}

        def start(name: str, stack: xr.DataArray, **options: Any) -> Any:
            # a level of Zstandard or deflate would be forgotten when rioxarray opens the file for the next block
            packed = {} if in_memory else {"compress": "lzw", "predictor": 3 if stack.dtype.kind == "f" else 2}
            return stack.rio.to_raster(files[name], **options, **ASIDE, **packed)

        if lazy:
            run_together(stacks, lambda name, stack, lock: start(name, stack, lock=lock, compute=False))
        else:
            for name, stack in stacks.items():
                start(name, stack, num_threads=threads)
        for file in files.values():
            _describe(ds, file)
            if not in_memory:
                readable.check_tiff(Path(file))
        yield files


def _make_cog(pixels: str, out: Path, compress: str, threads: str, classes: bool) -> None:
    """Have GDAL make a COG; overviews of classes repeat pixels."""
    from rasterio.shutil import copy

    predictor = "no" if compress == "none" else "yes"
    packed = {"compress": compress, "predictor": predictor, "overview_resampling": "nearest" if classes else "cubic"}
    copy(pixels, out, driver="COG", bigtiff="if_safer", num_threads=threads, **packed)


def _describe(ds: xr.Dataset, file: str | Path) -> None:
    """Tell each band's scale and offset, where it comes from, and what programs need to show it well."""
    import rasterio
    from rasterio.enums import ColorInterp

    with rasterio.open(file, "r+") as out:
        attrs = [ds[name].attrs for name in out.descriptions]
        out.scales = [number_in(a.get("scale_factor", 1.0)) for a in attrs]
        out.offsets = [number_in(a.get("add_offset", 0.0)) for a in attrs]
        for k, (provenance, statistics) in enumerate(zip(attrs, _statistics(out), strict=True), 1):
            own = {key: str(value) for key, value in provenance.items() if str(key).startswith("s2sr_")}
            out.update_tags(k, **own, **statistics)
        bands = [resolve(name) for name in out.descriptions]
        if {*COLOURS} <= {*bands}:  # else the first three bands would be red, green and blue: B02, B03, B04
            out.colorinterp = [ColorInterp[COLOURS.get(band or "", "undefined")] for band in bands]


def _statistics(file: Any) -> list[dict[str, str]]:
    """Return GDAL's tags of each band's statistics, from some of its blocks; none if these hold no valid pixel."""
    windows = [window for _, window in file.block_windows(1)]
    step = math.ceil(len(windows) / SAMPLED)
    about = {"APPROXIMATE": "YES"} if step > 1 else {}
    sampled = np.concatenate([file.read(window=w).reshape(file.count, -1) for w in windows[::step]], axis=1)
    tags: list[dict[str, str]] = []
    for values in sampled:
        valid = values[np.isfinite(values) & (values != file.nodata)].astype(np.float64)
        if not valid.size:
            tags.append({})
            continue
        found = {"MINIMUM": valid.min(), "MAXIMUM": valid.max(), "MEAN": valid.mean(), "STDDEV": valid.std(), **about}
        tags.append({f"STATISTICS_{key}": str(value) for key, value in found.items()})
    return tags


def _one_nodata(ds: xr.Dataset, blanks: dict[str, float]) -> tuple[xr.Dataset, dict[str, float]]:
    """Give float standard errors, which are never 0 or below, the nodata value of the bands if it is one of these."""
    errors = [name for name, value in blanks.items() if math.isnan(value) and Output.of(name).error]
    others = {value for name, value in blanks.items() if name not in errors}
    if len(others) != 1 or not (blank := others.pop()) <= 0:
        return ds, blanks
    return ds.assign({name: ds[name].fillna(blank) for name in errors}), blanks | dict.fromkeys(errors, blank)


def _rasters(ds: xr.Dataset) -> xr.Dataset:
    """Return what has rows and columns, under names that are text; a warning names the rest, but for a CRS.

    Raises
    ------
    InputError
        If there is nothing, or something that does not fit in with the rest: other dimensions, or no numbers.
    """
    if not ds.data_vars:
        raise InputError("nothing to write: the Dataset holds no variable; expected some bands")
    flat = [name for name, v in ds.data_vars.items() if v.ndim < 2]
    crs = [name for name in flat if {"grid_mapping_name", "crs_wkt", "spatial_ref"} & {*ds[name].attrs}]
    if len(flat) < len(ds.data_vars):
        if lost := [str(name) for name in flat if name not in crs]:
            warn(f"left out, as a GeoTIFF holds rows and columns only: {', '.join(lost)}. Write all: sr.to_zarr(...)")
        ds = ds.set_coords(crs).drop_vars([name for name in flat if name not in crs])
        ds = ds.rename({name: str(name) for name in ds.data_vars if not isinstance(name, str)})
    dims = spatial_dims(next(iter(ds.data_vars.values())))
    foreign = [str(name) for name, v in ds.data_vars.items() if v.dims != dims or v.dtype.kind not in "iuf"]
    if foreign:
        name = foreign[0]
        raise InputError(
            f"{name!r} has the dimensions {ds[name].dims} and dtype {ds[name].dtype}; expected numbers on {dims}, as "
            "all bands of a GeoTIFF. Select one date: sr.isel(time=0), and the variables to write: sr[[...]]"
        )
    return ds


def stacked(ds: xr.Dataset) -> xr.DataArray:
    """Return the variables as bands of one array, named, with CRS and nodata, which must agree."""
    first = next(iter(ds.data_vars.values()))
    dims = first.dims
    ds, blanks = _one_nodata(ds, {str(name): resolve_radiometry(v).blank for name, v in ds.data_vars.items()})
    if np.unique([*blanks.values()]).size > 1:
        raise InputError(
            f"the variables have different nodata values ({blanks}), a GeoTIFF has one. Write those that share one: "
            'sr[[...]].s2sr.to_cog(...), or a folder: sr.s2sr.to_cog("sr")'
        )
    ds = ds.assign({name: blanked(v) for name, v in ds.data_vars.items() if resolve(name)})
    pixels = ds.to_dataarray("band").variable
    places = {dim: ds[dim].variable for dim in dims if dim in ds.coords} | centred(first)
    # nothing else comes along: rioxarray would read what the input says of its CRS once more
    stack = xr.DataArray(pixels, {"band": list(blanks), **places}, attrs={"long_name": tuple(blanks)})
    stack.encoding = {}
    stack = stack.rio.set_spatial_dims(y_dim=dims[0], x_dim=dims[1])
    if (crs := mapped_crs(ds)) is not None:
        stack = stack.rio.write_crs(crs)
    result: xr.DataArray = stack.rio.write_nodata(next(iter(blanks.values())))
    return result


def georeferenced(ds: xr.Dataset) -> xr.Dataset:
    """Return a Dataset whose CRS is in its grid mapping, where other programs look for it, wherever it was before."""
    ds = with_mapping(ds)
    crs = crs_of_bands(ds, ds.data_vars) if mapped_crs(ds) is None else None
    return ds if crs is None else write_crs(ds, crs)


def warn_without_crs(ds: xr.Dataset) -> None:
    """Say that a file will have no CRS, and what is in the place of one."""
    if mapped_crs(ds) is None:
        bands = [text for band in ds.data_vars.values() for text in crs_refused(band)]
        refused = dict.fromkeys([*bands, *crs_refused(ds)])
        found = f" ({'; '.join(refused)})" if refused else ""
        warn(
            f"written without a CRS, since nothing gives one{found}: no other program can place it. Write that of its "
            'UTM zone first: sr = sr.rio.write_crs("EPSG:326xx")'
        )
