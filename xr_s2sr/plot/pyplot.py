"""matplotlib, which is needed for figures only, and imported when one is drawn."""

from __future__ import annotations

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
