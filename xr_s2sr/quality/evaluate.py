"""Degrade the user's scene, restore it, and compare with the bands as they were: ``evaluate``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

import xarray as xr

from xr_s2sr import api, arguments
from xr_s2sr.bands import BANDS, CIRRUS
from xr_s2sr.errors import ArgumentTypeError, BandError, InputError, ModelError, warn
from xr_s2sr.layouts.normalize import Scene, to_native
from xr_s2sr.models import BICUBIC, Model
from xr_s2sr.planning import Device, Given, given_models, wanted_bands
from xr_s2sr.quality.degradation import Protocol
from xr_s2sr.quality.metrics import METRICS, SCORE_BORDER, Metric
from xr_s2sr.quality.reduced_resolution import prepared
from xr_s2sr.quality.reliability import ERROR_SCORES
from xr_s2sr.quality.scores import Scores
from xr_s2sr.quality.simulate import check_protocol, written
from xr_s2sr.scene.radiometry import Units
from xr_s2sr.scene.scene import NativeScene

#: Name of the packaged models among those that are compared.
OURS = "xr_s2sr"


def evaluate(
    ds: Scene,
    model: api.ModelLike | Sequence[api.ModelLike] | Mapping[str, Any] | None = None,
    *,
    protocol: Protocol = "sensor",
    bands: str | Iterable[str] | None = None,
    satellite: str | None = None,
    device: Device = "auto",
    threads: int | None = None,
    tile: int | Literal["auto"] = "auto",
    units: Units | None = None,
    offset: float | None = None,
    uncertainty: bool = False,
    adapt: bool | None = None,
    progress: bool | Callable[[int, int], Any] | None = None,
    metrics: Sequence[Metric] = (),
) -> Scores:
    """Score models on your own scene, beside bicubic interpolation: Wald's protocol.

    The scene is degraded by 2 for the 20 m bands, by 6 for the 60 m bands (:func:`xr_s2sr.degrade`), upsampled
    (:func:`xr_s2sr.upsample`), and compared with the native bands.

    Parameters
    ----------
    ds : Dataset, DataArray or DataTree
        As for :func:`xr_s2sr.upsample`: DN or reflectance, any leading dims (their pixels are pooled), with or
        without 60 m bands, any slice of a scene of at least 60 pixels of 10 m a side (for 60 m bands: 180).
    model : str, path, Model, sequence or mapping of them, optional
        What ``upsample(model=...)`` takes; by default the packaged models, under the name "xr_s2sr". A mapping of
        names to such values compares several models; None in it is the packaged models.
    protocol : {"sensor", "paper", "mtf"}
        How to degrade, see :func:`xr_s2sr.degrade`: by default with the blur and the noise of the sensor itself, which
        comes closest to what the models do at 10 m; "paper" is what most publications report.
    bands : str or iterable of str, optional
        Bands to score; by default every 20 m and 60 m band of `ds` that the given models restore. A resolution
        that cannot be evaluated is then left out with a warning.
    satellite : str, optional
        As for :func:`xr_s2sr.degrade`.
    device, threads, tile, units, offset, progress
        As for :func:`xr_s2sr.upsample`.
    adapt : bool, optional
        As for :func:`xr_s2sr.upsample`, for all models but "bicubic" by itself. The adaptive step knows the blur that
        the scene was degraded by.
    uncertainty : bool
        Score the models' standard errors too; all models but bicubic must give them.
    metrics : sequence of :class:`xr_s2sr.quality.Metric`
        Your own, beside those of the package.

    Returns
    -------
    Scores
        A Dataset that prints as a table: RMSE (DN), SRE (dB) and UIQ on (model, band), SAM (degrees) and ERGAS on
        (model, gsd). With `uncertainty`, for each model and band also the shares of pixels within one and two
        standard errors, Spearman's rank correlation of predicted with absolute error, and predicted and observed RMSE
        in ten bins of the predicted one. See :class:`xr_s2sr.quality.scores.Scores`, and :mod:`xr_s2sr.quality` for
        the formulas.

    Raises
    ------
    GridError
        If nothing is left inside the border, besides the reasons of :func:`xr_s2sr.upsample`.
    BandError, RadiometryError, ModelError, EngineError, LazyError
        As for :func:`xr_s2sr.upsample`.
    InputError
        For an unknown protocol or satellite, a mapping that cannot be used, or a metric with a name that is taken.
    ArgumentTypeError
        If `metrics` holds something else than metrics.

    Notes
    -----
    A native pixel counts, for all models and bands of its resolution alike, where everything up to 12 native
    pixels away, in all bands that any model reads, lies inside of the scene and holds no pixel that is invalid or
    was degraded from one. Scores are in DN (reflectance x 10000) whatever the unit of `ds`.

    Examples
    --------
    >>> from xr_s2sr import tutorial
    >>> ds, _ = tutorial.synthetic_scene(size=120)
    >>> scores = ds.s2sr.evaluate("bicubic", bands=["B05", "B11"])
    >>> scores["rmse"].dims, scores.attrs["protocol"]
    (('model', 'band'), 'sensor')

    A metric of your own:

    >>> from xr_s2sr.quality import Metric
    >>> def bias(restored, truth, border, valid):
    ...     return (restored - truth)[:, valid].mean(axis=1)
    >>> scores = ds.s2sr.evaluate("bicubic", bands=["B05", "B11"], metrics=[Metric("bias", bias, unit="DN")])
    >>> scores["bias"].dims
    ('model', 'band')
    """
    check_protocol(protocol, satellite)
    arguments.choice("uncertainty", uncertainty, (False, True))
    options = api.run_options(tile, None, device, threads, adapt)
    report = arguments.progress(progress)
    methods = _methods(model)
    every = _metrics(metrics)
    if uncertainty and all(items == [BICUBIC] for items in methods.values()):
        raise ModelError(
            "uncertainty was asked for, and 'bicubic' alone gives none; expected a network. Leave model out, or "
            "uncertainty"
        )
    scene = to_native(ds).read(units, offset)
    wanted = _scorable(scene, bands, methods)
    parts: list[xr.Dataset] = []
    used: dict[str, list[str]] = {name: [] for name in methods}
    problems: dict[int, InputError] = {}
    for gsd in (20, 60):
        targets = [band for band in wanted if BANDS[band].gsd == gsd]
        if not targets:
            continue
        given = {name: _able(items, targets) for name, items in methods.items()}
        try:
            trial = prepared(scene, targets, given, protocol=protocol, satellite=satellite, adapt=options.adapt)
        except InputError as problem:
            if bands is not None:
                raise
            problems[gsd] = problem
            continue
        scores, by_method = trial.scored(given, options, report, uncertainty, every)
        parts.append(scores)
        for name, items in by_method.items():
            used[name] += items
    if not parts:
        raise next(iter(problems.values()))
    for gsd, reason in problems.items():
        warn(f"the {gsd} m bands are not evaluated: {reason}")
    return Scores(_joined(parts, used, written(protocol, satellite)), every)


def _metrics(own: Sequence[Metric]) -> tuple[Metric, ...]:
    """Return the metrics of the package and a user's own."""
    if not isinstance(own, Sequence) or not all(isinstance(metric, Metric) for metric in own):
        raise ArgumentTypeError(
            f"metrics={arguments.shown(own)} is not a list of xr_s2sr.quality.Metric; expected some: "
            'metrics=[Metric("bias", bias, unit="DN")]'
        )
    coordinates = ("model", "band", "gsd", "bin", "native_gsd", "factor", "pixels")
    taken = [*(metric.name for metric in METRICS), *ERROR_SCORES, *coordinates]
    for metric in own:
        if metric.name in taken:
            raise InputError(f"a metric is named {metric.name!r}, as another score is; give it a name of its own")
        taken.append(metric.name)
    return (*METRICS, *own)


