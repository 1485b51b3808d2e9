import ismrmrd
import pytest

from nilatron.gadgets.flags import (
    NOT_IMAGING,
    LineKind,
    calibrates,
    forwards,
    is_last_in_slice,
    is_reversed,
    kind_of,
    other_names,
)


def bits(*flags):
    return sum(1 << (flag - 1) for flag in flags)


def test_numbers_are_those_of_the_ismrmrd_library():
    line = ismrmrd.Acquisition()
    line.set_flag(ismrmrd.ACQ_LAST_IN_SLICE)
    assert is_last_in_slice(line.flags)
    assert not is_reversed(line.flags)
    line.set_flag(ismrmrd.ACQ_IS_REVERSE)
    assert is_reversed(line.flags)


@pytest.mark.parametrize(
    ("flags", "kind"),
    [
        ((), LineKind.IMAGING),
        ((ismrmrd.ACQ_FIRST_IN_SLICE, ismrmrd.ACQ_LAST_IN_MEASUREMENT), LineKind.IMAGING),
        ((ismrmrd.ACQ_IS_PARALLEL_CALIBRATION,), LineKind.CALIBRATION),
        ((ismrmrd.ACQ_IS_PARALLEL_CALIBRATION_AND_IMAGING,), LineKind.IMAGING),
        ((ismrmrd.ACQ_IS_PARALLEL_CALIBRATION, ismrmrd.ACQ_IS_PARALLEL_CALIBRATION_AND_IMAGING), LineKind.IMAGING),
        ((ismrmrd.ACQ_IS_NOISE_MEASUREMENT,), LineKind.NOISE),
        ((ismrmrd.ACQ_IS_NOISE_MEASUREMENT, ismrmrd.ACQ_IS_DUMMYSCAN_DATA), LineKind.NOISE),
        ((ismrmrd.ACQ_IS_PARALLEL_CALIBRATION, ismrmrd.ACQ_IS_NAVIGATION_DATA), LineKind.OTHER),
    ],
)
def test_kinds(flags, kind):
    assert kind_of(bits(*flags)) is kind


@pytest.mark.parametrize("flag", NOT_IMAGING)
def test_what_is_no_image_is_named(flag):
    assert kind_of(bits(flag)) is LineKind.OTHER
    assert other_names(bits(flag)) == [NOT_IMAGING[flag]]


@pytest.mark.parametrize(
    ("flag", "expected"),
    [
        (ismrmrd.ACQ_IS_PARALLEL_CALIBRATION, True),
        (ismrmrd.ACQ_IS_PARALLEL_CALIBRATION_AND_IMAGING, True),
        (ismrmrd.ACQ_IS_NOISE_MEASUREMENT, False),
    ],
)
def test_calibration_is_marked_alone_or_beside_imaging(flag, expected):
    assert calibrates(bits(flag)) is expected
    assert calibrates(bits(flag, ismrmrd.ACQ_LAST_IN_SLICE)) is expected


def test_a_line_that_was_turned_keeps_its_other_flags():
    flags = bits(ismrmrd.ACQ_IS_REVERSE, ismrmrd.ACQ_LAST_IN_SLICE)
    assert forwards(flags) == forwards(forwards(flags)) == bits(ismrmrd.ACQ_LAST_IN_SLICE)
