import logging

import ismrmrd
import numpy as np

from nilatron.gadgets.items import Context, KSpaceSlice, ScanLog, ScanProgress, ScanTiming, with_samples


def test_problems_are_remembered_and_logged(caplog):
    log = ScanLog()
    with caplog.at_level(logging.WARNING):
        log.problem(logging.getLogger("gadget"), "slice 3 is empty")
    assert log.problems == ["slice 3 is empty"]
    assert "slice 3 is empty" in caplog.text
    assert ScanLog().problems == []


def test_an_arrival_that_nobody_noted_is_now():
    times = iter([3.0, 4.0])
    timing = ScanTiming(lambda: next(times))
    assert (timing.last_arrival_s(), timing.last_arrival_s()) == (3.0, 4.0)
    timing.arrived_s = 1.5
    assert timing.last_arrival_s() == 1.5


def test_each_scan_has_its_own_log_and_timing():
    one, other = Context(None), Context(None)
    assert one.log is not other.log
    assert one.timing is not other.timing
    assert one.timing.ended_s is None


def test_line_with_other_samples_leaves_the_given_one_alone(make_line):
    line = make_line(np.ones((2, 8)), ismrmrd.ACQ_IS_REVERSE, ismrmrd.ACQ_LAST_IN_SLICE, echo=3, y=5)
    other = with_samples(line, np.full((4, 6), 2j, np.complex64))
    assert other.data.shape == (4, 6)
    assert (other.active_channels, other.number_of_samples, other.center_sample) == (4, 6, 3)
    assert other.idx.kspace_encode_step_1 == 5
    assert other.flags == line.flags
    assert line.data.shape == (2, 8)
    np.testing.assert_array_equal(line.data, 1)


def test_label_and_notes_of_a_slice(scan_header, make_line):
    head = make_line(np.ones((1, 4)), slice=2, repetition=7).getHead()
    item = KSpaceSlice(np.zeros((1, 1, 4, 4)), np.zeros((1, 4, 4)), None, head, scan_header((4, 4, 1)).encoding[0])
    assert item.label == "slice 2, repetition 7"
    noted = item.with_note("first").with_note("second")
    assert noted.notes == ("first", "second")
    assert item.notes == ()


def test_progress_tells_every_change_and_never_more_than_all():
    told = []
    progress = ScanProgress(changed=lambda: told.append((progress.done, progress.total)), n_slices=2, steps_per_slice=3)
    for _ in range(2):
        progress.step(2)
        progress.step(1)
        progress.slice_done()
    progress.step(5)
    assert told == [(2, 6), (3, 6), (3, 6), (5, 6), (6, 6), (6, 6), (6, 6)]


def test_a_slice_that_needed_fewer_steps_counts_as_whole():
    progress = ScanProgress(n_slices=4, steps_per_slice=7)
    progress.step(3)
    progress.slice_done()
    assert (progress.done, progress.total) == (7, 28)


def test_a_scan_of_unknown_length_has_no_total():
    progress = ScanProgress(steps_per_slice=2)
    progress.step()
    progress.slice_done()
    assert (progress.done, progress.total) == (2, 0)
