"""The scores that ``evaluate`` gives, readable as text and in a notebook."""

from __future__ import annotations

import re
from collections.abc import Hashable
from dataclasses import dataclass
from html import escape
from typing import Any

import pandas as pd
import xarray as xr

from xr_s2sr.quality.metrics import METRICS, Metric


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
        ``protocol``, the ``border`` left out, the ``factors``, and the ``models`` with their SHA-256. Of standard
        errors, if asked for: ``within_1``, ``within_2`` and ``spearman`` on (model, band), ``predicted_rmse`` and
        ``observed_rmse`` in DN on (model, band, bin), in ascending order of the predicted one.
    metrics : tuple of Metric
        What the table shows.
    """

    dataset: xr.Dataset
    metrics: tuple[Metric, ...] = METRICS

    def __getitem__(self, key: Hashable) -> xr.DataArray:
        return self.dataset[key]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # copy and pickle ask before there is a Dataset
            raise AttributeError(name)
        return getattr(self.dataset, name)

    def rows(self) -> list[tuple[str, ...]]:
        """Return one row per band and one for the mean of each resolution; for each metric a column of each model."""
        return list(self._table().itertuples(name=None))

    def _texts(self, ds: xr.Dataset) -> list[str]:
        """Return the numbers of a row; empty where there is none."""
        texts = []
        for metric in self.metrics:
            for model in self.dataset.model.values:
                value = float(ds[metric.name].sel(model=model)) if metric.name in ds else float("nan")
                texts.append("" if value != value else format(value, metric.format))
        return texts

    def _table(self) -> pd.DataFrame:
        rows: dict[str, xr.Dataset] = {}
        for gsd in self.gsd.values:
            scores = self.dataset.sel(gsd=gsd, band=self.native_gsd == gsd)
            bands = scores.drop_vars([metric.name for metric in self.metrics if metric.dim == "gsd"])
            rows |= {str(band): bands.sel(band=band) for band in bands.band.values}
            rows[f"{gsd} m"] = scores.mean("band")
        models = [str(model) for model in self.dataset.model.values]
        headings = [metric.heading or metric.name for metric in self.metrics]
        columns = pd.MultiIndex.from_product([headings, models], names=[None, "band"])
        return pd.DataFrame([self._texts(ds) for ds in rows.values()], list(rows), columns, dtype=object)

    def _notes(self) -> list[str]:
        attrs = self.dataset.attrs
        counted = ", ".join(f"{n} of {gsd} m" for n, gsd in zip(self.pixels.values, self.gsd.values, strict=True))
        return [
            f'Wald\'s protocol, "{attrs["protocol"]}"; degraded by {attrs["factors"]}',
            f"pixels compared: {counted}; borders of {attrs['border']} left out",
            *re.sub(r"(sha256:\w{12})\w+", r"\1", attrs["models"]).split("; "),
        ]

    def _errors(self) -> pd.DataFrame | None:
        """Return the scores of the standard errors, a row for each model and band that has them; None without any."""
        ds = self.dataset
        if "within_1" not in ds:
            return None
        ratio = ds["observed_rmse"] / ds["predicted_rmse"]
        columns = {
            "within 1 s.e.": ds["within_1"],
            "within 2 s.e.": ds["within_2"],
            "Spearman": ds["spearman"],
            "observed / predicted RMSE: least": ratio.min("bin"),
            "most": ratio.max("bin"),
        }
        table = pd.DataFrame({key: column.stack(row=("model", "band")).to_series() for key, column in columns.items()})
        return table.dropna(how="all").round(2)

    def __str__(self) -> str:
        first, *others = self._notes()
        tables = [table.to_string() for table in (self._table(), self._errors()) if table is not None]
        return "\n".join([first, *(line.rstrip() for table in tables for line in table.splitlines()), *others])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        errors = self._errors()
        more = "" if errors is None else errors.to_html()
        return (
            f"{self._table().to_html()}{more}<ul>{''.join(f'<li>{escape(note)}</li>' for note in self._notes())}</ul>"
        )
