"""The README's figures of xr_s2sr are those of the pages that state them, where they change with the weights."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.skipif(not (ROOT / "docs").is_dir(), reason="the documentation is not there")


def row(text: str, start: str, cells: int) -> list[float | None]:
    """Return the numbers of the first table row of so many cells that begins so; pairs such as 0.1 / 0.2 as two."""
    for line in text.splitlines():
        found = [cell.strip(" *") for cell in line.strip("|").split("|")]
        if re.fullmatch(rf"\W*{start}.*", found[0]) and len(found) == cells:
            numbers = re.split(r"\||/", "|".join(found[1:]).replace("*", ""))
            return [float(number) if number.strip() else None for number in numbers]
    raise AssertionError(f"no row of {cells} cells begins with {start}")


@pytest.mark.parametrize("method", ["xr_s2sr", "AESR"])
def test_figures_agree(method: str) -> None:
    readme = row((ROOT / "README.md").read_text(encoding="utf-8"), method, 7)
    scores = (ROOT / "docs" / "scores.md").read_text(encoding="utf-8")
    validation, test = scores.split("**Test scenes**", 1)
    at_10_m = row(validation, method if method == "AESR" else r"xr_s2sr$", 8)[:2]
    up = row(test, method if method == "AESR" else r"xr_s2sr$", 7)
    assert readme == [*at_10_m, up[0], up[3], up[1], up[4]]
