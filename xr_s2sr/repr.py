"""What ``validate`` gives: a survey, readable as text and in a notebook."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

from xr_s2sr.bands import BANDS
from xr_s2sr.errors import S2SRError
from xr_s2sr.survey import Survey

_HEAD = ("band", "variable", "GSD", "size", "starts at", "values")


@dataclass(frozen=True)
class Report:
    """The findings about a Dataset; falsy where something keeps it from being upsampled.

    Attributes
    ----------
    survey : Survey
    outcome : str
        What ``upsample()`` would give.
    problems : tuple of S2SRError
    """

    survey: Survey
    outcome: str
    problems: tuple[S2SRError, ...]

    @property
    def ok(self) -> bool:
        return not self.problems

    def __bool__(self) -> bool:
        return self.ok

    def rows(self) -> list[tuple[str, ...]]:
        """One row a band: id, variable, GSD, size, corner in 10 m pixels, radiometry."""
        rows: list[tuple[str, ...]] = []
        for band, name in self.survey.variables.items():
            gsd = f"{BANDS[band].gsd} m"
            held = self.survey.held.get(band)
            if held is None:
                rows.append((band, name, gsd, "", "", "see problems"))
                continue
            size = f"{held.grid.shape[0]} x {held.grid.shape[1]}"
            rows.append((band, name, gsd, size, f"{held.start[0]}, {held.start[1]}", held.told))
        return rows

    def __str__(self) -> str:
        table = [_HEAD, *self.rows()]
        widths = [max(len(row[i]) for row in table) for i in range(len(_HEAD))]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table
        ]
        lines.append(f"CRS: {self.survey.crs or 'none found'}")
        lines += [f"note: {note}" for note in self.survey.notes]
        lines += [f"problem: {problem}" for problem in self.problems]
        lines.append(self.outcome)
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{escape(cell)}</th>" for cell in _HEAD)
        body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in self.rows())
        lines = [f"CRS: {self.survey.crs or 'none found'}", *(f"note: {note}" for note in self.survey.notes)]
        lines += [f"problem: {problem}" for problem in self.problems]
        rest = "".join(f"<li>{escape(str(line))}</li>" for line in [*lines, self.outcome])
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table><ul>{rest}</ul>"