def _methods(model: Any) -> dict[str, Given]:
    """Return the methods by name, bicubic first; model files are read here, so that a wrong one is refused at once."""
    methods: dict[str, Given] = {BICUBIC: [BICUBIC]}
    if isinstance(model, Mapping):
        if not model:
            raise InputError('model is an empty mapping; name some methods, such as {"mine": "my.onnx"}')
        asked = {str(name): given_models(item) for name, item in model.items()}
    else:
        items = given_models(model)
        named = [item.card.name for item in items or () if isinstance(item, Model)]
        asked = {OURS if items is None else "+".join(named) or BICUBIC: items}
    if asked.get(BICUBIC, [BICUBIC]) != [BICUBIC]:
        raise InputError('the name "bicubic" is that of interpolation; give your method another: {"mine": ...}')
    return methods | asked


def _scorable(scene: NativeScene, bands: Any, methods: Mapping[str, Given]) -> list[str]:
    """Return the ids of the bands to score: those asked for, or those that the given models restore."""
    wanted = wanted_bands(scene, bands)
    idle = [band for band in wanted if BANDS[band].is_fine or band == CIRRUS]
    if idle:
        raise BandError(
            f"asked to evaluate {', '.join(idle)}, which nothing restores: 10 m bands are passed through, and {CIRRUS} "
            "is interpolated. Ask for other 20 m and 60 m bands"
        )
    own = [items for name, items in methods.items() if name != BICUBIC]
    if bands is not None or not own or any(items is None or BICUBIC in items for items in own):
        return wanted
    restored = {band for items in own for item in items or () if isinstance(item, Model) for band in item.card.targets}
    able = [band for band in wanted if band in restored]
    if not able:
        raise BandError(
            f"the models restore {', '.join(sorted(restored))}, of which the Dataset holds none ({', '.join(wanted)}). "
            "Load such a band, or give another model"
        )
    return able


def _able(items: Given, targets: Iterable[str]) -> Given:
    """Return the given models that restore some of the targets; None for the packaged ones where none does."""
    wanted = set(targets)
    return [m for m in items or () if not isinstance(m, Model) or wanted & {*m.card.targets}] or None


def _joined(parts: Sequence[xr.Dataset], models: Mapping[str, Iterable[str]], protocol: str) -> xr.Dataset:
    """Return the scores of all resolutions, each on model and on band or gsd, with what they were made from."""
    ds = xr.Dataset(
        {name: xr.concat([part[name] for part in parts], first.dims[1]) for name, first in parts[0].data_vars.items()}
    )
    factors = zip(ds["factor"].values, ds["gsd"].values, strict=True)
    return ds.assign_attrs(
        protocol=protocol,
        border=SCORE_BORDER,
        factors=", ".join(f"{factor} ({gsd} m bands)" for factor, gsd in factors),
        models="; ".join(f"{name}: {', '.join(dict.fromkeys(used))}" for name, used in models.items()),
    )
