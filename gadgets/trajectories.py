"""Lines that bring a trajectory where the header names none: on a grid, or refused."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import ismrmrd
import numpy as np

from nilatron.core.backend import FloatArray
from nilatron.gadgets.flags import LineKind, kind_of
from nilatron.gadgets.items import Context, ScanError

TOLERANCE_SAMPLES = 0.25  # of the way from sample to sample
TOLERANCE_RADIANS = 0.01


def on_a_grid(items: Iterable[Any], context: Context) -> Iterator[Any]:
    """Pass all items; the lines of an encoding without a named trajectory must not contradict that it is Cartesian.

    Lines of a grid are straight, sampled evenly, and parallel to each other. A trajectory that says nothing (empty,
    constant, not finite) contradicts nothing.

    Raises
    ------
    ScanError
        At the first line whose trajectory lies off a grid.
    """
    encodings = getattr(context.header, "encoding", ())
    unnamed = {number for number, encoding in enumerate(encodings) if encoding.trajectory is None}
    if not unnamed:
        yield from items
        return
    directions: dict[int, FloatArray] = {}
    for item in items:
        if isinstance(item, ismrmrd.Acquisition) and int(item.encoding_space_ref) in unnamed:
            _check(item, directions)
        yield item


def _check(line: ismrmrd.Acquisition, directions: dict[int, FloatArray]) -> None:
    is_image = kind_of(line.flags) in (LineKind.IMAGING, LineKind.CALIBRATION)
    if not is_image or line.trajectory_dimensions == 0 or line.number_of_samples < 2:
        return
    path: FloatArray = np.asarray(line.traj)
    if not np.isfinite(path).all() or not np.ptp(path, axis=0).any():
        return
    direction = line_direction(path)
    first = directions.setdefault(int(line.encoding_space_ref), direction) if direction is not None else None
    if direction is None or first is None or 1 - abs(float(first @ direction)) > TOLERANCE_RADIANS**2 / 2:
        raise ScanError(
            f"line {line.scan_counter}: the header names no trajectory, and the line's own is not on a grid; "
            "only Cartesian sampling (cartesian, epi) can be reconstructed"
        )


def line_direction(path: FloatArray) -> FloatArray | None:
    """Unit vector along a straight, evenly sampled path (sample, dimension); None for any other path."""
    n = path.shape[0]
    whole = path[-1] - path[0]
    straight = path[0] + np.linspace(0, 1, n, dtype=np.float32)[:, None] * whole
    length = float(np.linalg.norm(whole))
    if np.linalg.norm(path - straight, axis=1).max() > TOLERANCE_SAMPLES * length / (n - 1):
        return None
    direction: FloatArray = whole / np.float32(length)
    return direction
