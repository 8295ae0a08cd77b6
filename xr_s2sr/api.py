"""The free functions behind the accessor; the whole story on one screen."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import xarray as xr

from xr_s2sr import arguments, assemble
from xr_s2sr.bands import BANDS, CIRRUS, resolve_requested
from xr_s2sr.engine import Device
from xr_s2sr.errors import ArgumentTypeError, BandError, LazyError, S2SRError, S2SRWarning
from xr_s2sr.models import Model
from xr_s2sr.radiometry import UNITS, Units, check_magnitude
from xr_s2sr.repr import Report
from xr_s2sr.survey import Survey, find_bands, survey
from xr_s2sr.windows import Span

if TYPE_CHECKING:
    from xr_s2sr.jobs import Job

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
        Windows under way at once; by default one for each processor of this process.
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
    progress : bool or callable
        True for a line on stderr; or a function that is called with (windows done, windows in all).

    Returns
    -------
    Dataset
        On the 10 m bands' own coordinate objects, with the input's names, dtypes, attrs, encodings and CRS. It
        covers the 10 m pixels that all bands involved cover; a warning says so where that is not all.
        Attributes ``s2sr_native_gsd``, ``s2sr_model`` and ``s2sr_model_sha256`` say where a band comes from.

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
    LazyError
        If `ds` is backed by dask.

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
    arguments.choice("device", device, ("auto", "cpu", "cuda"))
    report = arguments.progress(progress)
    given = None if model is None else arguments.models(model)
    found, wanted, chosen, covered = _prepare(ds, bands, given, units, offset)
    if (len(covered[0]), len(covered[1])) != found.grid.shape:
        warnings.warn(
            f"the bands' extents differ: the result covers rows {covered[0].start}:{covered[0].stop} and columns "
            f"{covered[1].start}:{covered[1].stop} of {found.grid.shape[0]} x {found.grid.shape[1]} pixels at 10 m",
            S2SRWarning,
            stacklevel=2,
        )

    from xr_s2sr import jobs  # numba comes with the first run, not with the import

    arrays = jobs.compute(
        ds, found, chosen, covered, tile=tile, margin=margin, device=device, threads=threads, report=report
    )
    restored = {
        band: assemble.restored_variable(ds, found, covered, band, arrays[band], job.model)
        for job in chosen
        for band in job.targets
    }
    return assemble.dataset(ds, found, covered, restored, None if bands is None else wanted)


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
    found = _survey(ds, units, offset)
    problems = list(found.problems)
    outcome = "upsample() would not run: see the problems"
    try:
        _, wanted, _, (rows, cols) = _prepare(ds, None, None, units, offset)
        outcome = f"upsample() would restore {', '.join(wanted)} on {len(rows)} x {len(cols)} pixels of 10 m"
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


def _prepare(
    ds: xr.Dataset, bands: Any, given: list[str | Path | Model] | None, units: Any, offset: Any
) -> tuple[Survey, list[str], list[Job], tuple[Span, Span]]:
    """All that comes before the first pixel is computed: what is there, wanted, to be run, and covered by all."""
    from xr_s2sr import jobs

    found = _survey(ds, units, offset)
    wanted = _wanted(found, bands)
    chosen = jobs.choose_models([band for band in wanted if BANDS[band].gsd > 10], given)
    jobs.require(found, chosen)
    # what is wrong with bands that are not involved is no reason to stop
    found = _survey(ds.drop_vars(_idle(found, chosen)), units, offset)
    found.check()
    needed = _needed(found, chosen, wanted)
    _check_pixels(ds, found, needed)
    return found, wanted, chosen, jobs.common_extent(found, needed)


def _survey(ds: Any, units: Any, offset: Any) -> Survey:
    if not isinstance(ds, xr.Dataset):
        raise ArgumentTypeError(
            f"expected an xarray Dataset with one variable per band, not a {type(ds).__name__}. "
            'From a DataArray with a band dimension: da.to_dataset(dim="band")'
        )
    if units is not None:
        arguments.choice("units", units, UNITS)
    return survey(ds, units, None if offset is None else arguments.number("offset", offset))


def _wanted(found: Survey, bands: Any) -> list[str]:
    """Ids of the bands to return: those asked for, or every restorable one."""
    if bands is None:
        wanted = [band for band in found.variables if BANDS[band].gsd > 10 and band != CIRRUS]
        if not wanted:
            found.check()
            raise BandError(
                f"nothing to upsample: no 20 m or 60 m band (found: {', '.join(found.variables)}). Load some, such as "
                "B05 or B11, or name the variables by band"
            )
        return wanted
    wanted = resolve_requested(arguments.names("bands", bands))
    absent = [band for band in wanted if band not in found.variables]
    if absent:
        raise BandError(
            f"asked for {', '.join(absent)}, but the Dataset holds {', '.join(found.variables) or 'no band'}. Load the "
            "band, or name its variable by band"
        )
    return wanted


def _idle(found: Survey, chosen: Iterable[Job]) -> list[str]:
    """Variables at 20 m and 60 m that no model reads."""
    read = {band for job in chosen for band in job.bands}
    return [name for band, name in found.variables.items() if BANDS[band].gsd > 10 and band not in read]


def _needed(found: Survey, chosen: Iterable[Job], wanted: Iterable[str]) -> list[str]:
    """Ids of the bands that are read, or whose coordinates the result takes."""
    passed = {band for band in wanted if BANDS[band].gsd == 10}
    return sorted({found.fine.id, *passed, *(band for job in chosen for band in job.bands)})


def _check_pixels(ds: xr.Dataset, found: Survey, needed: Sequence[str]) -> None:
    """Refuse what cannot be computed in memory, and pixels that contradict their unit."""
    for band in needed:
        held = found.held[band]
        if ds[held.name].chunks is not None:
            raise LazyError(f"{held.name!r} is a dask array; this version computes in memory. Load it: ds = ds.load()")
        check_magnitude(ds[held.name], held.radiometry)
