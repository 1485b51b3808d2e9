"""What a batch costs beside the reconstructions: by sleeping workers in any number, and by real ones on this machine.

usage: python benchmarks/cohort.py sleep [--files 10000] [--workers 200] [--mean 60] [--faster 20]
       python benchmarks/cohort.py work [--files 40] [--workers 1 2] [--ray off auto] [--config nila] [--weights tiny]

sleep: the driver and its table, with workers that do nothing but wait for durations that are drawn (log-normal, the longest
about ten times the median; 1 % of the files fail once). Overhead is the time until the last file is done by that of the same
durations handed out by an oracle that costs nothing. In simulated time waiting costs nothing and the driver's own time is
added; then threads sleep, so many times faster. Memory is what Python holds when half and all of the files are done.

work: simulated scans of 128 x 128, 8 coils, by real workers. Overhead of a file is the workers' time from the first start to
the last row that no reconstruction took.
"""

from __future__ import annotations

import argparse
import gc
import heapq
import queue
import tempfile
import threading
import time
import tracemalloc
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nilatron.core.prior.weights import find_weights
from nilatron.pipelines.batch.driver import Driver
from nilatron.pipelines.batch.engine import Done, Engine, Event, Failed, Joined
from nilatron.pipelines.batch.inputs import find_jobs
from nilatron.pipelines.batch.loop import drive
from nilatron.pipelines.batch.rows import Row
from nilatron.pipelines.batch.run import engine_of, owned
from nilatron.pipelines.batch.settings import BatchSettings, Job, Limits
from nilatron.pipelines.batch.table import Table
from nilatron.pipelines.batch.work import prepare
from nilatron.pipelines.replay.settings import ReplaySettings
from nilatron.pipelines.simulation.simulate import SimulationSettings, simulate
from report import markdown

Durations = npt.NDArray[np.float64]
MIB = 1 << 20


@dataclass
class Sleepers:
    """Workers that sleep, in simulated time: it passes in `wait`, and while the driver works.

    Parameters
    ----------
    durations
        Of every try, by number of the file.
    fails
        Files whose first try fails.
    """

    n_workers: int
    durations: Durations
    fails: npt.NDArray[np.bool_]
    now_s: float = 0.0
    resumed_s: float = field(default_factory=time.perf_counter)

    def __post_init__(self) -> None:
        """All workers are there."""
        self.coming: list[tuple[float, int, Event]] = [
            (0.0, number, Joined(number, "here", 1 << 50)) for number in range(self.n_workers)
        ]
        self.tried: set[str] = set()

    def clock(self) -> float:
        """Simulated seconds, those of the driver among them."""
        return self.now_s + time.perf_counter() - self.resumed_s

    def start(self, worker: int, job: Job) -> None:
        """Sleep for the job's duration."""
        heapq.heappush(self.coming, (self.clock() + self.durations[int(job.name)], worker, self.end_of(worker, job)))

    def end_of(self, worker: int, job: Job) -> Event:
        """What the worker will say."""
        if self.fails[int(job.name)] and job.name not in self.tried:
            self.tried.add(job.name)
            return Failed(worker, "RuntimeError: drawn")
        self.tried.discard(job.name)
        seconds = float(self.durations[int(job.name)])
        return Done(worker, Row(str(job.settings.raw), str(job.output), slices=16, chi2=1.0, seconds=seconds))

    def kill(self, worker: int) -> None:
        """Nobody is killed here."""

    def wait(self, timeout_s: float) -> Sequence[Event]:
        """Let time pass until the next worker wakes."""
        self.now_s = max(self.clock(), min(self.coming[0][0] if self.coming else np.inf, self.clock() + timeout_s))
        self.resumed_s = time.perf_counter()
        events = []
        while self.coming and self.coming[0][0] <= self.now_s:
            events.append(heapq.heappop(self.coming)[2])
        return events

    def close(self) -> None:
        """Nothing is left."""


@dataclass
class SleepingThreads(Sleepers):
    """The same in real time: a thread for each worker, which sleeps `faster` times less."""

    faster: float = 20.0

    def __post_init__(self) -> None:
        """Start the threads."""
        super().__post_init__()
        self.begun_s = time.perf_counter()
        self.said: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self.told: list[queue.SimpleQueue[Job | None]] = [queue.SimpleQueue() for _ in range(self.n_workers)]
        for number in range(self.n_workers):
            self.said.put(Joined(number, "here", 1 << 50))
            threading.Thread(target=self.sleep, args=(number,), daemon=True).start()

    def sleep(self, number: int) -> None:
        """Be a worker."""
        while (job := self.told[number].get()) is not None:
            time.sleep(self.durations[int(job.name)] / self.faster)
            self.said.put(self.end_of(number, job))

    def clock(self) -> float:
        """Real seconds, so many times longer."""
        return (time.perf_counter() - self.begun_s) * self.faster

    def start(self, worker: int, job: Job) -> None:
        """Wake a worker."""
        self.told[worker].put(job)

    def wait(self, timeout_s: float) -> Sequence[Event]:
        """What workers have said."""
        try:
            events = [self.said.get(timeout=timeout_s)]
        except queue.Empty:
            return []
        while not self.said.empty():
            events.append(self.said.get())
        return events

    def close(self) -> None:
        """End the threads."""
        for one in self.told:
            one.put(None)


def oracle_s(durations: Sequence[float], n_workers: int) -> float:
    """Time until the last is done, when each goes to the worker that is free first and nothing else costs time."""
    free = [0.0] * n_workers
    for duration in durations:
        heapq.heapreplace(free, free[0] + duration)
    return max(free)


def job_of(number: int) -> Job:
    """A job of no file."""
    return Job(str(number), ReplaySettings(Path(f"/data/cohort/scan{number:06}.h5"), Path(f"/out/images/{number}.h5")))


