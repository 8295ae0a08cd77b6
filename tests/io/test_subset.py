"""A rectangle of a scene, whose edges are as exact as floats are."""

from __future__ import annotations

import itertools

import pytest
from scenes import LEFT, TOP, native

from xr_s2sr.io.subset import subset


@pytest.mark.parametrize("ascending", [False, True])
@pytest.mark.parametrize("jitter", [*itertools.product([-2e-5, 2e-5], repeat=4)])
def test_edges_that_jitter_take_no_further_cell(jitter: tuple[float, ...], ascending: bool) -> None:
    """The second and third column of 60 m cells, and the second to fourth row."""
    ds = native((300, 360), ascending=ascending)
    exact = LEFT + 60, TOP - 240, LEFT + 180, TOP - 60
    bbox = tuple(edge + off for edge, off in zip(exact, jitter, strict=True))
    part = subset(ds, None, bbox, None, "here")
    assert dict(part.sizes) == {"y": 18, "x": 12, "y_20m": 9, "x_20m": 6, "y_60m": 3, "x_60m": 2}
    assert sorted([float(part.x[0]), float(part.y.max())]) == [LEFT + 65, TOP - 65]
