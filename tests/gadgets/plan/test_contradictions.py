"""A header and heads that agree, and each contradiction by itself."""

import re

import ismrmrd
import numpy as np
import pytest

from nilatron.gadgets.placement import ImageKey
from nilatron.gadgets.plan.contradictions import by_image, contradictions, imaging

N_X, N_Y = 24, 16
LAST, NOISE, ONLY, BOTH, REVERSE = (
    1 << (flag - 1)
    for flag in (
        ismrmrd.ACQ_LAST_IN_SLICE,
        ismrmrd.ACQ_IS_NOISE_MEASUREMENT,
        ismrmrd.ACQ_IS_PARALLEL_CALIBRATION,
        ismrmrd.ACQ_IS_PARALLEL_CALIBRATION_AND_IMAGING,
        ismrmrd.ACQ_IS_REVERSE,
    )
)


def table(steps=range(N_Y), n_noise=2):
    """Two images of one slice each, after noise lines."""
    steps = list(steps)
    heads = np.zeros(n_noise + 2 * len(steps), ismrmrd.hdf5.acquisition_header_dtype)
    heads["active_channels"], heads["number_of_samples"], heads["sample_time_us"] = 4, N_X, 5.0
    heads["read_dir"], heads["phase_dir"], heads["slice_dir"] = (1, 0, 0), (0, 1, 0), (0, 0, 1)
    heads["acquisition_time_stamp"] = np.arange(len(heads)) + 1
    heads["flags"][:n_noise] = NOISE
    for r in range(2):
        own = slice(n_noise + r * len(steps), n_noise + (r + 1) * len(steps))
        heads["idx"]["kspace_encode_step_1"][own], heads["idx"]["repetition"][own] = steps, r
        heads["flags"][own.stop - 1] = LAST
    return heads


@pytest.fixture
def header(scan_header):
    return scan_header((N_X, N_Y, 1), n_repetitions=2)


def test_a_file_that_agrees_with_itself_contradicts_nothing(header):
    assert contradictions(header, table()) == []
    assert contradictions(header, table()[:0]) == ["encoding space 0 is described in the header, no line refers to it"]


def test_lines_are_found_by_image():
    heads = table()
    assert len(imaging(heads)) == 2 * N_Y
    assert {key: len(own) for key, own in by_image(imaging(heads)).items()} == {
        ImageKey(0, 0, 0, 0, 0, r): N_Y for r in (0, 1)
    }


def spoil(name, value, lines=slice(2, None)):
    def change(heads):
        target = heads["idx"] if name in heads["idx"].dtype.names else heads
        target[name][lines] = value

    return change


def add_flag(flag, line):
    def change(heads):
        heads["flags"][line] |= flag

    return change


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (spoil("encoding_space_ref", 3, 9), "1 lines refer to encoding space 3; the header describes 1"),
        (spoil("kspace_encode_step_1", 40, 9), "kspace_encode_step_1 goes from 0 to 40, encodingLimits say 0 to 15"),
        (spoil("kspace_encode_step_1", 40, 9), "lines cover 41 steps along y, encodedSpace has 16"),
        (spoil("repetition", 0), "repetition goes up to 0, encodingLimits say 1"),
        (spoil("average", 1, 9), "average goes up to 1, encodingLimits do not mention it"),
        (spoil("active_channels", 3, 9), "lines of images have unlike numbers of channels: 1 of 3, 31 of 4"),
        (spoil("active_channels", 3, slice(0, 2)), r"noise lines have \[3\] channels, the lines of images \[4\]"),
        (spoil("number_of_samples", 20, 9), r"lines of images have unlike lengths: \[20, 24\] samples"),
        (spoil("number_of_samples", 48), "lines have 48 samples that count, encodedSpace has 24"),
        (spoil("sample_time_us", 2.5, 9), "lines of images have unlike dwell times"),
        (add_flag(ONLY, 9), "lines are flagged as calibration, the header has no parallelImaging"),
        (add_flag(LAST, 9), "1 of 2 images have several lines marked LAST_IN_SLICE"),
        (spoil("flags", 0, N_Y + 1), "1 of 2 images have no line marked LAST_IN_SLICE, the others have"),
        (spoil("phase_dir", (1, 0, 0), 9), "1 lines have directions that are no orthogonal unit vectors"),
        (spoil("read_dir", (0, 0, 0)), "32 lines have directions"),
        (spoil("sample_time_us", 0, slice(0, 2)), "noise lines have no dwell time"),
        (spoil("acquisition_time_stamp", 0, slice(None)), "no line has an acquisition_time_stamp"),
        (add_flag(REVERSE, 9), "read backwards, and no line is flagged as phase correction"),
    ],
)
def test_each_contradiction_is_said(header, change, sentence):
    heads = table()
    change(heads)
    found = contradictions(header, heads)
    assert len([one for one in found if re.search(sentence, one)]) == 1, found


@pytest.mark.parametrize(
    ("steps", "sentence"),
    [
        (range(10), "kspace_encode_step_1 ends at 9, encodingLimits announce lines up to 15"),
        (range(6), "goes from 0 to 5, the centre 8 of encodingLimits is not among them"),
    ],
)
def test_a_short_scan(header, steps, sentence):
    assert any(sentence in one for one in contradictions(header, table(steps)))


def test_images_of_unlike_size(header):
    heads = table()
    (sentence,) = [one for one in contradictions(header, np.delete(heads, [5, 6, 7])) if "from 13 to 16 lines" in one]
    assert "'repetition': 0" in sentence


@pytest.mark.parametrize(
    ("mode", "flag", "sentence"),
    [
        ("separate", 0, "calibrationMode is separate, no line is flagged as calibration"),
        ("embedded", BOTH, "acceleration along y is 2 in the header, every step was acquired"),
    ],
)
def test_parallel_imaging_that_is_none(scan_header, mode, flag, sentence):
    heads = table()
    heads["flags"][2:] |= flag
    header = scan_header((N_X, N_Y, 1), n_repetitions=2, mode=mode)
    assert any(sentence in one for one in contradictions(header, heads))
