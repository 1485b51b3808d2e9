import threading

from nilatron.pipelines.server.job_queue import FINISHED_SCAN_DELAY_S, Job, JobQueue


def job(name, *, live=True, arrived_s=0.0):
    return Job({"name": name}, {}, live, arrived_s=arrived_s)


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
