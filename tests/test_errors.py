"""Errors are those of the package and builtins at once."""

from __future__ import annotations

from xr_s2sr.errors import EngineError, ModelError, S2SRError


def test_errors_are_builtins_too() -> None:
    assert issubclass(ModelError, S2SRError)
    assert issubclass(ModelError, ValueError)
    assert issubclass(EngineError, RuntimeError)
