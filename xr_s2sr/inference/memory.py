"""Memory of the machine, and the window that a share of it holds. Linux tells; elsewhere the usual window is taken."""

from __future__ import annotations

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
LARGEST = 1440

MEMINFO = Path("/proc/meminfo")
CGROUP = Path("/sys/fs/cgroup")


def available_memory() -> int | None:
    """Return the bytes that this process may still take, or None where nothing tells."""
    free = []
    if MEMINFO.is_file():
        for line in MEMINFO.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("MemAvailable:"):
                free.append(int(line.split()[1]) * 1024)
    limit, used = CGROUP / "memory.max", CGROUP / "memory.current"
    if limit.is_file() and used.is_file() and (most := limit.read_text(encoding="ascii").strip()).isdigit():
        free.append(max(0, int(most) - int(used.read_text(encoding="ascii"))))
    return min(free, default=None)


def largest_window(margin: int, threads: int, errors: int = 0) -> int:
    """Return the pixels of the largest window, its margin included, of which each thread may have one at once.

    For packaged networks, whose need is known.

    Parameters
    ----------
    margin, threads : int
    errors : int
        Number of bands whose standard errors the network gives besides.
    """
    most = (ceil_to_cell(LARGEST) + 2 * margin) ** 2
    free = available_memory()
    if free is None:
        return usual_window(margin)
    return min(most, free // SHARE // threads // (BYTES_PER_PIXEL + BYTES_PER_ERROR * errors))


def usual_window(margin: int) -> int:
    """Return the pixels of a window, its margin included, around a tile of the usual size."""
    return (ceil_to_cell(TILE) + 2 * margin) ** 2
