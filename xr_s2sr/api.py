"""The free functions behind the accessor; the whole story on one screen."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from os import PathLike
from typing import Any, TypeAlias

import xarray as xr

from xr_s2sr import arguments, assemble
from xr_s2sr.errors import ArgumentTypeError, S2SRError, warn
from xr_s2sr.extras import KEEP, Keep, off_grid
from xr_s2sr.inference.engine import Device
from xr_s2sr.layout import Scene, arrange, named
from xr_s2sr.models import Model
from xr_s2sr.prepare import look, prepare
from xr_s2sr.radiometry import Units
from xr_s2sr.repr import Report
from xr_s2sr.survey import Survey, find_bands
from xr_s2sr.tree import into_tree

ModelLike: TypeAlias = "str | PathLike[str] | Model"

#: Side of a tile in 10 m pixels: large enough that the margin costs little, small enough for 160 MB a thread.
TILE = 720


def upsample(
    ds: Scene,
    bands: str | Iterable[str] | None = None,
    *,
    keep: Keep = "fine",
    into: bool = False,
    model: ModelLike | Sequence[ModelLike] | None = None,
    device: Device = "auto",
    threads: int | None = None,
    tile: int = TILE,
    margin: int | None = None,
    units: Units | None = None,
    offset: float | xr.DataArray | None = None,
    chunks: int | None = None,
    progress: bool | Callable[[int, int], Any] = False,
) -> Any:
    """Bring Sentinel-2's 20 m and 60 m bands to 10 m.

    Parameters
    ----------
    ds : Dataset, DataArray or DataTree
        Bands at their native resolutions, each resolution on dims of its own, with pixel-centre coordinates in
        metres; any leading dims (time, ...). Names may be ids (B05, b5), STAC common names (swir16) and so on.
        Bands that a load at 10 m repeated onto the 10 m grid (nearest neighbour) are recognised. A DataArray has its
        bands along a dimension, a DataTree one node a resolution.
    bands : str or iterable of str, optional
        Bands to return, by any alias; nothing else comes back. By default every 20 m and 60 m band that `ds`
        holds, and all its variables on the 10 m grid as they are; bands whose model lacks an input, such as B01
        without B09, are then left out with a warning.
    keep : {"fine", "all"}
        Variables that are no bands (classes, masks, angles). "fine": those on the 10 m grid, unless `bands` says what
        to return; a warning names the others. "all": in any case, and coarser ones by nearest neighbour.
    into : bool
        Of a DataTree, return the tree with the result in its 10 m node.
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
    offset : float or DataArray, optional
        Added to the values before scaling, in their unit: -1000 for DN of processing baseline 04.00 and later. A
        DataArray has one value a date. By default what attributes, encoding or the items' processing baseline say.
    chunks : int, optional
        For dask arrays: side of the result's chunks in 10 m pixels, rounded up to a multiple of 6 and evened out. By
        default that of the 10 m bands where it is of a reasonable size, else about 1830.
    progress : bool or callable
        True for a line on stderr; or a function that is called with (windows done, windows in all). Not for dask
        arrays, for which dask has its own.

    Returns
    -------
    Dataset or DataArray
        In the form of `ds`; of a DataTree, a Dataset. On the 10 m bands' own coordinate objects, with the input's
        names, dtypes, attrs, encodings and CRS. It covers the 10 m pixels that all bands involved cover; a warning
        says so where that is not all. Attributes ``s2sr_native_gsd``, ``s2sr_model`` and ``s2sr_model_sha256`` say
        where a band comes from, and ``s2sr_missing_inputs`` what the model had to do without; of a DataArray,
        coordinates along its bands.
        If a band that is read is a dask array, so are the restored ones: nothing is computed yet, and pixels that
        contradict their unit, a device that does not work, or another version of the package are refused by the
        tasks.

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
    arguments.choice("keep", keep, KEEP)
    report = arguments.progress(progress)
    given = None if model is None else arguments.models(model)
    if into and not isinstance(ds, xr.DataTree):
        raise ArgumentTypeError(f"into=True is for a DataTree, not a {type(ds).__name__}; leave it out")
    scene, layout = ds, arrange(ds)
    ds = layout.ds
    found, wanted, chosen, covered = prepare(ds, bands, given, units, offset)
    for reason in found.left_out:
        warn(reason)
    left_out = off_grid(ds, found) if keep == "fine" and bands is None else []
    if left_out:
        warn(
            f"left out, as they are no bands and not on the 10 m grid: {', '.join(left_out)}. Bring them along by "
            'nearest neighbour with upsample(keep="all"), or drop them first',
        )
    if (len(covered[0]), len(covered[1])) != found.grid.shape:
        warn(
            f"the bands' extents differ: the result covers rows {covered[0].start}:{covered[0].stop} and columns "
            f"{covered[1].start}:{covered[1].stop} of {found.grid.shape[0]} x {found.grid.shape[1]} pixels at 10 m",
        )

    from xr_s2sr import planning as jobs
    from xr_s2sr.inference import lazy  # numba comes with the first run, not with the import

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
    result = assemble.dataset(ds, found, covered, restored, None if bands is None else wanted, keep)
    uncovered = [name for name in off_grid(ds, found) if name not in result] if keep == "all" else []
    if uncovered:
        warn(
            f"left out, as they do not cover the result: {', '.join(uncovered)}. Load them over the same area",
        )
    if is_lazy:
        result = lazy.aligned(result, restored, ds)
    result = layout.back(result)
    return into_tree(scene, result) if into and isinstance(scene, xr.DataTree) else result


def validate(ds: Scene, *, units: Units | None = None, offset: float | xr.DataArray | None = None) -> Report:
    """Say what a scene holds, how it is held, and what keeps it from being upsampled; raises on no data.

    Dask arrays are not computed. Of arrays in memory, pixels are read where a band may be a copy on a finer grid.

    Parameters
    ----------
    ds : Dataset, DataArray or DataTree
    units, offset
        As in :func:`upsample`.

    Returns
    -------
    Report
        Prints as a table: band, variable, GSD, size, position, units; then notes and problems. Falsy if
        there are problems.
    """
    outcome = "upsample() would not run: see the problems"
    try:
        layout = arrange(ds)
    except ArgumentTypeError:
        raise
    except S2SRError as problem:
        return Report(Survey(), outcome, (problem,))
    ds = layout.ds
    found = look(ds, units, offset)
    found.notes[:0] = layout.notes
    problems = list(found.problems)
    try:
        seen, wanted, _, (rows, cols) = prepare(ds, None, None, units, offset)
        size = f"{len(rows)} x {len(cols)} pixels of {seen.grid.gsd:.0f} m"
        outcome = f"upsample() would restore {', '.join(wanted)} on {size}"
        found.notes += seen.left_out
        if left_out := off_grid(ds, seen):
            found.notes.append(f'not on the 10 m grid, left out unless keep="all": {", ".join(left_out)}')
    except S2SRError as problem:
        if not any(str(problem).startswith(str(known)) for known in problems):
            problems.append(problem)
    return Report(found, outcome, tuple(problems))


def bands_of(ds: Scene) -> Mapping[str, str]:
    """Band id to variable name, or label along the bands' dimension, in the order of wavelength.

    Raises
    ------
    BandError
        If two variables are the same band.
    """
    found = Survey()
    find_bands(named(ds), found)
    if found.variables:
        found.check()
    return dict(found.variables)
