"""One resolution put to the test: its simulated scene, its truth, the pixels that count, and the scores."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xr_s2sr import api, quality
from xr_s2sr.errors import GridError, InputError
from xr_s2sr.metrics import away
from xr_s2sr.models import Model
from xr_s2sr.pixels import dn, measured
from xr_s2sr.prepare import look, needed_bands, prepare
from xr_s2sr.quality import SCORE_BORDER
from xr_s2sr.simulate import part, simulate
from xr_s2sr.survey import Survey
from xr_s2sr.windows import Extent

#: By the native GSD of the bands to score: how far the scene is degraded, so that they become the truth.
FACTORS = {20: 2, 60: 6}

#: The models of a method, or None for the packaged ones.
Given = list[str | Path | Model] | None
F64 = NDArray[np.float64]


@dataclass(frozen=True)
class Group:
    """The scores of one resolution: by name, arrays (methods, bands) or (methods,)."""

    gsd: int
    bands: list[str]
    pixels: int
    values: dict[str, NDArray[Any]]
    models: dict[str, list[str]]


@dataclass(frozen=True)
class Trial:
    """A simulated scene with its truth; dates lie below each other, which no window crosses."""

    simulated: xr.Dataset
    found: Survey
    targets: list[str]
    gsd: int
    factor: int
    truth: F64
    valid: NDArray[np.bool_]

    def scored(self, methods: Mapping[str, Given], settings: Mapping[str, Any]) -> Group:
        """Restore by every method, and compare."""
        values: dict[str, list[Any]] = {name: [] for name in ("rmse", "sre", "uiq", "sam", "ergas")}
        used = {}
        for name, given in methods.items():
            sr = api.upsample(self.simulated, self.targets, model=given, **settings)
            held = [self.found.held[band] for band in self.targets]
            images = [dn(sr[h.name].values.astype(np.float64), h.radiometry) for h in held]
            restored = below(images)
            of_bands = {"rmse": quality.rmse, "sre": quality.sre, "uiq": quality.uiq, "sam": quality.sam}
            for key, score in of_bands.items():
                values[key].append(score(restored, self.truth, 0, self.valid))
            values["ergas"].append(quality.ergas(restored, self.truth, self.factor, 0, self.valid))
            attrs = [sr[h.name].attrs for h in held]
            digest = [a.get("s2sr_model_sha256", "") for a in attrs]
            told = [a["s2sr_model"] + (f" sha256:{d}" if d else "") for a, d in zip(attrs, digest, strict=True)]
            used[name] = list(dict.fromkeys(told))
        stacked = {key: np.array(rows) for key, rows in values.items()}
        return Group(self.gsd, self.targets, int(self.valid.sum()), stacked, used)


def prepared(
    ds: xr.Dataset, targets: list[str], gsd: int, factor: int, methods: Mapping[str, Given], how: tuple[Any, ...]
) -> Trial:
    """Degrade what the methods read, and find the pixels that count."""
    _, _, units, offset = how
    names: dict[str, None] = {}
    for given in methods.values():
        found, _, chosen, _ = prepare(ds, targets, given, units, offset)
        names |= dict.fromkeys(found.variables[band] for band in needed_bands(found, chosen, targets))
    # in whole cells of the scene's coarsest band, read or not: the area that ds.s2sr.degrade(factor) has
    whole = look(ds, units, offset)
    cells = max(whole.held.values(), key=lambda held: held.factor)
    simulated, found, covered = simulate(ds[list(names)], factor, *how, cells=cells)
    _check_size(covered, gsd, factor, cells.factor * factor)
    held = [found.held[band] for band in targets]
    truth = below([dn(measured(part(ds[h.name], h, covered), h.radiometry), h.radiometry) for h in held])
    shape = len(covered[0]) // factor, len(covered[1]) // factor
    invalid = np.zeros((truth.shape[1] // shape[0], *shape), bool)
    for h in found.held.values():
        holes = np.isnan(simulated[h.name].values).reshape(-1, *(n // h.factor for n in shape))
        invalid |= holes.repeat(h.factor, -2).repeat(h.factor, -1)
    valid = away(invalid, SCORE_BORDER)
    if not valid.any():
        raise InputError(
            f"no {gsd} m pixel can be scored; expected some of {shape[0]} x {shape[1]} to lie more than {SCORE_BORDER} "
            "pixels away from the border and from everything that is invalid once degraded. Take a part of the scene "
            "with fewer invalid pixels"
        )
    return Trial(simulated, found, targets, gsd, factor, truth, valid.reshape(truth.shape[1:]))


def _check_size(covered: Extent, gsd: int, factor: int, cell: int) -> None:
    """Refuse what the border uses up; `cell` is the unit in which scenes are cut, in 10 m pixels."""
    least = -(-(2 * SCORE_BORDER + 1) * gsd // 10 // cell) * cell
    if min(len(covered[0]), len(covered[1])) < least:
        raise GridError(
            f"the scene is too small to evaluate {gsd} m bands: {len(covered[0])} x {len(covered[1])} pixels of 10 m "
            f"can be degraded by {factor}; expected {least} or more, of which "
            f"{SCORE_BORDER * gsd // 10} at each side are left out. Take a larger slice"
        )


def below(images: Iterable[F64]) -> F64:
    """Bands of shape (..., y, x) as one array (bands, dates * y, x)."""
    return np.stack([image.reshape(-1, image.shape[-1]) for image in images])
