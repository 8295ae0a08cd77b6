"""The data statement: made from a manifest by its script, and what pages and pictures say agrees with it."""

from __future__ import annotations

import csv
import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest

DOCS = Path(__file__).parents[1] / "docs"

pytestmark = pytest.mark.skipif(not DOCS.is_dir(), reason="the documentation is not there")


@pytest.fixture(scope="module")
def script() -> Any:
    spec = importlib.util.spec_from_file_location("make_data", DOCS / "make_data.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def scenes(script: Any) -> list[dict[str, str]]:
    with script.TABLE.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def entry(**other: Any) -> dict[str, Any]:
    known = {"file": "a", "H": 120, "W": 60, "b60": True, "level": "L2A", "date": "2017-10-02", "split": "test"}
    known |= {"place": "lon -8.858 lat -37.326; CORINE: Sea", "licence": "x", "source": "who/what tests/a.tif"}
    return known | other


@pytest.mark.parametrize(
    ("other", "column", "expected"),
    [
        ({}, "place", "37.33° S 8.86° W"),
        ({"place": "T29SNB lon 8.858 lat 37.326"}, "place", "T29SNB, 37.33° N 8.86° E"),
        ({}, "size", "120 x 60"),
        ({"date": "?"}, "date", "unknown"),
        ({"level": "L2R (ACOLITE)"}, "level", "L2R"),
        ({}, "copy", "who/what"),
        ({"source": "PyPI configilm 0.2.0 wheel, x"}, "copy", "configilm 0.2.0 (PyPI)"),
        ({}, "collection", "none (a repository's own)"),
        ({}, "licence of the copy", "not stated"),
        ({"licence": "repo see LICENSE; MADOS CC BY 4.0"}, "licence of the copy", "see there"),
        ({"licence": "repo see LICENSE; MADOS CC BY 4.0"}, "licence", "CC BY 4.0"),
        ({"licence": "m MIT; BigEarthNet v2 CDLA-Permissive-1.0; imagery: MIT"}, "licence of the copy", "MIT"),
        ({"licence": "m MIT; BigEarthNet v2 CDLA-Permissive-1.0"}, "collection", "BigEarthNet v2"),
    ],
)
def test_a_line(script: Any, other: dict[str, Any], column: str, expected: str) -> None:
    assert script.row(entry(**other))[column] == expected


def test_held_out_scenes_come_first(script: Any, tmp_path: Path) -> None:
    splits = ("train-only", "train", "validation", "test")
    lines = script.table([entry(split=split) for split in splits])
    assert [line["split"] for line in lines] == ["test", "validation", "train", "train-only"]
    script.write(lines, tmp_path / "made.csv")
    with (tmp_path / "made.csv").open(encoding="utf-8", newline="") as file:
        assert list(csv.DictReader(file)) == lines


def test_every_scene_has_all_that_is_stated(scenes: list[dict[str, str]], script: Any) -> None:
    assert len(scenes) == len({line["scene"] for line in scenes})
    assert all(tuple(line) == script.COLUMNS and all(line.values()) for line in scenes)


def test_pages_give_the_number_of_scenes(scenes: list[dict[str, str]]) -> None:
    learned = sum(line["split"].startswith("train") for line in scenes)
    assert f"| {learned}, by place |" in (DOCS / "models.md").read_text(encoding="utf-8")


def test_pictures_show_held_out_scenes(scenes: list[dict[str, str]]) -> None:
    """And those of collections whose licence lets us show them."""
    shown = re.findall(r'Shown\(\s*"(\w+)"', (DOCS / "make_gallery.py").read_text(encoding="utf-8"))
    known = {line["scene"]: line for line in scenes}
    assert len(shown) == len([*(DOCS / "_static" / "gallery").iterdir()])
    assert {known[name]["split"] for name in shown} <= {"test", "validation"}
    assert {known[name]["licence"] for name in shown} <= {"CDLA-Permissive-1.0", "CC BY-SA 4.0"}
