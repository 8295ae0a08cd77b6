"""Where pixels go, not what is in them."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="module", autouse=True)
def _small(small_defaults: None) -> None:
    """Small networks by default."""
