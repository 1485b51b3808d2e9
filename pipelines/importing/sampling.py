"""Which lines and samples of a grid were acquired: those that are not zero, in any coil and slice."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nilatron.pipelines.files.atomic import InputError
from nilatron.pipelines.importing.kspace import Kspace

NOTHING = 1e-9  # of the largest sample of a slice; noise is far above, what padding leaves behind is below
FEWEST_CALIBRATION = 8  # fully sampled lines around the centre, of which coil maps can be made


@dataclass(frozen=True)
class Sampling:
    """What was acquired of a grid (z, y, x).

    Attributes
    ----------
    lines
        Bool (z, y): in some slice.
    first_sample, last_sample
        Along x; what lies outside is zero in every line.
    """

    lines: npt.NDArray[np.bool_]
    first_sample: int
    last_sample: int

    def span(self, axis: int) -> tuple[int, int]:
        """First and last line along z (0) or y (1)."""
        there = np.flatnonzero(self.lines.any(1 - axis))
        return int(there[0]), int(there[-1])

    def block(self, axis: int) -> tuple[int, int]:
        """First and last line of the block around the centre of an axis in which no line is missing; empty: last < first."""
        there = self._along(axis)
        first = last = len(there) // 2
        if not there[first]:
            return first, first - 1
        while first > 0 and there[first - 1]:
            first -= 1
        while last + 1 < len(there) and there[last + 1]:
            last += 1
        return first, last

    def acceleration(self, axis: int) -> int:
        """Lines of the span over those that were acquired, without the block around the centre."""
        first, last = self.span(axis)
        begin, end = self.block(axis)
        n_block = end - begin + 1
        n_outside = int(self._along(axis).sum()) - n_block
        return max(1, round((last - first + 1 - n_block) / n_outside)) if n_outside else 1

    def calibration(self, axis: int) -> tuple[int, int]:
        """The block, where an accelerated axis has one that coil maps can be made of; else empty: last < first."""
        first, last = self.block(axis)
        is_wanted = self.acceleration(axis) > 1 and last - first + 1 >= FEWEST_CALIBRATION
        return (first, last) if is_wanted else (0, -1)

    def _along(self, axis: int) -> npt.NDArray[np.bool_]:
        """Lines along an axis, at the place of the other one that has most of them."""
        counts = self.lines.sum(axis)
        place = int(counts.argmax())
        return self.lines[:, place] if axis == 0 else self.lines[place]


def sampling_of(kspace: Kspace) -> Sampling:
    """What was acquired; reads every slice once.

    Raises
    ------
    InputError
        When every sample is zero or some are not numbers, or lines are not zero that the file says were not acquired.
    """
    _, n_z, n_y, n_x = kspace.shape
    lines, samples = np.zeros((n_z, n_y), bool), np.zeros(n_x, bool)
    for number, one in enumerate(slices_of(kspace)):
        if not np.isfinite(one).all():
            raise InputError(f"slice {number} has samples that are not finite numbers")
        there = acquired(one)
        lines |= there.any(-1)
        samples |= there.any((0, 1))
    if not samples.any():
        raise InputError("every sample is zero")
    extra = [] if kspace.sampled is None else np.flatnonzero(lines.any(0) & ~kspace.sampled).tolist()
    if extra:
        raise InputError(f"lines that the mask leaves out are not zero: {', '.join(map(str, extra[:5]))}")
    at = np.flatnonzero(samples)
    return Sampling(lines, int(at[0]), int(at[-1]))


def acquired(one: npt.NDArray[np.complex64]) -> npt.NDArray[np.bool_]:
    """Samples (z, y, x) of a slice (coil, z, y, x) that were acquired."""
    magnitudes = np.abs(one)
    found: npt.NDArray[np.bool_] = (magnitudes > NOTHING * magnitudes.max()).any(0)
    return found


def slices_of(kspace: Kspace) -> Iterator[npt.NDArray[np.complex64]]:
    """Every slice (coil, z, y, x), in their order."""
    return map(kspace.read, range(kspace.n_slices))
