"""Whether the path of a readout in k-space runs along a Cartesian grid."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

ROUGH = 0.5  # of second to first differences: white noise has 1.7, a spiral of ten turns and 200 samples 0.3
OFF_GRID = 0.5  # steps of the readout
MIN_SAMPLES = 8


def leaves_the_grid(path: npt.NDArray[np.floating]) -> tuple[str | None, int | None]:
    """What of a path (sample, dimension) does not run along a grid, in words, and the axis along which it runs.

    Both are None for a path that says nothing: too short, without movement, not finite, or so rough that no gradient could
    have played it. The units do not matter.
    """
    k = np.asarray(path, np.float64)
    if len(k) < MIN_SAMPLES or not np.isfinite(k).all():
        return None, None
    first = np.diff(k, axis=0)
    speed = float(np.sqrt(np.mean(np.sum(first**2, axis=1))))
    if speed == 0 or np.sqrt(np.mean(np.sum(np.diff(first, axis=0) ** 2, axis=1))) > ROUGH * speed:
        return None, None
    axis = int(np.argmax(np.ptp(k, axis=0)))
    index = np.arange(len(k)) - (len(k) - 1) / 2
    step = float(k[:, axis] @ index / (index @ index))
    tolerance = OFF_GRID * abs(step)
    others = np.delete(k, axis, axis=1)
    if others.size and np.ptp(others, axis=0).max() > tolerance:
        return "moves along more than one axis", axis
    if np.abs(k[:, axis] - k[:, axis].mean() - step * index).max() > tolerance:
        return "is not equidistant", axis
    return None, axis
