"""What is shipped: the content of wheel and sdist, and that metadata beside pyproject.toml agree with it."""

from __future__ import annotations

import ast
import itertools
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import xr_s2sr

ROOT = Path(__file__).parents[1]
PACKAGE = Path(xr_s2sr.__file__).parent
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
MAX_BYTES = 10_000_000


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if find_spec("hatchling") is None:
        pytest.skip("hatchling, which builds the package, is not installed")
    folder = tmp_path_factory.mktemp("dist")
    # as pip does it, but without a network
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-d", str(folder)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return folder


def modules() -> set[str]:
    package = Path(xr_s2sr.__file__).parent
    return {f"xr_s2sr/{path.relative_to(package).as_posix()}" for path in package.rglob("*.py")}


NAMES = ("20m", "20m-fast", "60m", "60m-fast")
WEIGHTS = {f"xr_s2sr/models/weights/s2sr-{name}.onnx" for name in NAMES}


def test_wheel(dist: Path) -> None:
    (wheel,) = dist.glob("*.whl")
    assert wheel.name == f"xr_s2sr-{xr_s2sr.__version__}-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        about = f"xr_s2sr-{xr_s2sr.__version__}.dist-info"
        metadata = archive.read(f"{about}/METADATA").decode()
    assert {name.partition("/")[0] for name in names} == {"xr_s2sr", about}
    assert {*modules(), *WEIGHTS, "xr_s2sr/py.typed"} <= names
    assert {name for name in names if not name.endswith(".py")} - WEIGHTS == {
        "xr_s2sr/py.typed",
        *(f"{about}/{name}" for name in ("METADATA", "RECORD", "WHEEL", "entry_points.txt")),
        *(f"{about}/licenses/{name}" for name in ("LICENSE", "NOTICE")),
    }
    assert not [name for name in names if "test" in name]
    assert sum((ROOT / name).stat().st_size for name in WEIGHTS) < wheel.stat().st_size * 1.2
    assert wheel.stat().st_size < MAX_BYTES
    assert re.search(r"^Version: (.*)$", metadata, re.M)[1] == xr_s2sr.__version__  # type: ignore[index]


def test_sdist(dist: Path) -> None:
    (sdist,) = dist.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {member.name.partition("/")[2] for member in archive if member.isfile()}
    assert {*modules(), *WEIGHTS, "LICENSE", "NOTICE", "CITATION.cff", "README.md", "CHANGELOG.md"} <= names
    assert {"tests/conftest.py", "tests/fixtures/dsen2_keras.h5", "docs/index.md", "pyproject.toml"} <= names
    assert not [
        name for name in names if "__pycache__" in name or name.startswith((".git/", ".github/", "docs/_build/"))
    ]
    assert sdist.stat().st_size < MAX_BYTES


def imported() -> dict[str, set[str]]:
    """The third-party packages that modules import, function bodies included, and by which modules."""
    found: dict[str, set[str]] = {}
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                found.setdefault(name.partition(".")[0], set()).add(path.relative_to(PACKAGE).as_posix())
    return {name: by for name, by in found.items() if name not in {*sys.stdlib_module_names, "xr_s2sr"}}


def required(*extras: str) -> set[str]:
    """The modules of the dependencies that every installation has, or of these extras."""
    lists = [PROJECT["optional-dependencies"][extra] for extra in extras] or [PROJECT["dependencies"]]
    names = (re.match(r"[\w-]+", line) for line in itertools.chain(*lists))
    return {name[0].removesuffix("-gpu") for name in names if name} - {"xr_s2sr"}


def test_what_is_imported_is_declared() -> None:
    """Dependencies are imported; whatever else is imported belongs to an extra, and is imported where it is needed."""
    optional = set(imported()) - required()
    assert required() <= set(imported())
    assert optional - required("train", "import", "plot", "stac", "dask") == {"IPython"}  # where pictures are shown
    assert all(by <= {"plot/pyplot.py"} for name, by in imported().items() if name == "IPython")


