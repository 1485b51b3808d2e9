"""Numbers of images: their place in the order of slices, whatever the order in which they come.

    number = 1 + slice + n_slices (contrast + n_contrasts (phase + n_phases (set + n_sets (repetition + ...))))

with the counts that the header announces, so that it is known before the other images are.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

COUNTERS = ("slice", "contrast", "phase", "set", "repetition")  # fastest first


def place_of(head: Any, header: Any) -> int:
    """Number of the image of a line's head (1, 2, ...), among those that the header announces."""
    place, stride = 0, 1
    for name in COUNTERS:
        first, count = announced(header, name)
        place += stride * max(0, int(getattr(head.idx, name)) - first)
        stride *= count
    return 1 + place + stride * int(head.encoding_space_ref)


def announced(header: Any, name: str) -> tuple[int, int]:
    """First value of a counter, and how many values the header announces; 0 and 1 where it does not say."""
    found = (getattr(encoding.encodingLimits, name, None) for encoding in getattr(header, "encoding", ()))
    limits = [limit for limit in found if limit is not None]
    first = min((int(limit.minimum) for limit in limits), default=0)
    return first, max((int(limit.maximum) + 1 - first for limit in limits), default=1)


@dataclass
class Numbering:
    """The numbers that have been given, by series; none is given twice."""

    given: defaultdict[int, set[int]] = field(default_factory=lambda: defaultdict(set))

    def number(self, series: int, head: Any, header: Any) -> int:
        """The number of an image: its place, or, if another image has it already, the next one after all of them."""
        given, number = self.given[series], place_of(head, header)
        if number in given:
            number = max(given) + 1
        given.add(number)
        return number
