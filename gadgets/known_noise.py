"""The noise covariance of a measurement, where it comes from, and the interface of a store of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from nilatron.core.backend import ComplexArray

GIVEN = "given"  # source of noise that is known without a measurement of ours
# what a scan's log counts
NOISE_STORED = "noise measurements stored"
NOISE_NOT_WRITTEN = "noise measurements that could not be written"
SAMPLES_PER_COIL = 8  # of a noise scan, at least: whitening with n times as many samples costs 1 / n of the SNR squared
GAUSSIAN_KURTOSIS = 2.0  # E|n|^4 / (E|n|^2)^2 of circular Gaussian noise
MAX_KURTOSIS = 4.0  # of a channel; an echo or a spike in noise lines has far more
MAX_OFFSET = 0.5  # standard deviations, of a channel: a receiver's own offset is far less
MIN_SAMPLES_FOR_KURTOSIS = 64  # with fewer it may come near to the bound by chance


@dataclass(frozen=True)
class NoiseOrigin:
    """The measurement that a noise covariance is of.

    Attributes
    ----------
    source
        "noise scan", "noise file", "given" or "store".
    measurement_id
        measurementID of its header; empty where there is none.
    bandwidth_ratio
        relativeReceiverNoiseBandwidth of its header; None where there is none.
    """

    source: str
    measurement_id: str = ""
    bandwidth_ratio: float | None = None


@dataclass(frozen=True)
class NoiseCovariance:
    """Noise covariance of one measurement.

    Attributes
    ----------
    covariance
        E[n n^H] of a sample of dwell time `dwell_us`, complex128 (coil, coil).
    n_samples
        Number of samples of each coil that it was computed from.
    dwell_us
        Dwell time in microseconds; 0 where it is not known.
    origin
        The measurement.
    coil_names
        Coil labels of the channels, in their order; None where they are not known.
    kurtosis
        E|n|^4 / (E|n|^2)^2 of the channel that has most of it.
    offset
        |E n| in standard deviations, of the channel that has most of it. It is part of the covariance, so that whitening
        takes it out of the lines of images, too.
    """

    covariance: ComplexArray
    n_samples: int
    dwell_us: float
    origin: NoiseOrigin
    coil_names: tuple[str, ...] | None = None
    kurtosis: float = GAUSSIAN_KURTOSIS
    offset: float = 0.0

    @property
    def n_coils(self) -> int:
        """Number of channels."""
        return int(self.covariance.shape[0])

    @property
    def fault(self) -> str:
        """Why it cannot be used to whiten; empty where it can."""
        if self.n_samples < SAMPLES_PER_COIL * self.n_coils or not np.any(self.covariance):
            return f"has only {self.n_samples} samples or is empty"
        if self.n_samples >= MIN_SAMPLES_FOR_KURTOSIS and self.kurtosis > MAX_KURTOSIS:
            return f"holds more than noise, signal or spikes (kurtosis {self.kurtosis:.3g}, {GAUSSIAN_KURTOSIS:g} expected)"
        return ""

    def with_channels(self, channels: Sequence[int]) -> NoiseCovariance:
        """The noise covariance of these channels, in this order."""
        chosen = list(channels)
        names = None if self.coil_names is None else tuple(self.coil_names[channel] for channel in chosen)
        return replace(self, covariance=self.covariance[np.ix_(chosen, chosen)], coil_names=names)


class NoiseStore(Protocol):
    """A store of noise covariances by measurement id."""

    def read(self, measurement_id: str) -> NoiseCovariance | None:
        """Noise covariance of a measurement; None where it is not stored or cannot be read."""

    def write(self, noise: NoiseCovariance) -> None:
        """Store the noise covariance of a measurement that has an id."""
