"""The report of ``validate``: the content of a scene, readable as text and in a notebook."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

import pandas as pd

from xr_s2sr.bands import BANDS
from xr_s2sr.errors import S2SRError
from xr_s2sr.scene.scene import NativeScene, SceneBand

_COLUMNS = ("variable", "GSD", "size", "starts at", "values")


@dataclass(frozen=True)
class Report:
    """Findings about a Dataset; falsy where something keeps it from being upsampled.

    Attributes
    ----------
    info : NativeScene
    outcome : str
        Of ``upsample()``, if it were called.
    problems : tuple of S2SRError
    notes : tuple of str
        Assumptions, and what will be left out.
    """

    info: NativeScene
    outcome: str
    problems: tuple[S2SRError, ...]
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        return not self.problems

    def __bool__(self) -> bool:
        return self.ok

    def rows(self) -> list[tuple[str, ...]]:
        """Return one row a band: id, variable, GSD, size, corner in 10 m pixels, radiometry."""
        rows: list[tuple[str, ...]] = []
        for key, name in self.info.variables.items():
            gsd = f"{BANDS[key].gsd} m"
            band = self.info.bands.get(key)
            if band is None:
                rows.append((key, name, gsd, "", "", "see problems"))
                continue
            size = f"{band.grid.shape[0]} x {band.grid.shape[1]}"
            rows.append((key, name, gsd, size, f"{band.start[0]}, {band.start[1]}", _values(band)))
        return rows

    def _table(self) -> pd.DataFrame:
        rows = self.rows()
        return pd.DataFrame(
            [row[1:] for row in rows], [row[0] for row in rows], pd.Index(_COLUMNS, name="band"), dtype=object
        )

    def _lines(self) -> list[str]:
        """Return what follows the table."""
        return [
            f"CRS: {self.info.crs or 'none found'}",
            *(f"note: {note}" for note in self.notes),
            *(f"problem: {problem}" for problem in self.problems),
            self.outcome,
        ]

    def __str__(self) -> str:
        table = self._table()
        shown = [line.rstrip() for line in table.to_string().splitlines()] if len(table) else []
        return "\n".join([*shown, *self._lines()])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return f"{self._table().to_html()}<ul>{''.join(f'<li>{escape(line)}</li>' for line in self._lines())}</ul>"


def _values(band: SceneBand) -> str:
    """Return what the values of a band mean, in words."""
    own = band.radiometry
    if band.dates is None:
        return str(own)
    offsets = " or ".join(f"{value:+g}" for value in sorted(set(band.dates.values)))
    return f"{own.dtype} x {own.scale:g} {offsets} by date, nodata {own.nodata:g}"
