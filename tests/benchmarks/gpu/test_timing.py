"""Times are those of the work, not of its launch."""

from dataclasses import replace

import pytest

from gpu.timing import LEAST_ROUNDS, WARM_UPS, Stopwatch, Times


class Device:
    """Work of `work_s` is launched in no time, and done when somebody waits for it."""

    def __init__(self, work_s=0.25):
        self.now, self.queued, self.work_s, self.n_calls = 0.0, 0.0, work_s, 0

    def launch(self):
        self.n_calls += 1
        self.queued += 10 if self.n_calls <= WARM_UPS else self.work_s

    def wait(self):
        self.now, self.queued = self.now + self.queued, 0.0

    def clock(self):
        return self.now


def test_a_call_is_timed_until_its_work_is_done_and_warm_ups_are_not(small):
    device = Device()
    times = Stopwatch(device.wait, replace(small, rounds=5, row_s=60.0), device.clock).times(device.launch)
    assert times.seconds == (0.25,) * 5
    assert device.n_calls == WARM_UPS + 5


def test_a_row_has_its_time_but_a_few_calls_at_least(small):
    device = Device(work_s=1.0)
    watch = Stopwatch(device.wait, replace(small, rounds=50, row_s=5.0), device.clock)
    assert len(watch.times(device.launch).seconds) == 5
    assert len(replace(watch, size=replace(small, row_s=0.0)).times(device.launch).seconds) == LEAST_ROUNDS


def test_median_and_worst():
    times = Times((0.01, 0.5, 0.02))
    assert (times.median_ms, times.worst_ms) == (pytest.approx(20), pytest.approx(500))
