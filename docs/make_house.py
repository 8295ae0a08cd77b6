"""Make ``_static/house.svg``: the rooms of the package and which imports which, read from the source.

Run it after a change of the rooms: ``python docs/make_house.py``. Imports inside of functions count as well. Drawn are
the imports that do not follow from others: where A imports B and B imports C, an arrow from A to C is left out.
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
    "ground": ("errors", "bands", "spans", "arguments", "interpolation", "jit"),
    "face": ("__init__", "accessor", "plot", "importers"),
}
CONTENT = {
    "ground": "errors, bands, spans, arguments, interpolation, jit",
    "face": "xr_s2sr.upsample, .s2sr, plot",
    "api": "upsample, validate",
    "scene": "grids, CRS, units, valid pixels, report",
    "layouts": "forms that users hold, to native form and back",
    "models": "cards, registry, ONNX files, Keras import",
    "planning": "which model restores which band, from what",
    "inference": "windows, kernels, engine, eager, lazy",
    "io": "SAFE, GeoTIFF, JP2, Zarr, NetCDF; COG",
    "quality": "metrics, degradation, evaluate, consistency",
    "training": "patches, networks, loop, export",
    "tutorial": "the built-in scene",
    "cli": "xr-s2sr demo, info, upsample, evaluate, train ...",
}
WIDTH, HEIGHT, GAP, RISE = 250, 46, 26, 46


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


def picture(graph: dict[str, set[str]]) -> str:
    """Return the SVG: a room stands above all that it imports."""
    level: dict[str, int] = {}
    for name in TopologicalSorter(graph).static_order():
        level[name] = 1 + max((level[below] for below in graph[name]), default=-1)
    floors: dict[int, list[str]] = defaultdict(list)
    for name in sorted(level):
        floors[level[name]].append(name)
    across = max(map(len, floors.values()))
    width, height = across * (WIDTH + GAP) + GAP, (max(floors) + 1) * (HEIGHT + RISE)
    place = {}
    for floor, names in floors.items():
        left = (width - len(names) * (WIDTH + GAP) + GAP) / 2
        for i, name in enumerate(names):
            place[name] = left + i * (WIDTH + GAP), height - (floor + 1) * (HEIGHT + RISE) + RISE / 2
    lines = []
    for name, below in reduced(graph).items():
        for other in sorted(below):
            (x0, y0), (x1, y1) = place[name], place[other]
            start, stop = f"{x0 + WIDTH / 2:.0f},{y0 + HEIGHT:.0f}", f"{x1 + WIDTH / 2:.0f},{y1 - 5:.0f}"
            bend = f"{x0 + WIDTH / 2:.0f},{y0 + HEIGHT + RISE * 0.7:.0f} {x1 + WIDTH / 2:.0f},{y1 - RISE * 0.7:.0f}"
            lines.append(f'<path d="M{start} C{bend} {stop}" class="arrow" marker-end="url(#head)"/>')
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
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}">',
            f"<style>{style}</style>",
            f'<defs>{head}<path d="M0,0 L8,4 L0,8 z" fill="#777"/></marker></defs>',
            f'<rect width="{width}" height="{height}" fill="white"/>',
            *lines,
            "</svg>",
            "",
        ]
    )


if __name__ == "__main__":
    PICTURE.write_text(picture(imports()), encoding="utf-8")
    print(f"wrote {PICTURE}")
