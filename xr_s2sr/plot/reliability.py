"""Standard errors against the errors that were found: ``reliability``."""

from __future__ import annotations

from typing import Any

import numpy as np

from xr_s2sr.errors import InputError
from xr_s2sr.plot.pyplot import load_pyplot


def reliability(scores: Any, model: str | None = None, ax: Any = None) -> Any:
    """Draw observed against predicted RMSE, a line for each band: on the diagonal, standard errors are what they say.

    Parameters
    ----------
    scores : Scores or Dataset
        What ``evaluate(uncertainty=True)`` gave.
    model : str, optional
        By default the first that gives standard errors.
    ax : matplotlib Axes, optional
        To draw on; by default those of a new figure.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    InputError
        If the scores hold no standard errors, or not this model's.
    DependencyError
        If there is no matplotlib.
    """
    ds = getattr(scores, "dataset", scores)
    if "observed_rmse" not in ds:
        raise InputError("the scores hold no standard errors; expected those of ds.s2sr.evaluate(uncertainty=True)")
    able = [str(name) for name in ds.model.values if bool(ds["observed_rmse"].sel(model=name).notnull().any())]
    model = able[0] if model is None and able else model
    if model not in able:
        raise InputError(f"{model!r} gives no standard errors; expected one of {', '.join(able) or 'none'}")
    if ax is None:
        ax = load_pyplot().subplots()[1]
    own = ds.sel(model=model)
    for band in ds.band.values:
        x, y = (own[key].sel(band=band).values for key in ("predicted_rmse", "observed_rmse"))
        ax.plot(x, y, marker="o", label=str(band))
    ends = [float(f(own[key])) for key in ("predicted_rmse", "observed_rmse") for f in (np.nanmin, np.nanmax)]
    ax.plot([min(ends), max(ends)], [min(ends), max(ends)], color="grey", linestyle="--")
    ax.set(xlabel="predicted RMSE [DN]", ylabel="observed RMSE [DN]", xscale="log", yscale="log", title=model)
    ax.legend()
    return ax
