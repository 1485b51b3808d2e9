"""The memory that one session may take: asked of the front, enforced by the system, extended where lines need more."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from nilatron.gadgets.items import ScanError
from nilatron.pipelines.server.admission import MIB, bytes_that_wait, estimate_bytes
from nilatron.pipelines.server.wall import limit_growth, writable_bytes

log = logging.getLogger(__name__)

MIN_QUEUE_BYTES, MAX_QUEUE_BYTES = 16 * MIB, 256 * MIB  # for lines that wait
MAX_MESSAGE_BYTES = 2048 * MIB
LAST_WORDS_BYTES = 64 * MIB  # to say that there is no memory


@dataclass
class Allowance:
    """What was set aside for a scan.

    Attributes
    ----------
    n_bytes, queue_bytes
        In total, and of it for lines that wait.
    ask
        Sends an event to the front and returns its answer.
    base_bytes
        That the process had mapped before.
    """

    n_bytes: int
    queue_bytes: int
    ask: Callable[[dict[str, Any]], dict[str, Any]]
    base_bytes: int

    @classmethod
    def of(cls, header: Any, ask: Callable[[dict[str, Any]], dict[str, Any]], base_bytes: int) -> Allowance:
        """What a header says that its scan needs; not asked for yet."""
        queue_bytes = max(MIN_QUEUE_BYTES, bytes_that_wait(header, MAX_QUEUE_BYTES))
        return cls(estimate_bytes(header, MAX_QUEUE_BYTES), queue_bytes, ask, base_bytes)

    @property
    def message_bytes(self) -> int:
        """The largest message that fits in."""
        return min(self.n_bytes, MAX_MESSAGE_BYTES)

    def ask_first(self, n_expected: int) -> dict[str, Any]:
        """The front's answer: why not, if not, and the worker's address; `n_expected` images are announced."""
        answer = self.ask({"event": "admit", "bytes": self.n_bytes, "expected": n_expected})
        if answer["refused"] is None:
            limit_growth(self.base_bytes, self.n_bytes)
        return answer

    def extend(self, n_bytes: int) -> None:
        """Have more memory set aside, for lines that need more than the header says.

        Raises
        ------
        ScanError
            When there is not so much.
        """
        refused = self.ask({"event": "admit", "bytes": n_bytes, "more": True})["refused"]
        if refused is not None:
            raise ScanError(refused)
        self.n_bytes = n_bytes
        log.warning("its lines need more than the header says: %d MiB are set aside", n_bytes // MIB)
        limit_growth(self.base_bytes, n_bytes)


def out_of_memory(error: MemoryError) -> ScanError:
    """What to say where the system gives no more memory, and a little of it to say it."""
    limit_growth(writable_bytes(), LAST_WORDS_BYTES)
    return ScanError(f"this scan needs more memory than was set aside for it by its header: {error}")
