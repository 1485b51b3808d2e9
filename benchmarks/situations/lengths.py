"""K2: lines of odd lengths, centres and discard ranges."""

from __future__ import annotations

from dataclasses import replace

import ismrmrd
import numpy as np

from situations.samples import crop
from situations.scan import (
    ACCELERATED,
    CALIBRATION,
    NOISE,
    PARTIAL,
    PLAIN,
    SLICES,
    Scan,
    replaced,
    situation,
    with_data,
)


def longer(line: ismrmrd.Acquisition, before: int, after: int) -> ismrmrd.Acquisition:
    """Return the line with nonsense in front and behind, which does not count."""
    made = with_data(line, np.pad(line.data, ((0, 0), (before, after)), constant_values=9), line.center_sample + before)
    made.discard_pre, made.discard_post = before, after
    return made


@situation("K2", ACCELERATED)
def noise_lines_with_samples_to_discard(scan: Scan) -> None:
    """The noise lines, too, hold samples that do not count."""
    scan.lines = [longer(line, 20, 10) if line.is_flag_set(NOISE) else line for line in scan.lines]


@situation("K2", replace(PARTIAL, asymmetric_echo=0.75))
def partial_fourier_and_echo_with_samples_to_discard(scan: Scan) -> None:
    """Partial Fourier, an asymmetric echo, and samples that do not count."""
    replaced(scan, lambda line: longer(line, 9, 3))


@situation("K2", replace(ACCELERATED, asymmetric_echo=0.7))
def asymmetric_echo_with_the_centre_of_the_matrix(scan: Scan) -> None:
    """Center_sample is half the encoded matrix, whatever was sampled."""
    for line in scan.imaging:
        line.center_sample = PLAIN.matrix[0]


@situation("K2", replace(ACCELERATED, readout_oversampling=1.5), right="told")
def centre_sample_of_before_oversampling_was_removed(scan: Scan) -> None:
    """Oversampling of 1.5 was removed, center_sample is that of before: half the encoded matrix."""
    n = PLAIN.matrix[0]
    replaced(scan, lambda line: with_data(line, crop(line.data, n), 3 * n // 4))


@situation("K2", SLICES, right="told")
def one_slice_without_oversampling(scan: Scan) -> None:
    """Oversampling was removed from the lines of slice 1 alone."""
    n = PLAIN.matrix[0]
    replaced(scan, lambda line: with_data(line, crop(line.data, n), n // 2) if line.idx.slice else line)


@situation("K2", ACCELERATED)
def a_line_that_is_discarded_as_a_whole(scan: Scan) -> None:
    """The discard ranges of one line leave nothing of it."""
    line = scan.imaging[5]
    line.discard_pre, line.discard_post = 150, 60


@situation("K2", ACCELERATED, right="told")
def an_echo_elsewhere_in_the_calibration(scan: Scan) -> None:
    """Center_sample of the lines that only calibrate is 20 samples off; they are lines of the image, too."""
    for line in scan.of(CALIBRATION):
        line.center_sample -= 20
