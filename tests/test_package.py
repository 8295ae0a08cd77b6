"""What is shipped: the content of wheel and sdist, and that metadata beside pyproject.toml agree with it."""

from __future__ import annotations

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


NAMES = ("20m", "20m-accurate", "20m-fast", "60m", "60m-fast")
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
    assert {name: version for name, version in pinned.items() if name != "pandas"} == lowest
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
