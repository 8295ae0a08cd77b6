"""The files that a scene is read from, so that writing can keep away from them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import xarray as xr

from xr_s2sr.io.safe_files import is_product, locate
from xr_s2sr.scene.result import sources
from xr_s2sr.targets import check_path, linked


def home_of(path: Path) -> Path:
    """Return what a scene lies in: the file or folder that was named, or the product of which it is a part."""
    if not is_product(check_path(path)):
        return path
    files = locate(path)
    return Path(files.root) if files.archive is None else files.archive


def inputs(path: Path | None, ds: xr.Dataset, models: Iterable[str] | None) -> set[Path]:
    """Return the files and folders that a scene on disk and models are read from.

    Parameters
    ----------
    path : Path or None
        Of the scene; None if it is not on disk.
    ds : Dataset
        The scene, as it was opened.
    models : iterable of str, optional
        Names of models, of which some may be files.
    """
    found = {Path(name) for name in models or () if Path(name).is_file()} | read_from(ds)
    if path is None:
        return found
    home = home_of(path)
    # of a folder of files, only those are read that `ds` names
    whole = home.is_dir() and (is_product(path) or home.suffix.lower() == ".zarr")
    return found | {path, home} | (linked(home) if whole else set())


def read_from(ds: xr.Dataset) -> set[Path]:
    """Return the files on disk from which a scene, or the scene of a result, was read."""
    return {Path(name) for name in sources(ds) if "\0" not in name and Path(name).is_file()}
