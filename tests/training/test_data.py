"""The patches of a batch: shapes, places, degradation, noise, and the bands that they lack."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from xr_s2sr.bands import BY_GSD, EFFECTIVE_MTF
from xr_s2sr.quality import degrade
from xr_s2sr.quality.noise import noise_variance
from xr_s2sr.quality.sensor import noise_kept, noise_to_give_back, sensor_sigma

torch = pytest.importorskip("torch", reason="the train extra is not installed")
pytest.importorskip("onnx", reason="the train extra is not installed")

from xr_s2sr.errors import InputError  # noqa: E402
from xr_s2sr.training import data, degradation  # noqa: E402
from xr_s2sr.training import scenes as scene_room  # noqa: E402


@pytest.mark.parametrize("factor", [2, 6])
def test_patches_are_degraded_as_whole_images_are(factor: int) -> None:
    rng = np.random.default_rng(0)
    m, n = degradation.margin(factor), 6 * factor
    image = rng.random((2, n + 2 * m, n + 2 * m))
    sigma = np.array([[0.5, factor / 3.5]])
    got = degradation.degrade_patches(
        torch.from_numpy(image[None].astype(np.float32)), factor, torch.tensor(sigma).float(), torch.zeros(2, 1, 2)
    )[0]
    for band in range(2):
        whole = degrade(image[band], factor, sigma=float(sigma[0, band]))
        inner = whole[m // factor : -(m // factor), m // factor : -(m // factor)]
        np.testing.assert_allclose(got[band].numpy(), inner, atol=2e-3)


@pytest.mark.parametrize(("gsd", "size", "proxy"), [(20, 12, False), (60, 4, False), (60, 4, True)])
def test_a_batch_has_nested_shapes(scenes: list[scene_room.TrainingScene], gsd: int, size: int, proxy: bool) -> None:
    patches = data.Patches(scenes, gsd, degradation.seeded(0))
    inputs, truth, present = patches.batch(3, size, proxy)
    factor = data.FACTOR[gsd]
    shapes = [tuple(x.shape) for x in inputs]
    expected = {
        20: [(3, 4, 2 * size, 2 * size), (3, 6, size, size)],
        60: [(3, 4, 6 * size, 6 * size), (3, 6, 3 * size, 3 * size), (3, 2, size, size)],
    }[gsd]
    assert shapes == expected
    assert tuple(truth.shape) == (3, {20: 6, 60: 2}[gsd], factor * size, factor * size)
    assert tuple(present.shape) == tuple(truth.shape[:2])
    assert all(torch.isfinite(x).all() for x in (*inputs, truth))


def test_truth_and_input_show_the_same_place(scenes: list[scene_room.TrainingScene]) -> None:
    """Degrading the truth gives the input back, up to blur and noise: no shift, no mixed-up bands."""
    whole = data.Augmentation(dropped=0.0)
    inputs, truth, _ = data.Patches(scenes[:1], 20, degradation.seeded(1), whole).batch(8, 16)
    mean = truth.reshape(8, 6, 16, 2, 16, 2).mean(dim=(3, 5))
    for band in range(6):
        a, b = inputs[1][:, band].flatten().numpy(), mean[:, band].flatten().numpy()
        assert np.corrcoef(a, b)[0, 1] > 0.98


def test_small_scenes_are_mirrored_not_dropped(scenes: list[scene_room.TrainingScene]) -> None:
    tiny = replace(scenes[0], b10=scenes[0].b10[:, :36, :36], b20=scenes[0].b20[:, :18, :18], b60=None)
    inputs, truth, _ = data.Patches([tiny], 20, degradation.seeded(0)).batch(2, 24)
    assert truth.shape[-1] == 48
    assert inputs[1].shape[-1] == 24


def test_60_m_pairs_come_from_scenes_as_large_as_the_patch(scenes: list[scene_room.TrainingScene]) -> None:
    """A patch of a smaller scene would mostly be its mirror image; where all are small, that is better than nothing."""
    with_60 = [scene for scene in scenes if scene.b60 is not None]
    tiny = replace(with_60[0], name="tiny", b60=with_60[0].b60[:, :10, :10])
    size = min(min(scene.b60.shape[-2:]) for scene in with_60)
    assert size > 10
    for given, side, expected in (
        ([tiny, *scenes], 10, [tiny, *with_60]),
        ([tiny, *scenes], 11, with_60),
        ([tiny, *scenes], size, with_60),
        ([tiny], 11, [tiny]),
    ):
        pairs = data.Patches(given, 60, degradation.seeded(0))
        assert [s.name for s in data.large_enough(pairs.scenes, 60, side)] == [s.name for s in expected]


def test_dropped_bands_are_zero_and_not_asked_for(scenes: list[scene_room.TrainingScene]) -> None:
    draw = data.Patches(scenes, 20, degradation.seeded(0), data.Augmentation(dropped=1.0))
    inputs, _, present = draw.batch(256, 8)
    there = inputs[1].abs().amax(dim=(2, 3)) > 0
    assert (there == present.bool()).all()
    counts = present.sum(dim=1)
    assert counts.min() >= 1
    assert counts.max() <= 5
    assert len(set(counts.tolist())) == 5
    assert (inputs[0].abs().amax(dim=(2, 3)) > 0).all()


def test_half_of_the_patches_that_lack_bands_have_swir_bands_alone(scenes: list[scene_room.TrainingScene]) -> None:
    for share, least, most in ((0.0, 0.02, 0.3), (0.5, 0.4, 0.75), (1.0, 1.0, 1.0)):
        how = data.Augmentation(dropped=1.0, only_swir=share)
        _, _, present = data.Patches(scenes, 20, degradation.seeded(1), how).batch(128, 4)
        assert least <= float((present[:, :4].sum(dim=1) == 0).float().mean()) <= most


def test_the_share_of_patches_with_an_offset(scenes: list[scene_room.TrainingScene]) -> None:
    seen = []
    for share in (0.0, 1.0):
        how = data.Augmentation(gain=0, air=(0, 0), noisy=0, dropped=0, shifted=share)
        seen.append(data.Patches(scenes, 20, degradation.seeded(2), how).batch(128, 4)[1].mean(dim=(1, 2, 3)))
    assert not torch.allclose(seen[0], seen[1])
    assert float(seen[1].std()) > float(seen[0].std())


def test_the_60_m_network_meets_scenes_without_20_m_bands(scenes: list[scene_room.TrainingScene]) -> None:
    draw = data.Patches(scenes, 60, degradation.seeded(0), data.Augmentation(dropped=1.0))
    inputs, _, present = draw.batch(64, 4)
    none = (inputs[1].abs().amax(dim=(1, 2, 3)) == 0).float().mean()
    assert 0.3 < none < 0.8
    assert (present == 1).all()


def test_air_changes_the_60_m_bands_alone(scenes: list[scene_room.TrainingScene]) -> None:
    """Inputs and truth of B01 and B09 by the same gain, each its own; the guide stays."""
    still = data.Augmentation(sensor=0, gain=0, air=(0, 0), noisy=0, dropped=0)
    drawn = [
        data.Patches(scenes[:1], 60, degradation.seeded(5), how).batch(1, 4)
        for how in (still, replace(still, air=(0.25, 0.8)))
    ]
    (inputs, truth, _), (changed, changed_truth, _) = drawn
    for was, now in zip(inputs[:2], changed[:2], strict=True):
        torch.testing.assert_close(was, now)
    gains = changed_truth.std(dim=(0, 2, 3)) / truth.std(dim=(0, 2, 3))
    torch.testing.assert_close(changed[2].std(dim=(0, 2, 3)) / inputs[2].std(dim=(0, 2, 3)), gains)
    assert len({round(float(gain), 3) for gain in (*gains, 1.0)}) == 3


def test_noise_is_on_the_inputs_only(scenes: list[scene_room.TrainingScene]) -> None:
    """The same draw with and without noise differs by noise of the size asked for, in the inputs only."""
    quiet, loud = (
        data.Patches(scenes, 20, degradation.seeded(0), data.Augmentation(noise=noise, noisy=1.0, dropped=0.0)).batch(
            16, 12
        )
        for noise in (0.0, 20.0)
    )
    torch.testing.assert_close(quiet[1], loud[1])
    spread = float((quiet[0][1] - loud[0][1]).std()) * data.SCALE
    # the root mean square of a uniform draw up to 20 is 20 / sqrt(3)
    assert 20 / 3**0.5 * 0.7 < spread < 20 / 3**0.5 * 1.3


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_sensor_like_patches_have_the_noise_given_back(share: float) -> None:
    """White noise of 20 DN in every band: what degrading leaves of it, and, on top, what it took."""
    rng = np.random.default_rng(8)
    b10, b20 = (rng.normal(3000, 20.0, (n, side, side)).astype(np.float32) for n, side in ((4, 480), (6, 240)))
    scene = scene_room.TrainingScene("white", "train", b10, b20, None, "L2A")
    still = data.Augmentation(sensor=share, gain=0, shifted=0, noisy=0, dropped=0)
    inputs, _, _ = data.Patches([scene], 20, degradation.seeded(6), still).batch(64, 12)
    dn = np.array(3000.0)
    level = np.sqrt(np.mean([noise_variance(band).sigma(dn) ** 2 for band in BY_GSD[20]]))
    sigma = np.mean([sensor_sigma(2, EFFECTIVE_MTF[band]) for band in BY_GSD[20]])
    left = 20 * noise_kept(2, sigma) if share else 20 / 2 / np.sqrt(2)  # narrower and wider blurs mixed: about
    back = share * np.exp(0.3**2) * noise_to_give_back(level, 2, sigma)
    found = inputs[1].std(dim=(2, 3)).square().mean().sqrt().item() * data.SCALE
    assert found == pytest.approx(np.hypot(left, back), rel=0.1 if share else 0.5)


def test_invalid_pixels_are_never_in_a_patch(scenes: list[scene_room.TrainingScene]) -> None:
    b10 = scenes[0].b10.copy()
    b10[:, 100:140, 90:120] = np.nan
    holed = replace(scenes[0], b10=b10)
    inputs, truth, _ = data.Patches([holed], 20, degradation.seeded(0)).batch(32, 12)
    assert all(torch.isfinite(x).all() for x in (*inputs, truth))
    with pytest.raises(InputError, match="without invalid pixels"):
        data.Patches([replace(holed, b10=np.full_like(b10, np.nan))], 20, degradation.seeded(0)).batch(1, 12)


@pytest.mark.parametrize("factor", [2, 6])
def test_bands_that_are_moved(factor: int) -> None:
    """A plane shows by how much: its values at pixels that lie elsewhere."""
    m, n = degradation.margin(factor), 4 * factor
    y, x = np.mgrid[: n + 2 * m, : n + 2 * m].astype(np.float32)
    plane = torch.from_numpy(3 * y + 7 * x)[None, None]
    sigma = torch.tensor([[0.4 * factor]])
    still = degradation.degrade_patches(plane, factor, sigma, torch.zeros(2, 1, 1))
    moved = degradation.degrade_patches(plane, factor, sigma, torch.tensor([[[0.5]], [[-0.25]]]))
    torch.testing.assert_close(moved, still - 3 * 0.5 + 7 * 0.25, atol=0.02, rtol=0)


@pytest.mark.parametrize(("gsd", "proxy"), [(20, False), (60, False), (60, True)])
def test_no_numbers_come_from_the_cpu(
    gsd: int, proxy: bool, scenes: list[scene_room.TrainingScene], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a GPU, steps are recorded with their patches, and a recording cannot copy from the CPU."""
    patches = data.Patches(scenes, gsd, degradation.seeded(0))
    patches.batch(2, 4, proxy)  # scenes are put on the device once

    def refused(*args: object, **options: object) -> None:
        raise AssertionError("a copy from the CPU")

    for name in ("tensor", "as_tensor", "from_numpy"):
        monkeypatch.setattr(torch, name, refused)
    patches.batch(2, 4, proxy)
