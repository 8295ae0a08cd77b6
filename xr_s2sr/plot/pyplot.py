"""matplotlib, which is needed for figures only, and imported when one is drawn."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

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


def line_of_text(text: str, width: int, height: int) -> NDArray[np.uint8]:
    """Draw text in black on white, shape (3, height, width), cut off where it is wider.

    Raises
    ------
    DependencyError
        If there is no matplotlib.
    """
    load_pyplot()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    dots = 64  # an inch; a power of two, so that the size in pixels is exact
    figure = Figure((width / dots, height / dots), dpi=dots)
    figure.text(0, 0.5, text, va="center", fontsize=0.65 * height * 72 / dots, parse_math=False)
    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()
    drawn: NDArray[np.uint8] = np.asarray(canvas.buffer_rgba())[..., :3].transpose(2, 0, 1)
    return drawn


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
