"""Make ``_static/house.svg``: the rooms of the package and which imports which, read from the source.

Run it after a change of the rooms: ``python docs/make_house.py``. Imports inside functions count as well. Imports that
follow from others are not drawn: where A imports B and B imports C, an arrow from A to C is left out.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from graphlib import TopologicalSorter
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "xr_s2sr"
PICTURE = Path(__file__).parent / "_static" / "house.svg"

#: Modules at the top level that are one room.
ROOMS = {
    "ground": (
        "errors",
        "bands",
        "spans",
        "arguments",
        "interpolation",
        "psf",
        "kernels",
        "regression",
        "local_regression",
        "runtime",
        "targets",
        "replacing",
        "version",
    ),
    "models": ("models", "importers"),
    "face": ("__init__", "accessor"),
}
CONTENT = {
    "ground": "errors, bands, kernels, local regression, targets",
    "face": "xr_s2sr.upsample, .s2sr",
    "api": "upsample, validate",
    "scene": "grids, CRS, units, valid pixels, report",
    "layouts": "the forms of other libraries, to native form and back",
    "models": "cards, registry, ONNX files, Keras import",
    "planning": "which model restores which band, from what",
    "inference": "windows, registration, engine, eager, lazy",
    "io": "SAFE, GeoTIFF, JP2, Zarr, NetCDF; COG",
    "quality": "metrics, degradation, evaluate, consistency",
    "plot": "before and after, slider, reliability",
    "training": "patches, networks, loop, export",
    "tutorial": "the built-in scene",
    "cli": "xr-s2sr demo, info, upsample, evaluate, train ...",
}
#: Of a box, the distances between boxes, and what is left free beside them for arrows; in pixels.
WIDTH, HEIGHT, GAP, RISE, SIDE = 280, 46, 26, 36, 70


def room(path: Path) -> str:
    """Return the room of a module: its folder, or a name for some of the modules at the top level."""
    top = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    return next((name for name, modules in ROOMS.items() if top in modules), top)


def imports() -> dict[str, set[str]]:
    """Rooms, and the rooms that each imports from."""
    rooms = {path: room(path) for path in sorted(PACKAGE.rglob("*.py"))}
    graph: dict[str, set[str]] = {name: set() for name in rooms.values()}
    for path, name in rooms.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module == "xr_s2sr":
                modules = [f"xr_s2sr.{alias.name}" for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                modules = [node.module or ""]
            for module in modules:
                package, _, below = module.partition(".")
                if package == "xr_s2sr":
                    graph[name].add(_room_of(below.partition(".")[0]))
        graph[name].discard(name)
    return graph


def _room_of(top: str) -> str:
    """Return the room of a name below the package; functions and __version__ are those of the face."""
    if top and ((PACKAGE / top).is_dir() or (PACKAGE / f"{top}.py").is_file()):
        return room(PACKAGE / f"{top}.py")
    return "face"


def reduced(graph: dict[str, set[str]]) -> dict[str, set[str]]:
    """Leave out the imports that follow from others."""

    def reach(name: str) -> set[str]:
        return graph[name].union(*(reach(below) for below in graph[name]))

    return {name: {b for b in below if not any(b in reach(o) for o in below - {b})} for name, below in graph.items()}


def places(graph: dict[str, set[str]]) -> tuple[dict[str, int], dict[str, tuple[float, float]]]:
    """Return the floor of each room, above all that it imports, and the upper left corner of its box."""
    floor: dict[str, int] = {}
    for name in TopologicalSorter(graph).static_order():
        floor[name] = 1 + max((floor[below] for below in graph[name]), default=-1)
    floors: dict[int, list[str]] = defaultdict(list)
    for name in sorted(floor):
        floors[floor[name]].append(name)
    middle = SIDE + max(map(len, floors.values())) * (WIDTH + GAP) / 2
    place: dict[str, tuple[float, float]] = {}
    for level in sorted(floors):
        # over what they import, so that few arrows cross
        names = sorted(floors[level], key=lambda name: _mean([place[below][0] for below in graph[name]]))
        left = middle - (len(names) * (WIDTH + GAP) - GAP) / 2
        for i, name in enumerate(names):
            place[name] = left + i * (WIDTH + GAP), (max(floors) - level) * (HEIGHT + RISE) + RISE / 2
    return floor, place


def _mean(numbers: list[float]) -> float:
    return sum(numbers) / len(numbers) if numbers else 0


def arrow(start: tuple[float, float], stop: tuple[float, float], between: list[tuple[float, float]]) -> str:
    """Return the path from a box to a lower one; boxes in the way are passed on their right."""
    (x0, y0), (x1, y1) = (start[0] + WIDTH / 2, start[1] + HEIGHT), (stop[0] + WIDTH / 2, stop[1] - 5)
    if any(x <= x0 <= x + WIDTH for x, _ in between):
        x0, y0, x1, y1 = start[0] + WIDTH, start[1] + HEIGHT / 2, stop[0] + WIDTH + 5, stop[1] + HEIGHT / 2
        out = max(x + WIDTH for x, _ in (start, stop, *between)) + SIDE * 0.9
        return f"M{x0:.0f},{y0:.0f} C{out:.0f},{y0:.0f} {out:.0f},{y1:.0f} {x1:.0f},{y1:.0f}"
    last = max((y + HEIGHT for _, y in between), default=y0)
    bend = f"{x0:.0f},{last + RISE * 0.7:.0f} {x1:.0f},{y1 - RISE * 0.7:.0f}"
    return f"M{x0:.0f},{y0:.0f} L{x0:.0f},{last:.0f} C{bend} {x1:.0f},{y1:.0f}"


def picture(graph: dict[str, set[str]]) -> str:
    """Return the SVG."""
    floor, place = places(graph)
    width = max(x for x, _ in place.values()) + WIDTH + SIDE
    height = (max(floor.values()) + 1) * (HEIGHT + RISE)
    lines = []
    for name, below in reduced(graph).items():
        for other in sorted(below):
            between = [place[room] for room in place if floor[other] < floor[room] < floor[name]]
            path = arrow(place[name], place[other], between)
            lines.append(f'<path d="{path}" class="arrow" marker-end="url(#head)"/>')
    for name, (x, y) in place.items():
        lines.append(f'<rect x="{x:.0f}" y="{y:.0f}" width="{WIDTH}" height="{HEIGHT}" rx="5" class="room"/>')
        middle = f'x="{x + WIDTH / 2:.0f}" text-anchor="middle"'
        lines.append(f'<text {middle} y="{y + 19:.0f}" class="name">{name}</text>')
        lines.append(f'<text {middle} y="{y + 36:.0f}" class="content">{CONTENT.get(name, "")}</text>')
    style = (
        ".room{fill:#eef4f8;stroke:#0072B2} .arrow{fill:none;stroke:#777} .name{font:bold 14px sans-serif}"
        " .content{font:10px sans-serif;fill:#333}"
    )
    head = '<marker id="head" viewBox="0 0 8 8" refX="6" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}">',
            f"<style>{style}</style>",
            f'<defs>{head}<path d="M0,0 L8,4 L0,8 z" fill="#777"/></marker></defs>',
            f'<rect width="{width:.0f}" height="{height}" fill="white"/>',
            *lines,
            "</svg>",
            "",
        ]
    )


if __name__ == "__main__":
    PICTURE.write_text(picture(imports()), encoding="utf-8")
    print(f"wrote {PICTURE}")
