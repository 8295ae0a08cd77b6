"""Results as files: one COG, a folder of COGs, Zarr or NetCDF; written aside, and put in place when complete."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import rasterio
import xarray as xr
from numpy.typing import NDArray
from rasterio.shutil import copy as translate
from rasterio.windows import Window

from xr_s2sr.bands import BANDS, resolve
from xr_s2sr.crs import read_crs
from xr_s2sr.errors import ArgumentTypeError, BandError, DependencyError, InputError
from xr_s2sr.grid import read_grid
from xr_s2sr.layout import Scene
from xr_s2sr.radiometry import read_nodata

#: Creation options of the files that are written first, window by window; then each becomes a COG.
PLAIN = {
    "driver": "GTiff",
    "tiled": True,
    "blockxsize": 512,
    "blockysize": 512,
    "interleave": "band",
    "BIGTIFF": "IF_SAFER",
}
COG = {"driver": "COG", "COMPRESS": "DEFLATE", "PREDICTOR": "YES", "BIGTIFF": "IF_SAFER", "OVERVIEWS": "AUTO"}


def to_cog(sr: Scene, path: str | os.PathLike[str]) -> Path:
    """Write a result as a Cloud Optimized GeoTIFF, all its bands in one pass and in bounded memory.

    Parameters
    ----------
    sr : Dataset
        As of :func:`xr_s2sr.upsample`, in memory or backed by dask; one date, all variables of (y, x). Dask computes it
        here, in this process, block by block, each once for all bands.
    path : path
        A ``.tif``: one file with one band a variable, those of Sentinel-2 first, in the order of wavelength. Else a
        folder, with one file a variable.

    Returns
    -------
    Path

    Raises
    ------
    InputError
        If there are several dates, or variables that are no numbers.
    BandError
        If there are no variables on the grid.
    OSError
        If the file cannot be written. What was there before is then untouched, and nothing half-written is left.

    Examples
    --------
    >>> from xr_s2sr import tutorial
    >>> sr = tutorial.synthetic_scene(size=120)[0].s2sr.upsample()
    >>> sr.s2sr.to_cog("sr.tif").name  # doctest: +SKIP
    'sr.tif'
    """
    if not isinstance(sr, xr.Dataset):
        raise ArgumentTypeError(f"expected the Dataset that upsample() gave, not a {type(sr).__name__}")
    path = Path(path)
    names = _layers(sr)
    with replaced(path) as part:
        if path.suffix.lower() in (".tif", ".tiff"):
            _stream(sr, {part: names})
        else:
            part.mkdir(parents=True)
            _stream(sr, {part / f"{name}.tif": [name] for name in names})
    return path


def save(sr: xr.Dataset, out: Path) -> None:
    """Write a result in the form that the suffix asks for; what was there is replaced when all is written."""
    if out.suffix == ".zarr":
        with replaced(out) as part:
            sr.to_zarr(part)
    elif out.suffix == ".nc":
        with replaced(out) as part:
            sr.to_netcdf(part)
    else:
        to_cog(sr, out)


@contextmanager
def computing(threads: int | None = None, progress: bool = False) -> Iterator[None]:
    """What dask computes in the block, it computes in this process on so many threads."""
    try:
        import dask
        from dask.diagnostics import ProgressBar
    except ModuleNotFoundError as error:
        raise DependencyError(f"this needs dask: pip install 'xr_s2sr[dask]' ({error})") from error
    with ExitStack() as settings:
        settings.enter_context(dask.config.set(scheduler="threads", **({"num_workers": threads} if threads else {})))
        if progress:
            settings.enter_context(ProgressBar(out=sys.stderr))  # type: ignore[no-untyped-call]
        yield


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """A path beside another, which it replaces when the block ends well; else it is removed."""
    if not path.parent.is_dir():
        raise InputError(f"the folder {path.parent} does not exist; make it: mkdir -p {path.parent}")
    part, old = (path.with_name(f".{path.name}.{os.getpid()}.{what}") for what in ("part", "old"))
    try:
        yield part
        if path.is_dir():
            path.rename(old)  # a folder cannot be replaced in one step
        part.rename(path) if part.is_dir() else os.replace(part, path)
    finally:
        for leftover in (part, old):
            if leftover.is_dir():
                shutil.rmtree(leftover)
            else:
                leftover.unlink(missing_ok=True)


def _layers(sr: xr.Dataset) -> list[str]:
    """Variables to write: bands by wavelength, then what else lies on their grid."""
    found = {resolve(name) or str(name): str(name) for name, da in sr.data_vars.items() if da.ndim >= 2}
    names = [found[band] for band in BANDS if band in found]
    if not names:
        raise BandError(
            f"no band among {', '.join(map(str, sr.data_vars)) or 'no variables'}; expected a result of upsample()"
        )
    dims = sr[names[0]].dims
    if len(dims) != 2:
        raise InputError(
            f"{names[0]!r} has dims {dims}; a GeoTIFF holds one date. Select it: sr.isel({dims[0]}=0), or write Zarr: "
            "sr.to_zarr(...)"
        )
    names += [name for name in found.values() if name not in names and sr[name].dims == dims]
    odd = [name for name in names if sr[name].dtype.kind not in "iuf"]
    if odd:
        raise InputError(f"{', '.join(odd)} hold no numbers; a GeoTIFF does. Leave them out: sr.drop_vars({odd})")
    return names


def _stream(sr: xr.Dataset, files: Mapping[Path, Sequence[str]]) -> None:
    """Write variables into files, block by block; each block of the result is computed once for all of them."""
    lock = Lock()
    plain = {path: path.with_name(f"{path.name}.plain") for path in files}
    try:
        with ExitStack() as opened:
            targets = {}
            for path, names in files.items():
                out = opened.enter_context(rasterio.open(plain[path], "w", **profile(sr, names)))
                for k, name in enumerate(names, 1):
                    out.set_band_description(k, name)
                    out.update_tags(k, **{key: str(value) for key, value in sr[name].attrs.items() if _told(key)})
                    targets[name] = Target(out, k, lock)
            _store({name: sr[name] for name in targets}, targets)
        for path in files:
            translate(str(plain[path]), str(path), **COG)
    finally:
        for leftover in plain.values():
            leftover.unlink(missing_ok=True)


def profile(sr: xr.Dataset, names: Sequence[str]) -> dict[str, Any]:
    """Creation options of a file that holds these variables."""
    grid = read_grid(sr[names[0]], 10)
    crs = read_crs(sr[names[0]]) or read_crs(sr)
    nodata = {read_nodata(sr[name]) for name in names if resolve(name)}
    told = nodata.pop() if len(nodata) == 1 else None
    return {
        **PLAIN,
        "height": grid.shape[0],
        "width": grid.shape[1],
        "count": len(names),
        "dtype": np.result_type(*(sr[name].dtype for name in names)),
        "crs": None if crs is None else crs.to_wkt(),
        "transform": grid.transform,
        "nodata": told,
    }


def _told(key: object) -> bool:
    """Whether an attribute says where a band comes from or what its values mean."""
    return str(key).startswith("s2sr_") or key in ("scale_factor", "add_offset", "units")


class Target:
    """One band of an open file, written by slices."""

    def __init__(self, out: Any, band: int, lock: Lock) -> None:
        self.out, self.band, self.lock = out, band, lock

    def __setitem__(self, at: tuple[slice, slice], block: NDArray[Any]) -> None:
        with self.lock:
            self.out.write(block, self.band, window=Window.from_slices(*at))


def _store(arrays: Mapping[str, xr.DataArray], targets: Mapping[str, Target]) -> None:
    lazy = {name: da.data for name, da in arrays.items() if da.chunks is not None}
    for name, da in arrays.items():
        if name not in lazy:
            targets[name][slice(0, da.shape[0]), slice(0, da.shape[1])] = da.values
    if lazy:
        import dask.array

        # in this process, also where a cluster is at hand: the files are open here
        into: Any = [targets[name] for name in lazy]
        dask.array.store(list(lazy.values()), into, lock=False, scheduler="threads")
