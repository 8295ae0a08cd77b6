"""Ask model runs for standard errors, which only some models give."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from xr_s2sr import models
from xr_s2sr.bands import BANDS
from xr_s2sr.errors import ModelError
from xr_s2sr.planning import ModelRun
from xr_s2sr.scene.uncertainty import ErrorForm


def with_uncertainty(runs: Iterable[ModelRun], form: ErrorForm | None) -> list[ModelRun]:
    """Return the runs, each to give the standard errors of its bands too, if a form is given for these.

    Raises
    ------
    ModelError
        If a model gives none.
    """
    runs = list(runs)
    if form is None:
        return runs
    unable = [run for run in runs if not run.model.card.uncertainty]
    if unable:
        run = unable[0]
        bands = ", ".join(run.targets)
        if run.model.card.name == models.BICUBIC:
            raise ModelError(
                f"uncertainty was asked for, and {bands} would be interpolated by 'bicubic', which gives none; "
                'expected a network. Leave model="bicubic" out, or uncertainty'
            )
        card = run.model.card
        train = ""
        if len({BANDS[band].gsd for band in card.targets}) == 1:
            train = (
                f", or train a head for it: xr-s2sr train --uncertainty --init {run.model.path or card.name} --gsd "
                f"{card.gsd} --scenes ... --out ..."
            )
        raise ModelError(
            f"uncertainty was asked for, and the model {run.model}, which restores {bands}, gives none; expected one "
            f"whose card says uncertainty. Take another for these bands: model=..., or leave them out: bands=...{train}"
        )
    return [replace(run, uncertainty=form) for run in runs]
