"""Real scenes where ../shared/data is there, and the tutorial's as their stand-in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from scenes import DIMS, FINE, GSD, RED_EDGE, SIXTY, TWELVE, centres

from xr_s2sr.tutorial import synthetic_scene

DATA = Path(__file__).parents[2] / "shared" / "data"
LEFT, TOP = 600_000.0, 4_300_020.0


def images(name: str) -> dict[str, np.ndarray]:
    """Pixels by band: of the tutorial's scene where all are valid, or of a real scene."""
    if name == "synthetic":
        whole = synthetic_scene(300)[0]
        return {band: whole[band].values[: 1800 // GSD[band], : 1800 // GSD[band]] for band in TWELVE}
    path = DATA / f"{name}.npz"
    if not path.is_file():
        pytest.skip(f"no real scene {path}")
    with np.load(path) as arrays:
        groups = (("b10", FINE), ("b20", RED_EDGE), ("b60", SIXTY))
        return {band: image for key, bands in groups for band, image in zip(bands, arrays[key], strict=True)}


def real(name: str) -> xr.Dataset:
    """A scene of the collection, or its stand-in "synthetic", placed in UTM zone 16."""
    ds = xr.Dataset(attrs={"title": name})
    for band, image in images(name).items():
        y, x = DIMS[GSD[band]]
        place = {y: centres(GSD[band], image.shape[0], TOP, -1), x: centres(GSD[band], image.shape[1], LEFT, 1)}
        ds[band] = xr.DataArray(image, place, (y, x), attrs={"nodata": 0})
    ds = ds.rio.write_crs("EPSG:32616")
    for variable in ds.data_vars.values():
        variable.encoding["grid_mapping"] = "spatial_ref"
    return ds
