import numpy as np
import pytest

from nilatron.gadgets.items import ScanLog
from nilatron.gadgets.placement import Readout
from nilatron.gadgets.widths import Widths

N_X, N_KEPT = 24, 16


@pytest.fixture
def encoding(scan_header):
    return scan_header((N_X, 8, 1), (N_KEPT, 8, 1)).encoding[0]


def readout(n, echo=None):
    return Readout(np.ones((2, n), np.complex64), n // 2 if echo is None else echo, 0, 0, 5)


@pytest.mark.parametrize(("n", "expected"), [(N_X, N_X), (N_KEPT, N_KEPT), (N_KEPT - 6, N_X)])
def test_a_line_alone_says_itself_whether_it_has_oversampling(encoding, n, expected):
    widths, log = Widths({}), ScanLog()
    assert widths.of(0, readout(n), encoding, log) == expected
    assert (widths.oversampled, log.problems) == ({0: expected == N_X}, [])


def test_lines_that_differ_are_told_once_for_each_encoding(encoding):
    widths, log = Widths({}), ScanLog()
    assert [widths.of(number, readout(N_X), encoding, log) for number in (0, 1)] == [N_X, N_X]
    assert [widths.of(0, readout(N_KEPT), encoding, log) for _ in range(3)] == [N_X] * 3
    (problem,) = log.problems
    assert f"encoding 0: line 5 has {N_KEPT} samples, unlike those before it" in problem
    widths.of(1, readout(N_KEPT), encoding, log)
    assert len(log.problems) == 2


def test_an_encoding_without_oversampling_has_but_one_width(scan_header):
    encoding, log = scan_header((N_X, 8, 1)).encoding[0], ScanLog()
    widths = Widths({})
    assert [widths.of(0, readout(n), encoding, log) for n in (N_X, N_KEPT)] == [N_X, N_X]
    assert (widths.oversampled, log.problems) == ({}, [])


@pytest.mark.parametrize(
    ("note", "echo", "is_told"), [("3 along x", 12, True), ("3 along y", 12, False), ("3 along x", 8, False)]
)
def test_a_wrong_centre_of_lines_as_long_as_without_oversampling_is_told(encoding, note, echo, is_told):
    widths, log = Widths({}), ScanLog()
    widths.of(0, readout(N_KEPT, echo), encoding, log)
    widths.check_centre(0, note, "slice 0", log)
    assert bool(log.problems) == is_told
