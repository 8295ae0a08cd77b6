"""dask.distributed: processes and threads, models that only the client has, and workers that die."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dask
import numpy as np
import pytest
import xarray as xr
from cluster_functions import sessions, slowly
from scenes import RED_EDGE, spoil
from toy_models import CARD_20, CARD_60, save

import xr_s2sr
from xr_s2sr.inference import engine

distributed = pytest.importorskip("distributed", reason="the extra dask is not installed")

# what a cluster says of itself while it starts and ends
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
SIZE = 126
CPU: dict[str, Any] = {"device": "cpu"}


@pytest.fixture(scope="module")
def scene() -> xr.Dataset:
    return spoil(xr_s2sr.tutorial.synthetic_scene(SIZE, seed=1)[0])


@pytest.fixture(scope="module")
def toys(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("toys")
    return [save(folder / "20.onnx", CARD_20), save(folder / "60.onnx", CARD_60)]


@pytest.fixture(scope="module")
def processes() -> Iterator[Any]:
    """Two worker processes of two threads."""
    with (
        dask.config.set({"distributed.worker.daemon": True}),
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=2, processes=True, dashboard_address=":0", memory_limit=0
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


def test_processes(processes: Any, scene: xr.Dataset) -> None:
    """Packaged models: the name travels, one session a process and model."""
    sr = scene.chunk(50).s2sr.upsample(chunks=66, **CPU)
    xr.testing.assert_identical(sr.compute(), scene.s2sr.upsample(**CPU))
    opened = dict(processes.run(sessions).values())
    assert os.getpid() not in opened
    assert max(opened.values()) <= 3  # for 20 m bands, for 60 m bands, and for what guides these


def test_a_model_that_only_the_client_has(processes: Any, scene: xr.Dataset, toys: list[Path], tmp_path: Path) -> None:
    own = [Path(shutil.copy(path, tmp_path)) for path in toys]
    eager = scene.s2sr.upsample(model=own, **CPU)
    sr = scene.chunk(50).s2sr.upsample(model=own, chunks=42, **CPU)
    for path in own:
        path.unlink()
    before = dict(processes.run(sessions).values())
    xr.testing.assert_identical(sr.compute(), eager)
    for process, count in processes.run(sessions).values():
        assert count <= before[process] + 2


def test_threads(scene: xr.Dataset, toys: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers in this process: no more windows at once than they have threads, and none of our own."""
    running, most, names = [0], [0], set()
    lock = threading.Lock()
    original = engine.OrtRunner.run

    def counted(self: engine.OrtRunner, inputs: Any) -> Any:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
            names.add(threading.current_thread().name)
        try:
            time.sleep(0.005)
            return original(self, inputs)
        finally:
            with lock:
                running[0] -= 1

    monkeypatch.setattr(engine.OrtRunner, "run", counted)
    eager = scene.s2sr.upsample(model=toys, threads=1, **CPU)
    names.clear()
    with (
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=3, processes=False, dashboard_address=":0", memory_limit=0
        ) as cluster,
        distributed.Client(cluster),
    ):
        xr.testing.assert_identical(
            scene.chunk(50).s2sr.upsample(model=toys, chunks=30, tile=12, **CPU).compute(), eager
        )
    assert 1 < most[0] <= 3
    assert not [name for name in names if name.startswith("xr_s2sr")]


def test_a_worker_that_is_killed(scene: xr.Dataset, toys: list[Path], tmp_path: Path) -> None:
    """In the middle of to_zarr: what it had done is done again elsewhere, and the file is complete."""
    model = toys[0]
    eager = scene.s2sr.upsample(RED_EDGE, model=model, **CPU)
    lazy = scene.chunk(42).map(lambda v: v.copy(data=v.data.map_blocks(slowly, dtype=v.dtype, meta=v.data._meta)))
    sr = lazy.s2sr.upsample(RED_EDGE, model=model, chunks=18, **CPU)
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0", memory_limit=0
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        victim = min(client.run(os.getpid).values())
        written = sr.to_zarr(tmp_path / "sr.zarr", compute=False, consolidated=False)
        future = client.compute(written)
        chunk = tmp_path / "sr.zarr" / "B05" / "c"
        deadline = time.monotonic() + 60
        while len(list(chunk.glob("*/*"))) < 8 and time.monotonic() < deadline:
            time.sleep(0.02)
        assert not future.done()
        os.kill(victim, signal.SIGKILL)
        future.result(timeout=120)
        assert victim not in client.run(os.getpid).values()
    again = xr.open_zarr(tmp_path / "sr.zarr", decode_coords="all", consolidated=False)
    xr.testing.assert_equal(again.compute(), eager)


def test_resources(scene: xr.Dataset, toys: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``dask.annotate`` where it is computed keeps the network on workers that have a GPU."""
    eager = scene.s2sr.upsample(RED_EDGE, model=toys[0], **CPU)
    ran = set()
    original = engine.OrtRunner.run

    def told(self: engine.OrtRunner, inputs: Any) -> Any:
        ran.add(distributed.get_worker().name)
        return original(self, inputs)

    monkeypatch.setattr(engine.OrtRunner, "run", told)
    sr = scene.chunk(50).s2sr.upsample(RED_EDGE, model=toys[0], chunks=30, **CPU)
    options = {"plain": {"nthreads": 2}, "gpu": {"nthreads": 2, "resources": {"GPU": 1}}}
    workers = {k: {"cls": distributed.Worker, "options": {"memory_limit": 0, **v}} for k, v in options.items()}
    scheduler = {"cls": distributed.Scheduler, "options": {"dashboard": False, "port": 0}}
    with (
        distributed.SpecCluster(workers, scheduler) as cluster,
        distributed.Client(cluster) as client,
        dask.annotate(resources={"GPU": 1}),
    ):
        written = sr.to_zarr(tmp_path / "sr.zarr", compute=False, consolidated=False)
        client.compute(written).result(timeout=60)
    assert ran == {"gpu"}
    again = xr.open_zarr(tmp_path / "sr.zarr", decode_coords="all", mask_and_scale=False, consolidated=False)
    xr.testing.assert_equal(again.compute(), eager)


def test_cog(processes: Any, scene: xr.Dataset, tmp_path: Path) -> None:
    rioxarray = pytest.importorskip("rioxarray")
    eager = scene.s2sr.upsample(model="bicubic")
    path = scene.chunk(50).s2sr.upsample(model="bicubic", chunks=42).s2sr.to_cog(tmp_path / "sr.tif")
    with rioxarray.open_rasterio(path) as cog:
        np.testing.assert_array_equal(cog, eager.to_dataarray())
