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
    """Number of imaging and calibration lines of each image, by their dwell time."""

    lines: dict[LineKind, dict[ImageKey, Counter[float]]] = field(
        default_factory=lambda: {kind: defaultdict(Counter) for kind in KINDS}
    )

    def add(self, line: ismrmrd.Acquisition, kind: LineKind) -> None:
        """Count a line if it is an imaging or calibration line."""
        if kind in KINDS:
            self.lines[kind][image_key(line)][float(line.sample_time_us)] += 1

    def take(self, head: Any) -> dict[float, int]:
        """Number of lines of the image with this head, by dwell time in microseconds; they are counted no longer.

        Imaging lines count; calibration lines only where there are no imaging lines, and the head itself where no line of
        the image came.
        """
        found = [self.lines[kind].pop(image_key(head), None) for kind in KINDS]
        return next((dict(times) for times in found if times), {float(head.sample_time_us): 1})


def dwell_of(times: dict[float, int]) -> float:
    """Dwell time n / sum(n_i / dwell_i) in microseconds of a line with the mean noise variance; 0 where none is known."""
    known = {dwell_us: n for dwell_us, n in times.items() if dwell_us > 0}
    return sum(known.values()) / sum(n / dwell_us for dwell_us, n in known.items()) if known else 0.0