def test_what_is_public_has_one_definition() -> None:
    """`__all__`, `dir()` and the names in docs/api.rst."""
    lines = (ROOT / "docs" / "api.rst").read_text(encoding="utf-8").splitlines()
    names: set[str] = set()
    inside = False
    for line in lines:
        if line.startswith(".. currentmodule::"):
            inside = line.endswith(" xr_s2sr")
        elif inside and re.fullmatch(r"   \w[\w.]*", line):
            names.add(line.strip().partition(".")[0])
        elif whole := re.match(r"\.\. auto(?:class|data|module):: xr_s2sr\.(\w+)", line):
            names.add(whole[1])
    names |= set(re.findall(r"``xr_s2sr\.(\w+)``", "".join(lines)))
    # classes of what functions return; they are not made by hand
    assert {*names} - {"scene"} == {*xr_s2sr.__all__} - {"__version__"}
    assert dir(xr_s2sr) == sorted(xr_s2sr.__all__)
    assert all(hasattr(xr_s2sr, name) for name in xr_s2sr.__all__)


def test_citation() -> None:
    text = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    first = {key: value.strip('"') for key, value in re.findall(r"^([\w-]+): (.+)$", text, re.M)}
    assert first["version"] == xr_s2sr.__version__
    assert first["title"] == PROJECT["name"]
    assert first["license"] == PROJECT["license"]
    assert first["abstract"].rstrip(".") == PROJECT["description"]
    assert "family-names: Lanaras" in text
    assert "doi: 10.1016/j.isprsjprs.2018.09.018" in text


def bounds(requirement: str) -> tuple[str, str]:
    """The name and the versions of a requirement, of pip's or conda's form."""
    name, versions = re.fullmatch(r"([\w-]+) ?([^;]*?)(?:; .*)?", requirement).groups()  # type: ignore[union-attr]
    return name.removesuffix("-gpu"), versions


def test_conda_recipe() -> None:
    if not (ROOT / "recipe").is_dir():
        pytest.skip("not a checkout")
    text = (ROOT / "recipe" / "recipe.yaml").read_text(encoding="utf-8")
    assert f'version: "{xr_s2sr.__version__}"' in text
    assert f'python_min: "{PROJECT["requires-python"].removeprefix(">=")}"' in text
    section = re.search(r"^  run:\n((?:    - .*\n)+)", text, re.M)[1]  # type: ignore[index]
    wanted = dict(bounds(line.strip().removeprefix("- ")) for line in section.splitlines() if "python " not in line)
    assert wanted == dict(bounds(requirement) for requirement in PROJECT["dependencies"])


def test_the_oldest_dependencies_are_the_lower_bounds() -> None:
    path = ROOT / ".ci" / "oldest.txt"
    if not path.is_file():
        pytest.skip("not a checkout")
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    pinned = dict(line.split("==") for line in lines)
    lowest: dict[str, str] = {}
    for requirement in (*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["test"]):
        name, lower = re.match(r"([\w-]+)>=([\d.]+)", requirement).groups()  # type: ignore[union-attr]
        lowest[name] = lower
    assert pinned == lowest
    # the extra asks for a later xarray than the package
    bound = next(line for line in PROJECT["dependencies"] if line.startswith("xarray>="))
    workflow = (ROOT / ".github" / "workflows" / "test.yml").read_text(encoding="utf-8")
    assert f"install --no-deps {bound.replace('>=', '==')}\n" in workflow


def test_workflows_test_the_versions_that_are_named() -> None:
    path = ROOT / ".github" / "workflows" / "test.yml"
    if not path.is_file():
        pytest.skip("not a checkout")
    matrix = re.findall(r'"(3\.\d+)"', re.search(r"python: \[(.*)\]", path.read_text())[1])  # type: ignore[index]
    prefix = "Programming Language :: Python :: 3."
    named = [line.rpartition(" ")[2] for line in PROJECT["classifiers"] if line.startswith(prefix)]
    # the last is named when it has passed
    assert named in (matrix, matrix[:-1])
    assert PROJECT["requires-python"] == f">={matrix[0]}"
