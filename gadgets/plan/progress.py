"""What has come of one image, and what of it is missing."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from itertools import pairwise

from nilatron.gadgets.encoding import Limit


@dataclass
class Progress:
    """Lines of one image, in the order of their coming.

    Attributes
    ----------
    n_lines
        That have come.
    steps
        Encoding steps along y and z that have been seen.
    first_at, last_at
        Numbers, within the scan, of its first and latest line.
    last_step
        Encoding steps (y, z) of the latest line.
    is_flagged
        Whether the latest line was marked as the last of the slice.
    """

    n_lines: int = 0
    steps: tuple[set[int], set[int]] = field(default_factory=lambda: (set(), set()))
    first_at: int = 0
    last_at: int = 0
    last_step: tuple[int, int] = (0, 0)
    is_flagged: bool = False

    def add(self, step: tuple[int, int], number: int, *, is_last: bool) -> None:
        """Take a line of encoding steps (y, z), the `number`-th of the scan."""
        if not self.n_lines:
            self.first_at = number
        self.n_lines += 1
        self.last_at, self.last_step = number, step
        for seen, index in zip(self.steps, step, strict=True):
            seen.add(index)
        self.is_flagged = is_last


def gap(steps: Collection[int]) -> int:
    """The largest distance of neighbouring encoding steps, the step of an undersampled scan; 1 for a single one."""
    ordered = sorted(steps)
    return max((after - before for before, after in pairwise(ordered)), default=1)


def reaches(steps: Collection[int], limit: Limit) -> bool:
    """Whether the encoding steps go as far as the limits, give or take one step of the undersampling."""
    step = gap(steps)
    return max(steps) + step > limit.maximum and min(steps) - step < limit.minimum


def missing_end(steps: Collection[int], last: int, limit: Limit) -> tuple[int, int] | None:
    """First and last encoding step of what the limits announce behind the latest line, where a scan that runs on stopped.

    None where the latest line is not at the edge of what is missing: then partial Fourier or another order left it out.
    """
    step = gap(steps)
    if last == max(steps) and last + step <= limit.maximum:
        return last + 1, limit.maximum
    if last == min(steps) and last - step >= limit.minimum and len(steps) > 1:
        return limit.minimum, last - 1
    return None
