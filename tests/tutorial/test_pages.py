"""The tutorials of the documentation: their cells are Python, and pages become notebooks. They are not run here."""

from __future__ import annotations

import ast
import re
import tomllib
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest

DOCS = Path(__file__).parents[2] / "docs"
PAGES = sorted(page for page in (DOCS / "tutorials").glob("*.md") if page.stem != "index")
#: Options, then code, of the cells of a page.
CELL = re.compile(r"^```\{code-cell\} python\n((?::[^\n]*\n)*)(.*?)^```$", re.M | re.S)

pytestmark = pytest.mark.skipif(not PAGES, reason="the documentation is not there")


def cells(page: Path) -> list[tuple[str, str]]:
    return CELL.findall(page.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def notebooks() -> Any:
    """The module that the documentation makes them with."""
    pytest.importorskip("myst_nb", reason="the docs extra is not installed")
    spec = spec_from_file_location("notebooks", DOCS / "notebooks.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_cells_are_python(page: Path) -> None:
    assert len(cells(page)) == page.read_text(encoding="utf-8").count("```{code-cell}") > 3
    for _, code in cells(page):
        ast.parse("\n".join(line for line in code.splitlines() if not line.startswith("%")))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_is_listed_and_offers_its_notebook(page: Path) -> None:
    listed = re.findall(r"\]\((\w+)\.md\)", (DOCS / "tutorials" / "index.md").read_text(encoding="utf-8"))
    assert page.stem in listed
    assert f"<../_notebooks/{page.stem}.ipynb>`" in page.read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_becomes_a_notebook(page: Path, notebooks: Any) -> None:
    nbformat = pytest.importorskip("nbformat")
    made = notebooks.notebook(page)
    nbformat.validate(made)
    kept = [code.strip() for options, code in cells(page) if "remove-cell" not in options]
    first, *others = [cell.source.strip() for cell in made.cells if cell.cell_type == "code"]
    assert others == kept
    assert made.cells[0].source == first == f'%pip install -q "{notebooks.NEEDS.search(page.read_text())[1]}"'
    text = "\n".join(cell.source for cell in made.cells if cell.cell_type == "markdown")
    assert text.startswith("# ")
    assert ".md" not in text  # a link to another page leads nowhere
    assert not re.search(r"\{[\w-]+\}`", text)  # nor does a role of MyST


def test_notebooks_are_written_for_every_page(notebooks: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notebooks, "NOTEBOOKS", tmp_path / "made")
    notebooks.write()
    first = {path.name: path.read_bytes() for path in (tmp_path / "made").iterdir()}
    assert sorted(first) == sorted(f"{page.stem}.ipynb" for page in PAGES)
    notebooks.write()
    assert {path.name: path.read_bytes() for path in (tmp_path / "made").iterdir()} == first


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_what_a_page_needs_is_an_extra(page: Path, notebooks: Any) -> None:
    """Said before its first cell, and by names that the package has."""
    before = page.read_text(encoding="utf-8").split("```{code-cell}")[0]
    extras = notebooks.NEEDS.search(before)[1].removeprefix("xr_s2sr[").removesuffix("]").split(",")
    known = tomllib.loads((DOCS.parent / "pyproject.toml").read_text(encoding="utf-8"))
    assert "tutorials" in extras
    assert {*extras} <= {*known["project"]["optional-dependencies"]}


def test_a_page_that_does_not_say_what_it_needs(notebooks: Any, tmp_path: Path) -> None:
    (tmp_path / "bare.md").write_text(PAGES[0].read_text(encoding="utf-8").replace("xr_s2sr[", "xr_s2sr "))
    with pytest.raises(ValueError, match=r"bare.md does not say what it needs; expected pip install"):
        notebooks.notebook(tmp_path / "bare.md")


def test_links_become_text(notebooks: Any) -> None:
    text = "See [the scores](../scores.md#a) or [xarray](https://xarray.dev), {class}`xr_s2sr.models.ModelCard`."
    assert notebooks.plain(text) == "See the scores or [xarray](https://xarray.dev), `models.ModelCard`."
    assert notebooks.plain("Now. {download}`Get it <../_notebooks/a.ipynb>`.") == "Now."
