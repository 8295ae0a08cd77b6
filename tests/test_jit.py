"""Compiled loops are those of the source, whatever is in numba's cache on disk."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

RULES = """
import numpy as np
from xr_s2sr.jit import jit

LIMIT = 5
TABLE = np.array([1.0, 2.0])

@jit
def inner(x):
    return x + 1

@jit
def outer(x):
    return inner(x)
"""
LOOPS = """
from xr_s2sr.jit import jit
from loops_of_a_test import rules
from loops_of_a_test.rules import LIMIT, TABLE, outer

@jit
def calls(x):
    return outer(x)

@jit
def constant(x):
    return x + LIMIT

@jit
def array(x):
    return x + TABLE[1]

@jit
def by_module(x):
    return rules.outer(x) + rules.LIMIT

@jit
def alone(x):
    return x - 1
"""
RUN = """
from loops_of_a_test import loops
for name in ("calls", "constant", "array", "by_module", "alone"):
    loop = getattr(loops, name)
    print(loop(1), sum(loop.stats.cache_hits.values()))
"""


def run(folder: Path) -> list[tuple[float, bool]]:
    """Results of the loops in a new process, and whether each came from the cache."""
    paths = os.pathsep.join([str(folder), str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    env = {**os.environ, "PYTHONPATH": paths, "NUMBA_CACHE_DIR": str(folder / "cache")}
    done = subprocess.run([sys.executable, "-c", RUN], env=env, capture_output=True, text=True, check=True)
    return [(float(line.split()[0]), line.endswith(" 1")) for line in done.stdout.splitlines()]


def test_an_edit_of_what_a_loop_takes_from_elsewhere_is_seen(tmp_path: Path) -> None:
    package = tmp_path / "loops_of_a_test"
    package.mkdir()
    rules = package / "rules.py"
    for path, text in ((package / "__init__.py", ""), (rules, RULES), (package / "loops.py", LOOPS)):
        path.write_text(text)
    before = [2, 6, 3, 7, 0]
    assert run(tmp_path) == [(result, False) for result in before]
    assert run(tmp_path) == [(result, True) for result in before]
    edited = RULES
    for old, new in (("return x + 1", "return x + 3"), ("LIMIT = 5", "LIMIT = 6"), ("[1.0, 2.0]", "[1.0, 3.0]")):
        assert old in edited
        edited = edited.replace(old, new)
    rules.write_text(edited)
    assert run(tmp_path) == [(4, False), (7, False), (4, False), (10, False), (0, True)]
    rules.write_text(RULES)
    assert run(tmp_path) == [(result, True) for result in before], "what was compiled before is still there"
