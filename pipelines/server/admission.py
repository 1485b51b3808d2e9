"""How many scans at once, and how much memory for all of them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

MIB = 1 << 20
BASE_BYTES = 128 * MIB  # of a session without data, beyond what it shares
WORKING_COPIES = 14  # of the k-space of one image: maps, calibration, transforms, images
DEFAULT_CHANNELS, MAX_CHANNELS = 32, 1024
MAX_IMAGES = 1_000_000  # that a header may promise
FREE_FRACTION = 0.8
OWN_FRACTION = 1 / 2  # of the memory: what no scan of another address takes from an address
OWN_FRACTION_OF_FIRST = 7 / 8  # for one scan alone
_CGROUP_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def estimate_bytes(header: Any, queue_bytes: int) -> int:
    """Memory that a scan will need: all slices may be open at once, one is being reconstructed, and lines may wait.

    Parameters
    ----------
    header
        Parsed; what it does not say is estimated.
    queue_bytes
        For lines that wait, at most.
    """
    largest = every = 0
    for encoding in header.encoding:
        image_bytes = bytes_of_image(encoding, channels_of(header))
        images = count(encoding, "slice", "contrast", "phase", "set")
        largest, every = max(largest, image_bytes), every + images * image_bytes
    return BASE_BYTES + WORKING_COPIES * largest + every + bytes_that_wait(header, queue_bytes)


def bytes_that_wait(header: Any, queue_bytes: int) -> int:
    """Of lines that may wait: no more than the scan has, and no more than so many."""
    names = ("slice", "contrast", "phase", "set", "repetition", "average")
    sent = sum(count(encoding, *names) * bytes_of_image(encoding, channels_of(header)) for encoding in header.encoding)
    return min(queue_bytes, sent)


def channels_of(header: Any) -> int:
    """Channels that a header states; a usual number where it states none that can be."""
    stated = getattr(header.acquisitionSystemInformation, "receiverChannels", None) or 0
    return int(stated) if 0 < stated <= MAX_CHANNELS else DEFAULT_CHANNELS


def bytes_of_image(encoding: Any, n_channels: int) -> int:
    """K-space of one image, and the image."""
    acquired, wanted = encoding.encodedSpace.matrixSize, encoding.reconSpace.matrixSize
    return 8 * (n_channels * pixels(acquired) + pixels(wanted))


def announced_images(header: Any, n_series: int) -> int:
    """Images that the limits of a header promise, with so many of each slice.

    Averages become one image, and a further encoding holds calibration for the images of the first.
    """
    names = ("slice", "contrast", "phase", "repetition", "set")
    promised = n_series * max((count(encoding, *names) for encoding in header.encoding), default=0)
    return min(promised, MAX_IMAGES)


def count(encoding: Any, *names: str) -> int:
    """How many combinations of these counters the limits of an encoding allow."""
    limits = [getattr(encoding.encodingLimits, name, None) for name in names]
    return math.prod(max(1, int(limit.maximum) - int(limit.minimum) + 1) for limit in limits if limit is not None)


def pixels(matrix: Any) -> int:
    """Of a matrix of the header."""
    return int(matrix.x) * int(matrix.y) * int(matrix.z)


def free_bytes() -> int:
    """Four fifths of the memory that is free, or that a container may have."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    available = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    for path in map(Path, _CGROUP_LIMITS):
        if path.is_file() and (text := path.read_text().strip()).isdecimal():
            available = min(available, int(text))
    return int(FREE_FRACTION * available)


class Holding(NamedTuple):
    """Memory of one scan, and the address of its peer."""

    address: str
    n_bytes: int


@dataclass
class Admission:
    """The memory of the scans that were let in.

    Half of the memory is an address's own, or one scan of up to seven eighths. What it holds beyond that is on loan: to be
    had while nobody else needs it.
    """

    limit_bytes: int
    admitted: dict[int, Holding] = field(default_factory=dict)  # by scan number, in the order in which they came

    @property
    def used_bytes(self) -> int:
        """What all scans together may need."""
        return sum(holding.n_bytes for holding in self.admitted.values())

    def room_bytes(self, waiting: Mapping[int, Holding]) -> int:
        """What a scan of a new address could have, beside those that wait: what is free or on loan."""
        together = {**self.admitted, **waiting}
        on_loan = set(self.lent(together))
        return self.limit_bytes - sum(holding.n_bytes for scan, holding in together.items() if scan not in on_loan)

    def admit(self, scan: int, holding: Holding, *, more: bool = False) -> str | None:
        """Let a scan in, or say why not; `more` for one that is in and needs more than its header said.

        Beyond its header a scan gets no more than half of what the others leave, so that they can go on coming.
        """
        n_bytes, had = holding.n_bytes, self.admitted.get(scan, Holding("", 0)).n_bytes
        n_others = len(self.admitted.keys() - {scan})
        used = self.used_bytes - had
        if more and n_bytes > had + (self.limit_bytes - self.used_bytes) // 2:
            return (
                f"the lines of this scan need more than its header says: {n_bytes // MIB} MiB, of which {had // MIB} MiB were "
                "set aside and not so many more are free; mend the header's receiverChannels, matrix or limits, or raise "
                "--memory-mb"
            )
        if n_bytes > self.limit_bytes:
            return (
                f"refused: this scan needs about {n_bytes // MIB} MiB, and this server has {self.limit_bytes // MIB} MiB "
                "for all scans; raise --memory-mb, or send fewer slices or channels at a time"
            )
        if used + n_bytes > self.limit_bytes:
            return (
                f"refused: this scan needs about {n_bytes // MIB} MiB, and of {self.limit_bytes // MIB} MiB only "
                f"{(self.limit_bytes - used) // MIB} MiB are free beside {n_others} other scans; try again later"
            )
        self.admitted[scan] = holding
        return None

    def lent(self, holdings: Mapping[int, Holding]) -> list[int]:
        """Those of these scans that go beyond what is their address's own, the latest one first."""
        held: Counter[str] = Counter()
        found = []
        for scan, holding in holdings.items():
            part = OWN_FRACTION if held[holding.address] else OWN_FRACTION_OF_FIRST
            held[holding.address] += holding.n_bytes
            if held[holding.address] > part * self.limit_bytes:
                found.append(scan)
        return found[::-1]

    def to_reclaim(self, waiting: Mapping[int, Holding]) -> list[int]:
        """Scans on loan that have to end for those that wait; one that waits for a loan itself ends none."""
        together, ended = dict(self.admitted), set[int]()
        for scan, holding in waiting.items():
            trial = {**together, scan: holding}
            on_loan = self.lent(trial)
            if scan in on_loan:
                continue
            missing = sum(other.n_bytes for other in trial.values()) - self.limit_bytes
            chosen = []
            for lent in on_loan:
                if missing <= 0:
                    break
                chosen.append(lent)
                missing -= trial[lent].n_bytes
            if missing <= 0:
                ended.update(chosen)
                together = {number: other for number, other in trial.items() if number not in ended}
        return [scan for scan in self.admitted if scan in ended]

    def release(self, scan: int) -> None:
        """The scan is over."""
        self.admitted.pop(scan, None)
