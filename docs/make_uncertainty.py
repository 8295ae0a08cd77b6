"""Make the pictures of uncertainty.md: ``python docs/make_uncertainty.py --scenes DIR [--others DIR]``.

DIR is a folder of scenes as training.md describes it. Each scene is degraded with the protocol "sensor" and restored
with its standard errors, so that the native band is the truth. --others also draws scenes whose collections have no
licence that would let us show them, into a folder of your own. Run it again after a change of the packaged models.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from scene_files import STATIC, SceneFile, load

BORDER = 12  # pixels left out of the scores, as everywhere
AROUND = 5  # side of the squares over which errors are put together, in pixels


@dataclass(frozen=True)
class Shown:
    """A scene, and one band of it."""

    scene: str
    title: str
    band: str
    licence: str


SHOWN = {
    "forest": Shown("ben_20170927T094019_66_56", "Forest and fields", "B12", "BigEarthNet, CDLA-Permissive-1.0"),
    "dry": Shown("terramind_38D_378R_2_3_L2A", "Dry land", "B12", "TerraMesh, CC BY-SA 4.0"),
    "coast": Shown("terramind_282D_485L_3_3_L2A", "Coast", "B12", "TerraMesh, CC BY-SA 4.0"),
}
#: No licence file in their collections, so these are not for publication.
OTHERS = {
    "cloud": Shown("ssl4eo_sig_T24KVE_20180710", "Cloud", "B12", "no licence file"),
    "roofs": Shown("hvn2_usa", "Fields and roofs", "B12", "no licence file"),
}


def restored(scene: SceneFile, band: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the restored band, its standard error and the truth, as reflectance."""
    low = scene.ds.s2sr.degrade(2, protocol="sensor", offset=scene.offset)
    sr = low.s2sr.upsample(band, uncertainty=True, device="cpu", offset=scene.offset, progress=False)
    # the degraded scene covers whole larger pixels only, so its result may be smaller than the native band
    truth = scene.ds[band].sel(y_20m=sr.y.values, x_20m=sr.x.values, method="nearest", tolerance=1)
    image, known = (a.values.astype(float) + scene.offset for a in (sr[band], truth))
    return image / 1e4, sr[f"{band}_uncertainty"].values / 1e4, known / 1e4


def local_rmse(error: np.ndarray) -> np.ndarray:
    """Return the root mean square of the errors in a square around each pixel: what a standard error predicts."""
    padded = np.pad(error**2, AROUND // 2, mode="symmetric")
    return np.sqrt(np.lib.stride_tricks.sliding_window_view(padded, (AROUND, AROUND)).mean((2, 3)))


def figure(scene: SceneFile, shown: Shown) -> Any:
    """Draw the band, and on one scale what was predicted of its errors and what they are."""
    image, predicted, truth = restored(scene, shown.band)
    error = abs(image - truth)
    learned = "not seen in training" if scene.split == "validation" else "the network learned from this scene"
    inner = (slice(BORDER, -BORDER),) * 2
    one, two = (f"{float((error <= k * predicted)[inner].mean()):.0%}" for k in (1, 2))
    fig, axes = plt.subplots(1, 4, figsize=(13, 3.4 * image.shape[0] / image.shape[1] + 0.5), layout="compressed")
    top = float(np.percentile(np.concatenate([predicted.ravel(), error.ravel()]), 99))
    low, high = np.percentile(image, (1, 99))
    band = axes[0].imshow(image, cmap="gray", vmin=low, vmax=high, interpolation="nearest")
    for ax, values in zip(axes[1:], (predicted, error, local_rmse(error)), strict=True):
        drawn = ax.imshow(values, cmap="viridis", vmin=0, vmax=top, interpolation="nearest")
    fig.colorbar(band, ax=axes[0], label="reflectance", pad=0.02, extend="both")
    fig.colorbar(drawn, ax=list(axes[1:]), label="reflectance", pad=0.02, extend="max")
    titles = f"{shown.band}, restored from 40 m to 20 m", "predicted standard error"
    titles += "true absolute error", f"true RMSE, {AROUND} × {AROUND} pixels"
    for ax, title in zip(axes, titles, strict=True):
        ax.set_title(title, fontsize="small")
        ax.set(xticks=[], yticks=[])
    about = f"{shown.title} ({learned}): {one} of the pixels within one standard error, {two} within two"
    fig.suptitle(about, fontsize="medium")
    fig.supxlabel(f"{scene.copernicus}. {shown.licence}", fontsize="x-small")
    return fig


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=Path, required=True, metavar="DIR", help="folder with manifest.json")
    parser.add_argument("--others", type=Path, metavar="DIR", help="draw scenes that may not be published, into DIR")
    arguments = parser.parse_args()
    mpl.use("Agg")
    wanted = [(STATIC / "uncertainty", name, shown) for name, shown in SHOWN.items()]
    if arguments.others:
        wanted += [(arguments.others, name, shown) for name, shown in OTHERS.items()]
    for folder, name, shown in wanted:
        folder.mkdir(parents=True, exist_ok=True)
        fig = figure(load(arguments.scenes, shown.scene), shown)
        path = folder / f"{name}.png"
        fig.savefig(path, dpi=90, bbox_inches="tight", pad_inches=0.05, metadata={"Software": None})
        plt.close(fig)
        print(f"wrote {path}, {path.stat().st_size / 1000:.0f} kB: {fig._suptitle.get_text()}")


if __name__ == "__main__":
    main()
