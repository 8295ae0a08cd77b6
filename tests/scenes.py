"""Small scenes for the tests: pixels are random but smooth, coordinates are those of a real tile."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import xarray as xr

GSD = {
    **dict.fromkeys(("B02", "B03", "B04", "B08"), 10),
    **dict.fromkeys(("B05", "B06", "B07", "B8A", "B11", "B12"), 20),
    **dict.fromkeys(("B01", "B09", "B10"), 60),
}
TWELVE = tuple(band for band in GSD if band != "B10")
FINE = tuple(band for band in GSD if GSD[band] == 10)
RED_EDGE = tuple(band for band in GSD if GSD[band] == 20)
SIXTY = ("B01", "B09")
DIMS = {10: ("y", "x"), 20: ("y_20m", "x_20m"), 60: ("y_60m", "x_60m")}
LEFT, TOP = 300_000.0, 4_900_020.0
#: The dates of `cube`.
TIMES = np.array(["2021-06-01", "2022-06-01", "2023-06-01"], "M8[ns]")


def centres(gsd: int, n: int, start: float, sign: int) -> np.ndarray:
    return start + sign * gsd * (np.arange(n) + 0.5)


def pixels(shape: tuple[int, ...], seed: int, low: float = 600, high: float = 4000) -> np.ndarray:
    """Numbers between `low` and `high` that change slowly, with some grain."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[-2], : shape[-1]] / 4.0
    waves = np.sin(y * rng.uniform(0.5, 1.5) + seed) * np.cos(x * rng.uniform(0.5, 1.5))
    grain = rng.uniform(-0.3, 0.3, shape)
    return np.clip((waves + grain + 1.3) / 2.6, 0, 1) * (high - low) + low


def native(
    shape: tuple[int, int] = (60, 72),
    bands: Iterable[str] = TWELVE,
    *,
    dtype: Any = "uint16",
    scale: float = 1.0,
    base: float = 0.0,
    dims: Mapping[int, tuple[str, str]] = DIMS,
    lead: Mapping[str, Any] | None = None,
    crs: int | None = 32632,
    ascending: bool = False,
) -> xr.Dataset:
    """A scene in native form; DN of 600 to 4000, times `scale` plus `base`."""
    lead = dict(lead or {})
    ds = xr.Dataset(attrs={"title": "made for a test", "level": "L2A"})
    for k, band in enumerate(bands):
        gsd = GSD[band]
        h, w = (n * 10 // gsd for n in shape)
        data = pixels((*(len(v) for v in lead.values()), h, w), seed=k) * scale + base
        if np.dtype(dtype).kind in "iu":
            data = np.rint(data)
        y = centres(gsd, h, TOP, -1)
        if ascending:
            y, data = y[::-1], data[..., ::-1, :]
        rows, cols = dims[gsd]
        ds[band] = xr.DataArray(
            np.ascontiguousarray(data).astype(dtype),
            {
                **lead,
                rows: (rows, y, {"units": "metre", "my_note": "rows"}),
                cols: (cols, centres(gsd, w, LEFT, 1), {"units": "metre"}),
            },
            (*lead, rows, cols),
            attrs={"long_name": f"band {band}"},
        )
    if crs is not None:
        ds = ds.rio.write_crs(crs)
        for variable in ds.data_vars.values():
            variable.encoding["grid_mapping"] = "spatial_ref"
    return ds


def cube(baselines: Any = None, dtype: str = "uint16") -> xr.Dataset:
    """The same place on three dates; the last two have 1000 DN more, as from baseline 04.00 on."""
    ds = native((60, 60), lead={"time": TIMES}, dtype=dtype)
    shift = xr.DataArray(np.array([0, 1000, 1000], dtype), dims="time")
    ds = ds.map(lambda v: (v.isel(time=[0, 0, 0]).assign_coords(time=TIMES) + shift).astype(dtype).transpose(*v.dims))
    return ds if baselines is None else ds.assign_coords({"s2:processing_baseline": ("time", baselines)})


def coarsened(image: np.ndarray, factor: int) -> np.ndarray:
    """Mean of each factor x factor block."""
    h, w = image.shape[-2:]
    blocks = image.reshape(*image.shape[:-2], h // factor, factor, w // factor, factor)
    return blocks.astype(np.float64).mean((-3, -1))


def enlarged(mask: np.ndarray, factor: int) -> np.ndarray:
    """Each pixel repeated factor x factor times."""
    return mask.repeat(factor, -2).repeat(factor, -1)


def crop(ds: xr.Dataset, rows: int, cols: int) -> xr.Dataset:
    """The upper left corner, in 10 m pixels."""
    pieces = {}
    for suffix, factor in (("", 1), ("_20m", 2), ("_60m", 6)):
        pieces |= {"y" + suffix: slice(0, rows // factor), "x" + suffix: slice(0, cols // factor)}
    return ds.isel(pieces)


def as_float(ds: xr.Dataset, dtype: str = "float32") -> xr.Dataset:
    """Reflectance, with NaN for nodata."""
    out = (ds.where(ds > 0) / 10000).astype(dtype)
    for name in out.data_vars:
        out[name].attrs.clear()
    return out


def spoil(ds: xr.Dataset, seed: int = 0) -> xr.Dataset:
    """Blocks and single pixels without data, and saturated ones, in every band independently."""
    rng = np.random.default_rng(seed)
    ds = ds.copy(deep=True)
    for band in TWELVE:
        values = ds[band].values
        floating = values.dtype.kind == "f"
        marks = [np.nan, np.inf, -np.inf] if floating else [0, 65535]
        h, w = values.shape
        for mark in marks:
            values[rng.integers(h), rng.integers(w)] = mark
        i, j = rng.integers(h), rng.integers(w)
        values[i : i + max(1, h // 4), j : j + max(1, w // 4)] = marks[0]
    return ds
