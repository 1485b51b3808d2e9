"""The places for scans: who has one, who is refused, and who may stay to be told why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from nilatron.pipelines.server.scans import Scan
from nilatron.pipelines.server.settings import ServeSettings

MAX_TOLD = 8  # that are refused or have failed, and stay; beyond them the first one goes


@dataclass
class Places:
    """A look at all scans of the front."""

    scans: Mapping[int, Scan]
    settings: ServeSettings

    @property
    def n_running(self) -> int:
        """Scans that run, without those that are still opening, or are only told that they cannot."""
        return sum(scan.running for scan in list(self.scans.values()))

    @property
    def begun(self) -> list[Scan]:
        """Those whose header has not come yet."""
        return [scan for scan in self.scans.values() if not scan.opened and scan.kill_reason is None]

    def refusal(self, scan: Scan) -> str | None:
        """Why a scan whose header has come is not taken, if it is not: there are too many."""
        n = self.n_running - 1  # without this one
        of_one = sum(other.running and other.address == scan.address for other in self.scans.values()) - 1
        most_of_one = self.settings.max_scans_per_peer
        if n >= self.settings.max_scans:
            reason = f"refused: {n} scans are running, which is all that this server takes; try again later"
        elif most_of_one is not None and of_one >= most_of_one:
            reason = f"refused: {of_one} scans of {scan.address} are running, which is all that one address may have"
        else:
            return None
        self.leave(scan)
        return reason

    def leave(self, scan: Scan) -> None:
        """Its place is free for another, and few such peers may stay to be told why."""
        scan.refused = True
        told = [other for other in self.scans.values() if other.refused and other.kill_reason is None]
        if len(told) > MAX_TOLD:
            told[0].kill("it was told why it is not taken, and did not leave", silent=True)
