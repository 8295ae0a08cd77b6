"""The slider: its HTML as a parser sees it, and its pictures as rasterio reads them."""

from __future__ import annotations

import base64
import re
import sys
import warnings
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import rasterio
import xarray as xr
from rasterio.errors import NotGeoreferencedWarning

import xr_s2sr
from xr_s2sr.errors import ArgumentTypeError, BandError, InputError
from xr_s2sr.plot import Swipe, swipe


class Page(HTMLParser):
    """Elements with their attributes, and the text between."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.open: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in ("img", "input", "meta"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def all(self, wanted: str) -> list[dict[str, str | None]]:
        return [attrs for tag, attrs in self.elements if tag == wanted]


@pytest.fixture(scope="module")
def ds() -> xr.Dataset:
    return xr_s2sr.tutorial.synthetic_scene(60, seed=1)[0]


@pytest.fixture(scope="module")
def sr(ds: xr.Dataset) -> xr.Dataset:
    return ds.s2sr.upsample(model="bicubic")


def pixels(url: str | None) -> np.ndarray:
    assert url is not None
    kind, data = url.split(",")
    assert kind == "data:image/png;base64"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.MemoryFile(base64.b64decode(data, validate=True)) as file, file.open() as png:
            assert png.driver == "PNG"
            return png.read()


def test_pictures_are_within_the_page(ds: xr.Dataset, sr: xr.Dataset) -> None:
    part = sr.isel(y=slice(2, 26), x=slice(5, 41))
    page = Page(swipe(ds, part, "B11", percentiles=(0, 100))._repr_html_())
    assert page.open == []
    after, before = page.all("img")
    native = np.kron(ds.B11.values, np.ones((2, 2)))[2:26, 5:41]
    low, high = native.min(), native.max()
    for image, values in ((before, native), (after, part.B11.values.astype(float))):
        grey = np.rint(255 * np.clip((values - low) / (high - low), 0, 1))
        np.testing.assert_array_equal(pixels(image["src"]), np.stack([grey] * 3))
    assert (before["alt"], after["alt"]) == ("B11, native 20 m", "B11, restored to 10 m")
    # the native picture is the one that the slider cuts
    assert "clip-path:inset(0 calc(100% - var(--at)) 0 0)" in str(before["style"])
    assert "clip-path" not in str(after["style"])
    assert all("image-rendering:pixelated" in str(image["style"]) for image in (before, after))


def test_slider_is_labelled_and_alone(ds: xr.Dataset, sr: xr.Dataset) -> None:
    html = swipe(ds, sr, width=320).html
    page = Page(html)
    [slider] = page.all("input")
    assert (slider["type"], slider["min"], slider["max"], slider["value"]) == ("range", "0", "100", "50")
    assert "B12 B8A B04 (swir), native 20 and 10 m" in str(slider["aria-label"])
    assert "--at" in str(slider["oninput"])
    assert "--at:50%" in str(page.all("figure")[0]["style"])
    assert "width:320px" in str(page.all("figure")[0]["style"])
    assert "B12 B8A B04 (swir), restored to 10 m" in page.text
    # nothing is fetched, and only the slider runs anything
    assert {tag for tag, _ in page.elements} == {"figure", "div", "img", "input", "figcaption", "span"}
    assert not re.search(r"https?:|//|url\(|@import|<script|<link", re.sub(r"base64,[^\"]*", "", html))
    handlers = [key for _, attrs in page.elements for key in attrs if key.startswith("on")]
    assert handlers == ["oninput"]


def test_titles_are_escaped() -> None:
    html = Swipe(b"a", b"b", ('"><script>alert(1)</script>', "5 < 6 & 'x'"), 100).html
    assert "<script" not in html
    page = Page(html)
    assert page.all("img")[1]["alt"] == '"><script>alert(1)</script>'
    assert page.all("img")[0]["alt"] == "5 < 6 & 'x'"
    assert set(page.all("input")[0]) == {"type", "min", "max", "step", "value", "style", "aria-label", "oninput"}


def test_save_and_repr(ds: xr.Dataset, sr: xr.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)  # is not needed
    shown = swipe(ds, sr, composite=("B12", "B11", "B05"))
    shown.save(tmp_path / "a.html")
    page = Page((tmp_path / "a.html").read_text(encoding="utf-8"))
    assert page.all("html") == [{"lang": "en"}]
    assert page.all("meta") == [{"charset": "utf-8"}]
    assert len(page.all("img")) == 2
    assert repr(shown).startswith("<Swipe: B12 B11 B05, native 20 m | B12 B11 B05, restored to 10 m; ")
    assert len(repr(shown)) < 200


def test_what_cannot_be_shown(ds: xr.Dataset, sr: xr.Dataset) -> None:
    with pytest.raises(InputError, match=r"both given; expected one of them: swipe\(ds, sr, 'B11'\)"):
        swipe(ds, sr, "B11", composite="swir")
    with pytest.raises(InputError, match=r"names 2 bands; expected one: swipe\(ds, sr, \"B11\"\)"):
        swipe(ds, sr, ["B11", "B12"])  # type: ignore[arg-type]
    with pytest.raises(BandError, match="the result holds no B05"):
        swipe(ds, sr[["B11"]], "B05")
    with pytest.raises(InputError, match="width=0 is too small"):
        swipe(ds, sr, width=0)
    with pytest.raises(ArgumentTypeError, match="expected the Dataset"):
        swipe(ds, 3)  # type: ignore[arg-type]
