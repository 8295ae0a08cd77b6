"""The bench of airborne scenes: what it makes of a wave, of noise, and of real cubes where there are some."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

CUBES = Path(__file__).parents[3] / "shared" / "cubes"
BENCH = Path(__file__).parents[1] / "bench"


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCH))
    return importlib.import_module("cubes")


def wave(period: float, phase: float = 0.0, size: int = 240) -> np.ndarray:
    """A wave along x, in DN, pixel centres at whole numbers."""
    return np.tile(1000 + 500 * np.cos(2 * np.pi * (np.arange(size) - phase) / period), (size, 1))


def fitted(image: np.ndarray, period: float, factor: int) -> tuple[float, float]:
    """Amplitude and phase, in pixels of 10 m, of a wave that coarse pixels show; far from the border."""
    x = (np.arange(image.shape[1]) + 0.5) * factor - 0.5
    angles = 2 * np.pi * x / period
    away = slice(len(x) // 4, -len(x) // 4)
    design = np.stack([np.cos(angles), np.sin(angles), np.ones_like(x)], 1)[away]
    a, b, _ = np.linalg.lstsq(design, image[image.shape[0] // 2, away], rcond=None)[0]
    return float(np.hypot(a, b)), float(np.arctan2(b, a) * period / (2 * np.pi))


@pytest.mark.parametrize(
    ("band", "how", "mtf", "factor"),
    [
        ("B05", {}, 0.27, 2),
        ("B11", {}, 0.14, 2),
        ("B09", {}, 0.33, 6),
        ("B05", {"nominal": True}, 0.34, 2),
        ("B11", {"factor": 0.8}, 0.112, 2),
        ("B01", {"move": 0.5}, 0.22, 6),
    ],
)
def test_a_wave_keeps_what_the_mtf_says(bench: Any, band: str, how: dict[str, Any], mtf: float, factor: int) -> None:
    period = 12.0 * factor  # long enough for a mean of pixels to be a Gaussian
    seen = bench.Condition(**how).seen(wave(period), band)
    amplitude, phase = fitted(seen, period, factor)
    # the logarithm of a Gaussian's MTF is quadratic: this wave has a sixth of the Nyquist frequency
    assert amplitude / 500 == pytest.approx(mtf ** (1 / 36), rel=2e-3)
    assert phase == pytest.approx(how.get("move", 0.0), abs=0.01)


def test_bands_of_10_m_have_their_nominal_mtf(bench: Any) -> None:
    cube = bench.Cube("wave", dict.fromkeys(bench.PLANES, wave(12.0)))
    for image, mtf in ((bench.Condition().seen(cube.planes["B02"], "B02"), 0.30), (bench.truth(cube)["B05"], 0.34)):
        amplitude, _ = fitted(image, 12.0, 1)
        assert amplitude / 500 == pytest.approx(mtf ** (1 / 36), rel=2e-2)


def test_noise_is_what_was_asked_for(bench: Any) -> None:
    """Of the sensor, at 1000 DN in B04: 167 counts, 0.65 sqrt(0.437**2 + 0.00951 * 167) = 0.866 of them, 5.20 DN."""
    cube = bench.Cube("flat", dict.fromkeys(bench.PLANES, np.full((240, 240), 1000.0)))
    for noise, wanted in ((20.0, 20.0), (None, 5.20)):
        ds = bench.Condition(noise=noise).inputs(cube)
        assert ds.B04.shape == (240, 240)
        assert ds.B01.shape == (40, 40)
        assert float(ds.B04.std()) == pytest.approx(wanted, rel=0.02)


def test_a_folder_of_cubes(bench: Any, tmp_path: Path) -> None:
    for name in ("one", "two"):
        np.savez(tmp_path / f"{name}.npz", cube=np.zeros((12, 50, 62), np.float32))
    found = list(bench.cubes(tmp_path))
    assert [cube.name for cube in found] == ["one", "two"]
    assert list(found[0].planes) == ["B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12"]
    assert found[0].planes["B09"].shape == (48, 60)
    assert not any(cube.chooses for cube in found)
    uses = '[{"file": "two", "use": "choose and report"}, {"file": "one", "use": "report only"}]'
    (tmp_path / "manifest.json").write_text(uses)
    assert {cube.name: cube.chooses for cube in bench.cubes(tmp_path)} == {"two": True, "one": False}


@pytest.mark.skipif(not CUBES.is_dir(), reason=f"no cubes: {CUBES} does not exist")
def test_the_adaptive_step_gains_at_the_true_10_m(bench: Any) -> None:
    cube = next(cube for cube in bench.cubes(CUBES) if cube.chooses)
    rows = bench.scores(cube, bench.Condition(), {"bicubic": ["bicubic"], "ours": None}, (False, True))
    np.testing.assert_array_equal(rows["bicubic", False], 1)
    for method in ("bicubic", "ours"):
        assert (rows[method, True] < rows[method, False]).all()
    assert rows["ours", True].mean() < rows["bicubic", True].mean()
