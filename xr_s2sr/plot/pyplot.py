"""matplotlib, which is needed for figures only, and imported when one is drawn."""

from __future__ import annotations

from functools import partial
from typing import Any

from xr_s2sr.errors import DependencyError


def load_pyplot() -> Any:
    """Import ``matplotlib.pyplot``.

    Raises
    ------
    DependencyError
        If there is no matplotlib.
    """
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise DependencyError("a plot needs matplotlib. Install it: pip install matplotlib") from error
    return pyplot


def shown_once(figure: Any) -> Any:
    """Return a figure that Jupyter shows once, also as the last value of a cell.

    Its backend "inline" shows the figures that are open at the end of a cell, besides what the cell returns.
    """
    pyplot = load_pyplot()
    if "inline" in pyplot.get_backend():
        figure._ipython_display_ = partial(_display_closed, figure)
    return figure


def _display_closed(figure: Any) -> None:
    """Show a figure that is not open any more, as in a later cell."""
    if figure.number in load_pyplot().get_fignums():
        return
    from IPython.core.pylabtools import print_figure
    from IPython.display import Image, display

    display(Image(print_figure(figure)))
