"""What a section has found so far; a file that is whole after every addition, so that a section that is cut loses little."""

from __future__ import annotations

import json
import logging
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from report import Cell, write_json


@dataclass(frozen=True)
class Bar:
    """A figure that may not be larger than its limit.

    Attributes
    ----------
    what
        What was measured.
    found
        Infinite where it could not be.
    limit, unit
        Of the figure.
    """

    what: str
    found: float
    limit: float
    unit: str = ""

    @property
    def passed(self) -> bool:
        """Whether it is reached; what is not a number never does."""
        return self.found <= self.limit


@dataclass
class Findings:
    """Tables, bars and remarks of a section.

    Attributes
    ----------
    path
        Where they are written after every addition.
    tables
        Rows by title.
    bars
        In the order in which they were judged.
    absent
        What this machine or installation lacks, and why: it is left out, which is no failure.
    notes
        Remarks, among them all warnings of nilatron's log.
    """

    path: Path
    tables: dict[str, list[dict[str, Cell]]] = field(default_factory=dict)
    bars: list[Bar] = field(default_factory=list)
    absent: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add_row(self, title: str, row: dict[str, Cell]) -> None:
        """One more row of a table; all its rows have the same columns."""
        self.tables.setdefault(title, []).append(row)
        self.save()

    def judge(self, what: str, found: float, limit: float, unit: str = "") -> None:
        """One more bar."""
        self.bars.append(Bar(what, found, limit, unit))
        self.save()

    def leave_out(self, what: str, why: str) -> None:
        """Something that is absent."""
        self.absent[what] = why
        self.save()

    def note(self, text: str) -> None:
        """A remark, once."""
        if text not in self.notes:
            self.notes.append(text)
            self.save()

    def save(self) -> None:
        """Write all of it or nothing."""
        bars = [asdict(bar) | {"found": _json_number(bar.found), "passed": bar.passed} for bar in self.bars]
        write_json(
            self.path,
            {"tables": _json_cells(self.tables), "bars": bars, "absent": self.absent, "notes": self.notes},
        )


def read_findings(path: Path) -> dict[str, Any]:
    """What a section saved; empty where it got no so far."""
    empty: dict[str, Any] = {"tables": {}, "bars": [], "absent": {}, "notes": []}
    if not path.is_file():
        return empty
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def _json_number(value: float) -> float | None:
    """JSON knows no NaN and no infinity."""
    return value if math.isfinite(value) else None


def _json_cells(tables: dict[str, list[dict[str, Cell]]]) -> dict[str, list[dict[str, Cell]]]:
    return {
        title: [{k: _json_number(v) if isinstance(v, float) else v for k, v in row.items()} for row in rows]
        for title, rows in tables.items()
    }


class WarningsToNotes(logging.Handler):
    """Warnings of the log as notes: they tell, for example, that something was computed elsewhere than asked."""

    def __init__(self, found: Findings) -> None:
        super().__init__(logging.WARNING)
        self._found = found

    def emit(self, record: logging.LogRecord) -> None:
        """One message."""
        self._found.note(f"log: {record.getMessage()}")
