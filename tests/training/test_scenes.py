"""Scenes to learn from: a folder with a manifest, or a Dataset."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from holders import at_10_m

import xr_s2sr

torch = pytest.importorskip("torch", reason="the train extra is not installed")
pytest.importorskip("onnx", reason="the train extra is not installed")

from xr_s2sr.errors import BandError, InputError  # noqa: E402
from xr_s2sr.training import data, degradation  # noqa: E402
from xr_s2sr.training import scenes as scene_room  # noqa: E402


def test_splits_and_missing_manifest(folder: Path, tmp_path: Path) -> None:
    assert [s.name for s in scene_room.load_scenes(folder, splits=("validation",))] == ["scene2"]
    assert len(scene_room.load_scenes(folder)) == 3
    assert scene_room.load_scenes(folder, splits=("none",), required=False) == []
    with pytest.raises(FileNotFoundError, match=r"manifest\.json not found"):
        scene_room.load_scenes(tmp_path)
    with pytest.raises(FileNotFoundError, match="no scene of the splits"):
        scene_room.load_scenes(folder, splits=("none",))


def test_a_dataset_is_a_scene() -> None:
    ds, _ = xr_s2sr.tutorial.synthetic_scene(120)
    ds["B05"][3, 4] = 0
    # the 10 m bands start four pixels into a 60 m cell
    scene = scene_room.scene_of(ds.isel(y=slice(4, None), x=slice(4, None)), "mine")
    assert scene.b10.shape == (4, 114, 114)
    assert scene.b20.shape == (6, 57, 57)
    assert scene.b60 is not None
    assert scene.b60.shape == (2, 19, 19)
    assert np.isnan(scene.b20).any()
    again = data.Patches([scene], 20, degradation.seeded(0)).batch(1, 6)[1]
    assert torch.isfinite(again).all()
    with pytest.raises(BandError, match="missing B8A; training needs"):
        scene_room.scene_of(ds.drop_vars("B8A"), "mine")
    with pytest.raises(InputError, match=r"isel\(time=0\)"):
        scene_room.scene_of(ds.expand_dims(time=2), "mine")


def test_a_scene_comes_in_any_form() -> None:
    """South up, and with native pixels repeated by a load at 10 m: the same scene."""
    ds, _ = xr_s2sr.tutorial.synthetic_scene(120)
    expected = scene_room.scene_of(ds, "mine")
    for form in (
        at_10_m(ds),
        ds.isel(y=slice(None, None, -1), y_20m=slice(None, None, -1), y_60m=slice(None, None, -1)),
    ):
        scene = scene_room.scene_of(form, "mine")
        for own, other in ((scene.b10, expected.b10), (scene.b20, expected.b20), (scene.b60, expected.b60)):
            assert other is not None
            np.testing.assert_array_equal(own, other)


def test_scene_of_a_dataset_has_its_pixels() -> None:
    """Reflectance x 10000, whatever the storage, cut to common cells."""
    ds, _ = xr_s2sr.tutorial.synthetic_scene(120)
    valid = ds.where(ds > 0)
    scene = scene_room.scene_of((valid * 1e-4).astype("float32").isel(y_20m=slice(3, None)), "mine")
    assert np.isnan(scene.b20).any()
    np.testing.assert_allclose(scene.b10[1], valid.B03.values[6:], rtol=1e-5)
    np.testing.assert_allclose(scene.b20[4], valid.B11.values[3:], rtol=1e-5)
    assert scene.b60 is not None
    np.testing.assert_allclose(scene.b60[0], valid.B01.values[1:], rtol=1e-5)
