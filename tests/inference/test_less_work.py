"""Work that is not done: windows without a valid pixel, second looks at clean bands, second reads of a file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from scenes import FINE, RED_EDGE, SIXTY, native
from toy_models import CARD_20

from xr_s2sr import kernels
from xr_s2sr.bands import Output
from xr_s2sr.inference import blending, eager, memory, region
from xr_s2sr.inference.engine import OrtRunner
from xr_s2sr.inference.tiles import BandPixels, RegionJob
from xr_s2sr.inference.windows import Plan, balanced_plan, make_plan
from xr_s2sr.kernels import INVALID, SATURATED, VALID
from xr_s2sr.planning import RunOptions
from xr_s2sr.scene.pixels import numba_ready
from xr_s2sr.scene.radiometry import Radiometry, resolve_radiometry
from xr_s2sr.spans import Span

BANDS = [*RED_EDGE, *SIXTY]


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """Shapes of the windows that meet a network, as (bands, rows, columns) of its 10 m input."""
    seen: list[tuple[int, ...]] = []
    original = OrtRunner.run

    def counted(self: OrtRunner, inputs: dict[str, Any]) -> Any:
        seen.append(inputs["b10"].shape)
        return original(self, inputs)

    monkeypatch.setattr(OrtRunner, "run", counted)
    return seen


def emptied(ds: xr.Dataset, rows: slice, names: tuple[str, ...]) -> xr.Dataset:
    """Nodata in some rows, counted at 10 m."""
    ds = ds.copy(deep=True)
    for name in names:
        factor = 120 // ds[name].shape[0]
        ds[name].values[rows.start // factor : rows.stop // factor] = 0
    return ds


# -- windows without a valid pixel ------------------------------------------------------------------------------------


@pytest.mark.parametrize("names", [FINE, ("B03",), RED_EDGE], ids=["guides", "one guide", "targets"])
@pytest.mark.parametrize("threads", [1, 2])
def test_an_empty_half_does_not_meet_the_network(
    names: tuple[str, ...], threads: int, toys: list[Path], runs: list[Any]
) -> None:
    ds = emptied(native((120, 120)), slice(60, 120), names)
    sr = ds.s2sr.upsample(list(RED_EDGE), model=toys[:1], tile=60, threads=threads)
    assert len(runs) == 2  # of four windows
    for band in RED_EDGE:
        assert (sr[band].values[60:] == 0).all()
        assert (sr[band].values[:60] > 0).all()


def test_targets_decide_together(toys: list[Path], runs: list[Any]) -> None:
    ds = emptied(native((120, 120)), slice(60, 120), ("B05", "B11"))
    sr = ds.s2sr.upsample(["B05", "B11"], model=toys[:1], tile=60)
    assert len(runs) == 2
    assert (sr.B05.values[60:] == 0).all()
    runs.clear()
    sr = ds.s2sr.upsample(["B05", "B06"], model=toys[:1], tile=60)
    assert len(runs) == 4
    assert (sr.B06.values > 0).all()


def test_one_valid_pixel_is_restored(toys: list[Path], runs: list[Any]) -> None:
    ds = emptied(native((120, 120)), slice(60, 120), FINE)
    for name in FINE:
        ds[name].values[70, 33] = 1000
    sr = ds.s2sr.upsample(list(RED_EDGE), model=toys[:1], tile=60)
    assert len(runs) == 3
    assert [*np.argwhere(sr.B05.values[60:] > 0).ravel()] == [10, 33]


def test_a_saturated_half_keeps_its_mark(toys: list[Path], runs: list[Any]) -> None:
    ds = native((120, 120))
    for name in RED_EDGE:
        ds[name].values[30:] = 65535
    sr = ds.s2sr.upsample(list(RED_EDGE), model=toys[:1], tile=60)
    assert len(runs) == 2
    assert (sr.B05.values[60:] == 65535).all()


def test_an_empty_scene(toys: list[Path], runs: list[Any]) -> None:
    ds = emptied(native((120, 120)), slice(0, 120), FINE)
    sr = ds.s2sr.upsample(model=toys)
    assert not runs
    assert all((sr[band] == 0).all() for band in BANDS)


@pytest.mark.parametrize("margin", [None, 6], ids=["side by side", "blended"])
def test_skipping_changes_no_bit(margin: int | None, toys: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Eager, lazy, and with a network that is asked about every window."""
    ds = emptied(native((120, 120)), slice(50, 104), FINE)
    how: dict[str, Any] = {"model": toys, "tile": 24, "margin": margin}
    skipped = ds.s2sr.upsample(BANDS, **how)
    lazy = ds.chunk().s2sr.upsample(BANDS, chunks=48, **how).compute()
    monkeypatch.setattr(blending, "any_valid", lambda codes: True)
    asked = ds.s2sr.upsample(BANDS, **how)
    for band in BANDS:
        np.testing.assert_array_equal(skipped[band].values, asked[band].values, err_msg=band)
        np.testing.assert_array_equal(skipped[band].values, lazy[band].values, err_msg=band)


