"""What is left behind by a full disk, a kill, and several processes that write one target: the old, or the new."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import xarray as xr
from writers import BANDS, expected, pixels, processes, version, write_on, write_some

from xr_s2sr import replacing
from xr_s2sr.errors import WriteError
from xr_s2sr.io import write
from xr_s2sr.io.write import save

pytest.importorskip("zarr")
pytest.importorskip("netCDF4")
pytest.importorskip("dask")

FORMS = ("sr.tif", "sr", "sr.zarr", "sr.nc")
posix = pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL and processes that are forked")
pytestmark = pytest.mark.filterwarnings("ignore:Consolidated metadata:UserWarning")


# -- a full disk ------------------------------------------------------------------------------------------------------


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[tuple[Path, Callable[[int], None]]]:
    """A folder that is a disk of its own, and a function that sets its size in KiB."""
    place = tmp_path / "disk"
    place.mkdir()

    def mount(options: str) -> bool:
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
        return subprocess.run(command, capture_output=True).returncode == 0

    if shutil.which("mount") is None or not mount("size=64m"):
        pytest.skip("a tmpfs cannot be mounted here: that takes root on Linux")

    def resize(kib: int) -> None:
        assert mount(f"remount,size={kib}k"), f"{used(place)} of {kib} KiB are taken"

    try:
        yield place, resize
    finally:
        subprocess.run(["umount", str(place)], check=True)


def used(place: Path) -> int:
    """KiB that are taken on a disk."""
    state = os.statvfs(place)
    return (state.f_blocks - state.f_bfree) * state.f_frsize // 1024


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("form", FORMS)
def test_on_a_full_disk_the_old_or_the_new_is_left(
    disk: tuple[Path, Callable[[int], None]], form: str, lazy: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At every size around the one that is needed; GDAL loses the error of its last flush, HDF5 crashes."""
    if lazy:
        monkeypatch.setattr(write, "IN_MEMORY", 0)  # pixels go to the disk before there is a COG
    place, resize = disk
    out = place / form
    save(version(0), out)
    old, full, new = expected(0), used(place), version(1)
    assert pixels(out) == old
    new = new.chunk(y=100, x=150) if lazy else new

    def fits(kib: int) -> bool:
        resize(kib)
        message = ""
        try:
            save(new, out)
        except WriteError as problem:
            message = str(problem)
        assert not message or str(out) in message
        assert pixels(out) == (old if message else expected(1)), f"{kib} KiB"
        assert [path.name for path in place.iterdir()] == [form], f"{kib} KiB"
        resize(65536)
        if not message:
            save(version(0), out)
        return not message

    low, high = full // 8, 8192  # in steps of 8 KiB
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if fits(8 * middle) else (middle, high)
    enough = [fits(8 * step) for step in range(high - 16, high + 5)]
    assert {True, False} == {*enough}


@pytest.mark.parametrize(("text", "error"), [("NetCDF: HDF error", WriteError), ("of a task", RuntimeError)])
@posix
def test_what_the_netcdf_library_raises(
    text: str, error: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the disk fills up only then, or a quota ends; what a graph raises stays as it is."""

    def fail(ds: xr.Dataset, path: Path) -> None:
        kept_open.append(path.open("wb"))
        kept_open[0].write(bytes(100))
        kept_open[0].flush()
        raise RuntimeError(text)

    kept_open: list[Any] = []
    (tmp_path / "sr.nc").write_text("old")
    monkeypatch.setattr(xr.Dataset, "to_netcdf", fail)
    with pytest.raises(error, match=text):
        save(version(0), tmp_path / "sr.nc")
    assert os.fstat(kept_open[0].fileno()).st_size == 0  # else the disk stays full until the process ends
    kept_open[0].close()
    assert (tmp_path / "sr.nc").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["sr.nc"]


# -- a kill -----------------------------------------------------------------------------------------------------------


@posix
@pytest.mark.parametrize("form", FORMS)
def test_a_kill_leaves_the_old_or_the_new(form: str, tmp_path: Path) -> None:
    """At random moments; of a folder, each file is old or new. A first write leaves all or nothing."""
    out, context, rng = tmp_path / form, processes(), random.Random(form)
    versions = [expected(0), expected(1)]
    for turn in range(12):
        begun, child_end = context.Pipe(duplex=False)
        child = context.Process(target=write_on, args=(out, turn, child_end))
        child.start()
        child_end.close()
        assert begun.poll(60)
        time.sleep(rng.uniform(0, 0.3))
        os.kill(child.pid, signal.SIGKILL)
        child.join()
        begun.close()
        for path in tmp_path.iterdir():  # what the kill left of the write is aside, and hidden
            assert path == out or (path.name.startswith(f".{form}.") and path.name.endswith(".part"))
        if form == "sr":
            for k, band in enumerate(BANDS):
                if (out / f"{band}.tif").exists():
                    assert pixels(out / f"{band}.tif")[0] in [both[k] for both in versions]
        elif out.exists():
            assert pixels(out) in versions
    assert any(tmp_path.glob(".*.part"))  # else no write was hit
    save(version(2), out)
    assert pixels(out) == expected(2)


# -- several processes ------------------------------------------------------------------------------------------------


@posix
@pytest.mark.parametrize("form", FORMS)
def test_processes_that_write_one_target(form: str, tmp_path: Path) -> None:
    """One complete result wins, none fails; of a folder, one of each file."""
    out, context = tmp_path / form, processes()
    for _ in range(2):  # over nothing, and over what the first round left
        start, failures = context.Barrier(4), context.SimpleQueue()
        writers = [context.Process(target=write_some, args=(out, k, 3, start, failures)) for k in range(4)]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
        assert failures.empty(), failures.get()
        assert [writer.exitcode for writer in writers] == [0] * 4
        assert [path.name for path in tmp_path.iterdir()] == [form]
        versions = [expected(k) for k in range(4)]
        if form == "sr":
            assert all(image in [each[k] for each in versions] for k, image in enumerate(pixels(out)))
        else:
            assert pixels(out) in versions


def test_folders_that_are_put_in_one_place_at_once(tmp_path: Path) -> None:
    """Over nothing and over each other."""

    def write(target: Path, start: threading.Barrier, number: int) -> None:
        start.wait()
        for _ in range(3):
            with replacing.replaced(target, "zarr", lambda part: None) as part:
                (part / "all.zarr").mkdir()
                for name in ("zarr.json", ".zattrs"):
                    (part / "all.zarr" / name).write_text(str(number))

    with ThreadPoolExecutor(4) as pool:
        for turn in range(60):
            target, start = tmp_path / f"{turn}.zarr", threading.Barrier(4)
            list(pool.map(write, [target] * 4, [start] * 4, range(4)))
            assert (target / "zarr.json").read_text() == (target / ".zattrs").read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(f"{turn}.zarr" for turn in range(60))
