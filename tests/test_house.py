"""The picture of the package in the documentation is that of the code."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[1] / "docs" / "make_house.py"


@pytest.fixture(scope="module")
def house() -> Any:
    spec = importlib.util.spec_from_file_location("make_house", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_picture_is_up_to_date(house: Any) -> None:
    drawn = house.picture(house.imports())
    assert drawn == house.PICTURE.read_text(encoding="utf-8"), "the rooms have changed: python docs/make_house.py"


def test_every_room_says_what_is_in_it(house: Any) -> None:
    graph = house.imports()
    assert set(graph) == set(house.CONTENT)
    assert set().union(*graph.values()) <= set(graph)
    # a character of 10 px sans-serif takes 5 px at most in the mean
    assert max(map(len, house.CONTENT.values())) * 5 < house.WIDTH


def test_the_page_of_trust_names_tests_that_exist() -> None:
    root = SCRIPT.parents[1]
    named = re.findall(r"`(tests/[^`]*)`", (root / "docs" / "trust.md").read_text(encoding="utf-8"))
    assert len(named) > 10
    assert [path for path in named if not (root / path).is_file()] == []


def test_what_follows_is_not_drawn(house: Any) -> None:
    """Over a detour too, and each arrow leads down."""
    graph = {"a": {"b", "c", "d"}, "b": {"c"}, "c": {"d"}, "d": set(), "e": {"a", "d"}, "f": {"d"}}
    drawn = {"a": {"b"}, "b": {"c"}, "c": {"d"}, "d": set(), "e": {"a"}, "f": {"d"}}
    assert house.reduced(graph) == drawn
    floor, place = house.places(graph)
    assert floor == {"d": 0, "c": 1, "f": 1, "b": 2, "a": 3, "e": 4}
    assert all(place[below][1] > place[name][1] for name, others in graph.items() for below in others)
    assert len(re.findall('class="arrow"', house.picture(graph))) == 5


def test_arrows_go_past_other_rooms(house: Any) -> None:
    """A room in the way is passed on its right."""
    (x, width), between = (100, house.WIDTH), [(100.0, 200.0)]
    straight = house.arrow((x, 0), (x, 400), [])
    assert max(float(number) for number in re.findall(r"(\d+),", straight)) == x + width / 2
    around = house.arrow((x, 0), (x, 400), between)
    assert max(float(number) for number in re.findall(r"(\d+),", around)) > x + width


def test_the_page_names_files_that_exist(house: Any) -> None:
    """The table "Where do I go to ...?" and the commands."""
    page = (SCRIPT.parent / "contributing.md").read_text(encoding="utf-8")
    root = SCRIPT.parents[1]
    inside = set(re.findall(r"`(\w+(?:/\w+)*\.py)`", page)) - {"eager.py", "lazy.py", "tiles.py", "engine.py"}
    commands = set(re.findall(r"\b(?:tests|docs)/[\w/]+\.py", page))
    assert len(inside) > 20
    assert len(commands) > 7
    missing = [path for path in inside if not ((root / path).is_file() or (house.PACKAGE / path).is_file())]
    assert missing + [path for path in commands if not (root / path).is_file()] == []
    assert {path.name for path in (root / "tests" / "bench").glob("*.py")} <= {path.split("/")[-1] for path in commands}
