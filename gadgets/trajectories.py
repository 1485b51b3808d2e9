"""Check of the trajectories that lines contain when the header does not name a trajectory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import ismrmrd
import numpy as np

from nilatron.core.backend import FloatArray
from nilatron.gadgets.flags import LineKind, kind_of
from nilatron.gadgets.items import Context, ScanError

TOLERANCE_SAMPLES = 0.25  # largest distance from a straight, even line, in distances between samples
TOLERANCE_RADIANS = 0.01  # largest angle between lines


def on_a_grid(items: Iterable[Any], context: Context) -> Iterator[Any]:
    """Pass all items on, and refuse lines that contradict the assumption that an encoding without a trajectory is Cartesian.

    Cartesian lines are straight, evenly sampled and parallel to each other. Trajectories that are empty, constant or not finite
    contain no information and are ignored.

    Raises
    ------
    ScanError
        At the first line whose trajectory is not Cartesian.
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
    """Unit vector along a straight, evenly sampled trajectory (sample, dimension); None for other trajectories."""
    n = path.shape[0]
    whole = path[-1] - path[0]
    straight = path[0] + np.linspace(0, 1, n, dtype=np.float32)[:, None] * whole
    length = float(np.linalg.norm(whole))
    if np.linalg.norm(path - straight, axis=1).max() > TOLERANCE_SAMPLES * length / (n - 1):
        return None
    direction: FloatArray = whole / np.float32(length)
    return direction
