"""What can go wrong, as classes. Each is also a builtin, so that ``except ValueError`` keeps working.

A message says what was found, what was expected, and ends with the line that fixes it.
"""

from __future__ import annotations

import sys
import warnings
from itertools import count


class S2SRError(Exception):
    """Anything that xr_s2sr refuses."""


class InputError(S2SRError, ValueError):
    """An argument or a scene that cannot be used as it is."""


class ArgumentTypeError(S2SRError, TypeError):
    """An argument of the wrong type."""


class BandError(InputError):
    """A band that is missing, unknown, or there twice."""


class GridError(InputError):
    """Coordinates that are no Sentinel-2 grid, or grids that do not nest."""


class RadiometryError(InputError):
    """Pixels whose unit cannot be told, or contradicts what the metadata say."""


class ProductError(InputError):
    """A Sentinel-2 product that is broken, incomplete, or of a kind that is not read."""


class LazyError(S2SRError, NotImplementedError):
    """Input that is backed by dask where only arrays in memory are served."""


class ModelError(InputError):
    """A model file that cannot be found, read, or used for the bands asked for."""


class EngineError(S2SRError, RuntimeError):
    """ONNX Runtime or the device cannot do what was asked for."""


class FetchError(S2SRError, OSError):
    """A model file that cannot be downloaded, or is not the one expected."""


class DependencyError(S2SRError, ImportError):
    """An optional package that is not installed."""


class S2SRWarning(UserWarning):
    """Something was done that the user should know of."""


class WriteError(S2SRError, OSError):
    """A result could not be written; what was at its place is kept."""


def warn(message: str) -> None:
    """Issue an S2SRWarning at the line that called this package, however deep inside of it the reason was found."""
    package = __name__.partition(".")[0]
    for level in count(2):
        try:
            name = sys._getframe(level - 1).f_globals.get("__name__", "")
        except ValueError:  # nobody called but ourselves: the command line
            break
        if name.partition(".")[0] != package:
            break
    warnings.warn(message, S2SRWarning, stacklevel=level)
