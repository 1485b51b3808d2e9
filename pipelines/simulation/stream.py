"""The stream of a scan: lines with data, noise and geometry, waveforms and non-imaging lines in between."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache

import ismrmrd
import numpy as np
import numpy.typing as npt

from nilatron.core.backend import ComplexArray
from nilatron.pipelines.simulation.order import Line, contrast_blocks, with_flags
from nilatron.pipelines.simulation.scanned_object import object_kspace
from nilatron.pipelines.simulation.settings import EXTRA_FLAGS, SimulationSettings

TICKS_PER_LINE = 4  # time stamps count 2.5 ms
ECG_CHANNELS, ECG_SAMPLES = 2, 8


def simulate_stream(settings: SimulationSettings) -> Iterator[ismrmrd.Acquisition | ismrmrd.Waveform]:
    """Acquire: the noise scan, then lines with waveforms and non-imaging lines in between, in time order."""
    scanner = _Scanner(settings)
    for _ in range(settings.noise_lines if settings.noise_std else 0):
        yield scanner.noise_line()
    lines = (line for one_pass in contrast_blocks(settings) for line in with_flags(one_pass, settings))
    for number, line in enumerate(lines):
        if settings.waveform_every and number % settings.waveform_every == 0:
            yield scanner.waveform()
        yield scanner.line(line)
        if number % settings.extra_every == settings.extra_every // 2:
            for kind in settings.extra_lines:
                yield scanner.extra_line(line, kind)


class _Scanner:
    """Turns lines into acquisitions: data, noise, header, counters."""

    def __init__(self, settings: SimulationSettings) -> None:
        self.settings = settings
        self.rng = np.random.default_rng(settings.seed)
        self.n_lines = 0
        self.rotation = _rotation(settings.angles_deg)
        if settings.noise_std:
            self.root = np.linalg.cholesky(settings.noise_covariance).astype(np.complex64)
            self.scan_root = np.linalg.cholesky(settings.noise_scan_covariance).astype(np.complex64)
        n_kept = settings.n_slices if settings.slice_order == "line" else 1
        n_bytes = 8 * settings.n_coils * math.prod(settings.encoded_matrix)
        if settings.n_repetitions > 1 and settings.n_slices * settings.n_contrasts * n_bytes < 2**28:
            n_kept = settings.n_slices * settings.n_contrasts
        self.kspace = lru_cache(maxsize=n_kept)(lambda index, contrast: object_kspace(settings, index, contrast))

    def noise(self, root: ComplexArray, n_samples: int) -> ComplexArray:
        """Noise (coil, sample) of covariance root root^H."""
        white = self.rng.standard_normal((len(root), 2 * n_samples), dtype=np.float32).view(np.complex64)
        return np.asarray(root @ white * np.float32(math.sqrt(0.5)), np.complex64)

    def noise_line(self) -> ismrmrd.Acquisition:
        """One line of the noise scan."""
        acquisition = self._acquisition(self.noise(self.scan_root, self.settings.encoded_matrix[0]))
        acquisition.sample_time_us = self.settings.noise_dwell_us
        acquisition.set_flag(ismrmrd.ACQ_IS_NOISE_MEASUREMENT)
        return acquisition

    def line(self, line: Line) -> ismrmrd.Acquisition:
        """One line of the object."""
        first = self.settings.first_sample
        data = self.kspace(line.slice, line.contrast)[:, line.z, line.y, first:]
        if self.settings.noise_std:
            data = data + self.noise(self.root, data.shape[-1])
        acquisition = self._acquisition(data)
        self._place(acquisition, line)
        for flag in line.flags:
            acquisition.set_flag(flag)
        return acquisition

    def extra_line(self, line: Line, kind: str) -> ismrmrd.Acquisition:
        """One line which is no part of the image, but has the indices of one and a strong signal."""
        data = self.kspace(line.slice, line.contrast)[
            :, line.z, self.settings.matrix[1] // 2, self.settings.first_sample :
        ]
        acquisition = self._acquisition(data[:, ::-1] * np.complex64(2j))
        self._place(acquisition, line)
        acquisition.set_flag(EXTRA_FLAGS[kind])
        return acquisition

    def waveform(self) -> ismrmrd.Waveform:
        """Return a few samples of an electrocardiogram, as old as the next line."""
        time = np.arange(ECG_SAMPLES) + ECG_SAMPLES * self.n_lines
        data = np.stack([2048 + 500 * np.sin(2 * np.pi * time / (100 + channel)) for channel in range(ECG_CHANNELS)])
        return ismrmrd.Waveform.from_array(
            data.astype(np.uint32),
            waveform_id=0,
            sample_time_us=2500.0,
            time_stamp=TICKS_PER_LINE * self.n_lines,
            scan_counter=self.n_lines,
            measurement_uid=1,
        )

    def _acquisition(self, data: ComplexArray) -> ismrmrd.Acquisition:
        head = ismrmrd.AcquisitionHeader()
        head.version, head.measurement_uid = 1, 1
        head.active_channels, head.number_of_samples = data.shape
        head.available_channels = data.shape[0]
        for channel in range(data.shape[0]):
            head.channel_mask[channel // 64] |= 1 << (channel % 64)
        head.scan_counter = self.n_lines
        head.acquisition_time_stamp = TICKS_PER_LINE * self.n_lines
        head.sample_time_us = self.settings.dwell_us
        self.n_lines += 1
        return ismrmrd.Acquisition(head, np.ascontiguousarray(data, np.complex64))

    def _place(self, acquisition: ismrmrd.Acquisition, line: Line) -> None:
        """Set indices and geometry."""
        settings, index = self.settings, acquisition.idx
        index.kspace_encode_step_1, index.kspace_encode_step_2 = line.y - settings.first_line, line.z
        index.slice, index.contrast, index.average, index.repetition = line[:4]
        acquisition.center_sample = settings.encoded_matrix[0] // 2 - settings.first_sample
        offset = (line.slice - (settings.n_slices - 1) / 2) * settings.fov_mm[2] if settings.matrix[2] == 1 else 0.0
        acquisition.position[:] = tuple(np.asarray(settings.centre_mm) + offset * self.rotation[:, 2])
        acquisition.read_dir[:], acquisition.phase_dir[:], acquisition.slice_dir[:] = map(tuple, self.rotation.T)


def _rotation(angles_deg: tuple[float, float, float]) -> npt.NDArray[np.float64]:
    """Rotation about x, then y, then z; its columns are read, phase and slice direction."""
    rotation = np.eye(3)
    for axis, angle in enumerate(np.radians(angles_deg)):
        first, second = (axis + 1) % 3, (axis + 2) % 3
        turn = np.eye(3)
        turn[[first, second], [first, second]] = np.cos(angle)
        turn[second, first], turn[first, second] = np.sin(angle), -np.sin(angle)
        rotation = turn @ rotation
    return rotation
