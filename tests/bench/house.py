"""How large the package is, its longest and hardest functions, and the walk of a scene through `upsample`.

    python tests/bench/house.py [--tree DIR]

Lines of code are those without docstrings, imports, comments and blanks. The walk counts, while it runs, the functions
that are given a Dataset or what describes a scene; a climb is a step to a room further up. `--tree` measures another
checkout, such as one of an earlier version.
"""

from __future__ import annotations

import argparse
import ast
import sys
from collections.abc import Iterator
from itertools import groupby, pairwise
from pathlib import Path
from types import FrameType
from typing import Any

Function = ast.FunctionDef | ast.AsyncFunctionDef
#: Nodes at which the way through a function divides.
BRANCHES = (ast.If, ast.For, ast.While, ast.IfExp, ast.Try, ast.With, ast.BoolOp, ast.comprehension, ast.ExceptHandler)
#: Rooms from the ground up; what is not listed stands between arguments and scene.
FLOORS = (
    *("errors", "bands", "spans", "arguments", "models", "scene", "layouts", "planning"),
    *("io", "inference", "api", "quality", "accessor", "training", "cli"),
)
#: What describes a scene, in this version and in earlier ones.
SCENES = ("SceneInfo", "NativeScene", "Native", "Scene")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tree", type=Path, default=Path(__file__).parents[2])
    package = parser.parse_args().tree.resolve() / "xr_s2sr"
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in sorted(package.rglob("*.py"))}
    lines = [len(path.read_text(encoding="utf-8").splitlines()) for path in trees]
    print(f"{len(trees)} modules, {sum(lines)} lines, {sum(code(path, tree) for path, tree in trees.items())} of code")
    functions = [
        (path.relative_to(package), node)
        for path, tree in trees.items()
        for node in ast.walk(tree)
        if isinstance(node, Function)
    ]
    for path, node in functions:
        if body(node) > 60 or parameters(node) > 7:
            print(f"  {path} {node.name}: {body(node)} lines of body, {parameters(node)} parameters")
    hardest = sorted(functions, key=lambda found: -branches(found[1]))[:10]
    print("hardest: " + ", ".join(f"{path} {node.name} {branches(node)}" for path, node in hardest))
    print(walk(package))
    return 0


def documented(node: ast.AST) -> bool:
    """Tell whether a body begins with a docstring."""
    return isinstance(node, Function | ast.ClassDef | ast.Module) and ast.get_docstring(node) is not None


def code(path: Path, tree: ast.Module) -> int:
    """Return the lines without docstrings, imports, comments and blanks."""
    left_out: set[int] = set()
    for node in ast.walk(tree):
        parts: list[Any] = [node] if isinstance(node, ast.Import | ast.ImportFrom) else []
        parts += node.body[:1] if documented(node) else []  # type: ignore[attr-defined]
        for part in parts:
            left_out.update(range(part.lineno, part.end_lineno + 1))
    lines = enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
    return sum(bool(line.strip()) and n not in left_out and not line.strip().startswith("#") for n, line in lines)


def body(node: Function) -> int:
    """Return the lines of a function's body, without the docstring."""
    first = node.body[min(documented(node), len(node.body) - 1)]
    return (node.end_lineno or 0) - first.lineno + 1


def parameters(node: Function) -> int:
    """Return the number of a function's parameters, without the object itself."""
    names = [one.arg for one in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
    return len([name for name in names if name not in ("self", "cls")])


def branches(node: Function) -> int:
    """Return at how many places the way through a function divides."""
    return sum(isinstance(inner, BRANCHES) for inner in ast.walk(node))


def walk(package: Path) -> str:
    """Run `upsample` on the built-in scene, and say which way that goes through the package."""
    sys.path.insert(0, str(package.parent))
    import xr_s2sr

    assert Path(xr_s2sr.__file__).parent == package
    ds, _ = xr_s2sr.tutorial.synthetic_scene(120)
    ds.s2sr.upsample(progress=False)  # what is made once is no part of the way
    passed: list[tuple[str, str]] = []

    def called(frame: FrameType, event: str, _: Any) -> None:
        path, name = Path(frame.f_code.co_filename), frame.f_code.co_name
        ours = event == "call" and package in path.parents and not name.startswith("<")
        if ours and any(is_scene(value) for value in given(frame)):
            passed.append((str(path.relative_to(package).with_suffix("")), name))

    sys.setprofile(called)
    ds.s2sr.upsample(progress=False, threads=1)
    sys.setprofile(None)
    rooms = [room for room, _ in groupby(passed, key=lambda stop: stop[0])]
    climbs = sum(floor(above) > floor(below) for below, above in pairwise(rooms))
    return f"walk of a scene: {len({*passed})} functions, {len({*rooms})} rooms, {climbs} climbs"


def given(frame: FrameType) -> Iterator[Any]:
    """Yield the arguments of a call, without the object itself."""
    count = frame.f_code.co_argcount + frame.f_code.co_kwonlyargcount
    return (frame.f_locals.get(name) for name in frame.f_code.co_varnames[:count] if name != "self")


def is_scene(value: Any) -> bool:
    """Tell whether something is a Dataset of bands, or describes a scene."""
    import xarray as xr

    return len(value.data_vars) > 3 if isinstance(value, xr.Dataset) else type(value).__name__ in SCENES


def floor(room: str) -> int:
    """Return the floor of a room."""
    folder = room.split("/")[0]
    return FLOORS.index(folder) if folder in FLOORS else 3


if __name__ == "__main__":
    raise SystemExit(main())
