"""The lines of an imported scan: those that were acquired, slice by slice."""

from __future__ import annotations

from collections.abc import Iterator

import ismrmrd
import numpy as np

from nilatron.pipelines.importing.kspace import ComplexArray, Kspace
from nilatron.pipelines.importing.sampling import Sampling, acquired, slices_of


def lines_of(kspace: Kspace, sampling: Sampling, distance_mm: float) -> Iterator[ismrmrd.Acquisition]:
    """Lines with their indices and flags.

    Where slices lie is not in such files: they are stacked along z as they are numbered, `distance_mm` apart.
    """
    (first_z, _), (first_y, _) = sampling.span(0), sampling.span(1)
    counter = 0
    for number, one in enumerate(slices_of(kspace)):
        places = np.argwhere(acquired(one).any(-1))
        offset_mm = (number - (kspace.n_slices - 1) / 2) * distance_mm if kspace.shape[1] == 1 else 0.0
        for place, (z, y) in enumerate(places):
            line = _line(one[:, z, y, sampling.first_sample : sampling.last_sample + 1], counter)
            line.center_sample = kspace.shape[-1] // 2 - sampling.first_sample
            line.idx.kspace_encode_step_1, line.idx.kspace_encode_step_2 = int(y) - first_y, int(z) - first_z
            line.idx.slice = number
            line.position[:] = (0.0, 0.0, offset_mm)
            is_last = place == len(places) - 1
            _flag(line, sampling, int(z), int(y), is_first=place == 0, is_last=is_last)
            if is_last and number == kspace.n_slices - 1:
                line.set_flag(ismrmrd.ACQ_LAST_IN_REPETITION)
                line.set_flag(ismrmrd.ACQ_LAST_IN_MEASUREMENT)
            counter += 1
            yield line


def _line(samples: ComplexArray, counter: int) -> ismrmrd.Acquisition:
    head = ismrmrd.AcquisitionHeader()
    head.version, head.measurement_uid, head.scan_counter = 1, 1, counter
    head.active_channels, head.number_of_samples = samples.shape
    head.available_channels = samples.shape[0]
    for channel in range(samples.shape[0]):
        head.channel_mask[channel // 64] |= 1 << (channel % 64)
    line = ismrmrd.Acquisition(head, np.ascontiguousarray(samples))
    line.read_dir[:], line.phase_dir[:], line.slice_dir[:] = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)
    return line


def _flag(line: ismrmrd.Acquisition, sampling: Sampling, z: int, y: int, *, is_first: bool, is_last: bool) -> None:
    blocks = [
        (sampling.calibration(axis), place) for axis, place in ((0, z), (1, y)) if sampling.acceleration(axis) > 1
    ]
    if blocks and all(first <= place <= last for (first, last), place in blocks):
        line.set_flag(ismrmrd.ACQ_IS_PARALLEL_CALIBRATION_AND_IMAGING)
    if is_first:
        line.set_flag(ismrmrd.ACQ_FIRST_IN_SLICE)
    if is_last:
        line.set_flag(ismrmrd.ACQ_LAST_IN_SLICE)
