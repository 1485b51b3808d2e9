"""Who does what next: jobs, workers, memory, tries and time limits as a state machine without files, processes and clock.

Jobs are taken one by one as workers become free, in their order: each is prepared (is it finished? what memory does it need?)
when its turn comes, and waits until a machine has room for it. So nothing grows with the number of jobs but what the caller
keeps of the rows. What was lost is tried again after all that has not been tried yet is under way.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from nilatron.pipelines.batch.rows import INCOMPLETE, UNUSABLE, Row
from nilatron.pipelines.batch.settings import Job
from nilatron.pipelines.progress import duration

GIB = 1 << 30
MOST_ROWS = 100  # that wait before the caller has a look at them
MOST_FRUITLESS = 3  # workers a place that may end before they have done anything


class WorkersError(RuntimeError):
    """Workers that end before they have done anything, again and again."""


class Start(NamedTuple):
    """A job that a worker is to do now."""

    worker: int
    job: Job


@dataclass(frozen=True)
class _Try:
    job: Job
    number: int
    n_bytes: int


@dataclass
class _Worker:
    machine: str
    doing: _Try | None = None
    killed_for: str = ""


@dataclass
class _Machine:
    limit_bytes: int
    used_bytes: int = 0


@dataclass
class Driver:
    """The state of a batch; times are seconds of any clock.

    Parameters
    ----------
    jobs
        Read one by one.
    prepare
        The row of a job that no worker is needed for, or else the memory that it needs in bytes.
    n_workers
        Workers that are to come; before they are there no job is refused for its memory.
    retries, time_limit_s
        As in `Limits`.

    Attributes
    ----------
    rows
        Results that the caller has not taken yet.
    """

    jobs: Iterable[Job]
    prepare: Callable[[Job], Row | int]
    n_workers: int = 1
    retries: int = 1
    time_limit_s: float = float("inf")
    rows: deque[Row] = field(default_factory=deque)

    def __post_init__(self) -> None:
        """Nothing has begun."""
        self._coming = iter(self.jobs)
        self._next: _Try | None = None
        self._again: deque[_Try] = deque()
        self._workers: dict[int, _Worker] = {}
        self._idle: dict[int, None] = {}  # in the order in which they became so
        self._machines: dict[str, _Machine] = {}
        self._began: OrderedDict[int, float] = OrderedDict()  # when workers started what they do, oldest first
        self._n_joined = self._n_fruitless = 0
        self._ended = False

    @property
    def n_running(self) -> int:
        """Files that are worked on."""
        return len(self._workers) - len(self._idle)

    @property
    def finished(self) -> bool:
        """Whether every job has its row."""
        return self._ended and self._next is None and not self._again and self.n_running == 0

    def needs_workers(self) -> bool:
        """Whether a job waits for a worker; the rows of those that need none are added on the way."""
        return self._wanted() is not None

    def joined(self, worker: int, machine: str, limit_bytes: int) -> None:
        """A worker is there, on a machine with so much memory for files."""
        self._machines.setdefault(machine, _Machine(limit_bytes))
        self._workers[worker] = _Worker(machine)
        self._idle[worker] = None
        self._n_joined += 1

    def starts(self, now_s: float) -> Iterator[Start]:
        """Jobs for the workers that are idle, as far as their machines have room."""
        while (wanted := self._wanted()) is not None and self._idle:
            worker = next((one for one in self._idle if self._room(one) >= wanted.n_bytes), None)
            if worker is None:
                if not self._is_too_large(wanted):
                    return
                self._next = None
                self.rows.append(self._too_large(wanted))
                continue
            self._next = None
            del self._idle[worker]
            state = self._workers[worker]
            state.doing = wanted
            state.killed_for = ""
            self._began[worker] = now_s
            self._machines[state.machine].used_bytes += wanted.n_bytes
            yield Start(worker, wanted.job)

    def done(self, worker: int, row: Row) -> None:
        """A worker has the row of its job, and is free."""
        done = self._freed(worker)
        self._idle[worker] = None
        self._n_fruitless = 0
        self.rows.append(replace(row, tries=done.number if row.tries else 0))

    def failed(self, worker: int, why: str) -> None:
        """A worker has failed in a way that may pass, and is free."""
        done = self._freed(worker)
        self._idle[worker] = None
        self._n_fruitless = 0
        self._try_again(done, why)

    def lost(self, worker: int, why: str) -> Job | None:
        """A worker has died; returns the job that it was at, of which half files may lie about.

        Raises
        ------
        WorkersError
            When one worker after the other dies without a job.
        """
        state = self._workers.get(worker)
        if state is None or state.doing is None:
            self._n_fruitless += 1
            if self._n_fruitless >= MOST_FRUITLESS * self.n_workers:
                raise WorkersError(f"{self._n_fruitless} workers ended before they had done anything: {why}")
            self._workers.pop(worker, None)
            self._idle.pop(worker, None)
            return None
        done = self._freed(worker)
        del self._workers[worker]
        self._try_again(done, state.killed_for or why)
        return done.job

    def overdue(self, now_s: float) -> list[int]:
        """Workers whose file takes too long: they are to be killed, and will be `lost`."""
        found = []
        while now_s >= self.next_deadline_s():
            number, _ = self._began.popitem(last=False)
            self._workers[number].killed_for = f"took longer than the time limit of {duration(self.time_limit_s)}"
            found.append(number)
        return found

    def next_deadline_s(self) -> float:
        """When the next file will have taken too long."""
        return next(iter(self._began.values()), float("inf")) + self.time_limit_s

    def _wanted(self) -> _Try | None:
        """The job whose turn it is; the rows of those that need no worker are added on the way."""
        while self._next is None and not self._ended and len(self.rows) < MOST_ROWS:
            job = next(self._coming, None)
            if job is None:
                self._ended = True
                break
            found = self.prepare(job)
            if isinstance(found, Row):
                self.rows.append(found)
            else:
                self._next = _Try(job, 1, found)
        if self._ended and self._next is None and self._again:
            self._next = self._again.popleft()
        return self._next

    def _room(self, worker: int) -> int:
        machine = self._machines[self._workers[worker].machine]
        return machine.limit_bytes - machine.used_bytes

    def _is_too_large(self, wanted: _Try) -> bool:
        most = max((machine.limit_bytes for machine in self._machines.values()), default=0)
        return self._n_joined >= self.n_workers and wanted.n_bytes > most

    def _too_large(self, wanted: _Try) -> Row:
        most = max(machine.limit_bytes for machine in self._machines.values())
        reason = (
            f"needs about {wanted.n_bytes / GIB:.3g} GiB, and a machine has {most / GIB:.3g} GiB for files: raise --memory-mb, "
            "or take a machine with more memory or fewer coils (PCACoilGadget)"
        )
        return Row(str(wanted.job.settings.raw), exit=UNUSABLE, reason=reason, tries=0)

    def _freed(self, worker: int) -> _Try:
        state = self._workers[worker]
        if state.doing is None:
            raise ValueError(f"worker {worker} has no job")
        done, state.doing = state.doing, None
        self._began.pop(worker, None)
        self._machines[state.machine].used_bytes -= done.n_bytes
        return done

    def _try_again(self, done: _Try, why: str) -> None:
        if done.number <= self.retries:
            self._again.append(replace(done, number=done.number + 1))
        else:
            self.rows.append(Row(str(done.job.settings.raw), exit=INCOMPLETE, reason=why, tries=done.number))
