"""The rows as one page that sorts them without a network, with the pictures of the files that differ from the others."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, StrictUndefined

from nilatron import __version__
from nilatron.pipelines.batch.rows import COMPLETE, Row
from nilatron.pipelines.batch.settings import GROUP
from nilatron.pipelines.files.atomic import InputError, atomic_path
from nilatron.pipelines.files.images import white_of
from nilatron.pipelines.report import pictures
from nilatron.pipelines.report.slices import ImageGroup

MOST_PICTURES = 24
SIDE = 192  # pixels of a picture
FAR = 3.5  # robust standard deviations from the median, from which on a number is an outlier
FEWEST = 8  # files; of fewer nobody can tell which is the odd one
MEASURES = ("chi2_worst", "sigma")
COLUMNS = ("file", "slices", "chi2", "chi2_worst", "sigma", "acceleration", "seconds", "fall_backs", "exit", "tries")


@dataclass(frozen=True)
class Outlier:
    """A file that differs from the others, and how."""

    row: Row
    why: str


def outliers(rows: Sequence[Row]) -> list[Outlier]:
    """Files whose chi2 or noise is far from that of the others, and those that need a look; the farthest first.

    The distance is |value - median| / (1.4826 median |value - median|) of the logarithms, as both are ratios.
    """
    distances = [_distances([getattr(row, name) for row in rows]) for name in MEASURES]
    found: list[tuple[float, Outlier]] = []
    for place, row in enumerate(rows):
        if not row.slices:
            continue
        far = {name: values[place] for name, values in zip(MEASURES, distances, strict=True) if values[place] > FAR}
        if far:
            words = ", ".join(f"{name} {getattr(row, name):.3g}" for name in far)
            found.append((max(far.values()), Outlier(row, f"unlike the others: {words}")))
        elif row.exit != COMPLETE:
            found.append((0.0, Outlier(row, row.reason or row.warnings or f"exit code {row.exit}")))
    return [one for _, one in sorted(found, key=lambda pair: -pair[0])]


def _distances(values: Sequence[float | None]) -> list[float]:
    logs = [math.log(value) if value is not None and value > 0 else None for value in values]
    known = [value for value in logs if value is not None]
    if len(known) < FEWEST:
        return [0.0] * len(values)
    middle = statistics.median(known)
    spread = 1.4826 * statistics.median(abs(value - middle) for value in known)
    smallest = 1e-3  # files that are all alike have no outlier among them for a last digit
    return [0.0 if value is None else abs(value - middle) / max(spread, smallest) for value in logs]


def write_page(path: Path, rows: Sequence[Row], title: str, seconds: float) -> None:
    """Write the page of a batch.

    Raises
    ------
    InputError, OutputError
        When it cannot be written.
    """
    text = page(rows, title, seconds)
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def page(rows: Sequence[Row], title: str, seconds: float) -> str:
    """The page as HTML; whatever files say is text in it, never markup."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(files(__package__).joinpath("cohort.html").read_text(encoding="utf-8"))
    odd = outliers(rows)
    return template.render(
        title=title,
        version=__version__,
        made=datetime.now().astimezone().strftime("%Y-%m-%d %H:%M"),
        n_complete=sum(row.exit == COMPLETE for row in rows),
        seconds=f"{seconds:.0f}",
        columns=[name.replace("_", " ") for name in COLUMNS] + ["remarks"],
        rows=[_cells(row) for row in rows],
        outliers=[
            {"file": one.row.file, "why": one.why, "uri": picture(Path(one.row.output))} for one in odd[:MOST_PICTURES]
        ],
        n_outliers=len(odd),
    )


def _cells(row: Row) -> dict[str, object]:
    cells = []
    for name in COLUMNS:
        value = getattr(row, name)
        text = "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
        cells.append({"text": text, "key": "" if isinstance(value, str) or value is None else repr(value)})
    return {
        "cells": cells,
        "remarks": "; ".join(filter(None, (row.reason, row.warnings))),
        "is_bad": row.exit != COMPLETE,
    }


def picture(images: Path) -> str:
    """Small picture of the middle slice of an image file; empty where there is none."""
    try:
        with ImageGroup(images, GROUP) as group:
            slices = group.slices()
            one = slices[len(slices) // 2]
            role = "main" if "main" in one.places else next(iter(one.places))
            volume = group.pixels(one, role)
    except (InputError, OSError, IndexError):
        return ""
    plane = volume[len(volume) // 2]
    return pictures.thumbnail(plane, white_of(plane), SIDE)
