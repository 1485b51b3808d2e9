"""K4 and K5: reference scans as converters state and mark them."""

from __future__ import annotations

import copy
from dataclasses import replace

import ismrmrd.xsd as xsd

from situations.scan import ACCELERATED, BOTH, CALIBRATION, NOISE, PLAIN, SEPARATE, Scan, copied, situation, with_data

OTHER_CONTRAST = 20 + 4j
SEPARATE_SLICES = replace(SEPARATE, n_slices=2)


def into_second_encoding(scan: Scan) -> None:
    """Give the calibration lines an encoding space of their own, the same as the first."""
    scan.header.encoding.append(copy.deepcopy(scan.encoding))
    for line in scan.of(CALIBRATION):
        line.encoding_space_ref = 1


@situation("K4", SEPARATE, "ismrmrd/siemens_to_ismrmrd#108")
def reference_in_an_encoding_without_parallel_imaging(scan: Scan) -> None:
    """The encoding of the reference has no parallelImaging, as the converter's style sheet for EPI writes it."""
    into_second_encoding(scan)
    scan.header.encoding[1].parallelImaging = None


@situation("K4", SEPARATE_SLICES)
def reference_in_the_first_encoding(scan: Scan) -> None:
    """Encoding 0 is the reference, counted from 0, without parallelImaging, encoding 1 the images."""
    scan.header.encoding.append(copy.deepcopy(scan.encoding))
    first = scan.encoding
    first.encodedSpace.matrixSize.y = first.reconSpace.matrixSize.y = 24
    first.parallelImaging = None
    limit = first.encodingLimits.kspace_encoding_step_1
    limit.minimum, limit.maximum, limit.center = 0, 23, 12
    for line in scan.imaging:
        if line.is_flag_set(CALIBRATION):
            line.idx.kspace_encode_step_1 -= 36
        else:
            line.encoding_space_ref = 1


@situation("K4", SEPARATE)
def reference_in_a_second_encoding_as_wide_as_the_image(scan: Scan) -> None:
    """Of half the resolution, so that its lines have as many samples as a line of the image without oversampling."""
    into_second_encoding(scan)
    n = PLAIN.matrix[0]
    short = {id(line): with_data(line, line.data[:, n // 2 : -n // 2], n // 2) for line in scan.of(CALIBRATION)}
    scan.lines = [short.get(id(line), line) for line in scan.lines]


def of_another_contrast(scan: Scan, mode: str | None) -> None:
    """Calibration lines twenty times as strong, under another mode."""
    if mode is None:
        scan.encoding.parallelImaging = None
    else:
        scan.encoding.parallelImaging.calibrationMode = xsd.calibrationModeType(mode)
    for line in scan.of(CALIBRATION):
        line.data[:] = line.data * OTHER_CONTRAST


@situation("K4", SEPARATE)
def separate_calibration_stated_as_other(scan: Scan) -> None:
    """CalibrationMode is other, as converters write what they do not know."""
    of_another_contrast(scan, "other")


@situation("K4", SEPARATE)
def separate_calibration_stated_as_interleaved(scan: Scan) -> None:
    """CalibrationMode is interleaved."""
    of_another_contrast(scan, "interleaved")


@situation("K4", SEPARATE)
def separate_calibration_that_is_not_stated(scan: Scan) -> None:
    """No parallelImaging."""
    of_another_contrast(scan, None)


@situation("K4", ACCELERATED, loss_db=1.5)
def both_flags_at_once(scan: Scan) -> None:
    """Lines for both are marked for calibration, too, and calibrationMode is separate, as a stream has to believe."""
    for line in scan.of(BOTH):
        line.set_flag(CALIBRATION)
    scan.encoding.parallelImaging.calibrationMode = xsd.calibrationModeType("separate")


@situation("K4", SEPARATE_SLICES, right="told")
def reference_of_one_slice_alone(scan: Scan) -> None:
    """The reference of slice 1 is missing."""
    scan.lines = [line for line in scan.lines if not (line.is_flag_set(CALIBRATION) and line.idx.slice == 1)]


@situation("K5", SEPARATE)
def body_coil_before_each_line_of_the_reference(scan: Scan) -> None:
    """Each calibration line is read by two channels first, with the same flag."""
    made = []
    for line in scan.lines:
        if line.is_flag_set(CALIBRATION):
            made.append(with_data(line, 3 * line.data[:2]))
        made.append(line)
    scan.lines = made


@situation("K5", ACCELERATED)
def an_end_without_samples(scan: Scan) -> None:
    """A line of no samples ends the file."""
    end = with_data(scan.imaging[-1], scan.imaging[-1].data[:, :0], 0)
    end.clear_flag(CALIBRATION)
    end.clear_flag(BOTH)
    scan.lines.append(end)


@situation("K5", ACCELERATED, right="told")
def the_first_line_without_its_channels(scan: Scan) -> None:
    """The first line of the image has four of six channels."""
    at = scan.lines.index(scan.imaging[0])
    scan.lines[at] = with_data(scan.lines[at], scan.lines[at].data[:4])


@situation("K5", ACCELERATED)
def a_noise_line_of_two_channels_first(scan: Scan) -> None:
    """A noise line of the body coil in front of all others."""
    first = copied(scan.of(NOISE)[0])
    scan.lines.insert(0, with_data(first, first.data[:2]))
