"""The benchmark that measures how much products are blurred finds what was put in."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xr_s2sr.bands import BY_GSD, NOMINAL_MTF

SCRIPT = Path(__file__).parents[1] / "bench" / "mtf.py"


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Any:
    spec = importlib.util.spec_from_file_location("mtf", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "mtf", module)  # where its dataclasses look for their module
    spec.loader.exec_module(module)
    return module


def ground(size: int) -> dict[str, np.ndarray]:
    """Bands at 10 m: mixtures of three textures, finer than any sensor sees them. Periodic."""
    textures = np.random.default_rng(3).standard_normal((3, size, size)) * 400
    textures += np.roll(textures, 1, axis=1) + np.roll(textures, 1, axis=2)
    weights = np.array([1, 0.7, 0.4])
    return {b: 9000 + np.tensordot(np.roll(weights, k % 3), textures, 1) for k, b in enumerate(NOMINAL_MTF)}


def seen(image: np.ndarray, mtf: float, factor: int) -> np.ndarray:
    """A Gaussian in the frequency domain, then the mean of blocks."""
    size = len(image)
    variance = -2 * np.log(mtf) * (factor / np.pi) ** 2 - (factor**2 - 1) / 12
    y, x = np.meshgrid(np.fft.fftfreq(size), np.fft.fftfreq(size), indexing="ij")
    blurred = np.fft.ifft2(np.fft.fft2(image) * np.exp(-2 * np.pi**2 * variance * (x**2 + y**2))).real
    return blurred.reshape(size // factor, factor, size // factor, factor).mean((1, 3))


@pytest.mark.parametrize(("gsd", "size", "mtf"), [(20, 96, 0.2), (20, 96, 0.34), (60, 216, 0.2)])
def test_both_estimators_find_what_was_put_in(bench: Any, gsd: int, size: int, mtf: float) -> None:
    bands = ground(size)
    guides = {b: seen(bands[b], NOMINAL_MTF[b], 1) for b in BY_GSD[10]}
    coarse = {b: seen(bands[b], mtf, gsd // 10) for b in BY_GSD[gsd][:2]}
    for found in bench.measure([bench.View("", gsd // 10, guides, coarse)]).values():
        assert found.regression == pytest.approx(mtf, abs=0.01)
        assert (found.y, found.x) == pytest.approx((mtf, mtf), abs=0.02)


def test_directions_are_told_apart(bench: Any) -> None:
    """Weights of .18 .64 .18 along the rows leave .64 of a wave of four pixels, coarse Nyquist, in `x` alone."""
    bands = ground(96)
    guides = {b: seen(bands[b], NOMINAL_MTF[b], 1) for b in BY_GSD[10]}
    soft = 0.64 * bands["B05"] + 0.18 * (np.roll(bands["B05"], 1, axis=1) + np.roll(bands["B05"], -1, axis=1))
    one, other = (
        bench.measure([bench.View("", 2, guides, {"B05": seen(image, 0.34, 2)})])["B05"]
        for image in (bands["B05"], soft)
    )
    assert other.nyquist_y / one.nyquist_y == pytest.approx(1, abs=0.05)
    assert other.nyquist_x / one.nyquist_x == pytest.approx(0.64, abs=0.05)


def test_the_table_has_one_vote_for_each_place(
    bench: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    monkeypatch.setattr(bench, "ENOUGH", 2)
    bands = ground(96)
    b10 = np.stack([seen(bands[b], NOMINAL_MTF[b], 1) for b in BY_GSD[10]])
    b20 = np.stack([seen(bands[b], 0.255, 2) for b in BY_GSD[20]])
    about = {"level": "L2A", "product": "S2B_MSIL2A_20200101", "split": "train"}
    entries = [about | {"file": name, "place": place} for name, place in (("a", "here"), ("b", "here"), ("c", "there"))]
    entries += [about | {"file": "left out", "place": "elsewhere", "split": "test"}]
    for entry in entries[:3]:
        np.savez(
            tmp_path / f"{entry['file']}.npz", b10=b10.round().astype(np.uint16), b20=b20.round().astype(np.uint16)
        )
    (tmp_path / "manifest.json").write_text(json.dumps(entries))
    assert bench.main(["--scenes", str(tmp_path), "--hidden", "3", "--json", str(tmp_path / "found.json")]) == 0
    said = capsys.readouterr().out
    assert [line for line in said.splitlines() if line in ("all scenes", "L1C", "L2A", "S2A", "S2B")] == [
        "all scenes",
        "L2A",
        "S2B",
    ]
    assert len(re.findall(r"^B8A +0\.33 +2 +0\.25\d", said, re.MULTILINE)) == 3
    # put in: .25; B03's texture is in none of the others
    assert len(re.findall(r"^B0[248] +20 m +1 +0\.2[456]\d", said, re.MULTILINE)) == 3
    rows = json.loads((tmp_path / "found.json").read_text())["scenes"]
    assert len(rows) == 3 * len(BY_GSD[20])
    assert {row["satellite"] for row in rows} == {"S2B"}