def test_blended_windows_are_skipped_too(toys: list[Path], runs: list[Any]) -> None:
    ds = emptied(native((120, 120)), slice(48, 120), FINE)
    ds.s2sr.upsample(list(RED_EDGE), model=toys[:1], tile=24, margin=6)
    # five rows of windows keep 6 rows beyond their 24: the third, from 42 on, still has valid ones
    assert len(runs) == 3 * 5


# -- codes ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def radiometry() -> Radiometry:
    return resolve_radiometry(xr.DataArray(np.ones((2, 2), "uint16"), dims=("y", "x")))


def test_codes_of_guides_and_target(radiometry: Radiometry) -> None:
    """Every combination of two guides and a target, against the rule spelled out."""
    marks = {VALID: 1000, INVALID: 0, SATURATED: 65535}
    states = [VALID, INVALID, SATURATED]
    grid = np.array(np.meshgrid(states, states, states, indexing="ij")).reshape(3, 27)
    images = [np.vectorize(marks.get)(grid[k])[np.newaxis].repeat(6, 0).astype("uint16") for k in range(3)]
    pad = [np.pad(image, ((0, 0), (0, 3)), constant_values=1000) for image in images]
    pixels = {
        "B02": BandPixels(pad[0].repeat(2, 0).repeat(2, 1), (0, 0), 1, radiometry),
        "B04": BandPixels(pad[1].repeat(2, 0).repeat(2, 1), (0, 0), 1, radiometry),
        "B05": BandPixels(pad[2], (0, 0), 2, radiometry),
    }
    out = np.empty((12, 60), np.uint16)
    rows, cols = Span(0, 12), Span(0, 60)
    job = RegionJob(CARD_20, None, pixels, {Output("B05"): out}, (rows, cols))  # type: ignore[arg-type]
    job.finish(np.full((6, 12, 60), 0.5, np.float32), rows, cols)
    for column, (one, two, own) in enumerate(grid.T):
        if INVALID in (one, two, own) or (SATURATED in (one, two) and own == VALID):
            expected = 0
        else:
            expected = 65535 if own == SATURATED else 1000
        assert (out[:, 2 * column : 2 * column + 2] == expected).all(), (one, two, own)


