"""Whether the readouts of an encoding still have their oversampling: what its lines say one by one, against each other."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Any

from nilatron.gadgets.encoding import kept_width
from nilatron.gadgets.items import ScanLog
from nilatron.gadgets.placement import Readout, grid_width

log = logging.getLogger(__name__)


@dataclass
class Widths:
    """Of the lines of images of one scan.

    Attributes
    ----------
    oversampled
        By encoding space that has some, whether readouts still have their oversampling: once one has it, all have.
    """

    oversampled: dict[int, bool]
    _unlike: set[int] = field(default_factory=set)  # encoding spaces that have been told
    _short: set[int] = field(
        default_factory=set
    )  # with lines as short as without oversampling, taken as parts of lines with it

    def of(self, number: int, readout: Readout, encoding: Any, log_of_scan: ScanLog) -> int:
        """Columns of the grid for a line of an encoding space."""
        n_kept, n_x = kept_width(encoding), int(encoding.encodedSpace.matrixSize.x)
        if n_kept >= n_x:
            return n_x
        is_wide = grid_width(readout, encoding) > n_kept
        if self.oversampled.setdefault(number, is_wide) != is_wide and number not in self._unlike:
            self._unlike.add(number)
            log_of_scan.problem(
                log,
                f"encoding {number}: line {readout.number} has {readout.n_samples} samples, unlike those before it: of another "
                f"resolution, or without readout oversampling; an image of {n_kept} samples a line may have the wrong width",
            )
        self.oversampled[number] |= is_wide
        if self.oversampled[number] and readout.n_samples == n_kept:
            self._short.add(number)
        return n_x if self.oversampled[number] else n_kept

    def check_centre(self, number: int, note: str, label: str, log_of_scan: ScanLog) -> None:
        """Tell an image whose lines may be too short for what they are taken as: their `center_sample` was wrong, too."""
        if "along x" in note and number in self._short:
            log_of_scan.problem(
                log,
                f"{label}: center_sample does not fit its lines, which are as long as without readout oversampling: had it "
                "been removed, the image has the wrong width",
            )
