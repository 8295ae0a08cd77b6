"""Places and orientations of patches, against slices of the scene."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the train extra is not installed")
pytest.importorskip("onnx", reason="the train extra is not installed")

from xr_s2sr.training.data import Cutter, mirrored, neighbours, picked, shares  # noqa: E402
from xr_s2sr.training.degradation import seeded  # noqa: E402


@dataclass
class Numbered:
    """Two band groups whose pixels are all different."""

    name: str
    fine: np.ndarray
    coarse: np.ndarray

    @property
    def place(self) -> str:
        return self.name


def numbered(name: str, rows: int, cols: int, first: int) -> Numbered:
    fine = first + np.arange(2 * 4 * rows * cols, dtype=np.float32).reshape(2, 2 * rows, 2 * cols)
    coarse = first + 0.5 + np.arange(rows * cols, dtype=np.float32).reshape(1, rows, cols)
    return Numbered(name, fine, coarse)


def orientations(x: np.ndarray) -> list[np.ndarray]:
    """All eight, of (bands, y, x)."""
    turned = [np.rot90(x, k, axes=(1, 2)) for k in range(4)]
    return [*turned, *(t[:, :, ::-1] for t in turned)]


def test_patches_are_squares_of_one_place_in_one_orientation() -> None:
    scenes = [numbered("a", 9, 7, 0), numbered("bb", 6, 12, 10_000)]
    cut = Cutter(scenes, 4, (2, 1), (2, 0), ("fine", "coarse"), seeded(0))
    fine, coarse = cut.cut(400)
    assert fine.shape == (400, 2, 12, 12)
    assert coarse.shape == (400, 1, 4, 4)
    seen = set()
    for patch, low in zip(fine.numpy(), coarse.numpy(), strict=True):
        which = 0 if low.max() < 10_000 else 1
        scene = scenes[which]
        row, col = np.argwhere(np.isin(scene.coarse[0], low)).min(axis=0)  # where it was cut
        padded = np.pad(scene.fine, [(0, 0), (2, 2), (2, 2)], mode="symmetric")
        at = orientations(padded[:, 2 * row : 2 * row + 12, 2 * col : 2 * col + 12])
        below = orientations(scene.coarse[:, row : row + 4, col : col + 4])
        found = [k for k in range(8) if np.array_equal(at[k], patch)]
        assert len(found) == 1
        assert np.array_equal(below[found[0]], low)
        seen.add((which, row, col, found[0]))
    assert {place[0] for place in seen} == {0, 1}
    assert {place[1:3] for place in seen if place[0] == 0} == {(r, c) for r in range(6) for c in range(4)}
    assert {place[3] for place in seen} == set(range(8))


def test_the_same_seed_cuts_the_same_patches() -> None:
    scenes = [numbered("a", 9, 7, 0)]
    one, other, third = (
        Cutter(scenes, 4, (2, 1), (0, 0), ("fine", "coarse"), seeded(*seed)).cut(5)[0][0]
        for seed in ((3, 1), (3, 1), (3, 2))
    )
    assert torch.equal(one, other)
    assert not torch.equal(one, third)


def test_a_small_scene_is_mirrored() -> None:
    fine, coarse = mirrored(numbered("a", 3, 5, 0), 4, (2, 1), (1, 0), ("fine", "coarse"))
    assert fine.shape == (2, 1 + 8 + 1, 1 + 10 + 1)
    assert coarse.shape == (1, 4, 5)
    np.testing.assert_array_equal(coarse[0, 3], coarse[0, 2])


def test_bands_that_pose_are_overwritten_by_the_nearest_other_one() -> None:
    pairs = torch.tensor([[0, 1], [2, 3], [4, 5], [0, 5]])
    assert neighbours(pairs).tolist() == [
        [2, 2, 2, 3, 4, 5],
        [0, 1, 1, 4, 4, 5],
        [0, 1, 2, 3, 3, 3],
        [1, 1, 2, 3, 4, 4],
    ]
    images = torch.arange(4 * 6.0).reshape(4, 6, 1, 1).expand(4, 6, 3, 2)
    assert picked(images, pairs)[:, :, 0, 0].tolist() == [[0, 1], [8, 9], [16, 17], [18, 23]]
    assert picked(images[:, :, 0, 0], pairs).tolist() == [[0, 1], [8, 9], [16, 17], [18, 23]]


def test_places_count_by_the_root_of_their_size_and_dates_share_it() -> None:
    got = shares(["a", "b", "b", "b"], [400, 100, 200, 100])
    np.testing.assert_allclose(got, [0.5, 0.125, 0.25, 0.125])
