"""Pictures of real land in the documentation: small, shown, and never without the notices that they need."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
STATIC = DOCS / "_static"
PAGES = {"gallery": "gallery.md", "uncertainty": "uncertainty.md"}


@pytest.mark.parametrize("folder", PAGES)
def test_each_picture_is_shown_with_its_notices(folder: str) -> None:
    page = (DOCS / PAGES[folder]).read_text(encoding="utf-8")
    figures = dict(re.findall(rf"```{{figure}} _static/{folder}/(\S+)\n(.*?)```", page, re.DOTALL))
    assert set(figures) == {path.name for path in (STATIC / folder).iterdir()}
    notice = (DOCS.parent / "NOTICE").read_text(encoding="utf-8")
    for name, caption in figures.items():
        text = " ".join(caption.split())
        assert ":alt:" in caption
        assert re.search(r"[Cc]ontains modified Copernicus Sentinel data", text), name
        assert re.search(r"From \w.*(CC BY-SA 4\.0|CDLA-Permissive-1\.0)", text), name
        assert re.search(r"[Nn]ot seen in training|learned from|validation scene", text), name
        if "CC BY-SA" in text:
            assert "as is this picture" in text
            assert name in notice
    assert f"docs/_static/{folder}/" in notice


def test_pictures_are_small() -> None:
    sizes = [path.stat().st_size for path in (STATIC / "gallery").iterdir()]
    assert len(sizes) >= 6
    assert sum(sizes) + (STATIC / "real.png").stat().st_size < 2_500_000
    assert sum(path.stat().st_size for path in (STATIC / "uncertainty").iterdir()) < 1_000_000


def test_readme_names_the_source_of_its_picture() -> None:
    readme = (DOCS.parent / "README.md").read_text(encoding="utf-8")
    _, after = readme.split("docs/_static/real.png)")
    assert "modified Copernicus Sentinel data 2017" in " ".join(after.split()[:60])
