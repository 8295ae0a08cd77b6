"""Make ``scenes.csv``, the table of data.md, from the manifest of a folder of scenes.

``python docs/make_data.py --scenes DIR``. Run it again whenever scenes are added or change their split. A line says
where a scene lies, when it was taken, from which collection it was cut, under which licence, from whose copy, and
whether it was learned from.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
from pathlib import Path
from typing import Any

TABLE = Path(__file__).parent / "scenes.csv"
COLUMNS = (
    "scene", "split", "place", "date", "level", "size", "60 m", "collection", "licence", "copy", "licence of the copy",
)  # fmt: skip

#: What a manifest's licence or source says of a collection: its name and licence. The first that matches counts.
COLLECTIONS = (
    ("BigEarthNet v2", "BigEarthNet v2", "CDLA-Permissive-1.0"),
    ("BigEarthNet", "BigEarthNet", "CDLA-Permissive-1.0"),
    ("TerraMesh", "TerraMesh", "CC BY-SA 4.0"),
    ("Major-TOM", "Major TOM Core", "CC BY-SA 4.0"),
    ("MADOS", "MADOS", "CC BY 4.0"),
    ("Sen1Floods11", "Sen1Floods11", "not stated"),
    ("FloatingObjects", "FloatingObjects", "not stated"),
)
#: Named by nobody: the repository that holds the scene is all that is known.
ALONE = ("none (a repository's own)", "as the copy's")
STATED = re.compile(r"\b(Apache-2\.0|MIT|GPL-3(?:\.0)?)\b")


def row(entry: dict[str, Any]) -> dict[str, str]:
    """Return the line of one scene."""
    licence = entry["licence"].split("; imagery")[0]
    said = f"{licence} {entry['source']}"
    name, own = next(((name, own) for key, name, own in COLLECTIONS if key in said), ALONE)
    return {
        "scene": entry["file"],
        "split": entry["split"],
        "place": place(entry["place"]),
        "date": entry["date"] if entry["date"][:4].isdigit() else "unknown",
        "level": entry["level"].split(" (")[0],
        "size": f"{entry['H']} x {entry['W']}",
        "60 m": "yes" if entry["b60"] else "no",
        "collection": name,
        "licence": own,
        "copy": copy(entry["source"]),
        "licence of the copy": copy_licence(licence),
    }


def place(text: str) -> str:
    """Return a place as words, with coordinates in degrees where they are given as numbers alone."""
    text = re.split(r"; CORINE|; cloud", text)[0]

    def degrees(found: re.Match[str]) -> str:
        east, north = float(found[1]), float(found[2])
        return f"{abs(north):.2f}° {'NS'[north < 0]} {abs(east):.2f}° {'EW'[east < 0]}"

    text = re.sub(r"lon (-?[\d.]+) lat (-?[\d.]+)", degrees, text)
    return re.sub(r"^(T\d\d[A-Z]{3}) ", r"\1, ", text)


def copy(source: str) -> str:
    """Return the repository or package from which the scene was read."""
    if packaged := re.match(r"PyPI (\S+) (\S+)", source):
        return f"{packaged[1]} {packaged[2]} (PyPI)"
    return source.split()[0]


def copy_licence(text: str) -> str:
    """Return the licence that the copy's own repository states; a file of its own is not looked into."""
    repository = text.split("; ")[0]
    stated = list(dict.fromkeys(STATED.findall(repository)))
    if stated:
        return " or ".join(stated)
    return "see there" if "see" in repository.split() else "not stated"


def table(entries: list[dict[str, Any]]) -> list[dict[str, str]]:
    """Return a line a scene, held-out ones first."""
    order = ("test", "validation", "train", "train-only")
    return sorted(map(row, entries), key=lambda line: (order.index(line["split"]), line["scene"]))


def write(lines: list[dict[str, str]], path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=Path, required=True, metavar="DIR", help="folder with manifest.json")
    manifest = parser.parse_args().scenes / "manifest.json"
    lines = table(json.loads(manifest.read_text(encoding="utf-8")))
    write(lines, TABLE)
    print(f"wrote {TABLE}, {len(lines)} scenes")


if __name__ == "__main__":
    main()
