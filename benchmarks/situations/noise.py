"""K9: whose noise it is."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import ismrmrd
import ismrmrd.xsd as xsd
import numpy as np

from situations.scan import ACCELERATED, NOISE, Scan, copied, situation, with_data

UNLIKE = replace(ACCELERATED, noise_gain_spread=6.0, noise_std=0.04)


def into_a_file(scan: Scan) -> tuple[Any, list[ismrmrd.Acquisition]]:
    """Move the noise scan into a file of its own, with coil labels in both; its header and lines."""
    system = scan.header.acquisitionSystemInformation
    system.coilLabel = [xsd.coilLabelType(coilNumber=n, coilName=f"C{n}") for n in range(6)]
    scan.noise = (copy.deepcopy(scan.header), scan.of(NOISE))
    scan.lines = scan.imaging
    return scan.noise


@situation("K9", UNLIKE)
def noise_in_a_file_of_its_own(scan: Scan) -> None:
    """The noise scan in another file."""
    into_a_file(scan)


@situation("K9", UNLIKE, "gadgetron/gadgetron#598")
def noise_file_in_other_coil_order(scan: Scan) -> None:
    """The channels of the noise file are in another order, which coil labels tell."""
    header, lines = into_a_file(scan)
    order = [4, 1, 5, 0, 3, 2]
    header.acquisitionSystemInformation.coilLabel = [
        xsd.coilLabelType(coilNumber=n, coilName=f"C{channel}") for n, channel in enumerate(order)
    ]
    for line in lines:
        line.data[:] = line.data[order].copy()


@situation("K9", UNLIKE)
def noise_file_of_more_coils(scan: Scan) -> None:
    """The noise file has two channels more, labelled."""
    header, lines = into_a_file(scan)
    names = ["B0", "C0", "C1", "C2", "C3", "B1", "C4", "C5"]
    header.acquisitionSystemInformation.receiverChannels = 8
    header.acquisitionSystemInformation.coilLabel = [
        xsd.coilLabelType(coilNumber=n, coilName=name) for n, name in enumerate(names)
    ]
    rng, longer = np.random.default_rng(1), []
    for line in lines:
        other = rng.standard_normal((2, line.number_of_samples, 2)) @ [1, 1j]
        data = np.stack([other[0], *line.data[:4], other[1], *line.data[4:]]).astype(np.complex64)
        head = copy.deepcopy(line.getHead())
        head.active_channels = head.available_channels = 8
        longer.append(ismrmrd.Acquisition(head, data))
    scan.noise = (header, longer)


@situation("K9", UNLIKE)
def noise_lines_between_the_lines_of_the_image(scan: Scan) -> None:
    """Half of the noise lines come in the middle of the slice."""
    noise = scan.of(NOISE)
    image = scan.imaging
    half = len(image) // 2
    scan.lines = [*noise[:8], *image[:half], *noise[8:], *image[half:]]


@situation("K9", UNLIKE)
def noise_lines_after_the_image(scan: Scan) -> None:
    """All noise lines come after the image."""
    scan.lines = [*scan.imaging, *scan.of(NOISE)]


@situation("K9", UNLIKE)
def noise_of_unlike_dwell_times(scan: Scan) -> None:
    """Half of the noise lines with twice the dwell time, and half the variance."""
    for line in scan.of(NOISE)[::2]:
        line.data[:] = line.data / np.sqrt(2)
        line.sample_time_us = 2 * line.sample_time_us


@situation("K9", UNLIKE)
def a_navigator_of_another_dwell_time_first(scan: Scan) -> None:
    """The first line that is no noise is a navigator of four times the dwell time."""
    navigator = copied(scan.imaging[0])
    navigator.set_flag(ismrmrd.ACQ_IS_NAVIGATION_DATA)
    navigator.sample_time_us *= 4
    scan.lines = [*scan.of(NOISE), navigator, *scan.imaging]


@situation("K9", UNLIKE, "gadgetron/gadgetron#7")
def noise_lines_without_dwell_time(scan: Scan) -> None:
    """No dwell time anywhere: the level of the noise is measured in the data."""
    for line in scan.lines:
        line.sample_time_us = 0


@situation("K9", UNLIKE)
def no_noise_scan(scan: Scan) -> None:
    """No noise lines at all."""
    scan.lines = scan.imaging


@situation("K9", UNLIKE, loss_db=1.2)
def one_noise_line(scan: Scan) -> None:
    """A noise scan of one line."""
    scan.lines = [scan.of(NOISE)[0], *scan.imaging]


@situation("K9", UNLIKE, right="told")
def noise_lines_with_signal(scan: Scan) -> None:
    """The noise lines hold an echo: the noise scan was not one."""
    echo = next(line for line in scan.imaging if line.idx.kspace_encode_step_1 == 48).data
    for line in scan.of(NOISE):
        line.data[:] = line.data + echo[:, : line.number_of_samples]


@situation("K9", UNLIKE)
def a_noise_scan_that_is_missing(scan: Scan) -> None:
    """The header names a noise measurement that is not there."""
    scan.lines = scan.imaging
    scan.header.measurementInformation.measurementDependency = [
        xsd.measurementDependencyType(dependencyType="SenMap", measurementID="66"),
        xsd.measurementDependencyType(dependencyType="Noise", measurementID="77"),
    ]


@situation("K9", UNLIKE)
def noise_of_a_thousandth(scan: Scan) -> None:
    """A noise scan at another receiver gain: a thousand times too small."""
    for line in scan.of(NOISE):
        line.data[:] = line.data / 1000


def channel(scan: Scan, factor: float) -> None:
    """Multiply channel 2 of the noise lines by a factor."""
    for line in scan.of(NOISE):
        line.data[2] *= factor


@situation("K9", UNLIKE)
def noise_lines_in_other_coil_order_without_labels(scan: Scan) -> None:
    """The channels of the noise lines are in another order, and nothing tells."""
    for line in scan.of(NOISE):
        line.data[:] = line.data[[4, 1, 5, 0, 3, 2]].copy()


@situation("K9", UNLIKE)
def one_channel_too_loud_in_the_noise_scan(scan: Scan) -> None:
    """One channel had ten times the gain in the noise scan."""
    channel(scan, 10)


@situation("K9", UNLIKE)
def one_channel_too_quiet_in_the_noise_scan(scan: Scan) -> None:
    """One channel had a tenth of the gain in the noise scan."""
    channel(scan, 0.1)


@situation("K9", UNLIKE)
def one_channel_of_zero_in_the_noise_scan(scan: Scan) -> None:
    """One channel was not connected in the noise scan."""
    channel(scan, 0)


@situation("K9", UNLIKE, right="told")
def an_offset_in_all_lines(scan: Scan) -> None:
    """The receivers have an offset: a bright spot in the middle of the image."""
    for line in scan.lines:
        line.data[:] = line.data + 0.1


@situation("K9", UNLIKE)
def noise_lines_with_a_transient_to_discard(scan: Scan) -> None:
    """The first samples of the noise lines are the receiver's transient, and discard_pre says so."""
    for line in scan.of(NOISE):
        line.discard_pre = 20
        line.data[:, :20] = 3.0


@situation("K9", UNLIKE, right="told")
def noise_lines_of_one_sample(scan: Scan) -> None:
    """Sixteen noise lines of one sample each: too few."""
    scan.lines = [*(with_data(line, line.data[:, :1]) for line in scan.of(NOISE)), *scan.imaging]
