"""Bounds of settings: how much time or memory a number may cost, checked before anything is built from it."""

from __future__ import annotations

import dataclasses
from typing import Any

BOUNDS = "bounds"


def bounded(default: Any, least: float, most: float, *, formerly: str = "") -> Any:
    """Field of a dataclass whose value lies between `least` and `most`, or is None where its type allows that.

    Parameters
    ----------
    default
        Of the field.
    least, most
        Smallest and largest value.
    formerly
        Name that the field had before, if it had one.
    """
    names = {"formerly": formerly} if formerly else {}
    return dataclasses.field(default=default, metadata={BOUNDS: (least, most), **names})


def check_bounds(settings: Any) -> None:
    """Compare the fields of a dataclass with their bounds.

    Raises
    ------
    ValueError
        For the first value outside them; the text says the field, its range and the value.
    """
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if value is None or BOUNDS not in field.metadata:
            continue
        least, most = field.metadata[BOUNDS]
        if not least <= value <= most:
            raise ValueError(f"{field.name} must be from {least} to {most}, got {value}")
