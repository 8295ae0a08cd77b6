"""Ways to call ``upsample``, and settings that change nothing but its speed."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
import xarray as xr

import xr_s2sr
from xr_s2sr.errors import GridError

pytestmark = pytest.mark.usefixtures("small_defaults")

#: Bicubic interpolation: exact, quick, and the same code around it as with a network.
CUBIC = {"model": "bicubic"}


def test_free_function_and_pipe(scene: xr.Dataset, restored: xr.Dataset) -> None:
    xr.testing.assert_identical(xr_s2sr.upsample(scene, model="bicubic"), restored)
    xr.testing.assert_identical(scene.pipe(xr_s2sr.upsample, "B05", **CUBIC), restored[["B05"]])


@pytest.mark.parametrize(
    "said",
    [{"tile": 6}, {"tile": 30}, {"tile": 31, "threads": 3}, {"threads": 1}, {"margin": 100}, {"device": "cpu"}],
)
def test_speed_settings_change_nothing(scene: xr.Dataset, said: dict[str, Any]) -> None:
    bands = ["B05", "B12", "B01"]
    slow = scene.isel(y=slice(24), y_20m=slice(12), y_60m=slice(4))
    xr.testing.assert_identical(slow.s2sr.upsample(bands, **said), slow.s2sr.upsample(bands))


def test_small_margin_blends(scene: xr.Dataset) -> None:
    """Close to the seamless result, without a jump at the borders of the tiles."""
    whole, blended = scene.s2sr.upsample(["B05"]), scene.s2sr.upsample(["B05"], tile=24, margin=6)
    away = np.abs(whole.B05.astype(float) - blended.B05)
    assert 0 < away.mean() < 0.03 * whole.B05.mean()


def test_progress_function(scene: xr.Dataset, capsys: pytest.CaptureFixture[str]) -> None:
    seen: list[tuple[int, int]] = []
    scene.s2sr.upsample(["B05", "B01"], tile=36, progress=lambda done, of: seen.append((done, of)), **CUBIC)
    assert [done for done, _ in seen] == list(range(1, len(seen) + 1))
    assert {of for _, of in seen} == {len(seen)} == {2 * 2 * 2}
    assert capsys.readouterr() == ("", "")


def test_progress_line(scene: xr.Dataset, capsys: pytest.CaptureFixture[str]) -> None:
    scene.s2sr.upsample(["B05"], progress=True, **CUBIC)
    out, err = capsys.readouterr()
    assert out == ""
    assert " 1/1 " in err
    assert err.endswith("\n")


def test_an_error_in_progress_is_not_swallowed(scene: xr.Dataset) -> None:
    def stop(done: int, of: int) -> None:
        raise KeyboardInterrupt("enough")

    with pytest.raises(KeyboardInterrupt, match="enough"):
        scene.s2sr.upsample(["B05"], progress=stop, **CUBIC)


def test_pickle_after_use(scene: xr.Dataset, restored: xr.Dataset) -> None:
    scene.s2sr.upsample(["B05"])
    again = pickle.loads(pickle.dumps(scene))
    xr.testing.assert_identical(again, scene)
    xr.testing.assert_identical(again.s2sr.upsample(**CUBIC), restored)
    xr.testing.assert_identical(copy.deepcopy(scene), scene)


def test_twice(restored: xr.Dataset) -> None:
    """A result is no native scene any more, and is told so."""
    with pytest.raises(GridError, match="'B01' is a 60 m band with a spacing of 10 along 'y'; expected 60"):
        restored.s2sr.upsample(**CUBIC)
