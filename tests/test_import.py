"""What an import costs, and which room may import what."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import xr_s2sr

PACKAGE = Path(xr_s2sr.__file__).parent
MODULES = {
    ".".join(("xr_s2sr", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}
MAX_LINES = 300

#: Third parties that only these rooms may import, at any depth of the code.
ROOMS = {
    "onnxruntime": ("xr_s2sr.engine",),
    "numba": ("xr_s2sr.kernels",),
    "dask": ("xr_s2sr.lazy",),
    "torch": ("xr_s2sr.training.",),
    "onnx": ("xr_s2sr.onnx_graph",),
    "h5py": ("xr_s2sr.importers.",),
    "rioxarray": ("xr_s2sr.crs", "xr_s2sr.rasters", "xr_s2sr.tutorial", "xr_s2sr.training."),
}


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
    assert not ours & {"numba", "onnxruntime", "onnx", "torch", "h5py", "matplotlib"}
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
    assert not loaded("import xr_s2sr.importers, xr_s2sr.fetch") & {"onnx", "h5py", "torch", "onnxruntime"}
    assert not loaded("import xr_s2sr.importers.keras_hdf5") & {"torch", "onnxruntime", "numba"}


@pytest.mark.parametrize("name", MODULES)
def test_only_the_trainer_and_the_importers_write_models(name: str) -> None:
    allowed = name.startswith(("xr_s2sr.training.", "xr_s2sr.importers.")) or name == "xr_s2sr.onnx_graph"
    assert allowed or "xr_s2sr.onnx_graph" not in internal(parse(name))


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


def at_import(tree: ast.Module) -> ast.Module:
    """What runs when the module is imported: no function bodies, nothing for type checkers only."""

    class Strip(ast.NodeTransformer):
        def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
            return None

        def visit_If(self, node: ast.If) -> ast.AST | None:
            return None if "TYPE_CHECKING" in ast.dump(node.test) else self.generic_visit(node)

    stripped = Strip().visit(tree)
    assert isinstance(stripped, ast.Module)
    return stripped


def parse(name: str) -> ast.Module:
    return ast.parse(MODULES[name].read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", MODULES)
def test_rooms(name: str) -> None:
    for module, _ in imports(parse(name)):
        rooms = ROOMS.get(module.partition(".")[0])
        assert rooms is None or name.startswith(rooms), f"{name} imports {module}; only {rooms} may"


def test_no_cycles() -> None:
    graph = {name: internal(at_import(parse(name))) - {name} for name in MODULES}
    order = list(TopologicalSorter(graph).static_order())
    assert set(order) == set(MODULES)
    assert order.index("xr_s2sr.bands") < order.index("xr_s2sr.run") < order.index("xr_s2sr.api")


def test_engine_and_kernels_do_not_know_each_other() -> None:
    assert "xr_s2sr.kernels" not in internal(parse("xr_s2sr.engine"))
    assert internal(parse("xr_s2sr.kernels")) == set()


@pytest.mark.parametrize("low", ["errors", "bands", "windows", "kernels", "scores", "sensor", "quality"])
def test_the_cellar_stays_below(low: str) -> None:
    below = {"xr_s2sr.scores", "xr_s2sr.sensor"} if low == "quality" else set()
    assert internal(parse(f"xr_s2sr.{low}")) <= {"xr_s2sr.errors"} | below


@pytest.mark.parametrize(
    "low", ["layout", "tree", "merging", "names", "copies", "crs", "rasters", "safe_files", "safe_xml", "safe_metadata"]
)
def test_recognising_a_scene_knows_nothing_of_models(low: str) -> None:
    known = internal(at_import(parse(f"xr_s2sr.{low}")))
    above = {"survey", "prepare", "jobs", "run", "engine", "models", "assemble", "api"}
    assert not known & {f"xr_s2sr.{room}" for room in above}


@pytest.mark.parametrize("low", ["prepare", "wald", "agreement"])
def test_what_api_and_evaluate_stand_on(low: str) -> None:
    assert not internal(parse(f"xr_s2sr.{low}")) & {"xr_s2sr.api", "xr_s2sr.trial", "xr_s2sr.evaluation"}


@pytest.mark.parametrize("name", [name for name in MODULES if name != "xr_s2sr.tutorial"])
def test_a_long_module_is_two_rooms(name: str) -> None:
    lines = len(MODULES[name].read_text(encoding="utf-8").splitlines())
    assert lines <= MAX_LINES, f"{name} has {lines} lines"
