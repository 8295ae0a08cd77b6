"""Memory and processors that this process may use, and the window that a share of the memory holds.

Linux tells, also within containers; elsewhere all processors and the usual window are taken.
"""

from __future__ import annotations

import os
from pathlib import Path

from xr_s2sr.planning import TILE
from xr_s2sr.spans import ceil_to_cell

#: Bytes that a packaged network needs for each 10 m pixel of a window on a CPU: about four of its feature maps, its
#: inputs and its output.
BYTES_PER_PIXEL = 400
#: Further bytes for each of these and each band whose standard error is wanted: the errors, and a copy of both outputs.
BYTES_PER_ERROR = 12
#: Part of the free memory that the windows under way may take.
SHARE = 4
#: Largest side of a tile that is chosen: from here on, more memory would save little of the margin.
LARGEST_SIDE = 1440
#: The same in a task of dask, beside which blocks wait for others.
LARGEST_OF_TASK = 960

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


def largest_window(margin: int, threads: int, errors: int = 0, side: int = LARGEST_SIDE) -> int:
    """Return the pixels of the largest window, its margin included, of which each thread may have one at once.

    For packaged networks, whose need is known.

    Parameters
    ----------
    margin, threads : int
    errors : int
        Number of bands whose standard errors the network gives besides.
    side : int
        Largest side of a tile.
    """
    most = (ceil_to_cell(side) + 2 * margin) ** 2
    free = available_memory()
    if free is None:
        return usual_window(margin)
    return min(most, free // SHARE // threads // (BYTES_PER_PIXEL + BYTES_PER_ERROR * errors))


def usual_window(margin: int) -> int:
    """Return the pixels of a window, its margin included, around a tile of the usual size."""
    return (ceil_to_cell(TILE) + 2 * margin) ** 2
