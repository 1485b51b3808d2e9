"""K5: lines that no image needs, and samples that are no numbers."""

from __future__ import annotations

import ismrmrd
import numpy as np

from situations.scan import ACCELERATED, NOISE, Scan, clear_ends, copied, shown, situation, with_data


def between(scan: Scan, flag: int, change: object = None) -> None:
    """Put a line with a flag behind every eighth line of the image."""
    made: list[ismrmrd.Acquisition] = []
    for number, line in enumerate(scan.lines):
        made.append(line)
        if number % 8 == 4 and not line.is_flag_set(NOISE):
            extra = copied(line)
            extra = change(extra) if change is not None else extra  # type: ignore[operator]
            clear_ends([extra])
            extra.set_flag(flag)
            made.append(extra)
    scan.lines = made


def full_of(value: complex) -> object:
    """Return a change that sets all samples."""

    def change(line: ismrmrd.Acquisition) -> ismrmrd.Acquisition:
        line.data[:] = value
        return line

    return change


@situation("K5", ACCELERATED, "PTB-MR/mrpro#88")
def body_coil_lines_between(scan: Scan) -> None:
    """Surface coil correction lines of two channels in between."""
    between(scan, ismrmrd.ACQ_IS_SURFACECOILCORRECTIONSCAN_DATA, lambda line: with_data(line, line.data[:2]))


@situation("K5", ACCELERATED, "ismrmrd/ge_to_ismrmrd#10")
def navigators_that_are_no_numbers(scan: Scan) -> None:
    """Navigators of NaN in between."""
    between(scan, ismrmrd.ACQ_IS_NAVIGATION_DATA, full_of(np.nan))


@situation("K5", ACCELERATED)
def feedback_of_another_length(scan: Scan) -> None:
    """Feedback lines of 17 samples and infinite values."""
    between(scan, ismrmrd.ACQ_IS_HPFEEDBACK_DATA, lambda line: with_data(line, np.full((6, 17), np.inf, np.complex64)))


@situation("K5", ACCELERATED, "PTB-MR/mrpro#309")
def dummies_with_strange_heads(scan: Scan) -> None:
    """Dummies of an encoding space that the header lacks, of step 60000, slice 99."""

    def strange(line: ismrmrd.Acquisition) -> ismrmrd.Acquisition:
        line.encoding_space_ref, line.idx.kspace_encode_step_1, line.idx.slice = 5, 60000, 99
        return line

    between(scan, ismrmrd.ACQ_IS_DUMMYSCAN_DATA, strange)


@situation("K5", ACCELERATED)
def noise_lines_of_no_numbers(scan: Scan) -> None:
    """Two of sixteen noise lines are NaN."""
    for line in scan.of(NOISE)[:2]:
        line.data[:] = np.nan


@situation("K5", ACCELERATED, right="told")
def a_sample_of_the_image_is_no_number(scan: Scan) -> None:
    """One NaN in an outer line."""
    scan.imaging[3].data[2, 40] = np.nan


@situation("K5", ACCELERATED, right="told")
def an_infinite_sample_of_the_centre(scan: Scan) -> None:
    """One infinite sample in the middle line."""
    middle = next(line for line in scan.imaging if line.idx.kspace_encode_step_1 == 48)
    middle.data[0, 96] = np.inf


@situation("K5", ACCELERATED, "MagneticResonanceImaging/MRIReco.jl#227", right="told")
def a_line_without_its_channels(scan: Scan) -> None:
    """One line of the image has four of six channels."""
    at = scan.lines.index(scan.imaging[10])
    scan.lines[at] = with_data(scan.lines[at], scan.lines[at].data[:4])


@situation("K5", ACCELERATED, right="told")
def a_line_off_the_matrix(scan: Scan) -> None:
    """One line more, of step 500."""
    extra = copied(scan.imaging[5])
    clear_ends([extra])
    extra.idx.kspace_encode_step_1 = 500
    scan.lines.insert(-5, extra)


@situation("K5", ACCELERATED)
def lines_of_a_second_encoding_without_images(scan: Scan) -> None:
    """Navigator lines of an encoding space of their own, which the header describes."""
    import copy

    scan.header.encoding.append(copy.deepcopy(scan.encoding))

    def other(line: ismrmrd.Acquisition) -> ismrmrd.Acquisition:
        line.encoding_space_ref = 1
        return with_data(line, line.data[:, :32], 16)

    between(scan, ismrmrd.ACQ_IS_NAVIGATION_DATA, other)


@situation("K5", ACCELERATED, loss_db=1.5)
def a_silent_channel(scan: Scan) -> None:
    """A channel that gives zeros, in noise scan and image."""
    for line in scan.lines:
        line.data[3] = 0
    scan.truth = np.stack([shown(ACCELERATED, 0, 0, [0, 1, 2, 4, 5])])


@situation("K5", ACCELERATED, right="told")
def a_spike(scan: Scan) -> None:
    """One sample of an outer line a hundred times as strong as the centre of k-space."""
    strongest = max(float(np.abs(line.data).max()) for line in scan.imaging)
    scan.imaging[6].data[:, 30] = 100 * strongest
