"""Simulated undersampled scans of training images, for training through the sampler.

Coils, sampling, noise and the imperfections of real scans are drawn at random; coil maps, compression and warm start are
computed from the calibration lines, as in a reconstruction. The truth is the full noiseless scan, combined with these maps.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from nilatron.core.backend import ComplexArray, complex_normal
from nilatron.core.coils.compression import compress, compression_matrix
from nilatron.core.coils.espirit import espirit_maps
from nilatron.core.fft import fft, ifft
from nilatron.core.phantom import coil_sensitivity, positions
from nilatron.core.prior.acquired import AcquisitionSettings, simulate_acquisition
from nilatron.core.prior.augment import AugmentSettings
from nilatron.core.prior.lesions import LesionSettings, with_lesions
from nilatron.core.recon import inverse_problem


@dataclass(frozen=True)
class ScanSettings:
    """Number of scans in a training step, and the ranges from which they are drawn."""

    per_step: int = 0  # number of scans reconstructed in each step; 0: training on white noise alone
    weight: float = 0.3  # weight of the scans' loss (the mean of ln error) relative to the loss on white noise
    sigma: tuple[float, float] = (0.006, 0.12)  # complex noise level, image scale 1; ln(sigma) is evenly distributed
    n_coils: tuple[int, int] = (4, 12)
    compression_probability: float = 0.5  # compression to a random number of virtual coils, at least n_coils[0]
    accelerations: tuple[int, ...] = (2, 3, 4, 4, 5, 6, 6, 8)
    calibration_lines: tuple[int, ...] = (16, 20, 24, 24, 32)
    regular_probability: float = 0.7  # probability of every R-th line; otherwise random lines, denser in the centre
    map_errors: float = 0.12  # largest standard deviation of coil map errors that calibration lines cannot show
    line_errors: float = 0.02  # largest standard deviation of the lines' gain
    noise_errors: tuple[float, float] = (0.95, 1.1)  # ratio of the true noise level to the measured one
    acquisition: AcquisitionSettings = field(default_factory=AcquisitionSettings)
    augment: AugmentSettings = field(
        default_factory=lambda: AugmentSettings(
            tissue_phase=1.4, tissue_probability=0.9, rough_phase=0.4, rough_probability=0.8
        )
    )

    lesions: LesionSettings = field(default_factory=LesionSettings)

    def __post_init__(self) -> None:
        """Refuse ranges from which nothing can be drawn."""
        if self.per_step < 0 or not self.weight > 0:
            raise ValueError(f"expected per_step >= 0 and weight > 0, got {self.per_step} and {self.weight}")
        if not 0 < self.sigma[0] <= self.sigma[1]:
            raise ValueError(f"sigma must be a range above 0, got {list(self.sigma)}")
        if not 1 <= self.n_coils[0] <= self.n_coils[1]:
            raise ValueError(f"n_coils must be a range from 1, got {list(self.n_coils)}")
        if not self.accelerations or min(self.accelerations) < 1:
            raise ValueError(f"accelerations must be 1 or more, got {list(self.accelerations)}")
        shortest = self.acquisition.sides[0]
        if (
            not self.calibration_lines
            or not 8 <= min(self.calibration_lines) <= max(self.calibration_lines) <= shortest
        ):
            raise ValueError(
                f"calibration_lines must be from 8 to the shortest side, {shortest}, got {list(self.calibration_lines)}"
            )


class TrainingScan(NamedTuple):
    """One simulated slice in SNR units, on the CPU: maps and weighted k-space (coil, z, y, x), other arrays (z, y, x).

    `lesions` is by how much lesions and texture changed the magnitude of the object.
    """

    coil_maps: Tensor
    counts: Tensor
    data: Tensor
    start: Tensor
    truth: Tensor
    lesions: Tensor
    scale: float
    sigma: float


class _Protocol(NamedTuple):
    """What the slices of a scan have in common: noise level, true coil maps, gain of the lines, lines, and virtual coils."""

    sigma: float
    maps: ComplexArray
    gain: ComplexArray
    noise_error: float
    kept: npt.NDArray[np.bool_]
    calibration: slice


def draw_scan(images: Sequence[Tensor], settings: ScanSettings, generator: torch.Generator) -> TrainingScan:
    """Random scan of one of the images (y, x), which are magnitudes or complex and of image scale 1."""
    chosen = images[int(torch.randint(0, len(images), (), generator=generator))]
    return draw_scans(chosen[None], settings, generator)[0]


def draw_scans(stack: Tensor, settings: ScanSettings, generator: torch.Generator) -> list[TrainingScan]:
    """Random scan of a stack (slice, y, x), whose slices have coils, lines and noise level in common.

    The first slice, of image scale 1, sets the noise level. Noise and lesions are drawn for each slice.
    """
    rng = np.random.default_rng(int(torch.randint(0, 2**31, (), generator=generator)))
    images = simulate_acquisition(stack, settings.acquisition, settings.augment, generator)
    shape = (1, int(images.shape[-2]), int(images.shape[-1]))
    sigma = math.exp(rng.uniform(*np.log(settings.sigma)))
    maps = random_coil_maps(shape, int(rng.integers(settings.n_coils[0], settings.n_coils[1] + 1)), rng)
    imperfect = maps * (1 + _map_errors(maps.shape, settings, rng, generator))
    gain = 1 + rng.uniform(0, settings.line_errors) * complex_normal(rng, (1, 1, shape[1], 1), maps)
    noise_error = rng.uniform(*settings.noise_errors)
    protocol = _Protocol(sigma, imperfect, gain, noise_error, *random_lines(shape[1], settings, rng))
    matrix: ComplexArray | None = None
    scans = []
    for image in images:
        marked = with_lesions(image, settings.lesions, generator)
        lesions = (marked.abs() - image.abs())[None] / sigma
        clean, full = _kspace(marked.to(torch.complex64).numpy()[None], protocol, rng)
        if matrix is None:
            matrix = _compression(full[:, :, protocol.calibration], settings, rng)
        scans.append(_scan(compress(matrix, clean), compress(matrix, full), lesions, protocol))
    return scans


def _kspace(truth: ComplexArray, protocol: _Protocol, rng: np.random.Generator) -> tuple[ComplexArray, ComplexArray]:
    """Full k-space (coil, z, y, x) of a slice (z, y, x) in SNR units, without and with noise."""
    clean: ComplexArray = fft(protocol.maps * (truth / np.float32(protocol.sigma))) * protocol.gain
    full = clean + np.float32(protocol.noise_error) * complex_normal(rng, clean.shape, clean)
    return clean, full


def _scan(clean: ComplexArray, full: ComplexArray, lesions: Tensor, protocol: _Protocol) -> TrainingScan:
    """Undersampled scan of the full k-space of a slice."""
    counts = np.zeros(full.shape[1:], np.float32)
    counts[:, protocol.kept] = 1
    coil_maps = espirit_maps(np.ascontiguousarray(full[:, :, protocol.calibration]), full.shape[1:])
    problem = inverse_problem(full * counts, counts, coil_maps)
    expected = np.sum(np.conj(coil_maps) * ifft(clean), axis=0)
    return TrainingScan(
        _tensor(coil_maps),
        _tensor(counts),
        _tensor(problem.data),
        _tensor(problem.conventional),
        _tensor(expected),
        lesions.to(torch.float32),
        problem.scale,
        problem.noise_level,
    )


def _tensor(array: npt.NDArray[np.generic]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array))


def random_coil_maps(shape: tuple[int, ...], n_coils: int, rng: np.random.Generator) -> ComplexArray:
    """Sensitivities (coil, z, y, x) of coils at irregular positions around the object, with sum_c |S_c|^2 = 1.

    Gain and phase of each coil are random.
    """
    field_of_view = rng.uniform(0.9, 1.3)
    z, y, x = (
        positions(n, f, c)
        for n, f, c in zip(shape, (1.0, field_of_view, field_of_view), (0.0, *rng.normal(0, 0.1, 2)), strict=True)
    )
    first = rng.uniform(0, 2 * np.pi)
    maps = np.empty((n_coils, *shape), np.complex64)
    for coil in range(n_coils):
        angle = first + 2 * np.pi * (coil + rng.normal(0, 0.25)) / n_coils
        slopes = rng.uniform() * rng.normal(0, (0.7, 0.7, 0.3, 0.3, 0.3))
        terms = (x, y[:, None], x * y[:, None], x**2, y[:, None] ** 2)
        phase = rng.uniform(0, 2 * np.pi) + sum(a * term for a, term in zip(slopes, terms, strict=True))
        gain = rng.uniform(0.6, 1.4)
        maps[coil] = coil_sensitivity(z, y, x, angle, rng.normal(0, 0.3)) * gain * np.exp(1j * phase)
    normalised: ComplexArray = maps / np.sqrt(np.sum(np.abs(maps) ** 2, axis=0))
    return normalised


def _map_errors(
    shape: tuple[int, ...], settings: ScanSettings, rng: np.random.Generator, generator: torch.Generator
) -> ComplexArray:
    """Relative errors (coil, z, y, x) of the coil maps, with a resolution of up to several times the calibration's."""
    n_knots, size = int(rng.integers(8, 40)), rng.uniform(0, settings.map_errors)
    knots = torch.randn((2, shape[0], n_knots, n_knots), generator=generator)
    fields = F.interpolate(knots, size=(shape[-2], shape[-1]), mode="bicubic", align_corners=True)
    errors: ComplexArray = (torch.complex(fields[0], fields[1]) * (size / math.sqrt(2))).numpy()[:, None]
    return errors


