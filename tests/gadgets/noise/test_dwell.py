import ismrmrd
import numpy as np
import pytest

from nilatron.gadgets.flags import LineKind, kind_of
from nilatron.gadgets.noise.dwell import DwellTimes, dwell_of

CALIBRATION = ismrmrd.ACQ_IS_PARALLEL_CALIBRATION
NAVIGATION = ismrmrd.ACQ_IS_NAVIGATION_DATA


@pytest.fixture
def counted(make_line):
    """Dwell times of lines, given as (dwell time, flags, counters)."""

    def count(*lines):
        times = DwellTimes()
        for dwell_us, flags, counters in lines:
            line = make_line(np.ones((1, 4)), *flags, dwell_us=dwell_us, **counters)
            times.add(line, kind_of(line.flags))
        return times

    return count


def test_lines_count_for_their_own_image(counted, make_line):
    times = counted(
        (5, (), {}), (5, (), {"y": 3, "average": 1, "segment": 2}), (8, (), {"slice": 1}), (6, (), {"set": 1})
    )
    assert times.take(make_line(np.ones((1, 4)))) == {5: 2}
    assert times.take(make_line(np.ones((1, 4)), slice=1)) == {8: 1}


def test_imaging_lines_go_before_calibration_lines_and_others_do_not_count(counted, make_line):
    lines = [(5, (CALIBRATION,), {}), (8, (NAVIGATION,), {}), (8, (NAVIGATION, CALIBRATION), {})]
    head = make_line(np.ones((1, 4)), dwell_us=1)
    assert counted(*lines).take(head) == {5: 1}
    assert counted(*lines, (6, (), {})).take(head) == {6: 1}


def test_an_image_whose_lines_were_not_seen_has_that_of_its_head(counted, make_line):
    times, head = counted((5, (), {})), make_line(np.ones((1, 4)), dwell_us=7)
    assert times.take(head) == {5: 1}
    assert times.take(head) == {7: 1}
    assert not any(times.lines[kind] for kind in (LineKind.IMAGING, LineKind.CALIBRATION))


@pytest.mark.parametrize(
    ("times", "dwell_us"),
    [({5.0: 3}, 5), ({5.0: 1, 10.0: 1}, 20 / 3), ({0.0: 4, 8.0: 1}, 8), ({0.0: 1}, 0), ({}, 0)],
)
def test_the_mean_variance_of_lines_sets_the_dwell_time(times, dwell_us):
    assert dwell_of(times) == pytest.approx(dwell_us)
