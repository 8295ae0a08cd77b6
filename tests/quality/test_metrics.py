"""The scores, against loops written from the papers, torchmetrics and scikit-image."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xr_s2sr import quality
from xr_s2sr.errors import InputError
from xr_s2sr.quality.reduced_resolution import interior_mask


def pair(seed: int = 0, bands: int = 3, shape: tuple[int, int] = (44, 51)) -> tuple[np.ndarray, np.ndarray]:
    """A truth of 300 to 4000 DN and a restored image some 5 % off."""
    rng = np.random.default_rng(seed)
    truth = rng.uniform(300, 4000, (bands, *shape))
    return truth * rng.normal(1, 0.05, truth.shape) + 20, truth


def holes(shape: tuple[int, int] = (44, 51)) -> np.ndarray:
    valid = np.ones(shape, bool)
    valid[15, 20] = valid[30:, 40:] = False
    return valid


def counted(valid: np.ndarray, border: int) -> list[tuple[int, int]]:
    h, w = valid.shape
    return [(i, j) for i in range(border, h - border) for j in range(border, w - border) if valid[i, j]]


def test_pixel_scores_are_the_papers_formulas() -> None:
    restored, truth = pair()
    valid = holes()
    pixels = counted(valid, 12)
    relative = []
    for band in range(3):
        squares = [(restored[band, i, j] - truth[band, i, j]) ** 2 for i, j in pixels]
        mean = math.fsum(truth[band, i, j] for i, j in pixels) / len(pixels)
        mse = math.fsum(squares) / len(pixels)
        relative.append(mse / mean**2)
        assert quality.rmse(restored, truth, valid=valid)[band] == pytest.approx(math.sqrt(mse))
        assert quality.sre(restored, truth, valid=valid)[band] == pytest.approx(10 * math.log10(mean**2 / mse))
    want = 100 / 6 * math.sqrt(math.fsum(relative) / 3)
    assert quality.ergas(restored, truth, 6, valid=valid) == pytest.approx(want)
    angles = []
    for i, j in pixels:
        a, b = restored[:, i, j], truth[:, i, j]
        angles.append(math.acos(min(1.0, float(a @ b) / math.sqrt(float(a @ a) * float(b @ b)))))
    assert quality.sam(restored, truth, valid=valid) == pytest.approx(math.degrees(math.fsum(angles) / len(angles)))


def quality_index(a: np.ndarray, b: np.ndarray) -> float:
    """Q of one window, as Wang and Bovik print it."""
    cov = float(((a - a.mean()) * (b - b.mean())).sum() / (a.size - 1))
    spread = float(a.var(ddof=1) + b.var(ddof=1))
    return 4 * cov * float(a.mean() * b.mean()) / (spread * float(a.mean() ** 2 + b.mean() ** 2))


def test_uiq_is_the_mean_over_whole_windows() -> None:
    restored, truth = pair(shape=(26, 30))
    valid = holes((26, 30))
    got = quality.uiq(restored, truth, border=3, valid=valid)
    inside = np.zeros_like(valid)
    inside[3:-3, 3:-3] = valid[3:-3, 3:-3]
    for band in range(3):
        found = [
            quality_index(restored[band, i : i + 8, j : j + 8], truth[band, i : i + 8, j : j + 8])
            for i in range(26 - 7)
            for j in range(30 - 7)
            if inside[i : i + 8, j : j + 8].all()
        ]
        assert 0 < len(found) < (20 - 7) * (24 - 7)
        assert got[band] == pytest.approx(np.mean(found), abs=1e-9)


def test_uiq_matches_scikit_image() -> None:
    metrics = pytest.importorskip("skimage.metrics", reason="scikit-image is not installed")
    restored, truth = pair()
    got = quality.uiq(restored, truth, border=0, window=7)
    # SSIM without its constants is UIQ; its windows are of odd size
    for band in range(3):
        want = metrics.structural_similarity(
            restored[band], truth[band], win_size=7, K1=0, K2=0, data_range=1, use_sample_covariance=False
        )
        assert got[band] == pytest.approx(want, abs=1e-10)


def test_the_others_match_torchmetrics() -> None:
    image = pytest.importorskip("torchmetrics.functional.image", reason="torchmetrics is not installed")
    torch = pytest.importorskip("torch", reason="torch is not installed")
    restored, truth = pair()
    a, b = (torch.from_numpy(x[:, 12:-12, 12:-12].copy())[None] for x in (restored, truth))
    want = float(image.error_relative_global_dimensionless_synthesis(a, b, ratio=2))
    assert quality.ergas(restored, truth, 2) == pytest.approx(want, rel=1e-5)
    want = math.degrees(float(image.spectral_angle_mapper(a, b)))
    assert quality.sam(restored, truth) == pytest.approx(want, rel=1e-5)
    want = float(torch.nn.functional.mse_loss(a, b)) ** 0.5
    assert np.sqrt((quality.rmse(restored, truth) ** 2).mean()) == pytest.approx(want)


def test_equal_images_are_perfect() -> None:
    _, truth = pair()
    truth[0, 10:30, 10:30] = 500.0  # flat windows, where the index is 0 / 0
    assert (quality.rmse(truth, truth) == 0).all()
    assert np.isposinf(quality.sre(truth, truth)).all()
    np.testing.assert_allclose(quality.uiq(truth, truth), 1, atol=1e-12)
    assert quality.sam(truth, truth) == 0
    assert quality.ergas(truth, truth, 2) == 0


def test_flat_windows_compare_their_levels() -> None:
    a, b = np.full((1, 40, 40), 900.0), np.full((1, 40, 40), 300.0)
    np.testing.assert_allclose(quality.uiq(a, b), 2 * 900 * 300 / (900**2 + 300**2))


def test_small_angles_are_not_lost() -> None:
    truth = np.stack([np.full((30, 30), 1000.0), np.zeros((30, 30))])
    restored = truth + np.array([0.0, 1e-6])[:, None, None]
    assert quality.sam(restored, truth) == pytest.approx(math.degrees(1e-9), rel=1e-6)


def test_what_has_no_angle_or_no_window_says_so() -> None:
    restored, truth = pair(bands=1, shape=(30, 30))
    assert math.isnan(quality.sam(restored, truth))  # one band is no spectrum
    assert np.isnan(quality.uiq(restored, truth)).all()  # 6 x 6 pixels hold no window
    zeros = np.zeros((2, 30, 30))
    assert math.isnan(quality.sam(zeros, zeros))
    zeros[:, 14] = 1
    assert quality.sam(zeros, zeros) == 0


def test_what_does_not_count_may_be_anything() -> None:
    restored, truth = pair(shape=(60, 60))
    valid = np.ones((60, 60), bool)
    valid[20:24, 30] = False
    want = [score(restored, truth, valid=valid) for score in (quality.rmse, quality.sre, quality.uiq, quality.sam)]
    restored[:, 20:24, 30], truth[:, 21, 30], restored[:, :12], truth[..., -12:] = np.nan, np.inf, np.nan, 1e30
    got = [score(restored, truth, valid=valid) for score in (quality.rmse, quality.sre, quality.uiq, quality.sam)]
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9)


@given(
    st.lists(st.tuples(st.integers(0, 17), st.integers(0, 20)), max_size=3),
    st.integers(0, 6),
)
def test_the_interior_keeps_a_square_away_from_each_pixel(spots: list[tuple[int, int]], distance: int) -> None:
    invalid = np.zeros((2, 18, 21), bool)
    for i, j in spots:
        invalid[1, i, j] = True
    got = interior_mask(invalid, distance)
    for date in range(2):
        for i in range(18):
            for j in range(21):
                inside = distance <= i < 18 - distance and distance <= j < 21 - distance
                near = date == 1 and any(max(abs(i - y), abs(j - x)) <= distance for y, x in spots)
                assert got[date, i, j] == (inside and not near)


@pytest.mark.parametrize("score", [quality.rmse, quality.sre, quality.sam, quality.uiq])
def test_refusals(score: object) -> None:
    image = np.zeros((2, 30, 30))
    with pytest.raises(InputError, match=r"shapes differ: restored \(2, 30, 30\), truth \(2, 30, 31\)"):
        score(image, np.zeros((2, 30, 31)))  # type: ignore[operator]
    with pytest.raises(InputError, match="24 x 30 leaves nothing inside a border of 12; expected more than 24"):
        score(image[:, :24], image[:, :24])  # type: ignore[operator]
    with pytest.raises(InputError, match=r"valid \(30, 31\), truth \(2, 30, 30\); expected valid of \(30, 30\)"):
        score(image, image, valid=np.ones((30, 31), bool))  # type: ignore[operator]
    with pytest.raises(InputError, match="no pixel of 30 x 30 counts; expected some"):
        score(image, image, valid=np.zeros((30, 30), bool))  # type: ignore[operator]


def test_the_table_of_metrics_gives_what_the_functions_give() -> None:
    """Names, and dims that fit the functions; a metric of a resolution takes the ratio of pixel sizes where it must."""
    restored, truth = pair()
    valid = holes()
    want = {
        "rmse": quality.rmse(restored, truth, 5, valid),
        "sre": quality.sre(restored, truth, 5, valid),
        "uiq": quality.uiq(restored, truth, 5, valid),
        "sam": quality.sam(restored, truth, 5, valid),
        "ergas": quality.ergas(restored, truth, 6, 5, valid),
    }
    got = {metric.name: metric.score(restored, truth, 6, 5, valid) for metric in quality.METRICS}
    assert list(got) == list(want)
    for metric in quality.METRICS:
        np.testing.assert_array_equal(got[metric.name], want[metric.name])
        assert got[metric.name].shape == {"band": (3,), "gsd": ()}[metric.dim]
        assert metric.unit.lower()[:2] in metric.heading.lower() or metric.unit == "1"
