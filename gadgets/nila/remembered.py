"""Images that slices are told of: those of the scan itself, and of an earlier one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from nilatron.core.backend import FloatArray


class Geometry(NamedTuple):
    """Matrix, directions, and position in the plane of slices of a stack."""

    matrix: tuple[int, ...]
    orientation: tuple[float, ...]
    in_plane_mm: tuple[float, ...]


class Remembered(NamedTuple):
    """An image of the volume: its slice number, its position in mm, its magnitude (y, x).

    The magnitude is in SNR units of the scan, or has the image scale `scale` if that is not None.
    """

    number: int
    position_mm: float
    magnitude: FloatArray
    scale: float | None = None


class EarlierImage(NamedTuple):
    """An image of an earlier scan, with what has to be the same as in this one."""

    geometry: Geometry
    contrast: int
    image: Remembered


def geometry_of(head: Any, matrix: Sequence[int]) -> Geometry:
    """The geometry of a slice or image (z, y, x) with the head of a line or of an image, an object or a record."""
    read, phase, normal, position = (np.asarray(v, np.float64) for v in _frame(head))
    directions = np.round(np.concatenate((read, phase, normal)), 3) + 0.0
    in_plane = np.round([read @ position, phase @ position], 1) + 0.0
    return Geometry(tuple(map(int, matrix)), tuple(map(float, directions)), tuple(map(float, in_plane)))


def position_mm(head: Any) -> float:
    """Position of a slice along its normal."""
    _, _, normal, position = (np.asarray(v, np.float64) for v in _frame(head))
    return float(normal @ position)


def _frame(head: Any) -> tuple[Sequence[float], ...]:
    names = ("read_dir", "phase_dir", "slice_dir", "position")
    return tuple(list(head[name] if isinstance(head, np.void) else getattr(head, name)) for name in names)
