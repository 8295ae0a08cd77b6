"""What an import costs, and which room may import what."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import xr_s2sr

PACKAGE = Path(xr_s2sr.__file__).parent
MODULES = {
    ".".join(("xr_s2sr", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}
MAX_LINES = 450

#: Third parties that only these rooms may import, at any depth of the code.
ROOMS = {
    "onnxruntime": ("xr_s2sr.runtime",),
    "numba": ("xr_s2sr.kernels",),
    "dask": ("xr_s2sr.inference.lazy", "xr_s2sr.io.scheduling"),
    "torch": ("xr_s2sr.training.",),
    "onnx": ("xr_s2sr.models.onnx_graph",),
    "tqdm": ("xr_s2sr.inference.eager",),
    "pystac": ("xr_s2sr.io.stac",),
    "h5py": ("xr_s2sr.models.keras_hdf5",),
    "matplotlib": ("xr_s2sr.plot.pyplot",),
    "rioxarray": ("xr_s2sr.scene.crs", "xr_s2sr.io.rasters", "xr_s2sr.tutorial", "xr_s2sr.training."),
}

#: Folders, and the modules that stand for one, from the ground up. A module imports from its own folder and from those
#: on lines below, function bodies included; folders on one line do not know each other.
LAYERS: list[dict[str, str]] = [
    {"errors": "errors"},
    {
        "ground": "bands spans arguments interpolation psf kernels regression local_regression "
        "replacing runtime targets version"
    },
    {"models": "models importers", "scene": "scene"},
    {"layouts": "layouts", "planning": "planning"},
    {"inference": "inference", "io": "io"},
    {"api": "api"},
    {"quality": "quality", "plot": "plot"},
    {"tutorial": "tutorial", "accessor": "accessor"},
    {"the package": ""},
    {"training": "training"},
    {"cli": "cli"},
]

#: Imports that point up, each to be removed. Only these are let through.
KNOWN: set[tuple[str, str]] = set()

#: Circles, each to be opened.
KNOWN_CIRCLES: set[frozenset[str]] = set()


def loaded(code: str) -> set[str]:
    """Modules in memory after running code in a fresh interpreter."""
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(json.loads(done.stdout))


def test_import_is_light() -> None:
    plain, ours = loaded("import xarray, rioxarray"), loaded("import xr_s2sr")
    assert not ours & {"numba", "onnxruntime", "onnx", "torch", "h5py", "matplotlib", "tqdm"}
    # xarray or rioxarray may bring these; we bring nothing on top
    foreign = {name.partition(".")[0] for name in ours - plain} - sys.stdlib_module_names
    assert foreign <= {"xr_s2sr", "__mp_main__"}
    assert "xr_s2sr.kernels" not in ours


def test_looking_at_a_model_opens_nothing() -> None:
    seen = loaded("import xr_s2sr; [xr_s2sr.models.load(name) for name in xr_s2sr.models.packaged()]")
    assert not seen & {"onnxruntime", "onnx", "numba"}


def test_importers_need_neither_torch_nor_a_session() -> None:
    pytest.importorskip("onnx", reason="the import extra is not installed")
    pytest.importorskip("h5py", reason="the import extra is not installed")
    assert not loaded("import xr_s2sr.importers, xr_s2sr.models.download") & {"onnx", "h5py", "torch", "onnxruntime"}
    assert not loaded("import xr_s2sr.models.keras_hdf5") & {"torch", "onnxruntime", "numba"}


@pytest.mark.parametrize("name", MODULES)
def test_only_the_trainer_and_the_importers_write_models(name: str) -> None:
    allowed = name.startswith("xr_s2sr.training.") or name == "xr_s2sr.models.keras_hdf5"
    assert allowed or "xr_s2sr.models.onnx_graph" not in internal(parse(name))


def imports(tree: ast.AST) -> Iterator[tuple[str, list[str]]]:
    """Each import under a node: the module, and the names that are taken from it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, []) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            yield node.module or "", [alias.name for alias in node.names]


def internal(tree: ast.AST) -> set[str]:
    """Modules of the package that are imported under a node."""
    found = set()
    for module, names in imports(tree):
        if module.partition(".")[0] != "xr_s2sr":
            continue
        below = {f"{module}.{name}" for name in names} & MODULES.keys()
        found |= below
        if len(below) < len(names) or not names:
            found.add(module)
    return found


