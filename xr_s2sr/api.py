"""The free functions behind the accessor: `upsample` from its arguments to the result, `validate`, `bands_of`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from os import PathLike
from typing import Any, Concatenate, Literal, ParamSpec, Protocol, TypeAlias, TypeVar, cast, overload

import pandas as pd
import xarray as xr

from xr_s2sr import arguments, models
from xr_s2sr.bands import BANDS, CIRRUS, Output
from xr_s2sr.errors import ArgumentTypeError, S2SRError, warn
from xr_s2sr.layouts.datatree import into_tree
from xr_s2sr.layouts.normalize import Scene, by_names, to_native
from xr_s2sr.models import Model
from xr_s2sr.planning import DEVICES, Device, RunOptions, given_models, merged, prepare, with_uncertainty
from xr_s2sr.scene.corners import tell_corners
from xr_s2sr.scene.fill_values import warn_of_fill_values
from xr_s2sr.scene.omissions import off_grid, renaming, unknown_bands, warn_of_omissions, warn_of_result
from xr_s2sr.scene.pixels import mean_of_output
from xr_s2sr.scene.radiometry import Units
from xr_s2sr.scene.report import Report
from xr_s2sr.scene.result import (
    KEEP,
    Keep,
    dataset,
    error_form,
    error_variable,
    output_radiometry,
    restored_variable,
    result_grid,
)
from xr_s2sr.scene.scene import NativeScene, raise_first
from xr_s2sr.spans import ceil_to_cell

#: Pixel sizes of a result, in metres.
RESOLUTIONS: tuple[Literal[10, 20], ...] = (10, 20)

ModelLike: TypeAlias = "str | PathLike[str] | Model"

P = ParamSpec("P")
Form = TypeVar("Form", xr.Dataset, xr.DataArray)


class Upsample(Protocol[P]):
    """Type of :func:`upsample`: the result has the form of the scene; of a DataTree, the one that `into` asks for."""

    @overload
    def __call__(  # type: ignore[overload-overlap]
        self, ds: xr.DataTree, bands: Any = None, *, into: Literal[True], **options: Any
    ) -> xr.DataTree: ...
    @overload
    def __call__(self, ds: xr.DataTree, *args: P.args, **kwargs: P.kwargs) -> xr.Dataset: ...
    @overload
    def __call__(self, ds: Form, *args: P.args, **kwargs: P.kwargs) -> Form: ...


def _by_form(function: Callable[Concatenate[Any, P], Any]) -> Upsample[P]:
    """Return the function itself, typed by the form of the scene."""
    return cast(Upsample[P], function)


@_by_form
def upsample(
    ds: Scene,
    bands: str | Iterable[str] | None = None,
    *,
    keep: Keep = "fine",
    into: bool = False,
    resolution: Literal[10, 20] = 10,
    model: ModelLike | Sequence[ModelLike] | None = None,
    device: Device = "auto",
    threads: int | None = None,
    tile: int | Literal["auto"] = "auto",
    margin: int | None = None,
    units: Units | None = None,
    offset: float | xr.DataArray | None = None,
    uncertainty: bool | Literal["uint16"] = False,
    adapt: bool | None = None,
    mtf: Mapping[str, float] | None = None,
    chunks: int | None = None,
    precision: Literal["auto", "fp32", "fp16"] = "auto",
    progress: bool | Callable[[int, int], Any] | None = None,
) -> Any:
    """Bring Sentinel-2's 20 m and 60 m bands to 10 m, or all bands to 20 m.

    Parameters
    ----------
    ds : Dataset, DataArray or DataTree
        Bands at their native resolutions, each resolution on dims of its own, with pixel-centre coordinates in
        metres; any leading dims (time, ...). Names may be ids (B05, b5), STAC common names (swir16) and so on.
        Bands that a load at 10 m repeated onto the 10 m grid (nearest neighbour) are recognised. A DataArray has its
        bands along a dimension, a DataTree one node per resolution.
    bands : str or iterable of str, optional
        Bands to return, by any alias; nothing else comes back. By default every 20 m and 60 m band that `ds`
        holds, and all its variables on the 10 m grid as they are; bands whose model lacks an input, such as B01
        without B09, are then left out with a warning.
    keep : {"fine", "all"}
        Ancillary variables: classes, masks, angles. "fine": those on the 10 m grid, unless `bands` says what to
        return; a warning names the others. "all": in any case, and coarser ones by nearest neighbour.
    into : bool
        Of a DataTree, return the tree with the result in its 10 m node (20 m, for ``resolution=20``).
    resolution : {10, 20}
        Pixel size of the result in metres. 20: the 60 m bands are restored and averaged 2 x 2, 20 m bands are passed
        through, 10 m bands are averaged; a mean is valid where its four pixels are.
    model : str, path, Model or sequence of them, optional
        A packaged name, an ONNX file with a model card, or "bicubic". Bands that it does not restore go to the
        packaged models ("bicubic": are interpolated).
    device : {"auto", "cpu", "cuda"} or str
        "auto" takes CUDA where it works. Or the name of an execution provider that the installed ONNX Runtime has,
        such as "CoreMLExecutionProvider", "OpenVINOExecutionProvider" or "DmlExecutionProvider".
    threads : int, optional
        Windows under way at once; by default one for each processor of this process. For dask arrays: in each task,
        by default 1, since dask runs tasks in parallel.
    tile : int or "auto"
        Largest side of a tile in 10 m pixels, rounded up to a multiple of 6. Memory grows with its square; the
        result does not depend on it. "auto" chooses it by the model's halo, the threads and the free memory; where
        neighbouring tiles are blended, 720.
    margin : int, optional
        Pixels read around each tile. By default what the model needs for a seamless result; with less,
        neighbouring tiles are blended.
    units : {"dn", "reflectance", "percent"}, optional
        The unit of the pixel values, where the metadata do not give it or are wrong.
    offset : float or DataArray, optional
        Added to the values before scaling, in their unit: -1000 for DN of processing baseline 04.00 and later. A
        DataArray has one value per date. By default what attributes, encoding or the items' processing baseline say;
        where nothing does and the date makes one likely, a warning asks.
    uncertainty : bool or "uint16"
        Give the standard error of every restored band too, in its own unit: B05_uncertainty and so on, float32 and NaN
        where the band is nodata or saturated; with "uint16" in steps of 0.1 DN, 0 there, and ``scale_factor`` in the
        attrs. A DataArray gets positions along its bands, in its own dtype. Only some models give it.
    adapt : bool, optional
        Follow the network by the adaptive step: around every coarse pixel, the gain of each guide's detail is the one
        that explains the coarse band at its own scale. By default where the model's card says so, as those of the
        packaged models do. With ``model="bicubic"``, local regression on the 10 m bands, without a network.
    mtf : mapping of str to float, optional
        The blur that this step assumes: the MTF of a band at the Nyquist frequency of its pixels. By default that of
        real products (:data:`xr_s2sr.bands.EFFECTIVE_MTF`); of a scene that :func:`degrade` made, its own.
    chunks : int, optional
        For dask arrays: side of the result's chunks in 10 m pixels, rounded up to a multiple of 6 and evened out. By
        default that of the 10 m bands where it is of a reasonable size, else about 1830.
    precision : {"auto", "fp32", "fp16"}
        Deprecated, and without effect: networks compute in fp32. "fp16" warns.
    progress : bool or callable, optional
        True for a bar on stderr or in the notebook, False for none; by default one after two seconds, where stderr is
        a terminal or the code runs in a notebook. Or a function that is called with (windows done, windows in all).
        Not for dask arrays, for which dask has its own.

    Returns
    -------
    Dataset or DataArray
        In the form of `ds`; of a DataTree, a Dataset. On the 10 m bands' own coordinate objects (20 m, for
        ``resolution=20``), with the input's names, dtypes, attrs, encodings and CRS. It covers the 10 m pixels that all
        bands involved cover; a warning says so where that is not all. Attributes ``s2sr_native_gsd``, ``s2sr_model``
        and ``s2sr_model_sha256`` say where a band comes from, and ``s2sr_missing_inputs`` what the model had to do
        without; of a DataArray, coordinates along its bands.
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
        If the unit of the pixels is unclear or contradicts them.
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
    options = run_options(tile, margin, device, threads, adapt, precision)
    chunks = None if chunks is None else arguments.count("chunks", chunks)
    arguments.choice("keep", keep, KEEP)
    report = arguments.progress(progress)
    given = given_models(model)
    uncertainty = arguments.choice("uncertainty", uncertainty, (False, True, "uint16"))
    resolution = arguments.choice("resolution", resolution, RESOLUTIONS)
    if arguments.choice("into", into, (False, True)) and not isinstance(ds, xr.DataTree):
        raise ArgumentTypeError(f"into=True is for a DataTree, not a {type(ds).__name__}; leave it out")

    layout = to_native(ds)
    plan = prepare(layout.read(units, offset), bands, given, resolution, options.adapt)
    scene, covered = plan.scene.with_mtf(mtf), plan.covered
    target = result_grid(scene, covered, resolution)
    form = error_form(uncertainty, stacked=layout.stacked)
    runs = with_uncertainty(plan.runs, form)
    runs = merged(runs) if options.margin is None else runs  # a margin is one model's
    turned = scene.grid.y.dim in layout.turned, scene.grid.x.dim in layout.turned
    warn_of_omissions(scene, target, plan.left_out, ancillary=keep == "fine" and bands is None, turned=turned)

    from xr_s2sr.inference import eager, lazy  # numba comes with the first run, not with the import

    is_lazy = lazy.is_lazy(scene, runs)
    averaged_lazily = resolution > 10 and not runs and scene.fine.chunks is not None
    arguments.for_dask(is_lazy or averaged_lazily, chunks, report)
    arrays = (
        lazy.restore(scene, runs, covered, options, chunks, target.step, turned)
        if is_lazy
        else eager.restore(scene, runs, covered, options, report, turned)
    )
    if resolution > 10:
        outputs = {key: output_radiometry(scene.bands, key, run.uncertainty) for run in runs for key in run.outputs}
        arrays = {key: mean_of_output(arrays[key], stored) for key, stored in outputs.items()}
        if not runs:
            warn_of_fill_values(scene, [band for band in scene.bands if BANDS[band].is_fine])
    restored = {
        band: restored_variable(scene, target, band, arrays[Output(band)], origin.provenance)
        for run in runs
        for band, origin in run.origins.items()
    }
    errors = [
        error_variable(variable, scene.bands[band].radiometry, arrays[Output(band, error=True)], form)
        for band, variable in restored.items()
        if form
    ]
    result = dataset(scene, target, restored, None if bands is None else plan.wanted, keep, errors)
    warn_of_result(scene, result, everything=keep == "all", stacked=layout.stacked)
    if is_lazy:
        result = lazy.aligned(result, restored, scene.ds)
    elif averaged_lazily and chunks is not None:
        result = lazy.rechunked(result, target.reference.dims[-2:], ceil_to_cell(chunks) // target.step, turned)
    result = layout.restore_form(result)
    if layout.corners is not None:
        result = tell_corners(result, layout.corners)
    return into_tree(ds, result) if into and isinstance(ds, xr.DataTree) else result


def run_options(
    tile: object, margin: object, device: object, threads: object, adapt: object, precision: object = "auto"
) -> RunOptions:
    """Check how the network is to be run."""
    if arguments.choice("precision", precision, ("auto", "fp32", "fp16")) == "fp16":
        warn(
            'precision="fp16" is deprecated: upsample computes in fp32. On a GPU, fp16 was only 1.14 times as fast for '
            "a whole tile, and less exact. Leave precision out; the next version refuses it"
        )
    return RunOptions(
        tile=arguments.tile(tile),
        margin=None if margin is None else arguments.count("margin", margin, least=0),
        device=arguments.device(device, DEVICES),
        threads=None if threads is None else arguments.count("threads", threads),
        adapt=arguments.choice("adapt", adapt, (None, False, True)),
    )


def validate(ds: Scene, *, units: Units | None = None, offset: float | xr.DataArray | None = None) -> Report:
    """Report the bands of a scene, its form, and what keeps it from being upsampled; unsuitable data do not raise.

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

    Raises
    ------
    ArgumentTypeError
        If `ds` is not an xarray object.
    """
    outcome = "upsample() would not run: see the problems"
    try:
        layout = to_native(ds)
    except ArgumentTypeError:
        raise
    except S2SRError as problem:
        return Report(NativeScene(xr.Dataset()), outcome, (problem,))
    scene = layout.read(units, offset)
    notes, problems = [*layout.notes, *scene.notes], [*scene.problems]
    try:
        plan = prepare(scene)
        rows, cols = map(len, plan.covered)
        size = f"{rows} x {cols} pixels of {plan.scene.grid.gsd:.0f} m"
        outcome = f"upsample() would restore {', '.join(plan.wanted)} on {size}"
        notes += plan.left_out
        if names := unknown_bands(scene.ds, scene.names.ancillary):
            notes.append(f"no names of bands, so not restored: {', '.join(names)}; if they are: {renaming(names)}")
        if left_out := off_grid(plan.scene):
            notes.append(f'not on the 10 m grid, left out unless keep="all": {", ".join(left_out)}')
    except S2SRError as problem:
        if not any(str(problem).startswith(str(known)) for known in problems):
            problems.append(problem)
    return Report(scene, outcome, tuple(problems), tuple(notes))


def bands_of(ds: Scene) -> Mapping[str, str]:
    """Map band ids to variable names, or to labels along the bands' dimension, in the order of wavelength.

    Raises
    ------
    BandError
        If two variables are the same band.
    """
    _, names = by_names(ds)
    if names.bands:
        raise_first(names.problems)
    given = {band: str(name) for name, band in names.renamed.items()}
    return {band: given.get(name, name) for band, name in names.variables.items()}


def summary_html(ds: Scene) -> str:
    """Return the bands of a scene, and the model that restores each by default, as HTML; unsuitable data do not raise.

    Dask arrays are not computed.
    """
    try:
        scene = to_native(ds).read()
    except S2SRError as problem:
        return f"<p>{escape(str(problem))}</p>"
    rows = [(*row[:4], *row[5:], _default_model(row[0])) for row in Report(scene, "", ()).rows()]
    columns = ["band", "variable", "GSD", "size", "values", "restored by"]
    table = pd.DataFrame(rows, columns=columns, dtype=object).set_index("band").rename_axis(None)
    lines = [f"CRS: {scene.crs or 'none found'}", *(f"problem: {problem}" for problem in scene.problems)]
    return f"{table.to_html()}<ul>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>"


def _default_model(band: str) -> str:
    if BANDS[band].is_fine:
        return "native, passed through"
    return "no packaged model" if band == CIRRUS else models.DEFAULTS[BANDS[band].gsd]
