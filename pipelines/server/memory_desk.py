"""Who gets memory at once, who waits for it, and which scans give back what was only lent to them.

A scan for which there is no memory waits for a while. Where it asks for no more than its address's own, and another address
has more than that, the latest scans of the other one give theirs back: first they are hurried (slices that are left become
conventional images), then they are ended.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from nilatron.pipelines.server.admission import BASE_BYTES, Admission, Holding

WAIT_S = 20.0  # for memory, at most
GRACE_S = 1.0  # in which memory may become free by itself


@dataclass
class MemoryDesk:
    """The counter where scans ask for memory.

    Attributes
    ----------
    admission
        Who has how much.
    answer
        Tells a scan why it is refused, or None when it is let in.
    clock
        In seconds.
    waiting
        Scans without an answer, in the order in which they came.
    """

    admission: Admission
    answer: Callable[[int, str | None], None]
    clock: Callable[[], float] = time.monotonic
    waiting: dict[int, Holding] = field(default_factory=dict)
    _since_s: dict[int, float] = field(default_factory=dict)

    @property
    def is_full(self) -> bool:
        """Whether a small scan of a new address would have to be refused."""
        return self.admission.room_bytes(self.waiting) < min(BASE_BYTES, self.admission.limit_bytes)

    def ask(self, scan: int, holding: Holding, *, more: bool = False) -> None:
        """A scan asks for memory; with `more` beyond what it has, which is answered at once."""
        if more or holding.n_bytes > self.admission.limit_bytes:
            self.answer(scan, self.admission.admit(scan, holding, more=more))
            return
        self.waiting[scan], self._since_s[scan] = holding, self.clock()
        self.let_in()

    def let_in(self) -> None:
        """Answer those for whom there is memory, and those who have waited long enough."""
        for scan, holding in list(self.waiting.items()):
            refused = "it waits for others" if self._others_first(scan) else self.admission.admit(scan, holding)
            if refused is not None and self.clock() - self._since_s[scan] >= WAIT_S:
                refused = self.admission.admit(scan, holding)
            elif refused is not None:
                continue
            self._forget(scan)
            self.answer(scan, refused)

    def to_reclaim(self) -> list[int]:
        """Scans that have to give back their memory now, because others have waited for a moment."""
        now = self.clock()
        late = {scan: held for scan, held in self.waiting.items() if now - self._since_s[scan] >= GRACE_S}
        return self.admission.to_reclaim(late)

    def leave(self, scan: int) -> None:
        """A scan is over, or waits no more."""
        self._forget(scan)
        self.admission.release(scan)
        self.let_in()

    def _others_first(self, scan: int) -> bool:
        """Whether this one would need a loan while a scan of another address waits for what is its own."""
        on_loan = set(self.admission.lent({**self.admission.admitted, **self.waiting}))
        address = self.waiting[scan].address
        return scan in on_loan and any(
            other.address != address for number, other in self.waiting.items() if number not in on_loan
        )

    def _forget(self, scan: int) -> None:
        self.waiting.pop(scan, None)
        self._since_s.pop(scan, None)
