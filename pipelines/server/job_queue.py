"""Slices that wait for the worker: whose turn it is, and which of them may come between the steps of a longer one."""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy.typing as npt

from nilatron.gadgets.nila.budget import OutOfTimeError

FINISHED_SCAN_DELAY_S = 10.0  # so much later than it came does a slice of a finished scan count as having come
SHORTER = 0.5  # of the work that a running slice has left: so little work does not wait for it
REMEMBERED_SCANS = 1024


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
    scan
        Number of its scan.
    n_steps
        Evaluations of the network that it needs, of one image each.
    arrived_s
        On the clock `time.monotonic`.
    deadline_s
        Until when it has to be done, on the same clock; None without a budget.
    steps_done, held_s
        Evaluations so far, and seconds in which other slices came between.
    """

    head: dict[str, Any]
    arrays: dict[str, npt.NDArray[Any]]
    live: bool = True
    reply_to: Any = None
    scan: int = 0
    n_steps: int = 1
    arrived_s: float = field(default_factory=time.monotonic)
    deadline_s: float | None = None
    cancelled: threading.Event = field(default_factory=threading.Event)
    steps_done: int = 0
    held_s: float = 0.0

    @property
    def work_left(self) -> float:
        """Evaluations that it still needs, times samples of its k-space: what it costs but for a factor."""
        n_samples = sum(array.size for name, array in self.arrays.items() if name == "data") or 1
        return max(0, self.n_steps - self.steps_done) * float(n_samples)

    def clock(self) -> float:
        """Seconds without those in which other slices came between."""
        return time.monotonic() - self.held_s

    def check(self) -> None:
        """Stop here if nobody waits any more, or if its time is over.

        Raises
        ------
        CancelledError, OutOfTimeError
            In that case.
        """
        if self.cancelled.is_set():
            raise CancelledError("cancelled: nobody waits for this slice any more")
        if self.deadline_s is not None and time.monotonic() >= self.deadline_s:
            raise OutOfTimeError("its budget ended in the worker, between two steps")


class JobQueue:
    """A queue for many threads that put and one that gets: a fair share of the worker for each scan.

    A slice counts as having come later by the time that the slice before it of the same scan has taken, so that scans share
    the time of the worker, and not its slices. None waits for ever, because its place comes nearer as time goes on.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Job]] = []
        self._order = itertools.count()
        self._changed = threading.Condition()
        self._taken_s: OrderedDict[int, float] = OrderedDict()  # by the latest slice of a scan

    def __len__(self) -> int:
        with self._changed:
            return sum(not job.cancelled.is_set() for _, _, job in self._heap)

    def put(self, job: Job) -> None:
        """Add a job."""
        with self._changed:
            due_s = job.arrived_s + (0.0 if job.live else FINISHED_SCAN_DELAY_S) + self._taken_s.get(job.scan, 0.0)
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

    def get_shorter(self, running: Job) -> Job | None:
        """The next job that is so much shorter than what is left of the running one that it need not wait for that.

        With each job that comes between, the next one has to be shorter again, so that few are ever under way.
        """
        return self._get_first(lambda job: job.work_left <= SHORTER * running.work_left)

    def note(self, job: Job, seconds: float) -> None:
        """So long has a job taken."""
        with self._changed:
            self._taken_s.pop(job.scan, None)
            self._taken_s[job.scan] = seconds
            while len(self._taken_s) > REMEMBERED_SCANS:
                self._taken_s.popitem(last=False)

    def _get_first(self, wanted: Callable[[Job], bool]) -> Job | None:
        with self._changed:
            self._heap = [entry for entry in self._heap if not entry[2].cancelled.is_set()]
            heapq.heapify(self._heap)
            found = min((entry for entry in self._heap if wanted(entry[2])), default=None)
            if found is None:
                return None
            self._heap.remove(found)
            heapq.heapify(self._heap)
            return found[2]