def run_sleepers(engine: Sleepers, n_files: int, note: Callable[[int], None]) -> float:
    """Simulated time of a batch of sleepers, its table written as it goes; `note` is told the number of rows."""
    counted = 0
    with tempfile.TemporaryDirectory() as folder:
        table = Table(Path(folder))

        def take(row: Row) -> None:
            nonlocal counted
            counted += 1
            table.append(row)
            note(counted)

        driver = Driver(map(job_of, range(n_files)), lambda _: 1 << 30, time_limit_s=1e9)
        drive(driver, nullcontext(engine), take, lambda _: None, engine.clock)
        ended_s = engine.clock()
        table.close()
    engine.close()
    return ended_s


def sleep(options: argparse.Namespace) -> None:
    """Print overhead and memory."""
    rng = np.random.default_rng(options.seed)
    durations = rng.lognormal(0, 0.6, options.files)
    durations *= options.mean / durations.mean()
    fails = rng.random(options.files) < 0.01
    best_s = oracle_s([*durations, *durations[fails]], options.workers)
    held: list[float] = []

    def note(n_rows: int) -> None:
        if n_rows in (options.files // 2, options.files - options.workers):
            gc.collect()
            held.append(tracemalloc.get_traced_memory()[0] / MIB)

    tracemalloc.start()
    run_sleepers(Sleepers(options.workers, durations, fails), options.files, note)
    tracemalloc.stop()
    simulated_s = run_sleepers(Sleepers(options.workers, durations, fails), options.files, lambda _: None)
    threads = SleepingThreads(options.workers, durations, fails, faster=options.faster)
    slept_s = run_sleepers(threads, options.files, lambda _: None)
    found = {"oracle": best_s, "simulated time": simulated_s, f"threads, {options.faster:g} times faster": slept_s}
    rows = [
        {"how": name, "seconds": f"{seconds:.0f}", "overhead": f"{100 * (seconds / best_s - 1):.2f} %"}
        for name, seconds in found.items()
    ]
    print(f"{options.files} files of {options.mean:g} s on {options.workers} workers\n")
    print(markdown(rows))
    print(f"\nmemory that Python holds: {held[0]:.2f} MiB after half of the files, {held[1]:.2f} MiB near the end")


def work(options: argparse.Namespace) -> None:
    """Print throughput and overhead of real workers."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        scans = Path(folder) / "scans"
        scans.mkdir()
        for number in range(options.files):
            scan = SimulationSettings(matrix=(128, 128, 1), n_coils=8, acceleration=4, seed=number)
            simulate(scans / f"scan{number:04}.h5", scan)
        base = ReplaySettings(Path(), None, options.config, weights=find_weights(options.weights))
        for ray in options.ray:
            for n_workers in options.workers:
                limits = Limits(n_workers, gpus_per_worker=0.0)
                settings = BatchSettings((str(scans),), Path(folder) / f"{ray}{n_workers}", base, limits, ray)
                rows.append(work_once(settings))
    print(markdown(rows))


def work_once(settings: BatchSettings) -> dict[str, str]:
    """Row of one batch."""
    taken: list[Row] = []
    with owned(settings.folder):
        asked_s = time.perf_counter()
        with engine_of(settings) as engine:
            joined: list[Event] = []
            while sum(isinstance(one, Joined) for one in joined) < engine.n_workers:
                joined += engine.wait(1.0)
            begun_s = time.perf_counter()
            driver = Driver(find_jobs(settings), prepare)
            drive(driver, nullcontext(Before(engine, joined)), taken.append, lambda _: None)
            wall_s = time.perf_counter() - begun_s
            busy_s = sum(row.seconds for row in taken)
            if any(row.exit == 2 or row.reason for row in taken):
                raise SystemExit(f"a file failed: {next(row for row in taken if row.exit)}")
            return {
                "workers": f"{engine.n_workers}, Ray {settings.ray}",
                "files/s": f"{len(taken) / wall_s:.2f}",
                "start, s": f"{begun_s - asked_s:.1f}",
                "busy, s a file": f"{busy_s / len(taken):.3f}",
                "overhead, ms a file": f"{1000 * (wall_s * engine.n_workers - busy_s) / len(taken):.0f}",
            }


@dataclass
class Before:
    """An engine some of whose events have been read already."""

    engine: Engine
    events: list[Event]

    @property
    def n_workers(self) -> int:
        """Of the engine."""
        return self.engine.n_workers

    def wait(self, timeout_s: float) -> Sequence[Event]:
        """The events that have been read, then the engine's."""
        events, self.events = self.events, []
        return events or self.engine.wait(timeout_s)

    def start(self, worker: int, job: Job) -> None:
        """As the engine."""
        self.engine.start(worker, job)

    def kill(self, worker: int) -> None:
        """As the engine."""
        self.engine.kill(worker)

    def close(self) -> None:
        """Leave it to who has opened the engine."""


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    sleeping = commands.add_parser("sleep")
    sleeping.add_argument("--files", type=int, default=10_000)
    sleeping.add_argument("--workers", type=int, default=200)
    sleeping.add_argument("--mean", type=float, default=60.0, help="seconds of a file")
    sleeping.add_argument("--faster", type=float, default=20.0)
    sleeping.add_argument("--seed", type=int, default=0)
    sleeping.set_defaults(run=sleep)
    working = commands.add_parser("work")
    working.add_argument("--files", type=int, default=40)
    working.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    working.add_argument("--ray", nargs="+", default=["off", "auto"])
    working.add_argument("--config", default="nila")
    working.add_argument("--weights", default="tiny")
    working.set_defaults(run=work)
    options = parser.parse_args()
    options.run(options)


if __name__ == "__main__":
    main()
