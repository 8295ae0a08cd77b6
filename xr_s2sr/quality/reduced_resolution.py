"""Reduced-resolution assessment of one resolution: a simulated scene, its truth, the pixels that count, scores."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from xr_s2sr.bands import BANDS, Output
from xr_s2sr.errors import GridError, InputError
from xr_s2sr.models import BICUBIC, Model
from xr_s2sr.planning import Given, RunOptions, prepare, with_uncertainty
from xr_s2sr.quality.degradation import Protocol
from xr_s2sr.quality.metrics import SCORE_BORDER, Metric
from xr_s2sr.quality.reliability import error_scores
from xr_s2sr.quality.simulate import simulate
from xr_s2sr.scene.pixels import dn, measured_in
from xr_s2sr.scene.result import ErrorForm, output_radiometry
from xr_s2sr.scene.scene import NativeScene, read_scene
from xr_s2sr.spans import Extent

Report = bool | Callable[[int, int], Any] | None
F64 = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Trial:
    """A simulated scene with its truth.

    Attributes
    ----------
    simulated : NativeScene
    targets : list of str
        Ids of the bands to score, all of one resolution.
    truth : ndarray of float64, shape (targets, dates * y, x)
        In DN (reflectance x 10000). Dates are stacked along y, which no window crosses.
    valid : ndarray of bool, shape (dates * y, x)
        Pixels that count.
    """

    simulated: NativeScene
    targets: list[str]
    truth: F64
    valid: Mask

    def scored(
        self,
        methods: Mapping[str, Given],
        options: RunOptions,
        report: Report,
        uncertainty: bool,
        metrics: Sequence[Metric],
    ) -> tuple[xr.Dataset, dict[str, list[str]]]:
        """Restore by every method, and compare; also the standard errors, which bicubic does not give.

        Returns
        -------
        scores : Dataset
            On (model, band) and (model, gsd); of standard errors also on (model, band, bin), NaN for bicubic.
        models : dict of str to list of str
            By method, the models that it used.
        """
        about = BANDS[self.targets[0]]
        rows = []
        models = {}
        for name, given in methods.items():
            form: ErrorForm | None = "float32" if uncertainty and given != [BICUBIC] else None
            restored, predicted, models[name] = self._restored(given, options, report, form)
            scores: dict[str, tuple[Any, ...]] = {}
            for m in metrics:
                value = m.score(restored, self.truth, about.factor, 0, self.valid)
                scores[m.name] = (m.dim, np.atleast_1d(value), {"long_name": m.long_name, "units": m.unit})
            if uncertainty:
                scores |= error_scores(restored - self.truth, predicted, self.valid)
            rows.append(xr.Dataset(scores))
        return xr.concat(rows, "model").assign_coords(
            model=list(methods),
            band=self.targets,
            gsd=[about.gsd],
            native_gsd=("band", [about.gsd] * len(self.targets)),
            factor=("gsd", [about.factor]),
            pixels=("gsd", [int(self.valid.sum())]),
        ), models

    def _restored(
        self, given: Given, options: RunOptions, report: Report, form: ErrorForm | None
    ) -> tuple[F64, F64 | None, list[str]]:
        """Return the targets and their standard errors in DN, shaped as the truth, and the names of the models."""
        from xr_s2sr.inference import eager  # brings numba

        adapt = False if given == [BICUBIC] else options.adapt
        plan = prepare(self.simulated, self.targets, given, adapt=adapt)
        runs = with_uncertainty(plan.runs, form)
        arrays = eager.restore(plan.scene, runs, plan.covered, options, report)

        def in_dn(error: bool) -> F64:
            outputs = [Output(band, error) for band in self.targets]
            stored = [output_radiometry(self.simulated.bands, output, form) for output in outputs]
            return stack_dates(
                dn(arrays[output].astype(np.float64), radiometry)
                for output, radiometry in zip(outputs, stored, strict=True)
            )

        by_band = {band: run.model for run in runs for band in run.targets}
        labels = dict.fromkeys(_label(by_band[band]) for band in self.targets)
        return in_dn(error=False), in_dn(error=True) if form else None, list(labels)


def _label(model: Model) -> str:
    digest = f" sha256:{model.sha256}" if model.sha256 else ""
    return f"{model.card.name} {model.card.version}{digest}"


def prepared(
    scene: NativeScene,
    targets: list[str],
    methods: Mapping[str, Given],
    *,
    protocol: Protocol,
    satellite: str | None,
    adapt: bool | None,
) -> Trial:
    """Degrade what the methods read, and mask the pixels that do not count.

    Parameters
    ----------
    scene : NativeScene
    targets : list of str
        Ids of the bands to score, all of one resolution. The scene is degraded by their factor: they become its truth.
    methods : mapping of str to models
    protocol, satellite
        As for :func:`xr_s2sr.degrade`.
    adapt
        As for :func:`xr_s2sr.upsample`.

    Raises
    ------
    GridError
        If the scene is too small.
    InputError
        If no pixel counts.
    """
    gsd, factor = BANDS[targets[0]].gsd, BANDS[targets[0]].factor
    needed: set[str] = set()
    for given in methods.values():
        plan = prepare(scene, targets, given, adapt=adapt)
        needed |= {plan.scene.reference or "", *(band for run in plan.runs for band in run.bands)}
    # in whole pixels of the scene's coarsest band, read or not: the area that ds.s2sr.degrade(factor) has
    coarsest = max(scene.bands.values(), key=lambda band: band.factor)
    scene = scene.only(needed)
    simulated, covered = simulate(scene, factor, protocol, satellite, coarsest=coarsest)
    _check_size(covered, gsd, coarsest.factor * factor)
    truth = stack_dates(dn(measured_in(scene, band, covered), scene.bands[band].radiometry) for band in targets)
    shape = len(covered[0]) // factor, len(covered[1]) // factor
    invalid = np.zeros((truth.shape[1] // shape[0], *shape), bool)
    for band in scene.bands.values():
        holes = np.isnan(simulated[band.name].values).reshape(-1, *(n // band.factor for n in shape))
        invalid |= holes.repeat(band.factor, -2).repeat(band.factor, -1)
    valid = interior_mask(invalid, SCORE_BORDER)
    if not valid.any():
        raise InputError(
            f"no {gsd} m pixel can be scored; expected some of {shape[0]} x {shape[1]} to lie more than {SCORE_BORDER} "
            "pixels away from the border and from everything that is invalid once degraded. Take a part of the scene "
            "with fewer invalid pixels"
        )
    return Trial(read_scene(simulated), targets, truth, valid.reshape(truth.shape[1:]))


def _check_size(covered: Extent, gsd: int, side: int) -> None:
    """Refuse what the border uses up; `side` is the unit in which scenes are cut, in 10 m pixels."""
    least = -(-(2 * SCORE_BORDER + 1) * gsd // 10 // side) * side
    if min(len(covered[0]), len(covered[1])) < least:
        raise GridError(
            f"the scene is too small to evaluate {gsd} m bands: {len(covered[0])} x {len(covered[1])} pixels of 10 m "
            f"can be degraded by {gsd // 10}; expected {least} or more, of which "
            f"{SCORE_BORDER * gsd // 10} at each side are left out. Take a larger slice"
        )


def interior_mask(invalid: Mask, distance: int) -> Mask:
    """Mask the pixels with nothing but valid ones, inside of the image, up to `distance` away, diagonals included.

    Parameters
    ----------
    invalid : ndarray of bool, shape (..., y, x)
    distance : int

    Returns
    -------
    ndarray of bool, shape (..., y, x)
    """
    clear: Mask = np.pad(~invalid, [(0, 0)] * (invalid.ndim - 2) + [(distance, distance)] * 2)
    for axis in (-2, -1):
        clear = np.all(sliding_window_view(clear, 2 * distance + 1, axis), axis=-1)
    return clear


def stack_dates(images: Iterable[F64]) -> F64:
    """Return bands of shape (..., y, x) as one array (bands, dates * y, x)."""
    return np.stack([image.reshape(-1, image.shape[-1]) for image in images])
