"""The examples in docstrings do what they show."""

from __future__ import annotations

import doctest
import importlib

import pytest


@pytest.mark.parametrize(
    "name",
    [
        "xr_s2sr",
        "xr_s2sr.agreement",
        "xr_s2sr.api",
        "xr_s2sr.bands",
        "xr_s2sr.evaluation",
        "xr_s2sr.merging",
        "xr_s2sr.tutorial",
        "xr_s2sr.simulate",
    ],
)
def test_examples(name: str) -> None:
    result = doctest.testmod(importlib.import_module(name))
    assert result.attempted > 0
    assert result.failed == 0
