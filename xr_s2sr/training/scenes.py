"""Scenes to learn from: a folder of ``.npz`` files with a manifest, or a Dataset as ``upsample`` takes it.

An ``.npz`` holds b10 (4, H, W), b20 (6, H/2, W/2) and perhaps b60 (2, H/6, W/6), uint16 DN, and is listed in the
folder's ``manifest.json`` with its split.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xr_s2sr.bands import BY_GSD
from xr_s2sr.errors import BandError, InputError
from xr_s2sr.layouts.normalize import to_native
from xr_s2sr.scene.pixels import dn, measured_in
from xr_s2sr.scene.plausibility import check_pixels
from xr_s2sr.spans import CELL

Array = NDArray[np.float32]
#: Name of a tile of Sentinel-2 in the name of a product or place.
TILE = re.compile(r"T\d{2}[A-Z]{3}\b")


@dataclass(frozen=True)
class TrainingScene:
    """One place and date: native-resolution DN, nested grids with a common upper left corner; NaN where invalid."""

    name: str
    split: str
    b10: Array
    b20: Array
    b60: Array | None
    level: str = ""
    #: The tile or, where that is not known, the place: scenes that share it are much alike.
    place: str = ""

    def crop(self, multiple: int) -> TrainingScene:
        """Return the upper left part whose 10 m size is a multiple of `multiple`."""
        h, w = (n // multiple * multiple for n in self.b10.shape[-2:])
        b60 = None if self.b60 is None else self.b60[:, : h // 6, : w // 6]
        return replace(self, b10=self.b10[:, :h, :w], b20=self.b20[:, : h // 2, : w // 2], b60=b60)


def load_scenes(
    folder: str | Path, *, splits: tuple[str, ...] | None = None, required: bool = True
) -> list[TrainingScene]:
    """Read the scenes that the folder's manifest lists.

    Parameters
    ----------
    folder : path
        Holds ``manifest.json`` and the ``.npz`` files.
    splits : tuple of str, optional
        Keep these splits only ("train", "train-only", "validation").
    required : bool
        Whether it is an error to find none.

    Raises
    ------
    FileNotFoundError
        If there is no manifest, or no scene of these splits.
    """
    folder = Path(folder)
    manifest = folder / "manifest.json"
    if not manifest.is_file():
        raise FileNotFoundError(f"{manifest} not found: a folder of scenes has a manifest.json that lists them")
    scenes = []
    for entry in json.loads(manifest.read_text()):
        if splits is not None and entry["split"] not in splits:
            continue
        with np.load(folder / f"{entry['file']}.npz") as z:
            b60 = z["b60"].astype(np.float32) if "b60" in z else None
            b10, b20 = z["b10"].astype(np.float32), z["b20"].astype(np.float32)
        where = entry.get("place", entry["file"])
        tile = TILE.search(f"{where} {entry.get('product', '')}")
        place = tile[0] if tile else where
        scenes.append(TrainingScene(entry["file"], entry["split"], b10, b20, b60, entry.get("level", ""), place))
    if required and not scenes:
        raise FileNotFoundError(f"no scene of the splits {splits} is listed in {manifest}")
    return scenes


def scene_of(ds: xr.Dataset, name: str) -> TrainingScene:
    """Turn a Dataset of one date into a scene: what all its bands cover, in whole 60 m cells.

    Parameters
    ----------
    ds : Dataset
        As for :func:`xr_s2sr.upsample`, with all 10 m and 20 m bands; B01 and B09 are taken where they are.
    name : str

    Returns
    -------
    TrainingScene

    Raises
    ------
    BandError
        If a 10 m or 20 m band is missing.
    GridError, RadiometryError
        As for :func:`xr_s2sr.upsample`.
    InputError
        If there are several dates.
    """
    scene = to_native(ds).read()
    gsds = (10, 20, 60) if all(band in scene.variables for band in BY_GSD[60]) else (10, 20)
    bands = [band for gsd in gsds for band in BY_GSD[gsd]]
    missing = [band for band in bands if band not in scene.variables]
    if missing:
        raise BandError(f"missing {', '.join(missing)}; training needs all 10 m and 20 m bands. Load them too")
    scene.check()
    scene = check_pixels(scene, bands)
    if scene.fine.ndim != 2:
        raise InputError(f"{scene.fine.name!r} has dims {scene.fine.dims}; select one date: ds.isel(time=0)")
    anchor = scene.bands[bands[-1]].start
    rows, cols = (span.whole(at, CELL, CELL) for span, at in zip(scene.common_extent(bands), anchor, strict=True))
    if not (len(rows) and len(cols)):
        raise InputError(f"the bands have {len(rows)} x {len(cols)} pixels of 10 m in common; expected 60 m or more")
    images = {
        band: dn(measured_in(scene, band, (rows, cols)), scene.bands[band].radiometry).astype(np.float32)
        for band in bands
    }
    b10, b20, *rest = (np.stack([images[band] for band in BY_GSD[gsd]]) for gsd in gsds)
    return TrainingScene(name, "train", b10, b20, rest[0] if rest else None)
