"""K3: which image a line belongs to, and when that image is complete."""

from __future__ import annotations

import copy
from dataclasses import replace

import ismrmrd
import numpy as np

from situations.scan import (
    ACCELERATED,
    AVERAGED,
    ECHOES,
    LAST_IN_SLICE,
    NOISE,
    PLAIN,
    REPEATED,
    SLICES,
    VOLUME,
    Scan,
    clear_ends,
    copied,
    situation,
)


def step(line: ismrmrd.Acquisition) -> int:
    """Encoding step along y."""
    return int(line.idx.kspace_encode_step_1)


@situation("K3", REPEATED, "MagneticResonanceImaging/MRIReco.jl#215")
def repetitions_are_the_inner_loop(scan: Scan) -> None:
    """Each line of all repetitions before the next line."""
    scan.sort(lambda line: (step(line), line.idx.repetition))


@situation("K3", SLICES)
def slices_are_the_inner_loop(scan: Scan) -> None:
    """Each line of all slices before the next line."""
    scan.sort(lambda line: (step(line), line.idx.slice))


@situation("K3", replace(REPEATED, n_slices=2))
def slices_and_repetitions_are_inner_loops(scan: Scan) -> None:
    """Each line of all slices and repetitions before the next line."""
    scan.sort(lambda line: (step(line), line.idx.slice, line.idx.repetition))


@situation("K3", ECHOES)
def echoes_are_the_inner_loop(scan: Scan) -> None:
    """Each line of both echoes before the next line, as a multi-echo sequence acquires."""
    scan.sort(lambda line: (step(line), line.idx.contrast))


@situation("K3", AVERAGED)
def averages_are_the_inner_loop(scan: Scan) -> None:
    """Each line twice before the next one, with LAST_IN_SLICE in the first average, too."""
    scan.sort(lambda line: (step(line), line.idx.average))
    for line in scan.imaging[-2:]:
        line.set_flag(LAST_IN_SLICE)


@situation("K3", AVERAGED, "gadgetron/gadgetron#1059")
def averages_without_limits(scan: Scan) -> None:
    """Averages that the header's limits do not mention, LAST_IN_SLICE at the end of each."""
    scan.encoding.encodingLimits.average = None
    for average in range(2):
        [line for line in scan.imaging if line.idx.average == average][-1].set_flag(LAST_IN_SLICE)


@situation("K3", AVERAGED)
def averages_counted_in_no_head(scan: Scan) -> None:
    """The same line twice, with average 0 in both."""
    for line in scan.imaging:
        line.idx.average = 0
    scan.encoding.encodingLimits.average = None


@situation("K3", ACCELERATED)
def segments_with_flags_of_their_own(scan: Scan) -> None:
    """Four interleaved segments, each of which ends with LAST_IN_SLICE."""
    lines = scan.imaging
    for number, line in enumerate(lines):
        line.idx.segment = number % 4
    scan.sort(lambda line: (line.idx.segment, step(line)))
    for segment in range(4):
        [line for line in scan.imaging if line.idx.segment == segment][-1].set_flag(LAST_IN_SLICE)


@situation("K3", VOLUME, "SyneRBI/SIRF#513")
def every_partition_ends_with_last_in_slice(scan: Scan) -> None:
    """LAST_IN_SLICE at the end of each partition of a volume."""
    scan.sort(lambda line: (line.idx.kspace_encode_step_2, step(line)))
    for partition in {line.idx.kspace_encode_step_2 for line in scan.imaging}:
        [line for line in scan.imaging if line.idx.kspace_encode_step_2 == partition][-1].set_flag(LAST_IN_SLICE)


@situation("K3", VOLUME)
def partitions_are_the_inner_loop(scan: Scan) -> None:
    """Lines of all partitions before the next step along y; no flags."""
    scan.sort(lambda line: (step(line), line.idx.kspace_encode_step_2))


@situation("K3", VOLUME)
def lines_from_the_centre_outwards(scan: Scan) -> None:
    """Elliptical order from the centre, so that the limits are reached early or late at random."""
    scan.sort(lambda line: np.hypot(step(line) - 32, 5 * (line.idx.kspace_encode_step_2 - 6)))


@situation("K3", SLICES)
def no_flags(scan: Scan) -> None:
    """No FIRST, no LAST."""
    clear_ends(scan.lines)


@situation("K3", SLICES)
def every_line_is_the_last(scan: Scan) -> None:
    """LAST_IN_SLICE at every line."""
    for line in scan.imaging:
        line.set_flag(LAST_IN_SLICE)


@situation("K3", SLICES)
def first_line_is_marked_as_last(scan: Scan) -> None:
    """LAST_IN_SLICE at the first line of each slice, nowhere else."""
    clear_ends(scan.lines)
    for index in range(2):
        next(line for line in scan.imaging if line.idx.slice == index).set_flag(LAST_IN_SLICE)


