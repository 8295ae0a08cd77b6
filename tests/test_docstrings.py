"""The examples in docstrings do what they show, and docstrings open with an answer."""

from __future__ import annotations

import ast
import doctest
import importlib
from pathlib import Path

import pytest

import xr_s2sr


@pytest.mark.parametrize(
    "name",
    [
        "xr_s2sr",
        "xr_s2sr.quality.consistency",
        "xr_s2sr.api",
        "xr_s2sr.bands",
        "xr_s2sr.quality.evaluate",
        "xr_s2sr.layouts.combine",
        "xr_s2sr.tutorial",
        "xr_s2sr.quality.simulate",
    ],
)
def test_examples(name: str) -> None:
    result = doctest.testmod(importlib.import_module(name))
    assert result.attempted > 0
    assert result.failed == 0


MODULES = sorted(Path(xr_s2sr.__file__).parent.rglob("*.py"))
#: A docstring says what a thing does, returns or is, and not what a reader might ask.
QUESTIONS = {"what", "which", "where", "whether", "how"}
DOCUMENTED = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(MODULES[0].parent).as_posix())
def test_no_docstring_opens_with_a_question(path: Path) -> None:
    nodes = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, DOCUMENTED)]
    texts = [text for node in nodes if (text := ast.get_docstring(node))]
    assert [text for text in texts if text.split()[0].strip(",;:.").lower() in QUESTIONS] == []
