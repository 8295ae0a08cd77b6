"""The built-in scene, small."""

from __future__ import annotations

import pytest

from xr_s2sr import tutorial


@pytest.fixture(autouse=True)
def _small_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sixth of the built-in scene where a command asks for no size: to paint it takes longer than to restore it."""
    whole = tutorial.synthetic_scene
    monkeypatch.setattr(tutorial, "synthetic_scene", lambda size=240, seed=0: whole(size, seed))
