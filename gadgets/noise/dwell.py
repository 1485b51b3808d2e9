"""Dwell times of the lines of an image, which its noise depends on."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

import ismrmrd

from nilatron.gadgets.flags import LineKind
from nilatron.gadgets.placement import ImageKey, image_key

KINDS = (LineKind.IMAGING, LineKind.CALIBRATION)  # the first that an image has counts


@dataclass
class DwellTimes:
    """How many lines of each dwell time came for which image, of imaging and of calibration lines."""

    lines: dict[LineKind, dict[ImageKey, Counter[float]]] = field(
        default_factory=lambda: {kind: defaultdict(Counter) for kind in KINDS}
    )

    def add(self, line: ismrmrd.Acquisition, kind: LineKind) -> None:
        """Count a line, if it is one of an image."""
        if kind in KINDS:
            self.lines[kind][image_key(line)][float(line.sample_time_us)] += 1

    def take(self, head: Any) -> dict[float, int]:
        """Lines of the image with this head, by their dwell time in microseconds; they are forgotten afterwards.

        Of the imaging lines, of the calibration lines where there are no others, and of the head where no line came.
        """
        found = [self.lines[kind].pop(image_key(head), None) for kind in KINDS]
        return next((dict(times) for times in found if times), {float(head.sample_time_us): 1})


def dwell_of(times: dict[float, int]) -> float:
    """Dwell time in microseconds with the mean noise variance of lines, variance ~ 1 / dwell; 0 where none is known."""
    known = {dwell_us: n for dwell_us, n in times.items() if dwell_us > 0}
    return sum(known.values()) / sum(n / dwell_us for dwell_us, n in known.items()) if known else 0.0
