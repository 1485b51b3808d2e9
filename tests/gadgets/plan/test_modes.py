"""Calibration modes that the lines contradict, and those that they do not."""

import copy

import ismrmrd.hdf5
import numpy as np
import pytest

from nilatron.gadgets.encoding import calibration_mode
from nilatron.gadgets.plan.modes import weigh_modes
from nilatron.gadgets.plan.weighed import weighed_header

N_X, N_Y = 16, 24
ONLY = 1 << (ismrmrd.ACQ_IS_PARALLEL_CALIBRATION - 1)


def heads_of(y):
    heads = np.zeros(len(y), ismrmrd.hdf5.acquisition_header_dtype)
    heads["idx"]["kspace_encode_step_1"] = y
    return heads


def calibrated(only, both=(), frame=0):
    """Lines 0, 2, 4, ... of an image, of which some calibrate as well, and lines that only calibrate."""
    heads = heads_of([*range(0, N_Y, 2), *only])
    heads["flags"][N_Y // 2 :] = 1 << (ismrmrd.ACQ_IS_PARALLEL_CALIBRATION - 1)
    heads["idx"]["phase"][N_Y // 2 :] = frame
    for y in both:
        heads["flags"][y // 2] = 1 << (ismrmrd.ACQ_IS_PARALLEL_CALIBRATION_AND_IMAGING - 1)
    return heads


@pytest.mark.parametrize(
    ("mode", "heads", "expected"),
    [
        ("separate", calibrated(only=(9, 11, 13), both=(10, 12)), "embedded"),
        ("separate", calibrated(only=range(8, 16)), "separate"),
        ("separate", calibrated(only=range(8, 16), both=(10, 12)), "separate"),
        ("separate", calibrated(only=(9, 11)), "separate"),
        ("embedded", calibrated(only=range(8, 16)), "separate"),
        ("embedded", calibrated(only=(9, 11, 13), both=(10, 12)), "embedded"),
        ("embedded", calibrated(only=(9, 11, 13)), "embedded"),
        ("interleaved", calibrated(only=range(8, 16)), "separate"),
        ("interleaved", calibrated(only=range(8, 16), frame=1), "interleaved"),
        ("other", calibrated(only=range(8, 16)), "separate"),
        ("other", calibrated(only=(9, 11)), "other"),
        ("external", calibrated(only=range(8, 16)), "external"),
    ],
)
def test_the_calibration_mode_is_that_of_where_the_lines_lie(scan_header, mode, heads, expected):
    header = scan_header((N_X, N_Y, 1), mode=mode)
    found = weighed_header(header, heads)
    assert found.encoding[0].parallelImaging.calibrationMode.value == expected
    assert (found is header) == (mode == expected)


def test_a_mode_that_is_not_stated_is_that_of_where_the_lines_lie(scan_header):
    header = scan_header((N_X, N_Y, 1))
    assert calibration_mode(weighed_header(header, calibrated(only=range(8, 16))).encoding[0]) == "separate"
    assert weighed_header(header, calibrated(only=(9, 11))) is header


def with_reference(header, number):
    """The header of a scan whose encoding of this number is a reference scan without parallelImaging."""
    reference = copy.deepcopy(header.encoding[0])
    reference.parallelImaging = None
    header.encoding.insert(number, reference)
    return header


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("has_heads", [True, False])
def test_an_encoding_that_can_but_calibrate_is_separate_wherever_it_stands(scan_header, number, has_heads):
    header = with_reference(scan_header((N_X, N_Y, 1), mode="separate"), number)
    heads = heads_of([*range(10), *range(0, N_Y, 2)])
    heads["flags"][:10] = ONLY
    heads["encoding_space_ref"][:10], heads["encoding_space_ref"][10:] = number, 1 - number
    assert len(weigh_modes(header, heads if has_heads else None)) == 1
    assert [calibration_mode(encoding) for encoding in header.encoding] == ["separate", "separate"]


def test_an_encoding_with_images_of_its_own_is_no_reference(scan_header):
    header = with_reference(scan_header((N_X, N_Y, 1), mode="separate"), 1)
    heads = heads_of([*range(10), *range(0, N_Y, 2)])
    heads["encoding_space_ref"][:10] = 1
    assert weigh_modes(header, heads) == []
    assert calibration_mode(header.encoding[1]) == "embedded"
