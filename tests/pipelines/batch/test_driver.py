"""The driver with workers that only count simulated time."""

import heapq
import tracemalloc
from collections import Counter, deque
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest

from nilatron.pipelines.batch.driver import MOST_FRUITLESS, Driver, WorkersError
from nilatron.pipelines.batch.engine import Done, Failed, Joined, Lost
from nilatron.pipelines.batch.loop import drive
from nilatron.pipelines.batch.rows import Row
from nilatron.pipelines.batch.settings import Job
from nilatron.pipelines.replay.settings import ReplaySettings

GIB = 1 << 30


def job(number):
    return Job(f"f{number}", ReplaySettings(Path(f"f{number}.h5"), Path(f"images/f{number}.h5")))


class SleepingWorkers:
    """Workers that take as long for a file as `behaviour(job, try)` says; time passes only in `wait`.

    A behaviour is a duration, or a pair of it and what then happens: "dies", "fails", "hangs".
    """

    def __init__(self, n_workers, behaviour, machines=None):
        self.n_workers, self.behaviour = n_workers, behaviour
        self.machines = machines or {"here": 4 * GIB}
        self.now_s, self.n_begun, self.tries = 0.0, 0, Counter()
        self.coming, self.doing, self.started = [], {}, []
        self.most_at_once, self.busy_s = 0, 0.0
        for _ in range(n_workers):
            self.begin()

    def begin(self):
        machine = list(self.machines)[self.n_begun % len(self.machines)]
        self.later(0.0, self.n_begun, Joined(self.n_begun, machine, self.machines[machine]))
        self.n_begun += 1

    def later(self, after_s, worker, event):
        heapq.heappush(self.coming, (self.now_s + after_s, len(self.started), worker, event))

    def start(self, worker, job):
        assert worker not in self.doing
        self.tries[job.name] += 1
        self.started.append((self.now_s, worker, job.name))
        self.doing[worker] = job
        self.most_at_once = max(self.most_at_once, len(self.doing))
        found = self.behaviour(job, self.tries[job.name])
        duration_s, how = found if isinstance(found, tuple) else (found, "works")
        self.busy_s += duration_s
        if how == "dies":
            self.later(duration_s, worker, Lost(worker, "its worker was killed by SIGKILL"))
        elif how == "fails":
            self.later(duration_s, worker, Failed(worker, "OSError: the disk"))
        elif how == "works":
            self.later(duration_s, worker, Done(worker, Row(str(job.settings.raw))))

    def kill(self, worker):
        self.later(0.0, worker, Lost(worker, "its worker was killed by SIGKILL"))

    def wait(self, timeout_s):
        until_s = self.coming[0][0] if self.coming else np.inf
        if until_s > self.now_s + timeout_s:
            self.now_s += timeout_s
            return []
        self.now_s = until_s
        events = []
        while self.coming and self.coming[0][0] <= self.now_s:
            _, _, worker, event = heapq.heappop(self.coming)
            if not isinstance(event, Joined):
                self.doing.pop(worker, None)
            if isinstance(event, Lost):
                self.begin()
            events.append(event)
        return events

    def close(self):
        pass


