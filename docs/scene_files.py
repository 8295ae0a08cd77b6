"""Scenes of a folder (training.md) as Datasets, and pictures of them, for make_gallery.py and make_uncertainty.py."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr

from xr_s2sr.bands import BY_GSD
from xr_s2sr.plot.pyplot import line_of_text

STATIC = Path(__file__).parent / "_static"
GUTTER = 8


@dataclass(frozen=True)
class SceneFile:
    """A scene, and what its manifest says of it."""

    ds: xr.Dataset
    split: str
    level: str
    offset: float
    date: str

    @property
    def copernicus(self) -> str:
        """The notice that a picture must carry; some collections do not tell the date."""
        year = self.date[:4]
        return f"Contains modified Copernicus Sentinel data{f' {year}' if year.isdigit() else ''}"


def load(folder: Path, name: str) -> SceneFile:
    """Read a scene; its corner is put at the origin, as the files hold no coordinates."""
    entries = {entry["file"]: entry for entry in json.loads((folder / "manifest.json").read_text(encoding="utf-8"))}
    if name not in entries:
        raise SystemExit(f"{folder / 'manifest.json'} names no scene {name!r}, which a picture is made of")
    ds = xr.Dataset()
    with np.load(folder / f"{name}.npz") as arrays:
        for gsd in (gsd for gsd in (10, 20, 60) if f"b{gsd}" in arrays):
            dims = (f"y_{gsd}m", f"x_{gsd}m") if gsd > 10 else ("y", "x")
            for band, image in zip(BY_GSD[gsd], arrays[f"b{gsd}"], strict=True):
                y, x = (gsd * (np.arange(n) + 0.5) for n in image.shape)
                ds[band] = xr.DataArray(image, {dims[0]: -y, dims[1]: x}, dims, attrs={"nodata": 0})
    entry = entries[name]
    return SceneFile(ds, entry["split"], entry["level"], float(entry["offset"]), entry["date"])


def panel(image: np.ndarray, title: str, zoom: int) -> np.ndarray:
    """Enlarge a picture of shape (3, y, x), with its title above."""
    enlarged = image.repeat(zoom, 1).repeat(zoom, 2)
    return np.concatenate([text([title], enlarged.shape[2]), enlarged], axis=1)


def text(lines: Sequence[str], width: int) -> np.ndarray:
    """Draw lines of text on white, cut off at `width`."""
    return np.concatenate([line_of_text(line, width, 22) for line in lines], axis=1)


def joined(rows: Sequence[Sequence[np.ndarray]]) -> np.ndarray:
    """Put pictures of shape (3, y, x) side by side, and rows of them below each other."""
    strips = []
    for row in rows:
        height = max(image.shape[1] for image in row)
        parts = [np.pad(i, ((0, 0), (0, height - i.shape[1]), (0, GUTTER)), constant_values=255) for i in row]
        strips.append(np.concatenate(parts, axis=2)[..., :-GUTTER])
    width = max(strip.shape[2] for strip in strips)
    parts = [np.pad(s, ((0, 0), (0, GUTTER), (0, width - s.shape[2])), constant_values=255) for s in strips]
    return np.concatenate(parts, axis=1)[:, :-GUTTER]
