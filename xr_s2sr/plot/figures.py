"""Figures by matplotlib: before and after, ``compare`` and ``ds.s2sr.plot``; standard errors, ``reliability``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from xr_s2sr.errors import InputError
from xr_s2sr.layouts.normalize import Scene
from xr_s2sr.plot.png import NODATA_COLOUR
from xr_s2sr.plot.pyplot import load_pyplot, shown_once
from xr_s2sr.plot.view import View, requested, views
from xr_s2sr.scene.radiometry import Units


def compare(
    ds: Scene,
    sr: Scene | None = None,
    bands: str | Iterable[str] | None = None,
    *,
    composite: str | Sequence[str] | None = None,
    units: Units | None = None,
    offset: float | None = None,
    percentiles: tuple[float, float] = (2, 98),
    cmap: str = "cividis",
    width: float = 9.0,
) -> Any:
    """Draw native pixels on the left and the result on the right, a row for each band or composite.

    Both pictures of a row have one stretch: the percentiles of the native pixels that are shown. Needs matplotlib.

    Parameters
    ----------
    ds : Dataset, DataArray or DataTree
        The native scene, of one date, in any form that :func:`xr_s2sr.upsample` takes.
    sr : Dataset, DataArray or DataTree, optional
        Its result, or a part of it, which is then all that is shown: ``sr.isel(y=slice(0, 200), x=slice(0, 200))``.
        Without it, the bands that are shown are restored first, as by :func:`xr_s2sr.upsample`.
    bands : str or iterable of str, optional
        Bands to draw, by any alias, each as a map with a scale of reflectance.
    composite : {"swir", "true colour"} or three bands, optional
        Bands for red, green and blue: "swir" is B12, B8A, B04 and "true colour" is B04, B03, B02. The default is
        "swir" without `bands`, and no composite with them. 10 m bands are those of `ds` in both pictures.
    units, offset
        As for :func:`xr_s2sr.upsample`; for both scenes.
    percentiles : (float, float), default (2, 98)
        Of the native pixels that are shown; these become the ends of the scale, for a composite in each band.
    cmap : str, default "cividis"
        matplotlib's colour map for bands. The default can be read with any colour vision, and printed in grey.
    width : float, default 9
        Of the figure, in inches.

    Returns
    -------
    matplotlib Figure

    Raises
    ------
    BandError
        If a band is unknown, or one of the two scenes does not hold it.
    GridError
        If the two do not lie on grids that nest, have nothing in common, differ in CRS, have several dates, or have
        too many pixels to be seen.
    InputError
        If an argument cannot be used.
    ArgumentTypeError
        If `ds` or `sr` is not a scene.
    DependencyError
        If there is no matplotlib.
    """
    wanted = requested(ds, bands, composite)
    pyplot = load_pyplot()
    shown = views(ds, sr, wanted, units=units, offset=offset, percentiles=percentiles)
    rows, cols = shown[0].grid.shape
    height = len(shown) * (0.42 * width * min(rows / cols, 3) + 0.5)
    figure, axes = pyplot.subplots(
        len(shown), 2, figsize=(width, height), sharex=True, sharey=True, squeeze=False, layout="compressed"
    )
    for row, view in zip(axes, shown, strict=True):
        _draw(pyplot, figure, row, view, cmap)
    for ax in axes[-1]:
        ax.set_xlabel("easting [km]")
    for ax in axes[:, 0]:
        ax.set_ylabel("northing [km]")
        ax.ticklabel_format(useOffset=False)
        ax.locator_params(nbins=4)
    return shown_once(figure)


def _draw(pyplot: Any, figure: Any, axes: Any, view: View, cmap: str) -> None:
    """Draw one row: a band with a common scale, or a composite whose limits stand below the title."""
    y, x = view.grid.y, view.grid.x
    place = [edge / 1000 for edge in (x.edge, x.edge + x.size * x.step, y.edge + y.size * y.step, y.edge)]
    style = {"extent": place, "interpolation": "nearest", "origin": "upper"}
    if len(view.bands) == 1:
        low, high = view.limits[0]
        colours = pyplot.get_cmap(cmap).with_extremes(bad=tuple(part / 255 for part in NODATA_COLOUR))
        for ax, image in zip(axes, (view.before, view.after), strict=True):
            drawn = ax.imshow(image[0], cmap=colours, vmin=low, vmax=high, **style)
        figure.colorbar(drawn, ax=list(axes), label=f"reflectance in {view.bands[0]}", extend="both", pad=0.02)
        note = ""
    else:
        for ax, image in zip(axes, (view.before, view.after), strict=True):
            ax.imshow(view.colours(image).transpose(1, 2, 0), **style)
        note = "\nreflectance " + ", ".join(f"{low:.2f}–{high:.2f}" for low, high in view.limits)
    for ax, title in zip(axes, view.titles, strict=True):
        ax.set_title(title + note, fontsize="small")


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
