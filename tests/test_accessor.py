"""The accessor's methods: as the free functions of the same names, without the object as first parameter."""

from __future__ import annotations

import copy
import inspect
import pickle
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import xarray as xr

import xr_s2sr
from xr_s2sr.accessor import S2SRAccessor

pytestmark = pytest.mark.usefixtures("small_defaults")

FUNCTIONS = [
    xr_s2sr.upsample,
    xr_s2sr.validate,
    xr_s2sr.evaluate,
    xr_s2sr.consistency,
    xr_s2sr.degrade,
    xr_s2sr.to_cog,
]
by_name = pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.__name__)


@by_name
def test_signature(function: Callable[..., Any], scene: xr.Dataset) -> None:
    free = inspect.signature(function)
    _, *others = free.parameters.values()
    bound = inspect.signature(getattr(scene.s2sr, function.__name__))
    # parameters are equal if their names, defaults, kinds and annotations are
    assert list(bound.parameters.values()) == others
    assert bound.return_annotation == free.return_annotation
    unbound = inspect.signature(getattr(S2SRAccessor, function.__name__))
    assert list(unbound.parameters) == ["self", *(parameter.name for parameter in others)]


@pytest.mark.parametrize("function", [xr_s2sr.validate, xr_s2sr.consistency, xr_s2sr.degrade, xr_s2sr.to_cog])
def test_types_are_resolved(function: Callable[..., Any]) -> None:
    """As documentation tools and editors do."""
    first = next(iter(inspect.signature(function).parameters))
    expected = typing.get_type_hints(function)
    del expected[first]
    assert typing.get_type_hints(getattr(S2SRAccessor, function.__name__)) == expected


@by_name
def test_docstring(function: Callable[..., Any], scene: xr.Dataset) -> None:
    method = getattr(scene.s2sr, function.__name__)
    free, bound = inspect.cleandoc(function.__doc__ or "").splitlines(), method.__doc__.splitlines()
    first = next(iter(inspect.signature(function).parameters))
    start = next(k for k, line in enumerate(free) if line.startswith(f"{first} : "))
    assert free[start - 2 : start] == ["Parameters", "----------"]
    stop = next(k for k in range(start + 1, len(free)) if not free[k].startswith(" "))
    assert bound == free[:start] + free[stop:]
    assert method.__name__ == function.__name__


def test_completion_and_identity(scene: xr.Dataset) -> None:
    names = {name for name in dir(scene.s2sr) if not name.startswith("_")}
    assert names == {"bands", "plot", *(function.__name__ for function in FUNCTIONS)}
    assert scene.s2sr.upsample.__qualname__ == "S2SRAccessor.upsample"
    assert scene.s2sr.upsample.__module__ == "xr_s2sr.accessor"


def test_plot_is_compare(scene: xr.Dataset) -> None:
    free = inspect.signature(xr_s2sr.plot.compare)
    assert list(inspect.signature(scene.s2sr.plot).parameters.values()) == list(free.parameters.values())[1:]
    assert scene.s2sr.plot.__name__ == "plot"
    assert "ds : Dataset" not in scene.s2sr.plot.__doc__
    assert "sr : Dataset" in scene.s2sr.plot.__doc__
    assert pickle.loads(pickle.dumps(S2SRAccessor.plot)) is S2SRAccessor.plot


def test_arguments_are_passed_on(scene: xr.Dataset) -> None:
    expected = xr_s2sr.upsample(scene, ["B05"], model="bicubic", keep="all")
    xr.testing.assert_identical(scene.s2sr.upsample(["B05"], model="bicubic", keep="all"), expected)
    with pytest.raises(TypeError, match="unexpected keyword argument 'kep'"):
        scene.s2sr.upsample(kep="all")


def test_pickle_and_copy(scene: xr.Dataset) -> None:
    for again in (pickle.loads(pickle.dumps(scene.s2sr)), copy.copy(scene.s2sr), copy.deepcopy(scene.s2sr)):
        assert again.bands == scene.s2sr.bands
    assert pickle.loads(pickle.dumps(S2SRAccessor.degrade)) is S2SRAccessor.degrade
    assert pickle.loads(pickle.dumps(scene.s2sr.validate))()


SNIPPET = """
import xarray as xr
from xr_s2sr import upsample
from xr_s2sr.accessor import S2SRAccessor

s2sr = S2SRAccessor(xr.Dataset())
reveal_type(s2sr.upsample(["B05", "B11"], keep="all", model="my.onnx", threads=2, progress=True))
reveal_type(S2SRAccessor(xr.DataArray()).upsample("B05"))
reveal_type(upsample(xr.Dataset(), "B05", resolution=20))
reveal_type(upsample(xr.DataArray()))
reveal_type(upsample(xr.DataTree(), "B05"))
reveal_type(upsample(xr.DataTree(), "B05", into=True))
s2sr.degrade(2, protocol="mtf")
reveal_type(s2sr.validate())
reveal_type(s2sr.evaluate(bands="B05"))
reveal_type(s2sr.consistency(xr.Dataset()))
reveal_type(s2sr.to_cog("sr.tif"))
s2sr.upsample(kep="all")
s2sr.upsample(keep="some")
s2sr.degrade()
"""


def test_type_checkers_see_the_signatures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    api = pytest.importorskip("mypy.api", reason="needs the extra 'lint'")
    (tmp_path / "snippet.py").write_text(SNIPPET)
    root = Path(__file__).parents[1]
    monkeypatch.setenv("MYPYPATH", str(root))
    monkeypatch.chdir(root)  # where a cache may be
    out, err, _ = api.run([str(tmp_path / "snippet.py"), "--config-file", str(root / "pyproject.toml")])
    assert not err
    said = [line.split(":", 1)[1] for line in out.splitlines() if "snippet.py:" in line]
    forms = [*2 * ["dataset.Dataset", "dataarray.DataArray"], "dataset.Dataset", "datatree.DataTree"]
    assert said == [
        *(f'{line}: note: Revealed type is "xarray.core.{form}"' for line, form in enumerate(forms, start=7)),
        '14: note: Revealed type is "xr_s2sr.scene.report.Report"',
        '15: note: Revealed type is "xr_s2sr.quality.scores.Scores"',
        '16: note: Revealed type is "xarray.core.dataset.Dataset"',
        '17: note: Revealed type is "pathlib.Path"',
        '18: error: Unexpected keyword argument "kep"; did you mean "keep"?  [call-arg]',
        '19: error: Argument "keep" has incompatible type "Literal[\'some\']"; '
        "expected \"Literal['fine', 'all']\"  [arg-type]",
        "20: error: Too few arguments  [call-arg]",
    ]
