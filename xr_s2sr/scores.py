"""What ``evaluate`` gives: scores, readable as text and in a notebook."""

from __future__ import annotations

import re
from collections.abc import Hashable
from dataclasses import dataclass
from html import escape
from typing import Any

import xarray as xr

#: Columns of the table: name in the Dataset, heading, format. The last two are of a resolution, not of a band.
_COLUMNS = (
    ("rmse", "RMSE [DN]", ".1f"),
    ("sre", "SRE [dB]", ".2f"),
    ("uiq", "UIQ", ".3f"),
    ("sam", "SAM [deg]", ".2f"),
    ("ergas", "ERGAS", ".2f"),
)


@dataclass(frozen=True, repr=False, eq=False)
class Scores:
    """Scores of models on a scene: a Dataset that prints as a table.

    Items and attributes are those of the Dataset: ``scores["rmse"]``, ``scores.sel(model="bicubic")``,
    ``scores.sre.mean("band")``.

    Attributes
    ----------
    dataset : Dataset
        On (model, band): ``rmse`` in DN, ``sre`` in dB, ``uiq``. On (model, gsd), since they take all bands of one
        resolution together: ``sam`` in degrees, ``ergas``. Coordinates: ``native_gsd`` of each band in metres;
        for each gsd the ``factor`` of the degradation, and how many ``pixels`` were compared. Attributes: the
        ``protocol``, the ``border`` left out, the ``factors``, and the ``models`` with their SHA-256.
    """

    dataset: xr.Dataset

    def __getitem__(self, key: Hashable) -> xr.DataArray:
        return self.dataset[key]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # copy and pickle ask before there is a Dataset
            raise AttributeError(name)
        return getattr(self.dataset, name)

    def rows(self) -> list[tuple[str, ...]]:
        """One row a band and one for the mean of each resolution; five columns for each model."""
        ds, rows = self.dataset, []
        for gsd in ds.gsd.values:
            bands = ds.band.values[ds.native_gsd.values == gsd]
            for band in bands:
                rows.append((str(band), *self._cells(ds.sel(band=band).drop_vars(["sam", "ergas"]))))
            of_all = ds.sel(gsd=gsd)[["sam", "ergas"]].merge(ds[["rmse", "sre", "uiq"]].sel(band=bands).mean("band"))
            rows.append((f"{gsd} m", *self._cells(of_all)))
        return rows

    def _cells(self, ds: xr.Dataset) -> list[str]:
        cells = []
        for name, _, spec in _COLUMNS:
            for model in self.dataset.model.values:
                value = float(ds[name].sel(model=model)) if name in ds else float("nan")
                cells.append("" if value != value else format(value, spec))
        return cells

    def _notes(self) -> list[str]:
        attrs = self.dataset.attrs
        counted = ", ".join(f"{n} of {gsd} m" for n, gsd in zip(self.pixels.values, self.gsd.values, strict=True))
        return [
            f'Wald\'s protocol, "{attrs["protocol"]}"; degraded by {attrs["factors"]}',
            f"pixels compared: {counted}; borders of {attrs['border']} left out",
            *re.sub(r"(sha256:\w{12})\w+", r"\1", attrs["models"]).split("; "),
        ]

    def __str__(self) -> str:
        models = [str(model) for model in self.dataset.model.values]
        head = ("band", *models * len(_COLUMNS))
        table = [head, *self.rows()]
        widths = [max(len(row[i]) for row in table) for i in range(len(head))]
        first, n = widths[0], len(models)
        # a heading spans the columns of its models, and may be what makes them wide
        for k, (_, title, _) in enumerate(_COLUMNS):
            at = 1 + k * n
            widths[at] += max(0, len(title) - sum(widths[at : at + n]) - 2 * (n - 1))
        spans = [sum(widths[1 + k * n : 1 + k * n + n]) + 2 * (n - 1) for k in range(len(_COLUMNS))]
        titles = "".join(
            "   " + title.center(span) for (_, title, _), span in zip(_COLUMNS, spans, strict=True)
        ).rstrip()
        lines = [*self._notes()[:1], " " * first + titles]
        for row in table:
            cells = [
                ("   " if i % n == 0 else "  ") + cell.rjust(width)
                for i, (cell, width) in enumerate(zip(row[1:], widths[1:], strict=True))
            ]
            lines.append(row[0].ljust(first) + "".join(cells).rstrip())
        return "\n".join([*lines, *self._notes()[1:]])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        models = [str(model) for model in self.dataset.model.values]
        titles = "".join(f'<th colspan="{len(models)}">{escape(title)}</th>' for _, title, _ in _COLUMNS)
        names = "".join(f"<th>{escape(model)}</th>" for model in models * len(_COLUMNS))
        body = "".join(
            f"<tr><th>{escape(row[0])}</th>" + "".join(f"<td>{escape(cell)}</td>" for cell in row[1:]) + "</tr>"
            for row in self.rows()
        )
        notes = "".join(f"<li>{escape(note)}</li>" for note in self._notes())
        return (
            f'<table><thead><tr><th rowspan="2">band</th>{titles}</tr><tr>{names}</tr></thead>'
            f"<tbody>{body}</tbody></table><ul>{notes}</ul>"
        )
