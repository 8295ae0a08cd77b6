"""The published pages: a folder for each version, listed for the sidebar."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "docs" / "publish.py"


@pytest.fixture
def pages(tmp_path: Path) -> Path:
    (tmp_path / "html" / "_static").mkdir(parents=True)
    (tmp_path / "html" / "index.html").write_text("new")
    return tmp_path / "html"


def publish(pages: Path, site: Path, version: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), str(pages), str(site), version]
    return subprocess.run(command, capture_output=True, text=True)


def test_versions_lie_side_by_side(pages: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    assert publish(pages, site, "main").stdout.split() == ["main"]
    assert 'url=main/"' in (site / "index.html").read_text()
    for version in ("0.9.1", "0.10.0", "0.9.0"):
        assert publish(pages, site, version).returncode == 0
    assert json.loads((site / "versions.json").read_text()) == ["0.10.0", "0.9.1", "0.9.0", "main"]
    assert 'url=0.10.0/"' in (site / "index.html").read_text()
    assert (site / ".nojekyll").is_file()


def test_pages_of_the_same_version_are_replaced(pages: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    for version in ("main", "0.2.0"):
        (site / version).mkdir(parents=True)
        (site / version / "old.html").write_text("old")
    assert publish(pages, site, "main").stdout.split() == ["0.2.0", "main"]
    assert sorted(path.name for path in (site / "main").iterdir()) == ["_static", "index.html"]
    assert (site / "0.2.0" / "old.html").read_text() == "old"


@pytest.mark.parametrize("version", ["feature/x", "..", "", "0.2.0rc1"])
def test_other_names_are_refused(pages: Path, tmp_path: Path, version: str) -> None:
    done = publish(pages, tmp_path / "site", version)
    assert done.returncode != 0
    assert "cannot be published; expected 'main' or one such as 0.2.0" in done.stderr
    assert not (tmp_path / "site").exists()
