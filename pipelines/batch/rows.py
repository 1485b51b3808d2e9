"""The results, one row a file, and what is read of them from an image file."""

from __future__ import annotations

import dataclasses
import json
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_type_hints

from nilatron.pipelines.batch.settings import GROUP
from nilatron.pipelines.report.slices import ImageGroup, SliceImages

COMPLETE, UNUSABLE, INCOMPLETE = 0, 2, 3  # what `nilatron replay` of the file ends with


@dataclass(frozen=True)
class Row:
    """What came of one file.

    Attributes
    ----------
    file, output
        Raw file and image file; no image file where there is none.
    exit
        What `nilatron replay` would end with: 0 complete, 2 the file cannot be used, 3 images are missing or need a look.
    slices
        Slices that have images.
    chi2, chi2_worst
        Of the slices: median, and the one that is farthest from 1.
    sigma, acceleration
        Noise level that was used, and acceleration: medians of the slices.
    seconds
        Of the last try.
    fall_backs
        Slices whose image is the conventional one.
    warnings
        Problems of the scan.
    reason
        Why there are no images, or what ended the tries.
    tries
        How often the file was started; 0 where it never was.
    """

    file: str
    output: str = ""
    exit: int = COMPLETE
    slices: int = 0
    chi2: float | None = None
    chi2_worst: float | None = None
    sigma: float | None = None
    acceleration: float | None = None
    seconds: float = 0.0
    fall_backs: int = 0
    warnings: str = ""
    reason: str = ""
    tries: int = 1

    def as_json(self) -> str:
        """The row in one line."""
        return json.dumps(dataclasses.asdict(self), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Row:
        """The row of such a line; what other versions have written beside it is left out.

        Raises
        ------
        ValueError, TypeError
            When it is none.
        """
        kinds = get_type_hints(cls)
        found = {name: value for name, value in dict(json.loads(text)).items() if name in kinds}
        for name, value in found.items():
            if not isinstance(value, kinds[name] if kinds[name] is str else kinds[name] | int):
                raise TypeError(f"{name} is {value!r}")
        return cls(**found)


COLUMNS = tuple(one.name for one in dataclasses.fields(Row))


def facts_of(images: Path) -> dict[str, Any]:
    """What the images of a file say of themselves, as values of a row."""
    with ImageGroup(images, GROUP) as group:
        slices = group.slices()
    chi2 = _numbers(slices, "chi2")
    return {
        "slices": len(slices),
        "chi2": _median(chi2),
        "chi2_worst": max(chi2, key=lambda value: abs(value - 1), default=None),
        "sigma": _median(_numbers(slices, "sigma_used")),
        "acceleration": _median(_numbers(slices, "acceleration")),
        "fall_backs": sum(any(one.fact("fallback", role) for role in one.metadata) for one in slices),
    }


def _numbers(slices: list[SliceImages], name: str) -> list[float]:
    found = []
    for one in slices:
        role = "main" if "main" in one.metadata else next(iter(one.metadata))
        try:
            found.append(float(one.fact(name, role)))
        except ValueError:  # the method has no such number
            continue
    return found


def _median(values: list[float]) -> float | None:
    return statistics.median(values) if values else None
