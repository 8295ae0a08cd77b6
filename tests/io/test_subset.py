"""A rectangle of a scene, whose edges are as exact as floats are."""

from __future__ import annotations

import itertools

import pytest
from scenes import LEFT, TOP, native

from xr_s2sr.errors import InputError
from xr_s2sr.io.subset import by_blocks, subset


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


def test_numbers_that_are_read_once() -> None:
    with pytest.raises(InputError, match=r"bbox=\(0.0, 0.0, 1.0, 1.0\) lies outside of here, and looks like degrees"):
        subset(native((60, 60)), None, iter([0, 0, 1, 1]), None, "here")


@pytest.mark.parametrize(
    ("stored", "side", "expected"),
    [
        ((1024, 512, 192), 1830, (2048, 1024, 384)),  # side // factor, to the nearest number of blocks
        ((512, 512, 512), 1830, (2048, 1024, 512)),
        ((256, 256, 256), 100, (100, 50, 16)),  # blocks are too large for chunks as small as these
        ((1, 1, 1), 1200, (1200, 600, 200)),
        (None, 1200, (1200, 600, 200)),
    ],
)
def test_chunks_of_whole_blocks(stored: tuple[int, ...] | None, side: int, expected: tuple[int, ...]) -> None:
    pytest.importorskip("dask")
    ds = native((2160, 2160))
    suffixes = ("", "_20m", "_60m")
    for variable in ds.data_vars.values() if stored is not None else ():
        blocks = dict(zip(suffixes, stored or (), strict=True))
        variable.encoding["preferred_chunks"] = {dim: blocks[str(dim)[1:]] for dim in variable.dims}
    chunks = by_blocks(ds, side).chunks
    for suffix, size in zip(suffixes, expected, strict=True):
        for dim in (f"y{suffix}", f"x{suffix}"):
            assert chunks[dim][0] == min(size, ds.sizes[dim])
