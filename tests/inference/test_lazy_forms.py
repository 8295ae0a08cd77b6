"""Every form in which scenes are held, and offsets by date: lazy gives what eager gives, computing nothing before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import xarray as xr
from eopf_products import product
from holders import at_10_m
from scenes import cube, native

import xr_s2sr

dask = pytest.importorskip("dask")


def refuse(*args: Any, **kwargs: Any) -> None:
    raise AssertionError("something was computed")


def scene() -> xr.Dataset:
    return native((96, 108))


def stacked() -> xr.DataArray:
    ds = at_10_m(scene())
    return ds.to_dataarray("band").expand_dims(time=2).transpose("time", "band", "y", "x").copy()


FORMS: dict[str, Callable[[], Any]] = {
    "native": scene,
    "copies on the 10 m grid": lambda: at_10_m(scene()),
    "DataArray": stacked,
    "DataTree": lambda: product(scene()),
    "offsets by date": lambda: cube(["02.14", "04.00", "05.09"]),
    "masked": lambda: (scene() * 1e-4).where(scene() > 700),
}


@pytest.mark.parametrize("name", FORMS)
def test_lazy_is_eager(name: str) -> None:
    held = FORMS[name]()
    eager = xr_s2sr.upsample(held)
    chunked = held.chunk()
    if isinstance(held, xr.Dataset):  # chunk() takes coordinates along; no reader makes them lazy
        chunked = chunked.assign_coords(held.coords)
    with dask.config.set(scheduler=refuse):
        lazy = xr_s2sr.upsample(chunked)
    pairs = [(eager, lazy)] if isinstance(eager, xr.DataArray) else [(eager[b], lazy[b]) for b in eager.data_vars]
    for want, found in pairs:
        assert found.chunks is not None
        assert found.dtype == want.dtype
        assert found.dims == want.dims
        np.testing.assert_array_equal(found.values, want.values)
    assert set(lazy.coords) == set(eager.coords)


def test_lazy_tree_with_the_result_in_it() -> None:
    tree = product(scene())
    lazy = tree.chunk().s2sr.upsample(into=True)
    eager = tree.s2sr.upsample(into=True)
    node = "measurements/reflectance/r10m"
    for band in eager[node].data_vars:
        np.testing.assert_array_equal(lazy[node][band].values, eager[node][band].values)


def test_a_contradiction_is_told_by_the_task() -> None:
    """What is too dark for a scene may do for a chunk: a warning; what is too bright may not."""
    ds = cube(["05.09"] * 3).map(lambda v: (v // 10).astype("uint16"))
    lazy = ds.chunk().s2sr.upsample(["B05"])
    with pytest.warns(xr_s2sr.S2SRWarning, match=r"darker than scenes are.*which would be a reflectance of -0") as told:
        lazy.B05.compute()
    assert len(told) == 1
    bright = (ds.astype("float32") * 10).chunk().s2sr.upsample(["B05"])
    with pytest.raises(
        xr_s2sr.errors.RadiometryError, match=r"'B0.' has a median of .* at index \(\d,\), which would be"
    ):
        bright.B05.compute()


@pytest.mark.parametrize("chunks", [{}, {"y": 17, "x": 23}])
def test_lazy_copies_are_checked_when_they_are_read(chunks: dict[str, int]) -> None:
    held = at_10_m(scene())
    good = held.chunk(chunks).s2sr.upsample(["B11"], model="bicubic")
    np.testing.assert_array_equal(good.B11, held.s2sr.upsample(["B11"], model="bicubic").B11)
    smooth = held.assign(B11=held.B11.rolling(x=3, min_periods=1, center=True).mean().astype("uint16"))
    lazy = smooth.chunk(chunks).s2sr.upsample(["B11", "B05"], model="bicubic")
    with pytest.raises(xr_s2sr.errors.GridError, match=r"'B11' was taken for copies of 20 m .*resolution=20"):
        lazy.B11.compute()


def test_lazy_copies_of_another_phase_are_refused() -> None:
    """Shifted by one pixel against the tile: in memory the pixels tell, in dask the first block does."""
    held = at_10_m(scene())
    moved = held.assign(B11=held.B11.roll(x=1))
    with pytest.raises(xr_s2sr.errors.GridError, match="pixels differ inside of a cell"):
        moved.chunk().s2sr.upsample(["B11"], model="bicubic").B11.compute()
