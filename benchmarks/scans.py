"""Undersampled multi-coil scans for the benchmarks: load, add noise, keep lines, compress coils."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt

from nilatron.core.backend import ComplexArray, complex_normal
from nilatron.core.coils.espirit import espirit_maps
from nilatron.core.fft import ifft

BRAIN = "brain_t1_8ch_espirit_full.h5"
N_CALIBRATION = 24


@dataclass(frozen=True)
class Scan:
    """Undersampled, whitened k-space (coil, z, y, x) of one noise level; counts (z, y, x); calibration lines."""

    kspace: ComplexArray
    counts: npt.NDArray[np.float32]
    calibration: ComplexArray

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of the image (z, y, x)."""
        n_z, n_y, n_x = self.counts.shape
        return n_z, n_y, n_x


def load_brain(folder: Path) -> ComplexArray:
    """Whitened k-space (coil, z, y, x) of the full scan."""
    with h5py.File(folder / BRAIN) as file:
        kspace, covariance = file["kspace"][:], file["noise_cov_est"][:]
    whitened = np.linalg.solve(np.linalg.cholesky(covariance), kspace.reshape(len(kspace), -1))
    return np.ascontiguousarray(whitened.reshape(kspace.shape)[:, None], np.complex64)


def calibration_lines(full: ComplexArray, n_calibration: int = N_CALIBRATION) -> ComplexArray:
    """The central lines of full k-space."""
    return full[:, :, _centre(full.shape[2], n_calibration)]


def full_scan_maps(full: ComplexArray) -> ComplexArray:
    """Coil maps of a full scan, from its central lines."""
    maps: ComplexArray = espirit_maps(calibration_lines(full), (full.shape[1], full.shape[2], full.shape[3]))
    return maps


def combined(full: ComplexArray, maps: ComplexArray) -> ComplexArray:
    """Coil-combined image of a full scan (z, y, x); its noise has variance 1."""
    image: ComplexArray = np.sum(np.conj(maps) * ifft(full), axis=0)
    return image


def with_noise(full: ComplexArray, added_noise: float, seed: int) -> ComplexArray:
    """Add `added_noise` times the noise of whitened data, and make the variance of all noise 1 again."""
    noise = complex_normal(np.random.default_rng(seed), full.shape, full)
    noisy: ComplexArray = (full + added_noise * noise) / np.float32(math.sqrt(1 + added_noise**2))
    return noisy


def undersample(full: ComplexArray, acceleration: int, n_calibration: int = N_CALIBRATION) -> Scan:
    """Keep the lines of an equispaced grid and of the centre."""
    n_y = full.shape[2]
    counts = np.zeros(full.shape[1:], np.float32)
    counts[:, (n_y // 2) % acceleration :: acceleration] = 1
    counts[:, _centre(n_y, n_calibration)] = 1
    return Scan(full * counts, counts, calibration_lines(full, n_calibration))


def compression(scan: Scan, n_coils: int) -> ComplexArray:
    """Matrix (n_coils, coil) onto the strongest virtual coils; the identity where there are as many.

    Its rows are the leading left singular vectors of the calibration lines, so white noise stays white.

    Raises
    ------
    ValueError
        When there are fewer coils than asked for.
    """
    n_measured = len(scan.kspace)
    if not 1 <= n_coils <= n_measured:
        raise ValueError(f"cannot compress {n_measured} coils to {n_coils}")
    if n_coils == n_measured:
        return np.eye(n_coils, dtype=np.complex64)
    vectors = np.linalg.svd(scan.calibration.reshape(n_measured, -1), full_matrices=False)[0]
    matrix: ComplexArray = vectors[:, :n_coils].conj().T
    return matrix


def compress(scan: Scan, matrix: ComplexArray) -> Scan:
    """The scan in the virtual coils of `compression`."""
    kspace, calibration = (np.tensordot(matrix, array, axes=1) for array in (scan.kspace, scan.calibration))
    return replace(scan, kspace=kspace, calibration=calibration)


def _centre(n_y: int, n_calibration: int) -> slice:
    return slice(n_y // 2 - n_calibration // 2, n_y // 2 + n_calibration // 2)
