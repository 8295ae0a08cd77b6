"""Warnings and errors on the command line: one line each, with the options of the command in place of Python's."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from xr_s2sr.errors import S2SRWarning

#: Arguments of ``upsample`` that are options of the same name.
_OPTIONS = {"keep", "resolution", "model", "adapt", "device", "units", "offset", "uncertainty", "precision"}
_CALL = re.compile(r"upsample\((\w+=[^(),=]+(?:, \w+=[^(),=]+)*)\)")


def in_terms_of_options(text: str) -> str:
    """Return a message with options in the place of arguments.

    Examples
    --------
    >>> in_terms_of_options('with upsample(keep="all"), or drop them first')
    'with --keep all, or drop them first'
    """
    return _CALL.sub(_as_options, text).replace("see ds.s2sr.validate()", "see xr-s2sr info")


def _as_options(call: re.Match[str]) -> str:
    """Return the options in the place of one call."""
    given = dict(part.split("=") for part in call[1].split(", "))
    if not given.keys() <= _OPTIONS:
        return call[0]
    flags = {"True": "--adapt", "False": "--no-adapt"}
    return " ".join(
        flags.get(value, value) if key == "adapt" else f"--{key} {value.strip(chr(34) + chr(39))}"
        for key, value in given.items()
    )


@contextmanager
def warnings_in_one_line() -> Iterator[None]:
    """In the block, our warnings are shown without the line of the program that they are about."""
    usual = warnings.formatwarning

    def shown(message: Any, category: type[Warning], *place: Any) -> str:
        if not issubclass(category, S2SRWarning):
            return usual(message, category, *place)
        return f"xr-s2sr: warning: {in_terms_of_options(str(message))}\n"

    warnings.formatwarning = shown  # type: ignore[assignment]
    try:
        yield
    finally:
        warnings.formatwarning = usual