def test_clean_bands_are_not_gathered_twice(toys: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    ds = native((120, 120))
    calls: list[int] = []
    original: Callable[..., int] = kernels.gather

    def counted(*args: Any) -> int:
        calls.append(1)
        return original(*args)

    monkeypatch.setattr(kernels, "gather", counted)
    ds.s2sr.upsample(list(RED_EDGE), model=toys[:1], tile=60, threads=1)
    assert len(calls) == 4 * 10  # four windows, ten inputs
    calls.clear()
    ds.B03.values[100, 100] = 0
    ds.s2sr.upsample(list(RED_EDGE), model=toys[:1], tile=60, threads=1)
    assert len(calls) == 4 * 10 + 4  # of B03, to see what is valid


def test_a_file_is_read_once_for_both_models(toys: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    native((60, 72)).drop_vars("spatial_ref").drop_encoding().to_netcdf(tmp_path / "scene.nc")
    read: list[tuple[int, ...]] = []

    def noted(array: Any) -> Any:
        read.append(array.shape)
        return numba_ready(array)

    monkeypatch.setattr(eager, "numba_ready", noted)
    with xr.open_dataset(tmp_path / "scene.nc", cache=False) as ds:
        sr = ds.s2sr.upsample(BANDS, model=toys, units="dn")
    assert sorted(read) == [(10, 12)] * 2 + [(30, 36)] * 6 + [(60, 72)] * 4
    assert (sr.B01 > 0).all()


# -- windows ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("threads", [1, 2, 3, 8])
@pytest.mark.parametrize("shape", [(6, 6), (60, 66), (600, 600), (1440, 1440), (10980, 10980), (10980, 300), (2000, 7)])
@pytest.mark.parametrize("largest", [300**2, 816**2, 1536**2])
def test_balanced_windows(shape: tuple[int, int], threads: int, largest: int) -> None:
    plan = balanced_plan(shape, 48, threads, largest)
    rows, cols = plan.window_shape
    smallest = (240 + 96) ** 2
    assert rows * cols <= max(largest, smallest)
    assert all(side % 6 == 0 for side in plan.tile)
    usual = make_plan(shape, 720, 48)
    if largest >= 816**2:  # never worse for the busiest thread than windows of the usual size
        rounds, before = -(-len(plan) // threads), -(-len(usual) // threads)
        assert rounds * rows * cols <= before * usual.window_shape[0] * usual.window_shape[1]


def test_balanced_windows_by_hand() -> None:
    # one thread, memory for all: one window
    assert balanced_plan((600, 600), 48, 1, 1536**2).counts == (1, 1)
    # two threads: halves
    assert sorted(balanced_plan((600, 600), 48, 2, 1536**2).counts) == [1, 2]
    # too small to be cut
    assert balanced_plan((240, 240), 48, 8, 1536**2).counts == (1, 1)
    # three windows of 480 would leave one of two threads idle at the end
    assert len(balanced_plan((1440, 480), 48, 2, 816 * 600)) % 2 == 0


@pytest.mark.parametrize("shape", [(100, 100), (720, 726), (1000, 1500), (480, 480)])
def test_the_number_of_windows_does_not_depend_on_what_is_filled(shape: tuple[int, int]) -> None:
    """It is counted before the pixels are seen."""
    from xr_s2sr import models
    from xr_s2sr.planning import ModelRun

    run = ModelRun(models.load("s2sr-20m"), RED_EDGE)
    spec = region.RegionSpec(run, {}, (), RunOptions(None, None, "cpu", 1))
    assert spec.plan(shape, 0).counts == spec.plan(shape).counts
    assert spec.plan(shape, 0).margin < spec.plan(shape).margin
    # memory for a tile with the margin of 36, and not with that of 48
    tight = (shape[0] + 72) * (shape[1] + 72)
    assert spec.plan(shape, 0, tight).counts == spec.plan(shape, largest=tight).counts


def test_blended_windows_keep_the_usual_tile() -> None:
    """Their result depends on it, and must not on memory or threads."""
    from xr_s2sr import models
    from xr_s2sr.planning import ModelRun

    run = ModelRun(models.load("s2sr-20m"), RED_EDGE)
    plans = [
        region.RegionSpec(run, {}, (), RunOptions(None, 12, "cpu", threads)).plan((1500, 1500), 12, largest)
        for threads, largest in ((1, None), (2, 400**2), (8, 5000**2))
    ]
    assert [plan.tile for plan in plans] == [(504, 504)] * 3


@pytest.mark.parametrize(
    ("threads", "free", "expected"),
    [
        (1, 64 * 10**9, 1536**2),
        (1, 2_000_000_000, 1_111_111),  # a quarter of it, 450 bytes for each pixel
        (4, 2_000_000_000, 277_777),
        (2, None, 816**2),
    ],
)
def test_the_largest_window(monkeypatch: pytest.MonkeyPatch, threads: int, free: int | None, expected: int) -> None:
    monkeypatch.setattr(memory, "available_memory", lambda: free)
    assert memory.largest_window(48, threads) == expected


@pytest.mark.parametrize(
    ("processors", "free", "expected"),
    [
        (2, 64 * 10**9, 1992**2),  # a tile of 1920 pixels
        (4, 7_200_000_000, 1_000_000),  # a quarter, for as many tasks as processors
        (64, 2_000_000_000, 792**2),  # the usual window in any case
        (2, None, 792**2),
    ],
)
def test_the_largest_window_of_a_task(
    monkeypatch: pytest.MonkeyPatch, processors: int, free: int | None, expected: int
) -> None:
    from xr_s2sr import models
    from xr_s2sr.planning import ModelRun

    monkeypatch.setattr(memory, "available_memory", lambda: free)
    monkeypatch.setattr(memory, "processors", lambda: processors)
    options = RunOptions(None, None, "cpu", None)
    spec = region.RegionSpec(ModelRun(models.load("s2sr-20m"), RED_EDGE), {}, (), options)
    assert spec.plan((6, 6)).margin == 36
    assert spec.largest(None) == expected


def test_standard_errors_count_in_the_largest_window(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of six bands: the errors take 24 bytes a pixel, and the copy of both outputs 48."""
    from xr_s2sr import models
    from xr_s2sr.planning import ModelRun

    monkeypatch.setattr(memory, "available_memory", lambda: 2_000_000_000)
    assert memory.largest_window(48, 1, errors=6) == 500_000_000 // 522
    options, model = RunOptions(None, None, "cpu", 2), models.load("s2sr-20m")
    for uncertainty, needed in ((None, 450), ("float32", 522)):
        # the model computes all of its bands, whichever are wanted
        spec = region.RegionSpec(ModelRun(model, ("B05",), uncertainty=uncertainty), {}, (), options)
        assert spec.largest(None) == 250_000_000 // needed


def test_a_worker_of_dask_keeps_to_its_own_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """3.2 GB for two threads: a third of what each one has, 450 bytes for each pixel."""
    monkeypatch.setattr(memory, "available_memory", lambda: 640 * 10**9)
    distributed = pytest.importorskip("distributed", reason="distributed is not installed")
    assert memory.worker_limit() is None
    how = {"n_workers": 1, "threads_per_worker": 2, "memory_limit": 3_200_000_000, "dashboard_address": None}
    with distributed.LocalCluster(processes=False, **how) as cluster, distributed.Client(cluster) as client:
        assert client.submit(memory.worker_limit).result() == 1_600_000_000
        assert client.submit(memory.largest_of_task, 36).result() == 1_600_000_000 // 3 // 450


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, str]], None]:
    """Put files of a kernel in the place of those of this machine: "meminfo", "group", and others below "cgroup"."""
    monkeypatch.setattr(memory, "MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "GROUPS", tmp_path / "group")
    monkeypatch.setattr(memory, "CGROUP", tmp_path / "cgroup")

    def write(files: dict[str, str]) -> None:
        for name, content in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(content)

    return write


Machine = Callable[[dict[str, str]], None]
FREE = {"meminfo": "MemTotal:  9000 kB\nMemFree:  10 kB\nMemAvailable:   4000 kB\n"}


def test_available_memory(machine: Machine) -> None:
    assert memory.available_memory() is None
    machine(FREE)
    assert memory.available_memory() == 4000 * 1024
    machine({"cgroup/memory.max": "max\n", "cgroup/memory.current": "1000000\n"})
    assert memory.available_memory() == 4000 * 1024
    machine({"cgroup/memory.max": "3000000\n"})
    assert memory.available_memory() == 2_000_000
    machine({"cgroup/memory.current": "3500000\n"})
    assert memory.available_memory() == 0


STAT = "anon 500000\nfile 2400000\ninactive_anon 100\nactive_file 300000\ninactive_file 2000000\n"
#: What the kernel says, by how a process is confined: it took 2.5 MB of 3, 2 MB of these for files that were read.
CONFINED: dict[str, dict[str, str]] = {
    "version 2, a container": {
        "group": "0::/\n",
        "cgroup/memory.max": "3000000\n",
        "cgroup/memory.current": "2500000\n",
        "cgroup/memory.stat": STAT,
    },
    "version 2, a service": {
        "group": "0::/system.slice/own.service\n",
        "cgroup/system.slice/own.service/memory.max": "3000000\n",
        "cgroup/system.slice/own.service/memory.current": "2500000\n",
        "cgroup/system.slice/own.service/memory.stat": STAT,
        "cgroup/system.slice/other.service/memory.max": "1\n",
        "cgroup/system.slice/other.service/memory.current": "1\n",
    },
    "version 2, around it": {
        "group": "0::/user.slice/app\n",
        "cgroup/user.slice/memory.max": "3000000\n",
        "cgroup/user.slice/memory.current": "2500000\n",
        "cgroup/user.slice/memory.stat": STAT,
        "cgroup/user.slice/app/memory.max": "max\n",
        "cgroup/user.slice/app/memory.current": "1000\n",
    },
    "version 2, throttled": {
        "group": "0::/a\n",
        "cgroup/a/memory.max": "max\n",
        "cgroup/a/memory.high": "3000000\n",
        "cgroup/a/memory.current": "2500000\n",
        "cgroup/a/memory.stat": STAT,
    },
    "version 1": {
        "group": "5:cpu,cpuacct:/other\n4:memory:/slurm/job:1\n1:name=systemd:/\n0::/\n",
        "cgroup/memory/slurm/job:1/memory.limit_in_bytes": "3000000\n",
        "cgroup/memory/slurm/job:1/memory.usage_in_bytes": "2500000\n",
        "cgroup/memory/slurm/job:1/memory.stat": STAT.replace("inactive_file", "total_inactive_file")
        + "inactive_file 0\nhierarchical_memory_limit 3000000\n",
        "cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
        "cgroup/memory/memory.usage_in_bytes": "8000000\n",
    },
    "version 1, a container that sees the path outside": {
        "group": "4:memory:/docker/0123abc\n",
        "cgroup/memory/memory.limit_in_bytes": "3000000\n",
        "cgroup/memory/memory.usage_in_bytes": "2500000\n",
        "cgroup/memory/memory.stat": STAT.replace("inactive_file", "total_inactive_file"),
    },
    "out of the namespace": {
        "group": "0::/../elsewhere\n",
        "cgroup/memory.max": "3000000\n",
        "cgroup/memory.current": "2500000\n",
        "cgroup/memory.stat": STAT,
        "elsewhere/memory.max": "1\n",
        "elsewhere/memory.current": "1\n",
    },
}


@pytest.mark.parametrize("how", CONFINED)
def test_available_memory_where_a_process_is_confined(how: str, machine: Machine) -> None:
    machine(FREE | CONFINED[how])
    assert memory.available_memory() == 3_000_000 - (2_500_000 - 2_000_000)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, 8),
        ({"group": "0::/a\n", "cgroup/a/cpu.max": "max 100000\n"}, 8),
        ({"group": "0::/a\n", "cgroup/a/cpu.max": "250000 100000\n"}, 3),
        ({"group": "0::/a/b\n", "cgroup/a/cpu.max": "200000 100000\n", "cgroup/a/b/cpu.max": "max 100000\n"}, 2),
        ({"group": "0::/\n", "cgroup/cpu.max": "10000 100000\n"}, 1),
        (
            {
                "group": "3:cpu,cpuacct:/a\n4:memory:/\n",
                "cgroup/cpu/a/cpu.cfs_quota_us": "400000\n",
                "cgroup/cpu/a/cpu.cfs_period_us": "100000\n",
                "cgroup/cpu/cpu.cfs_quota_us": "-1\n",
                "cgroup/cpu/cpu.cfs_period_us": "100000\n",
            },
            4,
        ),
    ],
)
def test_processors(files: dict[str, str], expected: int, machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory.os, "sched_getaffinity", lambda pid: range(8), raising=False)
    machine(files)
    assert memory.processors() == expected


@pytest.mark.parametrize("outer", [None, ((0, 6), (12, 0))])
@pytest.mark.parametrize("tile", [6, 12, 18, 30])
def test_halves_write_the_same_pixels(tile: int, outer: Any) -> None:
    """They read the margin around what they write, and no further than the window that was too large."""
    plan = Plan((50, 37), (tile, 24), 12, outer=outer)
    for window in plan:
        waiting, written = [window], np.zeros(plan.shape, int)
        while waiting:
            part = waiting.pop()
            halves = part.halves(plan.margin)
            if halves is not None:
                waiting += halves
                continue
            for own, read, write in zip(window.read, part.read, part.write, strict=True):
                assert len(write) <= 6
                assert read.start <= max(own.start, write.start - 12)
                assert read.stop >= min(own.stop, write.stop + 12)
                assert len(read) <= 6 + 24 or read == own
            written[part.write[0].slice, part.write[1].slice] += 1
        rows, cols = window.write
        assert written.sum() == len(rows) * len(cols)
        assert (written[rows.slice, cols.slice] == 1).all()
