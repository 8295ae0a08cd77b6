"""Make ``_static/spectra.png``: what three degradations do to the spectrum of real bands.

Run it after a change of the degradations, with a folder of scenes as for training:
``python docs/make_spectra.py --scenes DIR``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from xr_s2sr.bands import BY_GSD, NOMINAL_MTF
from xr_s2sr.quality import PROTOCOLS, degradation_sigma, degrade
from xr_s2sr.training.scenes import load_scenes

PICTURE = Path(__file__).parent / "_static" / "spectra.png"
#: Colours that colour-blind people tell apart (Okabe and Ito).
COLOURS = {"native": "black", "sensor": "#009E73", "paper": "#D55E00", "mtf": "#0072B2"}
SHOWN = ("B05", "B8A", "B11")
FACTOR = 2
RINGS = 20


def spectrum(image: np.ndarray) -> np.ndarray:
    """Mean power of the waves of a square image, in rings up to the Nyquist frequency; a Hann window at the borders."""
    n = image.shape[0]
    window = np.outer(np.hanning(n), np.hanning(n))
    power = np.abs(np.fft.fft2((image - image.mean()) * window)) ** 2 / (window**2).sum()
    radius = np.hypot(*np.meshgrid(np.fft.fftfreq(n), np.fft.fftfreq(n)))
    ring = np.minimum((radius * 2 * RINGS).astype(int), RINGS)
    return np.bincount(ring.ravel(), power.ravel(), RINGS + 1)[:RINGS] / np.bincount(ring.ravel())[:RINGS]


def squares(image: np.ndarray, side: int) -> list[np.ndarray]:
    """The squares of an image, side by side."""
    h, w = (n // side for n in image.shape)
    return [image[i * side : (i + 1) * side, j * side : (j + 1) * side] for i in range(h) for j in range(w)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=Path, required=True)
    scenes = load_scenes(parser.parse_args().scenes, splits=("train", "validation"))
    figure, (left, *right) = plt.subplots(1, 1 + len(SHOWN), figsize=(13, 3.4), layout="constrained")
    frequency = np.linspace(0, 0.5, 101)
    native = np.sqrt(-2 * np.log(NOMINAL_MTF["B8A"])) / np.pi
    for protocol in PROTOCOLS:
        sigma = degradation_sigma(FACTOR, protocol, NOMINAL_MTF["B8A"] if protocol == "sensor" else None)
        fine = frequency / FACTOR  # the native band's own blur, the Gaussian, and the mean of 2 pixels
        whole = np.exp(-2 * (np.pi * fine) ** 2 * (native**2 + sigma**2)) * np.abs(np.cos(np.pi * fine))
        left.plot(frequency, whole, color=COLOURS[protocol], label=protocol)
    left.plot(frequency, np.exp(-2 * (np.pi * frequency * native) ** 2), "k--", label="native")
    left.set(title="MTF, B8A", xlabel="cycles per pixel", ylabel="contrast that is left", ylim=(0, 1))
    left.legend(fontsize="small")
    for axes, band in zip(right, SHOWN, strict=True):
        at = BY_GSD[20].index(band)
        found: dict[str, list[np.ndarray]] = {name: [] for name in COLOURS}
        for scene in scenes:
            image = scene.b20[at].astype(np.float64)
            for square in squares(image, 96):
                if not np.isfinite(square).all():
                    continue
                found["native"].append(np.mean([spectrum(part) for part in squares(square, 48)], axis=0))
                for protocol in PROTOCOLS:
                    found[protocol].append(spectrum(degrade(square, FACTOR, protocol, band=band)))
        for name, spectra in found.items():
            mean = np.exp(np.mean(np.log(spectra), axis=0))
            rings = (np.arange(RINGS) + 0.5) / (2 * RINGS)
            style = {"linestyle": "--", "zorder": 3} if name == "native" else {}
            axes.semilogy(rings[1:], mean[1:], color=COLOURS[name], label=name, **style)
        axes.set(title=f"{band}, {len(found['native'])} squares", xlabel="cycles per pixel")
    right[0].set_ylabel("power, DN²")
    right[-1].legend(fontsize="small")
    figure.savefig(PICTURE, dpi=100)
    print(f"wrote {PICTURE}, {PICTURE.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
