"""One rectangle at one date: the same function in memory and in dask's tasks, and the pixels that it reads."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from scenes import RED_EDGE, SIXTY, native

from xr_s2sr.inference.region import Region, RegionAxis, chunk_axis, whole_axis
from xr_s2sr.inference.windows import make_plan
from xr_s2sr.planning import ModelRun
from xr_s2sr.scene.scene import read_scene
from xr_s2sr.spans import Span

dask = pytest.importorskip("dask")

DATES = {"time": np.array(["2021-05-01", "2021-05-11"], "datetime64[ns]")}


def test_eager_and_lazy_restore_by_one_function(toys: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    ds = native((60, 72), lead=DATES)
    seen: list[tuple[str, tuple[int, ...], tuple[int, int]]] = []
    original = Region.restore

    def counted(region: Region, index: tuple[int, ...], *rest: Any) -> None:
        rows, cols = region.axes
        seen.append((region.spec.run.model.card.name, index, (len(rows.covered), len(cols.covered))))
        original(region, index, *rest)

    monkeypatch.setattr(Region, "restore", counted)
    eager = ds.s2sr.upsample(model=toys)
    dates = [(0,), (1,)]
    both = ["toy-60m", "toy-20m"]
    assert seen == [(name, date, (60, 72)) for date in dates for name in both]
    seen.clear()
    lazy = ds.chunk(time=1).s2sr.upsample(model=toys, chunks=36)
    assert not seen
    with dask.config.set(scheduler="synchronous"):
        xr.testing.assert_identical(lazy.compute(), eager)
    sizes = [(30, 36)] * 4  # 60 rows are evened out
    assert sorted(seen) == sorted((name, date, size) for date in dates for name in both for size in sizes)


@pytest.mark.parametrize("lazy", [False, True])
def test_no_pixel_comes_from_elsewhere(lazy: bool, toys: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    def constant(region: Region, index: Any, images: Any, outputs: Mapping[str, np.ndarray], *rest: Any) -> None:
        for out in outputs.values():
            out[:] = 1234

    monkeypatch.setattr(Region, "restore", constant)
    ds = native((60, 72))
    sr = (ds.chunk() if lazy else ds).s2sr.upsample(model=toys)
    for band in (*RED_EDGE, *SIXTY):
        assert {*np.unique(sr[band])} == {1234}


def test_axes_by_hand() -> None:
    """A 20 m band that starts 40 m after the 10 m bands; everything in pixels of 10 m but what is cut."""
    ds = native((120, 72), ("B02", "B05"))
    scene = read_scene(ds.isel(y_20m=slice(2, None)))
    fine, coarse = scene.bands["B02"], scene.bands["B05"]
    domain = Span(4, 120), Span(0, 72)
    # the band's first pixel is the domain's; of the 10 m band four are left out
    assert whole_axis(0, Span(5, 120), domain, [fine, coarse]) == RegionAxis(
        116, Span(1, 116), ((Span(4, 120), 0), (Span(0, 58), 0))
    )
    # rows 54 to 64: the domain's cells of 60 m start at 4, 10, ... 52, 58; 12 more are read on both sides, and 24 that
    # tell areas of fill
    plan = make_plan((116, 72), 60, 12)
    middle = chunk_axis(0, Span(54, 64), domain, [fine, coarse], plan)
    assert middle == RegionAxis(12, Span(2, 12), ((Span(16, 100), -36), (Span(6, 48), -18)), (48, 60))
    # a coarse band alone is never fill for being even
    assert chunk_axis(0, Span(54, 64), domain, [coarse], plan).cuts == ((Span(18, 36), -6),)
    # at the upper end the read is mirrored: it needs no pixel before the first
    first = chunk_axis(0, Span(4, 10), domain, [fine, coarse], plan)
    assert first == RegionAxis(6, Span(0, 6), ((Span(4, 46), 0), (Span(0, 21), 0)), (0, 114))


def test_pixels_below_a_chunk() -> None:
    """Of the rows that are read, those that the output lies on: 54 to 64 are 38 to 48 of those from 16 on."""
    axis = RegionAxis(12, Span(2, 12), ((Span(16, 100), -36), (Span(6, 48), -18)))
    assert axis.below(0, 1) == slice(38, 48)
    assert axis.below(1, 2) == slice(19, 24)
    assert RegionAxis(6, Span(1, 6), ((Span(3, 9), 1),)).below(0, 2) == slice(0, 2)


def test_a_domain_holds_whole_pixels_of_all_bands(toys: list[Path]) -> None:
    from xr_s2sr.models import load

    scene = read_scene(native((60, 72)))
    run = ModelRun(load(toys[1]), SIXTY)
    assert run.factor == 6
    assert run.domain(scene, (Span(7, 59), Span(12, 31))) == (Span(6, 60), Span(12, 36))