def run(n_jobs, engine, prepare=lambda _: GIB // 1024, take=None, tidy=lambda _: None, **options):
    rows = []
    driver = Driver(map(job, range(n_jobs)), prepare, **options)
    drive(driver, nullcontext(engine), take or rows.append, tidy, lambda: engine.now_s)
    assert driver.finished
    assert driver.n_running == 0
    return {row.file.removesuffix(".h5"): row for row in rows} if take is None else None


def list_schedule_s(durations, n_workers):
    """End of the last job when each goes to the worker that is free first."""
    free = [0.0] * n_workers
    for duration in durations:
        heapq.heapreplace(free, free[0] + duration)
    return max(free)


def test_every_job_is_done_once_in_its_order():
    engine = SleepingWorkers(3, lambda *_: 1.0)
    rows = run(10, engine)
    assert sorted(rows) == sorted(f"f{k}" for k in range(10))
    assert [name for _, _, name in engine.started] == [f"f{k}" for k in range(10)]
    assert {row.tries for row in rows.values()} == {1}
    assert engine.now_s == 4.0


def test_no_worker_waits_while_there_is_a_job():
    durations = np.random.default_rng(0).lognormal(1, 1, 300)
    engine = SleepingWorkers(7, lambda job, _: durations[int(job.name[1:])])
    run(300, engine)
    assert engine.now_s == pytest.approx(list_schedule_s(durations, 7), rel=1e-12)


@pytest.mark.parametrize(("how", "why"), [("dies", "SIGKILL"), ("fails", "OSError"), ("hangs", "time limit of 20 s")])
def test_a_file_that_cannot_be_done_is_tried_again_then_listed_and_the_rest_goes_on(how, why):
    tidied = []
    engine = SleepingWorkers(2, lambda job, _: (1.0, how) if job.name == "f3" else 1.0)
    rows = run(8, engine, tidy=lambda job: tidied.append(job.name), retries=2, time_limit_s=20.0)
    assert engine.tries == {f"f{k}": 3 if k == 3 else 1 for k in range(8)}
    assert {name: row.exit for name, row in rows.items()} == {f"f{k}": 3 if k == 3 else 0 for k in range(8)}
    assert why in rows["f3"].reason
    assert rows["f3"].tries == 3
    assert tidied == ([] if how == "fails" else ["f3"] * 3)
    assert [name for _, _, name in engine.started][-2:] == ["f3", "f3"]  # nobody waits for it


@pytest.mark.parametrize("how", ["dies", "fails", "hangs"])
def test_what_passes_is_done_at_the_second_try(how):
    engine = SleepingWorkers(2, lambda job, attempt: (1.0, how) if job.name == "f0" and attempt == 1 else 1.0)
    rows = run(4, engine, retries=1, time_limit_s=20.0)
    assert {row.exit for row in rows.values()} == {0}
    assert rows["f0"].tries == 2


def test_a_slow_file_is_not_killed_before_its_limit():
    engine = SleepingWorkers(1, lambda *_: 19.9)
    assert {row.exit for row in run(3, engine, time_limit_s=20.0).values()} == {0}


def test_files_wait_until_a_machine_has_room():
    engine = SleepingWorkers(4, lambda *_: 1.0, {"here": 4 * GIB})
    run(8, engine, prepare=lambda _: 2 * GIB)
    assert engine.most_at_once == 2
    assert engine.now_s == 4.0


def test_a_large_file_goes_where_there_is_room():
    engine = SleepingWorkers(4, lambda *_: 1.0, {"small": GIB, "large": 8 * GIB})
    rows = run(6, engine, prepare=lambda job: 4 * GIB if job.name == "f2" else GIB // 8)
    assert {row.exit for row in rows.values()} == {0}
    assert next(worker for _, worker, name in engine.started if name == "f2") % 2 == 1


def test_a_file_that_no_machine_can_hold_is_listed_without_a_try():
    engine = SleepingWorkers(2, lambda *_: 1.0)
    rows = run(5, engine, prepare=lambda job: 64 * GIB if job.name == "f1" else GIB)
    assert rows["f1"].exit == 2
    assert "64 GiB" in rows["f1"].reason
    assert "4 GiB for files" in rows["f1"].reason
    assert rows["f1"].tries == engine.tries["f1"] == 0
    assert sum(row.exit == 0 for row in rows.values()) == 4


def test_no_file_is_refused_before_the_largest_machine_is_there():
    driver = Driver([job(0)], lambda _: 4 * GIB, n_workers=2)
    driver.joined(0, "small", GIB)
    assert list(driver.starts(0.0)) == []
    driver.joined(1, "large", 8 * GIB)
    assert [start.worker for start in driver.starts(0.0)] == [1]


def test_what_needs_no_worker_starts_none():
    def no_workers():
        raise AssertionError("workers were started")

    class Workers(nullcontext):
        __enter__ = staticmethod(no_workers)

    rows = []
    driver = Driver(map(job, range(1000)), lambda job: Row(job.name, tries=0))
    drive(driver, Workers(), rows.append, lambda _: None)
    assert len(rows) == 1000


def test_jobs_are_prepared_when_their_turn_comes():
    prepared = []

    def prepare(job):
        prepared.append(job.name)
        return 1

    driver = Driver(map(job, range(1000)), prepare, n_workers=2)
    for worker in range(2):
        driver.joined(worker, "here", GIB)
    assert len(list(driver.starts(0.0))) == 2
    assert len(prepared) <= 3


def test_workers_that_cannot_start_end_the_batch():
    driver = Driver([job(0)], lambda _: 1, n_workers=2)
    for worker in range(2 * MOST_FRUITLESS - 1):
        assert driver.lost(worker, "no such package") is None
    with pytest.raises(WorkersError, match="no such package"):
        driver.lost(99, "no such package")


@pytest.mark.slow
def test_two_hundred_workers_and_ten_thousand_files():
    """Drawn durations, deaths and hangs: nearly as quick as can be, and every file has one row."""
    rng = np.random.default_rng(1)
    durations, fates = rng.lognormal(np.log(60), 0.7, 10_000), rng.random(10_000)

    def behaviour(job, attempt):
        number = int(job.name[1:])
        if attempt == 1 and fates[number] < 0.01:
            return (durations[number], "dies")
        return (durations[number], "hangs") if fates[number] > 0.999 else durations[number]

    engine = SleepingWorkers(200, behaviour)
    rows = run(10_000, engine, time_limit_s=1200.0)
    assert len(rows) == 10_000
    n_hanging = int((fates > 0.999).sum())
    assert Counter(row.exit for row in rows.values()) == {0: 10_000 - n_hanging, 3: n_hanging}
    worked_s = engine.busy_s + 1200.0 * 2 * n_hanging
    assert engine.now_s < worked_s / 200 + 2 * 1200 + durations.max()


def test_the_driver_keeps_nothing_of_what_is_done():
    engine = SleepingWorkers(20, lambda job, _: 100.0 if job.name == "f5" else 1.0)
    engine.tries, engine.started = Counter(), deque(maxlen=1)  # nor do the workers
    sizes, n_rows = [], 0

    def take(_):
        nonlocal n_rows
        n_rows += 1
        engine.tries.clear()
        if n_rows in (500, 1900):
            sizes.append(tracemalloc.get_traced_memory()[0])

    tracemalloc.start()
    try:
        run(2000, engine, take=take)
    finally:
        tracemalloc.stop()
    assert sizes[1] - sizes[0] < 20_000
