"""An image whose lines are still coming in."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

import ismrmrd

from nilatron.core.kspace import KSpaceAccumulator
from nilatron.gadgets.items import ScanLog
from nilatron.gadgets.placement import Readout, distance
from nilatron.gadgets.places import Places

log = logging.getLogger(__name__)

UNLIKE_ECHOES = "lines whose echo lies elsewhere than in others of their image"


@dataclass
class OpenSlice:
    """What has come of it.

    Attributes
    ----------
    grid
        Sums of its lines.
    head
        Of its line nearest to the centre of k-space.
    distance
        Of that line from it, in lines.
    places
        Where its lines say that it lies.
    echo
        Sample of the echo in its first line that is as long as the grid; 0: none has come.
    """

    grid: KSpaceAccumulator
    head: ismrmrd.AcquisitionHeader
    distance: float = float("inf")
    places: Places = field(default_factory=Places)
    echo: int = 0

    def look_at(self, line: ismrmrd.Acquisition, row: tuple[int, int]) -> None:
        """Keep the place of a line at `row` (z, y), and its head where it is the nearest to the centre."""
        self.places.add(line)
        n_z, n_y, _ = self.grid.shape
        from_centre = distance(row, (n_z // 2, n_y // 2))
        if from_centre < self.distance:
            self.distance, self.head = from_centre, line.getHead()

    def check_echo(self, readout: Readout, scan_log: ScanLog) -> None:
        """Tell a whole line whose echo lies elsewhere than in the other lines; one sample is that of turned lines."""
        self.echo = self.echo or readout.echo
        if abs(readout.echo - self.echo) <= 1:
            return
        if not scan_log.counts[UNLIKE_ECHOES]:
            scan_log.problem(
                log,
                f"line {readout.number} has its echo at sample {readout.echo}, others of its image have it at {self.echo}: put "
                "together as their center_sample says, which may be wrong",
            )
        scan_log.counts[UNLIKE_ECHOES] += 1
