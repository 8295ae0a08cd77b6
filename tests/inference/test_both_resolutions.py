"""A model that restores 20 m and 60 m bands at once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import toy_models
import xarray as xr
from scenes import FINE, RED_EDGE, SIXTY, native
from toy_models import CARD_20, CARD_60, CARD_BOTH

from xr_s2sr.errors import ModelError

RESTORED = [*RED_EDGE, *SIXTY]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_models.save(tmp_path_factory.mktemp("model") / "both.onnx", CARD_BOTH)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Bilinear interpolation, by one model and by two."""
    folder = tmp_path_factory.mktemp("plain")
    cards = {"both": CARD_BOTH, "20": CARD_20, "60": CARD_60}
    return {name: toy_models.save(folder / f"{name}.onnx", card, gain=0) for name, card in cards.items()}


@pytest.fixture(scope="module")
def scene() -> xr.Dataset:
    return native((252, 264))


def test_one_model_gives_what_two_give(scene: xr.Dataset, plain: dict[str, Path]) -> None:
    one = scene.s2sr.upsample(model=plain["both"])
    two = scene.s2sr.upsample(model=[plain["20"], plain["60"]])
    assert list(one.data_vars) == list(two.data_vars)
    for band in RESTORED:
        np.testing.assert_array_equal(one[band], two[band])
        assert one[band].attrs["s2sr_model"] == "toy-both 1"


def test_tiles_and_chunks_change_nothing(scene: xr.Dataset, both: Path) -> None:
    whole = scene.s2sr.upsample(model=both, tile=10_000)
    tiled = scene.s2sr.upsample(model=both, tile=60, threads=2)
    lazy = scene.chunk().s2sr.upsample(model=both, chunks=96).compute()
    assert not np.array_equal(whole.B05, scene.s2sr.upsample(model="bicubic").B05)
    for band in RESTORED:
        np.testing.assert_array_equal(whole[band], tiled[band])
        np.testing.assert_array_equal(whole[band], lazy[band])


def test_some_of_its_bands(scene: xr.Dataset, both: Path) -> None:
    every = scene.s2sr.upsample(model=both)
    for asked in (["B11"], ["B01"], ["B09", "B05"]):
        some = scene.s2sr.upsample(asked, model=both)
        assert set(some.data_vars) == set(asked)
        for band in asked:
            np.testing.assert_array_equal(some[band], every[band])


def test_a_scene_without_60_m_bands(scene: xr.Dataset, both: Path) -> None:
    sr = scene.drop_vars(SIXTY).s2sr.upsample(model=both)
    assert set(sr.data_vars) == {*FINE, *RED_EDGE}
    assert sr.B05.attrs["s2sr_missing_inputs"] == "B01 B09"
    assert not np.array_equal(sr.B05, scene.s2sr.upsample(model=both).B05)


def test_invalid_pixels_stay_in_their_band(scene: xr.Dataset, both: Path) -> None:
    holed = scene.copy(deep=True)
    holed.B01[20, 20], holed.B05[10, 10] = 0, 0
    sr = holed.s2sr.upsample(model=both)
    invalid = {band: np.argwhere(sr[band].values == 0) for band in RESTORED}
    assert {band for band, found in invalid.items() if len(found)} == {"B01", "B05"}
    np.testing.assert_array_equal([invalid["B01"].min(0), invalid["B01"].max(0)], [[120, 120], [125, 125]])
    np.testing.assert_array_equal([invalid["B05"].min(0), invalid["B05"].max(0)], [[20, 20], [21, 21]])
    assert (len(invalid["B01"]), len(invalid["B05"])) == (36, 4)


def test_scores_of_both_resolutions(scene: xr.Dataset, plain: dict[str, Path]) -> None:
    methods = {"one": plain["both"], "two": [plain["20"], plain["60"]]}
    scores = scene.s2sr.evaluate(methods, protocol="paper")
    assert list(scores.band.values) == RESTORED
    for name in ("rmse", "uiq", "sam"):
        np.testing.assert_array_equal(scores[name].sel(model="one"), scores[name].sel(model="two"))


def test_without_standard_errors(scene: xr.Dataset, both: Path) -> None:
    with pytest.raises(ModelError, match=r"restores B01, B05, .*, gives none.*or leave them out: bands=...$"):
        scene.s2sr.upsample(model=both, uncertainty=True)