@situation("K3", SLICES)
def last_in_repetition_after_each_slice(scan: Scan) -> None:
    """LAST_IN_REPETITION and LAST_IN_MEASUREMENT at the end of each slice."""
    for line in scan.of(LAST_IN_SLICE):
        line.set_flag(ismrmrd.ACQ_LAST_IN_REPETITION)
        line.set_flag(ismrmrd.ACQ_LAST_IN_MEASUREMENT)


@situation("K3", SLICES)
def lines_in_random_order(scan: Scan) -> None:
    """All lines of all slices in one random order."""
    clear_ends(scan.lines)
    order = np.random.default_rng(0).permutation(len(scan.imaging))
    image = scan.imaging
    scan.lines = [*scan.of(NOISE), *(image[number] for number in order)]


@situation("K3", REPEATED)
def a_line_of_the_first_image_comes_last(scan: Scan) -> None:
    """A line is measured again, for the first time, after all other repetitions."""
    late = next(line for line in scan.imaging if step(line) == 50)
    scan.lines = [*(line for line in scan.lines if line is not late), late]


@situation("K3", REPEATED)
def repetitions_without_limits(scan: Scan) -> None:
    """The header's limits know one repetition, the lines count three."""
    scan.encoding.encodingLimits.repetition.maximum = 0


@situation("K3", REPEATED)
def limits_announce_more_repetitions(scan: Scan) -> None:
    """The header's limits announce 100 repetitions, three come: the operator stopped the scan."""
    scan.encoding.encodingLimits.repetition.maximum = 99


@situation("K3", SLICES, right="told")
def stopped_in_the_second_slice(scan: Scan) -> None:
    """The scan ends after two thirds of the second slice."""
    second = [line for line in scan.imaging if line.idx.slice == 1]
    gone = {id(line) for line in second[2 * len(second) // 3 :]}
    scan.lines = [line for line in scan.lines if id(line) not in gone]


@situation("K3", PLAIN, right="told")
def forty_of_ninety_six_lines(scan: Scan) -> None:
    """A scan without acceleration that stops before its centre."""
    gone = {id(line) for line in scan.imaging[40:]}
    scan.lines = [line for line in scan.lines if id(line) not in gone]


@situation("K3", REPEATED, right="told")
def a_lost_packet_in_one_repetition(scan: Scan) -> None:
    """Twelve neighbouring lines of the second repetition did not arrive."""
    second = [line for line in scan.imaging if line.idx.repetition == 1]
    gone = {id(line) for line in second[20:32]}
    scan.lines = [line for line in scan.lines if id(line) not in gone]


@situation("K3", ACCELERATED)
def the_scan_comes_twice(scan: Scan) -> None:
    """Every line twice with the same counters, noise included: a converter wrote the file twice."""
    scan.lines = [*scan.lines, *(copied(line) for line in scan.lines)]


@situation("K3", SLICES, right="told")
def slices_that_no_line_counts(scan: Scan) -> None:
    """Slice is 0 in all lines, and their positions tell."""
    for line in scan.imaging:
        line.idx.slice = 0


@situation("K3", ECHOES, right="told")
def echoes_that_no_line_counts(scan: Scan) -> None:
    """The header announces two contrasts, the lines count them in a user counter."""
    for line in scan.imaging:
        line.idx.user[0], line.idx.contrast = line.idx.contrast, 0


@situation("K3", replace(ECHOES, n_slices=2, n_contrasts=3), loss_db=5.0)
def third_echo_of_fewer_lines(scan: Scan) -> None:
    """The third echo of every slice is partial Fourier: an image of fewer lines lacks none."""
    scan.lines = [line for line in scan.lines if line.is_flag_set(NOISE) or line.idx.contrast < 2 or step(line) >= 20]


@situation("K3", VOLUME, right="told")
def two_partitions_missing(scan: Scan) -> None:
    """Two of twelve partitions, next to the centre, did not come."""
    scan.lines = [line for line in scan.lines if line.is_flag_set(NOISE) or line.idx.kspace_encode_step_2 not in (5, 7)]


@situation("K3", VOLUME, right="told")
def partitions_counted_from_four(scan: Scan) -> None:
    """Partitions count 4 to 15, and the header has no limits of them; a stream cannot know, and refuses them."""
    for line in scan.imaging:
        line.idx.kspace_encode_step_2 += 4
    scan.encoding.encodingLimits.kspace_encoding_step_2 = None


@situation("K3", replace(REPEATED, n_slices=2))
def encodings_of_two_repetitions_interleaved(scan: Scan) -> None:
    """The images of repetition 0 are of encoding 1, the others of encoding 0; lines are the outer loop."""
    scan.header.encoding.append(copy.deepcopy(scan.encoding))
    for line in scan.imaging:
        line.encoding_space_ref = int(line.idx.repetition == 0)
    scan.sort(lambda line: (step(line), line.idx.slice, line.idx.repetition))
