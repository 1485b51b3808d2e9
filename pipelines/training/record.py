"""What a run measured of itself, as a table (CSV) and a picture in its folder; a resumed run goes on in both."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from nilatron.pipelines.files.disk import OutputError, reason_of
from nilatron.pipelines.training.curves import draw_panels

TABLE, PICTURE = "training.csv", "training.png"
STEP, LOSS = "step", "loss"
ERROR = "rmse_sigma_"  # and the complex noise level


@dataclass
class Record:
    """Table and picture in `folder`; rows of an earlier run after `first_step` are dropped, as those steps are made again."""

    folder: Path
    first_step: int = 0
    rows: dict[int, dict[str, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Go on where a run was broken off."""
        if self.first_step and (self.folder / TABLE).is_file():
            with (self.folder / TABLE).open(newline="") as file:
                for row in csv.DictReader(file):
                    numbers = _numbers(row)
                    if (step := int(numbers.pop(STEP, -1))) in range(self.first_step + 1):
                        self.rows[step] = numbers

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """Put values into the row of a step, and write both files anew.

        Raises
        ------
        OutputError
            When they cannot be written.
        """
        self.rows.setdefault(step, {}).update(values)
        names = list(dict.fromkeys(name for row in self.rows.values() for name in row))
        text = io.StringIO()
        writer = csv.DictWriter(text, [STEP, *names], restval="")
        writer.writeheader()
        writer.writerows({STEP: at} | row for at, row in sorted(self.rows.items()))
        picture = io.BytesIO()
        draw_panels(self._panels(names)).save(picture, format="PNG")
        for name, content in ((TABLE, text.getvalue().encode()), (PICTURE, picture.getvalue())):
            _replace(self.folder / name, content)

    def _panels(self, names: list[str]) -> dict[str, dict[str, list[tuple[float, float]]]]:
        def curve(name: str) -> list[tuple[float, float]]:
            return [(step, row[name]) for step, row in sorted(self.rows.items()) if name in row]

        panels = {"Training loss": {LOSS: curve(LOSS)}}
        if errors := {name.removeprefix(ERROR): curve(name) for name in names if name.startswith(ERROR)}:
            panels["Error on held-out images, by noise level"] = errors
        return panels


def _numbers(row: Mapping[str, str | None]) -> dict[str, float]:
    """The fields of a row that hold numbers: a damaged file costs its history only."""
    found = {}
    for name, text in row.items():
        try:
            found[name] = float(text or "")
        except (ValueError, TypeError):
            continue
    return found


def _replace(path: Path, content: bytes) -> None:
    partial = path.with_name(f"{path.name}.partial")
    try:
        partial.write_bytes(content)
        partial.replace(path)
    except OSError as error:
        raise OutputError(f"{path}: {reason_of(error)}; an earlier one is as it was") from error
    finally:
        partial.unlink(missing_ok=True)
