from types import SimpleNamespace

import pytest

from nilatron.pipelines.client.pacing import MAX_PAUSE_S, paced


class Time:
    """A clock that pauses move, and that each item taken may move as well."""

    def __init__(self):
        self.now = 50.0

    def clock(self):
        return self.now

    def wait(self, seconds):
        assert seconds > 0
        self.now += seconds


def sent_at(stamps, *, work_s=0.0, waveforms=()):
    time, found = Time(), []

    def items():
        for number, stamp in enumerate(stamps):
            name = "time_stamp" if number in waveforms else "acquisition_time_stamp"
            yield SimpleNamespace(**{name: stamp})

    for _ in paced(items(), time.clock, time.wait):
        found.append(round(time.now - 50, 6))
        time.now += work_s
    return found


@pytest.mark.parametrize(
    ("stamps", "expected"),
    [
        ([100, 104, 108, 116], [0, 0.01, 0.02, 0.04]),
        ([7, 7, 7], [0, 0, 0]),
        ([0, 0, 0], [0, 0, 0]),
        ([0, 0, 100, 104], [0, 0, 0, 0.01]),  # the first lines have no stamp
        ([100, 0, 104], [0, 0, 0.01]),  # nor has one between
        ([2**32 - 2, 2], [0, 0.01]),  # the counter wraps
        ([34_559_998, 4, 8], [0, 0, 0.01]),  # midnight
        ([100, 96, 100], [0, 0, 0.01]),  # out of order
        ([1, 1_000_000, 1_000_004], [0, MAX_PAUSE_S, MAX_PAUSE_S + 0.01]),
    ],
)
def test_times(stamps, expected):
    assert sent_at(stamps) == pytest.approx(expected)


def test_time_that_sending_takes_is_no_delay():
    assert sent_at([4, 8, 12, 16], work_s=0.004) == pytest.approx([0, 0.01, 0.02, 0.03])


def test_what_falls_behind_is_sent_at_once():
    assert sent_at([4, 8, 12, 100], work_s=0.1) == pytest.approx([0, 0.1, 0.2, 0.3])


def test_waveforms_have_the_same_clock():
    assert sent_at([100, 102, 104], waveforms={1}) == pytest.approx([0, 0.005, 0.01])


def test_stamps_that_stand_still_are_mentioned(caplog):
    sent_at([0, 0])
    assert "do not advance" in caplog.text
    caplog.clear()
    sent_at([4, 8])
    assert caplog.text == ""
