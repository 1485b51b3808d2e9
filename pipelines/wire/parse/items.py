"""Acquisitions, waveforms and images from their bytes."""

from __future__ import annotations

import ismrmrd
import numpy as np

from nilatron.pipelines.wire.compressed import COMPRESSION_FLAGS, read_compressed
from nilatron.pipelines.wire.errors import MalformedError
from nilatron.pipelines.wire.limits import Budget
from nilatron.pipelines.wire.parse.parts import Parser, read_bytes, read_flat, read_length_prefixed
from nilatron.pipelines.wire.received_image import ReceivedImage
from nilatron.pipelines.wire.structures import ACQUISITION_HEADER, IMAGE_HEADER, PIXEL_TYPES, U64, WAVEFORM_HEADER


def read_acquisition(budget: Budget) -> Parser[ismrmrd.Acquisition]:
    """Header, trajectory (sample, dimension), samples (channel, sample), unpacked; the arrays are writable."""
    limits = budget.limits
    raw = bytearray(ACQUISITION_HEADER.itemsize)
    yield memoryview(raw)
    head = ismrmrd.AcquisitionHeader.from_buffer(raw)
    n_samples, n_channels, n_dimensions = head.number_of_samples, head.active_channels, head.trajectory_dimensions
    if (
        n_samples > limits.samples
        or n_channels > limits.channels
        or n_dimensions > limits.trajectory_dimensions
        or n_samples * (n_channels * 8 + n_dimensions * 4) > budget.left
    ):
        check_line(budget, n_samples, n_channels, n_dimensions)
    if n_samples and n_dimensions:
        trajectory = np.empty(n_samples * n_dimensions * 4, np.uint8)
        yield trajectory.data
        traj = trajectory.view(np.float32).reshape(n_samples, n_dimensions)
    else:
        traj = np.empty((n_samples, n_dimensions), np.float32)
    if head.flags & COMPRESSION_FLAGS and n_samples and n_channels:
        return ismrmrd.Acquisition(head, (yield from read_compressed(head, budget)), traj)
    samples = np.empty(n_samples * n_channels * 8, np.uint8)
    if n_samples and n_channels:
        yield samples.data
    return ismrmrd.Acquisition(head, samples.view(np.complex64).reshape(n_channels, n_samples), traj)


def check_line(budget: Budget, n_samples: int, n_channels: int, n_dimensions: int) -> None:
    """Compare the sizes of one readout with the limits, and take its memory from the budget.

    Raises
    ------
    LimitError
        For the first that is too large.
    """
    budget.check(n_samples, "samples", "samples of an acquisition")
    budget.check(n_channels, "channels", "channels of an acquisition")
    budget.check(n_dimensions, "trajectory_dimensions", "trajectory dimensions of an acquisition")
    budget.take(n_samples * (n_channels * 8 + n_dimensions * 4), "an acquisition")


def read_waveform(budget: Budget) -> Parser[ismrmrd.Waveform]:
    """Header and samples (channel, sample)."""
    raw = yield from read_bytes(WAVEFORM_HEADER.itemsize)
    waveform = make_waveform(raw, budget)
    if waveform.data.size:
        yield waveform.data.reshape(-1).view(np.uint8).data
    return waveform


def make_waveform(raw: bytes | bytearray, budget: Budget) -> ismrmrd.Waveform:
    """A waveform with the memory for its samples, which are still to be filled.

    Raises
    ------
    LimitError
        When it is too large.
    """
    head = ismrmrd.WaveformHeader.from_buffer_copy(raw)
    budget.check(head.number_of_samples, "samples", "samples of a waveform")
    budget.check(head.channels, "channels", "channels of a waveform")
    budget.take(head.number_of_samples * head.channels * 4 + 256, "a waveform")
    return ismrmrd.Waveform(head)


def read_image(budget: Budget) -> Parser[ReceivedImage]:
    """Header, attributes, pixels (channel, z, y, x)."""
    raw = yield from read_bytes(IMAGE_HEADER.itemsize)
    head = ismrmrd.ImageHeader.from_buffer_copy(raw)
    dtype = PIXEL_TYPES.get(head.data_type)
    if dtype is None:
        raise MalformedError(f"image with the data type {head.data_type}; expected 1 to {max(PIXEL_TYPES)}")
    x, y, z = head.matrix_size
    n_pixels = head.channels * z * y * x
    attributes = yield from read_length_prefixed(U64, "attributes_bytes", budget, "image attributes")
    pixels = yield from read_flat(dtype, n_pixels, budget, "an image")
    return ReceivedImage(raw, attributes, pixels.reshape(head.channels, z, y, x))