def random_lines(n_lines: int, settings: ScanSettings, rng: np.random.Generator) -> tuple[npt.NDArray[np.bool_], slice]:
    """Mask of the acquired phase encodings, and the slice of calibration lines."""
    acceleration, n_calibration = int(rng.choice(settings.accelerations)), int(rng.choice(settings.calibration_lines))
    kept = np.zeros(n_lines, np.bool_)
    if rng.uniform() < settings.regular_probability:
        kept[int(rng.integers(acceleration)) :: acceleration] = True
    else:
        from_centre = np.abs(np.arange(n_lines) - n_lines // 2) / (n_lines / 2)
        density = (1 - from_centre) ** rng.uniform(0, 2) + 0.02
        n_wanted = max(n_lines // acceleration - n_calibration // 2, 4)
        kept[rng.choice(n_lines, n_wanted, replace=False, p=density / density.sum())] = True
    first = n_lines // 2 - n_calibration // 2
    calibration = slice(first, first + n_calibration)
    kept[calibration] = True
    return kept, calibration


def _compression(calibration: ComplexArray, settings: ScanSettings, rng: np.random.Generator) -> ComplexArray:
    """Random compression matrix (virtual coil, coil) with orthonormal rows; often the identity."""
    n_coils = len(calibration)
    if rng.uniform() >= settings.compression_probability:
        return np.eye(n_coils, dtype=np.complex64)
    n_virtual = int(rng.integers(min(settings.n_coils[0], n_coils), n_coils + 1))
    everywhere = np.ones(calibration.shape[1:], np.float32)
    matrix: ComplexArray = compression_matrix(calibration, everywhere, n_virtual)
    return matrix
