"""The tutorials as notebooks, written before the pages are read: ``docs/_notebooks/*.ipynb``, without outputs.

``python docs/notebooks.py`` writes them too. It needs myst-nb, whose reader makes the cells, as it does for the pages.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import nbformat
from myst_nb.core.read import read_myst_markdown_notebook

DOCS = Path(__file__).parent
TUTORIALS, NOTEBOOKS = DOCS / "tutorials", DOCS / "_notebooks"
#: Tag of cells that serve the page alone.
PAGE_ONLY = "remove-cell"

#: What a page says it needs.
NEEDS = re.compile(r'pip install "(xr_s2sr\[[\w,]+\])"')
_DOWNLOAD = re.compile(r" *\{download\}`[^`]*`\.?")
_PAGE_LINK = re.compile(r"\[([^\]]+)\]\((?!https?:)[^)]*\)")
_ROLE = re.compile(r"\{\w+\}`~?(?:xr_s2sr\.)?([^`<]+)`")


def pages() -> list[Path]:
    """Return the tutorials that have code cells, in the order of their names."""
    return [page for page in sorted(TUTORIALS.glob("*.md")) if "```{code-cell}" in page.read_text(encoding="utf-8")]


def notebook(page: Path) -> nbformat.NotebookNode:
    """Make the notebook of a page: no cells that only the page needs, no links that lead nowhere outside of it.

    Its first cell installs what the page says that it needs.

    Parameters
    ----------
    page : Path
        MyST Markdown with code cells.
    """
    text = page.read_text(encoding="utf-8")
    needs = NEEDS.search(text)
    if needs is None:
        raise ValueError(
            f'{page.name} does not say what it needs; expected pip install "xr_s2sr[tutorials]" in its text'
        )
    read = read_myst_markdown_notebook(text, path=page)
    cells = [nbformat.v4.new_code_cell(f'%pip install -q "{needs[1]}"')]
    cells += [cell for cell in read.cells if PAGE_ONLY not in cell.metadata.get("tags", [])]
    for number, cell in enumerate(cells):
        cell.id = f"{page.stem}-{number}"  # else they are drawn by lot, and each build gives other files
        cell.metadata = {key: value for key, value in cell.metadata.items() if key == "tags"}
        if cell.cell_type == "markdown":
            cell.source = plain(cell.source)
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})


def plain(text: str) -> str:
    """Rewrite MyST as the Markdown that a notebook shows: links between pages and roles become their text."""
    for pattern, replacement in ((_DOWNLOAD, ""), (_PAGE_LINK, r"\1"), (_ROLE, r"`\1`")):
        text = pattern.sub(replacement, text)
    return text


def write(*_: Any) -> None:
    """Write all notebooks, replacing those of an earlier build."""
    NOTEBOOKS.mkdir(exist_ok=True)
    for page in pages():
        nbformat.write(notebook(page), NOTEBOOKS / f"{page.stem}.ipynb")


def setup(app: Any) -> dict[str, bool]:
    """Sphinx extension: write the notebooks when a build begins."""
    app.connect("builder-inited", write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


if __name__ == "__main__":
    write()
