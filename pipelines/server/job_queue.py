"""Slices that wait for the worker: those of live scans first, in their order of arrival."""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from dataclasses import dataclass, field
from typing import Any

import numpy.typing as npt

FINISHED_SCAN_DELAY_S = 10.0  # so much later than it came does a slice of a finished scan count as having come


class CancelledError(RuntimeError):
    """Nobody waits for this slice any more."""


@dataclass
class Job:
    """One slice, as it came.

    Attributes
    ----------
    head, arrays
        See `jobs.pack_problem`.
    live
        Whether lines of its scan were still arriving when it was sent.
    reply_to
        Connection of the session.
    arrived_s
        On the clock `time.monotonic`.
    """

    head: dict[str, Any]
    arrays: dict[str, npt.NDArray[Any]]
    live: bool = True
    reply_to: Any = None
    arrived_s: float = field(default_factory=time.monotonic)
    cancelled: threading.Event = field(default_factory=threading.Event)

    def check(self) -> None:
        """Stop here if nobody waits any more.

        Raises
        ------
        CancelledError
            In that case.
        """
        if self.cancelled.is_set():
            raise CancelledError("cancelled: nobody waits for this slice any more")


class JobQueue:
    """A queue for many threads that put and one that gets."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Job]] = []
        self._order = itertools.count()
        self._changed = threading.Condition()

    def __len__(self) -> int:
        with self._changed:
            return sum(not job.cancelled.is_set() for _, _, job in self._heap)

    def put(self, job: Job) -> None:
        """Add a job."""
        due_s = job.arrived_s + (0.0 if job.live else FINISHED_SCAN_DELAY_S)
        with self._changed:
            heapq.heappush(self._heap, (due_s, next(self._order), job))
            self._changed.notify()

    def get(self, timeout_s: float | None = None) -> Job | None:
        """The next job that was not cancelled; None when there is none in time."""
        with self._changed:
            while self._changed.wait_for(lambda: self._heap, timeout_s):
                job = heapq.heappop(self._heap)[2]
                if not job.cancelled.is_set():
                    return job
        return None
