"""Tables of the benchmarks: Markdown to read, JSON to keep."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from nilatron.pipelines.files.atomic import atomic_path

Cell: TypeAlias = str | int | float | None


def cell_text(value: Cell) -> str:
    """Two decimals for a float, a dash for nothing."""
    if value is None:
        return "-"
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def markdown(rows: Sequence[Mapping[str, Cell]]) -> str:
    """Table of rows that have the same columns."""
    names = list(rows[0])
    lines = [names, ["---"] * len(names), *([cell_text(row[name]) for name in names] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def write_json(path: Path, content: object) -> None:
    """All of it or nothing."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n")
