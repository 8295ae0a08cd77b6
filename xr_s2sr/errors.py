"""Exceptions and warnings. Each is also a builtin, so that ``except ValueError`` keeps working.

A message says what was found, what was expected, and ends with the line that fixes it.
"""

from __future__ import annotations

import sys
import warnings
from types import FrameType
from typing import TypeAlias


class S2SRError(Exception):
    """Anything that xr_s2sr refuses."""


class InputError(S2SRError, ValueError):
    """An argument or a scene that cannot be used as it is."""


class ArgumentTypeError(S2SRError, TypeError):
    """An argument of the wrong type."""


class BandError(InputError):
    """A band that is missing, unknown, or there twice."""


class GridError(InputError):
    """Coordinates that are not a Sentinel-2 grid, or grids that do not nest."""


class RadiometryError(InputError):
    """Pixels whose unit is unclear, or contradicts what the metadata say."""


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


#: A file and a line in it.
Line: TypeAlias = tuple[str, int]


def warn(message: str, at: Line | None = None) -> None:
    """Issue an S2SRWarning at the line that called this package, however deep inside of it the reason was found.

    Parameters
    ----------
    message : str
    at : (str, int), optional
        The line, where another thread or process than the caller's finds the reason.
    """
    if at is None:
        warnings.warn(message, S2SRWarning, stacklevel=_depth(sys._getframe()) + 1)
    else:
        warnings.warn_explicit(message, S2SRWarning, *at)


def calling_line() -> Line:
    """Return the line that called this package."""
    frame = sys._getframe(_depth(sys._getframe()))
    return frame.f_code.co_filename, frame.f_lineno


def _depth(frame: FrameType) -> int:
    """Count the frames up to one that is neither of this package nor of xarray (pipe, map); or to the outermost."""
    between, depth = (__name__.partition(".")[0], "xarray"), 0
    while frame.f_globals.get("__name__", "").partition(".")[0] in between and frame.f_back is not None:
        frame, depth = frame.f_back, depth + 1
    return depth
