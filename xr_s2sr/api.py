"""The free functions behind the accessor; the whole story on one screen."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from os import PathLike
from typing import Any, TypeAlias

import xarray as xr

from xr_s2sr import arguments, assemble
from xr_s2sr.engine import Device
from xr_s2sr.errors import S2SRError, S2SRWarning
from xr_s2sr.models import Model
from xr_s2sr.prepare import look, prepare
from xr_s2sr.radiometry import Units
from xr_s2sr.repr import Report
from xr_s2sr.survey import Survey, find_bands

ModelLike: TypeAlias = "str | PathLike[str] | Model"

#: Side of a tile in 10 m pixels: large enough that the margin costs little, small enough for 160 MB a thread.
TILE = 720


def upsample(
    ds: xr.Dataset,
    bands: str | Iterable[str] | None = None,
    *,
    model: ModelLike | Sequence[ModelLike] | None = None,
    device: Device = "auto",
    threads: int | None = None,
    tile: int = TILE,
    margin: int | None = None,
    units: Units | None = None,
    offset: float | None = None,
    chunks: int | None = None,
    progress: bool | Callable[[int, int], Any] = False,
) -> xr.Dataset:
    """Bring Sentinel-2's 20 m and 60 m bands to 10 m.

    Parameters
    ----------
    ds : Dataset
        Bands at their native resolutions, each resolution on dims of its own, with pixel-centre coordinates in
        metres; any leading dims (time, ...). Names may be ids (B05, b5), STAC common names (swir16) and so on.
    bands : str or iterable of str, optional
        Bands to return, by any alias; nothing else comes back. By default every 20 m and 60 m band that `ds`
        holds, and all its variables on the 10 m grid as they are.
    model : str, path, Model or sequence of them, optional
        A packaged name, an ONNX file with a model card, or "bicubic". Bands that it does not restore go to the
        packaged models ("bicubic": are interpolated).
    device : {"auto", "cpu", "cuda"}
        "auto" takes CUDA where it works.
    threads : int, optional
        Windows under way at once; by default one for each processor of this process. For dask arrays: in each task,
        by default 1, since dask runs tasks in parallel.
    tile : int
        Largest side of a tile in 10 m pixels, rounded up to a multiple of 6. Memory grows with its square; the
        result does not depend on it.
    margin : int, optional
        Pixels read around each tile. By default what the model needs for a seamless result; with less,
        neighbouring tiles are blended.
    units : {"dn", "reflectance", "percent"}, optional
        What the pixel values are, where the metadata do not tell or are wrong.
    offset : float, optional
        Added to the values before scaling, in their unit: -1000 for DN of processing baseline 04.00 and later.
    chunks : int, optional
        For dask arrays: side of the result's chunks in 10 m pixels, rounded up to a multiple of 6 and evened out. By
        default that of the 10 m bands where it is of a reasonable size, else about 1830.
    progress : bool or callable
        True for a line on stderr; or a function that is called with (windows done, windows in all). Not for dask
        arrays, for which dask has its own.

    Returns
    -------
    Dataset
        On the 10 m bands' own coordinate objects, with the input's names, dtypes, attrs, encodings and CRS. It
        covers the 10 m pixels that all bands involved cover; a warning says so where that is not all.
        Attributes ``s2sr_native_gsd``, ``s2sr_model`` and ``s2sr_model_sha256`` say where a band comes from, and
        ``s2sr_missing_inputs`` what the model had to do without. If a band that is read is a dask array, so are the
        restored ones: nothing is computed yet, and pixels that contradict their unit, a device that does not work,
        or another version of the package are refused by the tasks.

    Raises
    ------
    BandError
        If a band is unknown, missing, or there twice.
    GridError
        If coordinates are missing, misaligned, not 10/20/60 m, or not in metres.
    RadiometryError
        If the unit of the pixels cannot be told or contradicts them.
    ModelError, EngineError
        If the model or the device cannot be used.

    Notes
    -----
    Invalid pixels (nodata, NaN, inf) do not spread: a pixel of the result is invalid exactly where its own
    native pixel or one of the 10 m bands over it is. Method: Lanaras et al. 2018, arXiv:1803.04271.

    Examples
    --------
    >>> from xr_s2sr import tutorial
    >>> ds, truth = tutorial.synthetic_scene(size=120)
    >>> sr = ds.s2sr.upsample(["B05", "B11"])
    >>> sr.B11.shape, str(sr.B11.dtype)
    ((120, 120), 'uint16')
    """
    tile = arguments.count("tile", tile)
    margin = None if margin is None else arguments.count("margin", margin, least=0)
    threads = None if threads is None else arguments.count("threads", threads)
    chunks = None if chunks is None else arguments.count("chunks", chunks)
    arguments.choice("device", device, ("auto", "cpu", "cuda"))
    report = arguments.progress(progress)
    given = None if model is None else arguments.models(model)
    found, wanted, chosen, covered = prepare(ds, bands, given, units, offset)
    if (len(covered[0]), len(covered[1])) != found.grid.shape:
        warnings.warn(
            f"the bands' extents differ: the result covers rows {covered[0].start}:{covered[0].stop} and columns "
            f"{covered[1].start}:{covered[1].stop} of {found.grid.shape[0]} x {found.grid.shape[1]} pixels at 10 m",
            S2SRWarning,
            stacklevel=2,
        )

    from xr_s2sr import jobs, lazy  # numba comes with the first run, not with the import

    is_lazy = lazy.is_lazy(ds, found, chosen)
    arguments.for_dask(is_lazy, chunks, report)
    how = jobs.How(tile, margin, device, threads)
    arrays = (
        lazy.restore(ds, found, chosen, covered, how, chunks)
        if is_lazy
        else jobs.compute(ds, found, chosen, covered, how, report)
    )
    restored = {
        band: assemble.restored_variable(ds, found, covered, band, arrays[band], job.model, job.absent)
        for job in chosen
        for band in job.targets
    }
    sr = assemble.dataset(ds, found, covered, restored, None if bands is None else wanted)
    return lazy.aligned(sr, restored, ds) if is_lazy else sr


def validate(ds: xr.Dataset, *, units: Units | None = None, offset: float | None = None) -> Report:
    """Say what a Dataset holds and what keeps it from being upsampled; raises on no data.

    Parameters
    ----------
    ds : Dataset
    units, offset
        As in :func:`upsample`.

    Returns
    -------
    Report
        Prints as a table: band, variable, GSD, size, position, units; then notes and problems. Falsy if
        there are problems.
    """
    found = look(ds, units, offset)
    problems = list(found.problems)
    outcome = "upsample() would not run: see the problems"
    try:
        seen, wanted, _, (rows, cols) = prepare(ds, None, None, units, offset)
        size = f"{len(rows)} x {len(cols)} pixels of {seen.grid.gsd:.0f} m"
        outcome = f"upsample() would restore {', '.join(wanted)} on {size}"
    except S2SRError as problem:
        if not any(str(problem).startswith(str(known)) for known in problems):
            problems.append(problem)
    return Report(found, outcome, tuple(problems))


def bands_of(ds: xr.Dataset) -> Mapping[str, str]:
    """Band id to variable name, in the order of wavelength.

    Raises
    ------
    BandError
        If two variables are the same band.
    """
    found = Survey()
    find_bands(ds, found)
    if found.variables:
        found.check()
    return dict(found.variables)
