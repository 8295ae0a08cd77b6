"""What importing xr_s2sr adds to importing xarray and rioxarray.

    python tests/bench/import_time.py [--runs 15]

Each run is a fresh interpreter; the median is what counts. The target is at most 150 ms. Bytecode is kept from run to
run, as an installed package has it, also where PYTHONDONTWRITEBYTECODE is set.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile

CODE = """
import time
import xarray, rioxarray
started = time.perf_counter()
import xr_s2sr
print(1000 * (time.perf_counter() - started))
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=15)
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as kept:
        env = os.environ | {"PYTHONPYCACHEPREFIX": kept, "PYTHONDONTWRITEBYTECODE": ""}
        command = [sys.executable, "-c", CODE]
        found = [float(subprocess.check_output(command, env=env, text=True)) for _ in range(runs + 1)][1:]
    spread = f"{min(found):.0f} to {max(found):.0f}"
    print(f"import xr_s2sr adds {statistics.median(found):.0f} ms (median of {runs}; {spread})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
