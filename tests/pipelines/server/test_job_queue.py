import threading

import numpy as np
import pytest

from nilatron.gadgets.nila.budget import OutOfTimeError
from nilatron.pipelines.server.job_queue import FINISHED_SCAN_DELAY_S, CancelledError, Job, JobQueue


def job(name, *, live=True, arrived_s=0.0, scan=0, n_steps=1, size=1):
    return Job({"name": name}, {"data": np.empty(size)}, live, arrived_s=arrived_s, scan=scan, n_steps=n_steps)


def names(waiting):
    taken = []
    while (found := waiting.get(0)) is not None:
        taken.append(found.head["name"])
    return taken


def test_live_scans_first_each_in_order_of_arrival():
    waiting = JobQueue()
    for entry in (
        job("old", live=False),
        job("a", arrived_s=1),
        job("new", live=False, arrived_s=2),
        job("b", arrived_s=3),
    ):
        waiting.put(entry)
    assert names(waiting) == ["a", "b", "old", "new"]


def test_a_finished_scan_is_not_put_off_for_ever():
    waiting = JobQueue()
    waiting.put(job("finished", live=False))
    waiting.put(job("live", arrived_s=FINISHED_SCAN_DELAY_S + 1))
    assert names(waiting) == ["finished", "live"]


def test_cancelled_jobs_are_left_out():
    waiting, dropped = JobQueue(), job("dropped")
    waiting.put(dropped)
    waiting.put(job("kept"))
    dropped.cancelled.set()
    assert len(waiting) == 1
    assert names(waiting) == ["kept"]


def test_whoever_waits_is_woken():
    waiting, found = JobQueue(), []
    thread = threading.Thread(target=lambda: found.append(waiting.get(30)))
    thread.start()
    waiting.put(job("late"))
    thread.join(30)
    assert found[0].head["name"] == "late"


def test_scans_share_the_time_and_not_the_slices():
    waiting = JobQueue()
    waiting.note(job("slow", scan=1), 10.0)
    waiting.note(job("fast", scan=2), 1.0)
    for entry in (
        job("slow", scan=1, arrived_s=0),
        job("fast", scan=2, arrived_s=5),
        job("new", scan=3, arrived_s=9),
        job("last", scan=3, arrived_s=10.5),
    ):
        waiting.put(entry)
    assert names(waiting) == ["fast", "new", "slow", "last"]


def test_only_much_shorter_slices_come_between():
    waiting, running = JobQueue(), job("running", n_steps=100, size=10)
    running.steps_done = 20
    for entry in (
        job("as long", n_steps=80, size=10),
        job("half", n_steps=40, size=10, arrived_s=2),
        job("few steps of a large slice", n_steps=5, size=1000, arrived_s=1),
        job("small", n_steps=80, size=1, arrived_s=3),
    ):
        waiting.put(entry)
    found = [waiting.get_shorter(running).head["name"] for _ in range(2)]
    assert found == ["half", "small"]
    assert waiting.get_shorter(running) is None
    assert names(waiting) == ["as long", "few steps of a large slice"]


def test_a_cancelled_slice_does_not_come_between():
    waiting, dropped = JobQueue(), job("dropped")
    waiting.put(dropped)
    dropped.cancelled.set()
    assert waiting.get_shorter(job("running", n_steps=100)) is None


def test_a_slice_stops_when_nobody_waits_or_its_time_is_over():
    running = job("running")
    running.check()
    running.deadline_s = float("inf")
    running.check()
    running.deadline_s = 0.0
    with pytest.raises(OutOfTimeError):
        running.check()
    running.cancelled.set()
    with pytest.raises(CancelledError):
        running.check()
