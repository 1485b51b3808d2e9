"""One simulated slice as it comes from the scanner: undersampled, its noise coloured, with a noise scan."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from gpu.size import Size
from nilatron.core.backend import ComplexArray, complex_normal, percentile
from nilatron.pipelines.simulation.scanned_object import ground_truth, object_kspace
from nilatron.pipelines.simulation.settings import SimulationSettings
from scans import undersample

ACCELERATION = 4
NOISE = 0.03  # complex standard deviation of a sample, as a share of the image scale
N_NOISE_SAMPLES = 4096  # of each coil


@dataclass(frozen=True)
class RawSlice:
    """A slice before whitening.

    Attributes
    ----------
    kspace, calibration
        Complex (coil, z, y, x): zero where nothing was measured; the fully sampled centre.
    counts
        Real (z, y, x), 1 where measured.
    noise
        Complex (coil, sample), of the same covariance as that of k-space.
    truth
        Complex (z, y, x).
    """

    kspace: ComplexArray
    calibration: ComplexArray
    counts: npt.NDArray[np.float32]
    noise: ComplexArray
    truth: ComplexArray

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of the image (z, y, x)."""
        n_z, n_y, n_x = self.counts.shape
        return n_z, n_y, n_x


def settings_of(size: Size) -> SimulationSettings:
    """The simulated scan: the phantom, R = 4 with 24 calibration lines."""
    plain = SimulationSettings(
        matrix=(size.matrix, size.matrix, 1),
        n_coils=size.n_coils,
        acceleration=ACCELERATION,
        readout_oversampling=1.0,
    )
    return replace(plain, noise_std=NOISE * percentile(np.abs(ground_truth(plain)), 99.5))


def raw_slice(size: Size, seed: int = 0) -> RawSlice:
    """The slice of `settings_of` as arrays."""
    settings = settings_of(size)
    clean, generator = object_kspace(settings, 0, 0), np.random.default_rng(seed)
    colour = np.linalg.cholesky(settings.noise_covariance).astype(np.complex64)

    def noise(shape: tuple[int, ...]) -> ComplexArray:
        coloured: ComplexArray = np.tensordot(colour, complex_normal(generator, shape, clean), axes=1)
        return coloured

    scan = undersample(clean + noise(clean.shape), ACCELERATION)
    return RawSlice(
        scan.kspace,
        np.ascontiguousarray(scan.calibration),
        scan.counts,
        noise((size.n_coils, N_NOISE_SAMPLES)),
        ground_truth(settings),
    )
