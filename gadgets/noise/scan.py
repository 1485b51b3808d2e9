"""Noise lines of a stream: each counts with its own dwell time, and lines with unlike channels are kept apart."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeAlias

import ismrmrd
import numpy as np
import numpy.typing as npt

from nilatron.core.backend import ComplexArray
from nilatron.gadgets.items import Context, ScanError
from nilatron.gadgets.known_noise import NoiseCovariance, NoiseOrigin
from nilatron.gadgets.noise.channels import Names, matched_channels
from nilatron.gadgets.noise.header import coil_names, measurement_id, stated_bandwidth_ratio

Key: TypeAlias = tuple[int, Names | None]


@dataclass
class NoiseSum:
    """Sums of n n^H and |n|^4 over the samples of noise lines with the same channels, all at the dwell time of the first."""

    coil_names: Names | None
    total: ComplexArray
    fourth: npt.NDArray[np.float64]
    dwell_us: float = 0.0
    n_samples: int = 0
    n_lines: int = 0
    used: bool = False

    def add(self, samples: ComplexArray, dwell_us: float) -> None:
        """Add a line (coil, sample) at its dwell time: variance ~ 1 / dwell; 0 (unknown) counts as that of the sum."""
        if self.dwell_us <= 0:
            self.dwell_us = dwell_us
        weight = dwell_us / self.dwell_us if dwell_us > 0 else 1.0
        exact = samples.astype(np.complex128)
        self.total += weight * (exact @ exact.conj().T)
        self.fourth += weight**2 * np.sum(np.abs(exact) ** 4, axis=1)
        self.n_samples += samples.shape[1]
        self.n_lines += 1

    def covariance(self, origin: NoiseOrigin) -> NoiseCovariance:
        """The noise covariance of these lines."""
        psi = self.total / max(1, self.n_samples - 1)
        return NoiseCovariance(psi, self.n_samples, self.dwell_us, origin, self.coil_names, self._kurtosis())

    def _kurtosis(self) -> float:
        """E|n|^4 / (E|n|^2)^2 of the channel that has most of it; silent channels have none."""
        second = np.real(np.diagonal(self.total))
        alive = second > 0
        return float(np.max(self.n_samples * self.fourth[alive] / second[alive] ** 2, initial=0.0))


@dataclass
class NoiseScan:
    """All noise lines of a stream so far, those with the same channels together."""

    sums: dict[Key, NoiseSum] = field(default_factory=dict)

    def add(self, line: ismrmrd.Acquisition, header: Any) -> None:
        """Add a noise line to the sum of its channels, without the samples in its discard ranges."""
        samples: ComplexArray = np.asarray(line.data)
        samples = samples[:, int(line.discard_pre) : samples.shape[1] - int(line.discard_post)]
        n_channels = len(samples)
        names = coil_names(header, n_channels, line.channel_mask)
        key = (n_channels, names)
        if key not in self.sums:
            self.sums[key] = NoiseSum(names, np.zeros((n_channels, n_channels), np.complex128), np.zeros(n_channels))
        self.sums[key].add(samples, float(line.sample_time_us))

    def matched(self, names: Names | None, n_coils: int, context: Context) -> NoiseCovariance | None:
        """Noise covariance of the channels of an image; None without noise lines.

        Raises
        ------
        ScanError
            When the channels of no noise line fit.
        """
        problem: ScanError | None = None
        for found in sorted(self.sums.values(), key=lambda one: -one.n_samples):
            try:
                channels = matched_channels(found.coil_names, len(found.total), names, n_coils)
            except ScanError as error:
                problem = problem or error
                continue
            found.used = True
            return found.covariance(self.origin(context)).with_channels(channels)
        if problem is not None:
            raise problem
        return None

    def largest(self, context: Context) -> NoiseCovariance | None:
        """Noise covariance of those channels that most noise lines have; None without noise lines."""
        if not self.sums:
            return None
        found = max(self.sums.values(), key=lambda one: one.n_lines)
        found.used = True
        return found.covariance(self.origin(context))

    def left_out(self) -> list[NoiseSum]:
        """Sums of the lines that were used for no image."""
        return [one for one in self.sums.values() if not one.used]

    @staticmethod
    def origin(context: Context) -> NoiseOrigin:
        """The measurement that the noise lines are of: the scan itself, or the noise file that was put in front of it."""
        header = context.header
        return context.noise_file or NoiseOrigin("noise scan", measurement_id(header), stated_bandwidth_ratio(header))
