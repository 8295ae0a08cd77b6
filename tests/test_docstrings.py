"""The examples in docstrings do what they show."""

from __future__ import annotations

import doctest
import importlib

import pytest


@pytest.mark.parametrize(
    "name",
    [
        "xr_s2sr",
        "xr_s2sr.quality.consistency",
        "xr_s2sr.api",
        "xr_s2sr.bands",
        "xr_s2sr.quality.evaluate",
        "xr_s2sr.layouts.combine",
        "xr_s2sr.tutorial",
        "xr_s2sr.quality.simulate",
    ],
)
def test_examples(name: str) -> None:
    result = doctest.testmod(importlib.import_module(name))
    assert result.attempted > 0
    assert result.failed == 0
