"""Before and after under a slider, for notebooks: plain HTML and CSS with the pictures inside."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from os import PathLike

from xr_s2sr import arguments
from xr_s2sr.errors import InputError
from xr_s2sr.layouts.normalize import Scene
from xr_s2sr.plot.png import encode
from xr_s2sr.plot.view import requested, views
from xr_s2sr.replacing import write_bytes
from xr_s2sr.scene.radiometry import Units

_PAGE = """<figure style="margin:0;width:{width}px;max-width:100%;--at:50%">
<div style="position:relative;line-height:0">
<img alt="{after}" src="{after_png}" style="width:100%;image-rendering:pixelated">
<img alt="{before}" src="{before_png}" style="position:absolute;left:0;top:0;width:100%;height:100%;\
image-rendering:pixelated;clip-path:inset(0 calc(100% - var(--at)) 0 0)">
<div aria-hidden="true" style="position:absolute;top:0;bottom:0;left:var(--at);width:2px;margin-left:-1px;\
background:#fff;box-shadow:0 0 0 1px #000"></div>
</div>
<input type="range" min="0" max="100" step="any" value="50" style="width:100%;margin:6px 0 0" \
aria-label="Share of the width that shows {before}; the rest shows {after}" \
oninput="this.closest('figure').style.setProperty('--at', this.value + '%')">
<figcaption style="display:flex;justify-content:space-between;gap:1em;font-size:90%"><span>{before}</span>\
<span style="text-align:right">{after}</span></figcaption>
</figure>"""


@dataclass(frozen=True)
class Swipe:
    """Two pictures of one place, one over the other, with a slider between them.

    Attributes
    ----------
    before, after : bytes
        The pictures as PNG, a pixel for a pixel of the result.
    titles : (str, str)
        What each shows.
    width : int
        Of the pictures on the page, in CSS pixels; less where the page is narrower.
    """

    before: bytes
    after: bytes
    titles: tuple[str, str]
    width: int

    @property
    def html(self) -> str:
        """A ``<figure>`` that needs nothing from elsewhere."""
        before, after = (escape(title, quote=True) for title in self.titles)
        urls = ["data:image/png;base64," + base64.b64encode(png).decode() for png in (self.before, self.after)]
        return _PAGE.format(width=self.width, before=before, after=after, before_png=urls[0], after_png=urls[1])

    def _repr_html_(self) -> str:
        return self.html

    def __repr__(self) -> str:
        return f"<Swipe: {self.titles[0]} | {self.titles[1]}; shown in a notebook, or .save('swipe.html')>"

    def save(self, path: str | PathLike[str]) -> None:
        """Write a page of its own; an existing ``.html`` is replaced."""
        title = escape(f"{self.titles[0]} | {self.titles[1]}")
        head = f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title></head>'
        page = f"{head}<body>\n{self.html}\n</body></html>\n"
        write_bytes(arguments.path("path", path, "swipe.html"), page.encode(), (".html", ".htm"))


def swipe(
    ds: Scene,
    sr: Scene | None = None,
    band: str | None = None,
    *,
    composite: str | Sequence[str] | None = None,
    units: Units | None = None,
    offset: float | None = None,
    percentiles: tuple[float, float] = (2, 98),
    width: int = 600,
) -> Swipe:
    """Lay native pixels over the result, with a slider that moves the edge between them; for notebooks.

    The pictures are within the HTML, whose only script moves the edge. Needs no matplotlib.

    Parameters
    ----------
    ds, sr : Dataset, DataArray or DataTree
        The native scene and its result, or a part of it, as for :func:`compare`.
    band : str, optional
        One band, shown in grey.
    composite : {"swir", "true colour"} or three bands, optional
        As for :func:`compare`; the default is "swir" without `band`.
    units, offset, percentiles
        As for :func:`compare`.
    width : int, default 600
        Of the pictures on the page, in CSS pixels.

    Returns
    -------
    Swipe
        Shown by Jupyter where it is the last line of a cell; ``save(path)`` writes a page.

    Raises
    ------
    InputError
        If both `band` and `composite` are given, or an argument cannot be used.
    BandError, GridError, ArgumentTypeError
        As for :func:`compare`.
    """
    if band is not None and composite is not None:
        raise InputError(
            f"band={band!r} and composite={composite!r} are both given; expected one of them: swipe(ds, sr, {band!r})"
        )
    arguments.count("width", width)
    wanted = requested(ds, band, composite)
    if len(wanted) > 1:
        raise InputError(f'band={band!r} names {len(wanted)} bands; expected one: swipe(ds, sr, "B11")')
    [view] = views(ds, sr, wanted, units=units, offset=offset, percentiles=percentiles)
    before, after = (encode(view.colours(image)) for image in (view.before, view.after))
    return Swipe(before, after, view.titles, width)