def parse(name: str) -> ast.Module:
    return ast.parse(MODULES[name].read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", MODULES)
def test_rooms(name: str) -> None:
    for module, _ in imports(parse(name)):
        rooms = ROOMS.get(module.partition(".")[0])
        assert rooms is None or name.startswith(rooms), f"{name} imports {module}; only {rooms} may"


@cache
def graph() -> dict[str, set[str]]:
    """The modules of the package that each one imports, function bodies included; names without the package's."""
    return {short(name): {short(other) for other in internal(parse(name))} - {short(name)} for name in MODULES}


def short(name: str) -> str:
    return name.removeprefix("xr_s2sr").removeprefix(".")


def folder_of(name: str) -> tuple[int, str]:
    """The line and the folder of a module in LAYERS."""
    head = name.partition(".")[0]
    for level, line in enumerate(LAYERS):
        for folder, heads in line.items():
            if head in heads.split(" "):
                return level, folder
    pytest.fail(f"{name} has no place in LAYERS; add it to the line of its folder")


def points_up(name: str, other: str) -> bool:
    (level, folder), (target, room) = folder_of(name), folder_of(other)
    return folder != room and target >= level


@pytest.mark.parametrize("name", [short(name) for name in MODULES])
def test_imports_point_down(name: str) -> None:
    up = {other for other in graph()[name] if points_up(name, other)}
    assert up == {other for here, other in KNOWN if here == name}, "remove from KNOWN what is gone; add nothing"


def test_known_upward_imports_exist() -> None:
    imported = graph()
    assert {(name, other) for name, other in KNOWN if other not in imported.get(name, ())} == set()


def circles(imported: dict[str, set[str]]) -> set[frozenset[str]]:
    """Groups of modules that import each other, directly or not."""
    reach: dict[str, set[str]] = {}
    for name in imported:
        seen, waiting = set[str](), [name]
        while waiting:
            new = imported[waiting.pop()] - seen
            seen |= new
            waiting += new
        reach[name] = seen
    return {frozenset(b for b in seen if a in reach[b]) for a, seen in reach.items() if a in seen}


@pytest.mark.parametrize("name", [short(name) for name in MODULES if name.startswith("xr_s2sr.training.")])
def test_training_knows_neither_inference_nor_the_top(name: str) -> None:
    """It sees what another trainer would: bands, cards, scenes and scores."""
    assert not [other for other in graph()[name] if other.partition(".")[0] in ("", "api", "accessor", "inference")]


def test_no_circles() -> None:
    assert circles(graph()) == KNOWN_CIRCLES


def test_no_circle_of_folders() -> None:
    """Other than by the imports that are known to point up."""
    folders: dict[str, set[str]] = {folder: set() for line in LAYERS for folder in line}
    for name, others in graph().items():
        folders[folder_of(name)[1]] |= {folder_of(other)[1] for other in others if (name, other) not in KNOWN}
    assert circles({folder: others - {folder} for folder, others in folders.items()}) == set()


def test_circles_are_seen() -> None:
    """In function bodies too, and over a detour."""
    a = internal(ast.parse("def f():\n    if True:\n        from xr_s2sr import bands, errors\n"))
    assert a == {"xr_s2sr.bands", "xr_s2sr.errors"}
    assert internal(ast.parse("async def f():\n    import xr_s2sr.models.card\n")) == {"xr_s2sr.models.card"}
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == {frozenset("abc")}
    assert circles({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == set()
    assert points_up("errors", "bands")
    assert points_up("inference.lazy", "io.write")
    assert points_up("models.card", "api")
    assert not points_up("models.download", "models.registry")
    assert not points_up("cli.main", "")


def test_one_function_restores_a_region() -> None:
    """Arrays in memory and dask's tasks get to the windows by the same way only."""
    users = [name for name in MODULES if "xr_s2sr.inference.blending" in internal(parse(name))]
    assert users == ["xr_s2sr.inference.region"]


def test_writing_brings_no_network() -> None:
    assert not [name for name in loaded("import xr_s2sr.io.write, xr_s2sr.cli.upsample") if name.startswith("numba")]


def test_engine_and_kernels_do_not_know_each_other() -> None:
    assert "xr_s2sr.kernels" not in internal(parse("xr_s2sr.inference.engine"))
    assert internal(parse("xr_s2sr.kernels")) == set()


@pytest.mark.parametrize("name", ["xr_s2sr.kernels", "xr_s2sr.regression"])
def test_loops_take_nothing_from_other_files(name: str) -> None:
    """numba's cache sees edits of a loop's own file only: a loop or a constant of another file would stay old."""
    taken = [names for module, names in imports(parse(name)) if module.partition(".")[0] == "xr_s2sr"]
    assert taken in ([], [["jit"]])


def test_loops_are_where_their_cache_sees_edits() -> None:
    assert {name for name in MODULES if has_loops(parse(name))} == {"xr_s2sr.kernels", "xr_s2sr.regression"}


def has_loops(tree: ast.Module) -> bool:
    defined = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))
    return any("jit" in ast.unparse(decorator) for function in defined for decorator in function.decorator_list)


#: Formulas and arithmetic: all that they may import.
FORMULAS = {
    "errors": set(),
    "bands": {"errors"},
    "spans": {"errors"},
    "kernels": set(),
    "interpolation": set(),
    "psf": {"interpolation"},
    "io.scheduling": set(),
    "scene.validity": set(),
    "quality.metrics": {"errors"},
    "quality.noise": {"arguments", "errors"},
    "quality.sensor": {"errors", "interpolation", "quality.noise"},
    "quality.degradation": {"bands", "errors", "interpolation", "quality.sensor"},
    "quality": {"quality.degradation", "interpolation", "quality.metrics"},
}


@pytest.mark.parametrize("low", FORMULAS)
def test_formulas_know_of_nothing_above(low: str) -> None:
    assert graph()[low] <= FORMULAS[low]


@pytest.mark.parametrize("name", [short(name) for name in MODULES if ".layouts" in name or ".scene" in name])
def test_recognising_a_scene_knows_nothing_of_models(name: str) -> None:
    assert not [other for other in graph()[name] if other.partition(".")[0] == "models"]


@pytest.mark.parametrize("low", ["simulate", "consistency", "reduced_resolution"])
def test_what_evaluate_stands_on(low: str) -> None:
    above = {"api", "quality.evaluate"} | ({"quality.reduced_resolution"} - {f"quality.{low}"})
    assert not graph()[f"quality.{low}"] & above


@pytest.mark.parametrize("name", [name for name in MODULES if name != "xr_s2sr.tutorial"])
def test_a_long_module_is_two_rooms(name: str) -> None:
    lines = len(MODULES[name].read_text(encoding="utf-8").splitlines())
    assert lines <= MAX_LINES, f"{name} has {lines} lines"
