"""Memory and processors that this process may use, and the window that a share of the memory holds.

Linux tells, also within containers; elsewhere all processors and the usual window are taken.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from xr_s2sr.planning import TILE
from xr_s2sr.spans import ceil_to_cell

#: Bytes that a packaged model needs for each 10 m pixel of a window on a CPU: as measured, 330 to 410, for about four
#: feature maps of the network and what the adaptive step holds; and some more.
BYTES_PER_PIXEL = 450
#: Further bytes for each of these and each band whose standard error is wanted: the errors, and a copy of both outputs.
BYTES_PER_ERROR = 12
#: Part of the free memory that the windows under way may take.
SHARE = 4
#: Largest side of a tile that is chosen: from here on, more memory would save little of the margin.
LARGEST_SIDE = 1440
#: The same in a task of dask: a chunk of the usual size is one window, where memory allows.
LARGEST_OF_TASK = 1920
#: Part of what a worker of dask may take, by its own limit, that windows may: beside them, blocks wait for others.
SHARE_OF_WORKER = 3

MEMINFO = Path("/proc/meminfo")
#: The control groups of this process, and where they are.
GROUPS, CGROUP = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")
#: The files of a group, in versions 2 and 1: limits, what is taken, and the line of memory.stat of what is given back.
MEMORY: tuple[tuple[tuple[str, ...], str, str], ...] = (
    (("memory.max", "memory.high"), "memory.current", "inactive_file"),
    (("memory.limit_in_bytes",), "memory.usage_in_bytes", "total_inactive_file"),
)


def available_memory() -> int | None:
    """Return the bytes that this process may still take, or None where nothing tells."""
    free = [int(line.split()[1]) * 1024 for line in _lines(MEMINFO) if line.startswith("MemAvailable:")]
    for group in _groups("memory"):
        for limits, used, cache in MEMORY:
            most = [int(line) for limit in limits for line in _lines(group / limit) if line.isdigit()]
            taken = sum(int(line) for line in _lines(group / used) if line.isdigit())
            # files that were read are kept in memory until somebody needs it
            kept = sum(int(line.split()[1]) for line in _lines(group / "memory.stat") if line.split()[:1] == [cache])
            free += [max(0, limit - max(0, taken - kept)) for limit in most]
    return min(free, default=None)


def processors() -> int:
    """Return the number of processors that this process may use: those it may run on, as far as its time goes."""
    own = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for group in _groups("cpu"):
        both = _lines(group / "cpu.max"), _lines(group / "cpu.cfs_quota_us") + _lines(group / "cpu.cfs_period_us")
        for quota, period in (" ".join(lines).split() for lines in both if lines):  # "max" and -1 are no quota
            if quota.isdigit():
                own = min(own, -(-int(quota) // int(period)))
    return max(1, own)


def _groups(controller: str) -> list[Path]:
    """Return the folders of this process's control group and of those around it, whose limits hold as well.

    In a container, the path of the group may be that outside of it; what lies at the top is then its own.
    """
    folders = [CGROUP, CGROUP / controller]  # of versions 2 and 1
    for line in _lines(GROUPS):
        _, kinds, path = line.split(":", 2)  # "0::/a/b" in version 2, "4:memory:/a/b" in version 1
        parts = [part for part in path.split("/") if part]
        if ".." not in parts and (not kinds or controller in kinds.split(",")):
            top = CGROUP / controller if kinds else CGROUP
            folders += [top.joinpath(*parts[: k + 1]) for k in range(len(parts))]
    return folders


def _lines(path: Path) -> list[str]:
    """Return the lines of a file of the kernel; none where it does not exist, or is not for us."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []


def largest_window(margin: int, threads: int, errors: int = 0) -> int:
    """Return the pixels of the largest window, its margin included, of which each thread may have one at once.

    For packaged networks, whose need is known.

    Parameters
    ----------
    margin, threads : int
    errors : int
        Number of bands whose standard errors the network gives besides.
    """
    free = available_memory()
    if free is None:
        return usual_window(margin)
    return _window(LARGEST_SIDE, margin, free // SHARE // threads, errors)


def largest_of_task(margin: int, errors: int = 0) -> int:
    """Return the pixels of the largest window in a task of dask, see :func:`largest_window`.

    As many tasks are expected to run at once as there are processors. Where memory is too short for that, they have
    windows of the usual size all the same.
    """
    usual, free, limit = usual_window(margin), available_memory(), worker_limit()
    shares = [] if free is None else [free // SHARE // processors()]
    shares += [] if limit is None else [limit // SHARE_OF_WORKER]
    return max(usual, _window(LARGEST_OF_TASK, margin, min(shares), errors)) if shares else usual


def worker_limit() -> int | None:
    """Return the bytes that a thread of this dask worker may take by the worker's limit; None without one."""
    distributed = sys.modules.get("distributed")  # in a worker, it is there
    if distributed is None:
        return None
    try:
        worker = distributed.get_worker()
    except ValueError:  # not in a task
        return None
    limit: int | None = worker.memory_manager.memory_limit
    return limit // worker.state.nthreads if limit else None


def _window(side: int, margin: int, share: int, errors: int) -> int:
    """Return the pixels of the largest window that a share of memory holds, its tile of `side` pixels at most."""
    most = (ceil_to_cell(side) + 2 * margin) ** 2
    return min(most, share // (BYTES_PER_PIXEL + BYTES_PER_ERROR * errors))


def usual_window(margin: int) -> int:
    """Return the pixels of a window, its margin included, around a tile of the usual size."""
    return (ceil_to_cell(TILE) + 2 * margin) ** 2
