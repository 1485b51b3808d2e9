"""K4: which calibration is whose."""

from __future__ import annotations

import copy
from dataclasses import replace

import ismrmrd.xsd as xsd
import numpy as np

from situations.scan import (
    ACCELERATED,
    BOTH,
    CALIBRATION,
    NOISE,
    PLAIN,
    REPEATED,
    SEPARATE,
    SLICES,
    Scan,
    clear_ends,
    copied,
    plain,
    situation,
    with_data,
)

SEPARATE_SLICES = replace(SEPARATE, n_slices=2, slice_order="sequential")
SEPARATE_REPEATED = replace(SEPARATE, n_repetitions=3)
SEPARATE_ECHOES = replace(SEPARATE, n_contrasts=2)


def reference_last(scan: Scan) -> None:
    """Move the calibration lines behind all others."""
    reference = scan.of(CALIBRATION)
    scan.lines = [*(line for line in scan.lines if not line.is_flag_set(CALIBRATION)), *reference]


@situation("K4", SEPARATE, "ismrmrd/siemens_to_ismrmrd#32")
def reference_after_the_image(scan: Scan) -> None:
    """The separate reference comes after the image."""
    reference_last(scan)


@situation("K4", SEPARATE_SLICES)
def reference_after_all_slices(scan: Scan) -> None:
    """The separate reference of all slices comes after all images."""
    reference_last(scan)


@situation("K4", SEPARATE_SLICES)
def reference_before_all_slices(scan: Scan) -> None:
    """The separate reference of all slices comes before all images."""
    reference = scan.of(CALIBRATION)
    rest = [line for line in scan.lines if not line.is_flag_set(CALIBRATION) and not line.is_flag_set(NOISE)]
    scan.lines = [*scan.of(NOISE), *reference, *rest]


@situation("K4", SEPARATE, "ismrmrd/siemens_to_ismrmrd#108")
def reference_in_a_second_encoding(scan: Scan) -> None:
    """Calibration lines in an encoding space of their own."""
    scan.header.encoding.append(copy.deepcopy(scan.encoding))
    for line in scan.of(CALIBRATION):
        line.encoding_space_ref = 1


@situation("K4", SEPARATE_ECHOES)
def reference_with_the_counters_of_the_first_echo(scan: Scan) -> None:
    """Calibration of contrast 0 serves both echoes."""


@situation("K4", SEPARATE)
def reference_with_another_set_and_repetition(scan: Scan) -> None:
    """Calibration lines count as set 1, repetition 7, average 3."""
    for line in scan.of(CALIBRATION):
        line.idx.set, line.idx.repetition, line.idx.average = 1, 7, 3


@situation("K4", SEPARATE_REPEATED)
def reference_of_the_first_repetition_serves_all(scan: Scan) -> None:
    """Calibration in repetition 0 only."""


@situation("K4", SEPARATE)
def reference_counted_from_zero(scan: Scan) -> None:
    """Calibration lines count 0 to 23, limits and matrix of an encoding space of their own tell where they are."""
    second = copy.deepcopy(scan.encoding)
    second.encodedSpace.matrixSize.y = 24
    limit = second.encodingLimits.kspace_encoding_step_1
    limit.minimum, limit.maximum, limit.center = 0, 23, 12
    scan.header.encoding.append(second)
    for line in scan.of(CALIBRATION):
        line.idx.kspace_encode_step_1 -= 36
        line.encoding_space_ref = 1


@situation("K4", SEPARATE)
def reference_of_half_the_resolution(scan: Scan) -> None:
    """Calibration lines of half as many samples over the same field of view."""
    n = 2 * PLAIN.matrix[0]
    small = {id(line): with_data(line, line.data[:, n // 4 : -n // 4], n // 4) for line in scan.of(CALIBRATION)}
    scan.lines = [small.get(id(line), line) for line in scan.lines]


@situation("K4", ACCELERATED)
def embedded_calibration_without_flags(scan: Scan) -> None:
    """The densely sampled middle is flagged nowhere."""
    for line in scan.imaging:
        line.clear_flag(CALIBRATION)
        line.clear_flag(BOTH)


@situation("K4", ACCELERATED, loss_db=1.5)
def embedded_calibration_stated_as_separate(scan: Scan) -> None:
    """CalibrationMode is separate, the lines are embedded; a stream takes them for another scan's, and loses their data."""
    scan.encoding.parallelImaging.calibrationMode = type(scan.encoding.parallelImaging.calibrationMode)("separate")


@situation("K4", SEPARATE)
def separate_calibration_stated_as_embedded(scan: Scan) -> None:
    """CalibrationMode is embedded, the lines are separate: they must not be mixed into the image."""
    scan.encoding.parallelImaging.calibrationMode = type(scan.encoding.parallelImaging.calibrationMode)("embedded")


@situation("K4", SEPARATE)
def separate_calibration_of_another_contrast(scan: Scan) -> None:
    """Calibration lines twenty times as strong, with a phase: mixed into the image they would show."""
    for line in scan.of(CALIBRATION):
        line.data[:] = line.data * (20 + 4j)


@situation("K4", SLICES)
def embedded_calibration_of_one_slice_missing(scan: Scan) -> None:
    """Slice 1 has calibration lines, and no flags at all in slice 0."""
    for line in scan.imaging:
        if line.idx.slice == 0:
            line.clear_flag(CALIBRATION)
            line.clear_flag(BOTH)


@situation("K4", replace(REPEATED, calibration="none"), right="told")
def no_calibration_at_all(scan: Scan) -> None:
    """Accelerated, the same lines in each frame, no calibration: the image is aliased."""


@situation("K4", ACCELERATED, "gadgetron/gadgetron#332", loss_db=2.0)
def frames_that_calibrate_each_other(scan: Scan) -> None:
    """Four frames with every other line, in turn; no calibration lines."""
    frames = [plain(replace(PLAIN, seed=seed)) for seed in range(4)]
    for number, frame in enumerate(frames):
        for line in frame.imaging:
            line.idx.repetition = number
            clear_ends([line])
    chosen = [x for n, f in enumerate(frames) for x in f.imaging if (x.idx.kspace_encode_step_1 + n) % 2 == 0]
    scan.lines, scan.truth = [*frames[0].of(NOISE), *chosen], np.repeat(scan.truth, 4, axis=0)
    scan.encoding.encodingLimits.repetition.maximum = 3
    scan.encoding.parallelImaging.calibrationMode = xsd.calibrationModeType("interleaved")


@situation("K4", SEPARATE)
def calibration_comes_twice(scan: Scan) -> None:
    """The reference was measured before and after the image."""
    scan.lines = [*scan.lines, *(copied(line) for line in scan.of(CALIBRATION))]
