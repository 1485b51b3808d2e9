"""Receiver noise: its covariance, whitening, and its level as estimated from image data.

The covariance is that of complex samples, Psi = E[n n^H]; whitened samples have E|n|^2 = 1. The scaling between noise scan
and image scan is that of Kellman and McVeigh, MRM 2005, the shrinkage of covariances from few samples that of Chen et al.,
IEEE TSP 58, 2010.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from nilatron.core.backend import Array, namespace, real_dtype, to_numpy
from nilatron.core.fft import ifft

DEFAULT_BANDWIDTH_RATIO = 0.793  # Gadgetron's, for headers without relativeReceiverNoiseBandwidth
SINGULAR = 1e-7  # relative eigenvalue of the coil correlation below which a direction carries no noise of its own
SPIKE = 16.0  # times the usual power of a line: no noise, however few samples it has there
HALVES = (slice(0, None, 2), slice(1, None, 2))  # even and odd lines


def noise_covariance(samples: Array) -> Array:
    """Psi = N N^H / (M - 1) of noise-only samples N (coil, M); no mean is removed.

    Raises
    ------
    ValueError
        When there are fewer than two samples of each coil.
    """
    xp = namespace(samples)
    n_samples = samples.shape[1]
    if n_samples < 2:
        raise ValueError(f"a noise covariance needs at least 2 samples of each coil, got {n_samples}")
    return samples @ xp.conj(xp.matrix_transpose(samples)) / (n_samples - 1)


def samples_of_covariance(
    covariance: np.ndarray[Any, Any], n_samples: int, rng: np.random.Generator
) -> np.ndarray[Any, Any]:
    """Gaussian samples N (coil, M) whose own covariance N N^H / (M - 1) is the given one, Psi (coil, coil).

    Raises
    ------
    ValueError
        When there are fewer samples than coils, or the covariance has a negative eigenvalue.
    """
    n_coils = len(covariance)
    values, vectors = np.linalg.eigh(covariance)
    if n_samples <= n_coils or values[0] < -SINGULAR * max(values[-1], 0.0):
        raise ValueError(
            f"no {n_samples} samples of {n_coils} coils have a covariance with the eigenvalue {values[0]:.3g}"
        )
    white = rng.standard_normal((2, n_coils, n_samples))
    rows = np.linalg.qr((white[0] + 1j * white[1]).conj().T)[0].conj().T  # rows @ rows^H = 1
    samples: np.ndarray[Any, Any] = (vectors * np.sqrt(np.maximum(values, 0.0) * (n_samples - 1))) @ rows
    return samples


def bandwidth_scale(noise_dwell_us: float, dwell_us: float, bandwidth_ratio: float) -> float:
    """Factor from the variance of the noise scan to that of the image scan, dwell_noise / (dwell_image ratio).

    1 when either dwell time is unknown (0, as in Gadgetron, or not finite).
    """
    if not (0 < noise_dwell_us < math.inf and 0 < dwell_us < math.inf):
        return 1.0
    return noise_dwell_us / (dwell_us * bandwidth_ratio)


def whitening_matrix(covariance: Array) -> Array:
    """W with W Psi W^H = I, the inverse of the lower Cholesky factor.

    A coil without noise (a dead channel), or a direction that repeats others, cannot be whitened: its row is zero, so that
    it takes no part in the reconstruction.

    Parameters
    ----------
    covariance
        Hermitian (coil, coil).

    Raises
    ------
    ValueError
        When the covariance is not finite or has a negative variance.
    """
    xp = namespace(covariance)
    psi = xp.astype(covariance, xp.complex128, copy=False)
    variance = xp.real(xp.linalg.diagonal(psi))
    if not bool(xp.all(xp.isfinite(xp.real(psi)))) or bool(xp.any(variance < 0)):
        raise ValueError("the noise covariance holds values that are not finite or negative variances")
    dead = variance <= 0
    scale = xp.where(dead, xp.zeros_like(variance), 1 / xp.sqrt(xp.where(dead, xp.ones_like(variance), variance)))
    correlation = psi * scale[:, None] * scale[None, :]
    values, vectors = xp.linalg.eigh(correlation)
    identity = xp.eye(psi.shape[0], dtype=psi.dtype, device=psi.device)
    if float(values[0]) > SINGULAR * float(values[-1]):
        whitening = xp.linalg.solve(xp.linalg.cholesky(correlation), identity)
    else:
        usable = values > SINGULAR * xp.max(values)
        inverse_root = xp.where(
            usable, 1 / xp.sqrt(xp.where(usable, values, xp.ones_like(values))), xp.zeros_like(values)
        )
        whitening = xp.astype(inverse_root, psi.dtype)[:, None] * xp.conj(xp.matrix_transpose(vectors))
    return xp.astype(whitening * scale[None, :], covariance.dtype)


def whiten(whitening: Array, kspace: Array) -> Array:
    """W y for samples (coil, ...)."""
    xp = namespace(kspace)
    flat = xp.reshape(kspace, (kspace.shape[0], -1))
    return xp.reshape(xp.astype(whitening, kspace.dtype, copy=False) @ flat, kspace.shape)


@dataclass(frozen=True)
class QuietSamples:
    """Which samples of an image scan are taken for noise.

    Attributes
    ----------
    outer_fraction
        Fraction of the phase-encoding lines that is searched: the outermost ones.
    block_width
        Width of a block of neighbouring columns in pixels.
    quiet_fraction
        Fraction of the blocks that is taken for noise: those of least energy.
    """

    outer_fraction: float = 0.6
    block_width: int = 5
    quiet_fraction: float = 0.1


def shrunk_covariance(sample: Array, n_samples: int) -> Array:
    """D^1/2 [(1 - rho) R + rho I] D^1/2, a sample covariance D^1/2 R D^1/2 with its correlations R shrunk towards zero.

    rho is the oracle approximating shrinkage (OAS) of Chen et al., derived for circular complex samples and applied to the
    correlations, so that coils keep gains of their own:

        rho = min(1, (tr^2 R - tr R^2 / p) / ((n - 1 / p) (tr R^2 - tr^2 R / p)))     p coils, n samples

    The logarithms of the variances D have an error of 1 / sqrt(n); they move towards their mean as far as this error explains
    their spread (James and Stein). Both shrinkages vanish as 1 / n. Coils without noise stay without.

    Parameters
    ----------
    sample
        Mean of n n^H over the samples, (coil, coil).
    n_samples
        Number of samples of each coil.
    """
    xp = namespace(sample)
    psi = xp.astype(sample, xp.complex128, copy=False)
    variance = xp.real(xp.linalg.diagonal(psi))
    alive = variance > 0
    none, n_coils = xp.zeros_like(variance), xp.sum(xp.astype(alive, variance.dtype))
    log_variance = xp.log(xp.where(alive, variance, xp.ones_like(variance)))
    mean = xp.sum(log_variance) / n_coils
    spread = xp.sum(xp.where(alive, (log_variance - mean) ** 2, none)) / n_coils
    own = xp.clip(1 - 1 / (n_samples * xp.clip(spread, min=1 / n_samples)), min=0)
    smooth = xp.where(alive, xp.exp(mean + own * (log_variance - mean)), none)
    smooth = smooth * xp.sum(variance) / xp.sum(smooth)
    inverse_root = xp.where(alive, 1 / xp.sqrt(xp.where(alive, variance, xp.ones_like(variance))), none)
    correlation = psi * inverse_root[:, None] * inverse_root[None, :]
    square = xp.sum(xp.real(correlation) ** 2 + xp.imag(correlation) ** 2)
    unexplained = (n_samples - 1 / n_coils) * xp.clip(square - n_coils, min=1e-12)
    rho = xp.clip((n_coils**2 - square / n_coils) / unexplained, max=1)
    diagonal = xp.eye(psi.shape[0], dtype=xp.bool, device=psi.device)
    correlation = xp.where(diagonal, correlation, correlation * (1 - rho))
    root = xp.sqrt(smooth)
    return xp.astype(correlation * root[:, None] * root[None, :], sample.dtype)


def covariance_from_data(kspace: Array, counts: Array, settings: QuietSamples | None = None) -> Array:
    """Noise covariance of one acquired sample, from the quietest part of an image scan; shrunk where it holds few samples.

    Parameters
    ----------
    kspace
        Mean k-space (coil, z, y, x).
    counts
        How often each sample was acquired (z, y, x).
    settings
        Which samples are taken for noise.

    Returns
    -------
    Covariance (coil, coil).

    Raises
    ------
    ValueError
        When fewer than four lines were acquired or all of them are zero.
    """
    samples = quiet_samples(kspace, counts, settings)
    xp, n_samples = namespace(samples), int(samples.shape[1])
    return shrunk_covariance(samples @ xp.conj(xp.matrix_transpose(samples)) / n_samples, n_samples)


def sigma_from_data(kspace: Array, counts: Array, settings: QuietSamples | None = None) -> float:
    """sqrt(tr Psi / n_coils), the complex standard deviation of the noise in k-space, over the coils that carry noise."""
    samples = quiet_samples(kspace, counts, settings)
    xp = namespace(samples)
    variance = to_numpy(xp.mean(xp.real(samples) ** 2 + xp.imag(samples) ** 2, axis=1))
    n_alive = np.count_nonzero(variance > 0)
    return float(np.sqrt(variance.sum() / n_alive)) if n_alive else 0.0


def quiet_samples(kspace: Array, counts: Array, settings: QuietSamples | None = None) -> Array:
    """Samples (coil, sample) of the quietest part of an image scan, with the noise of one acquired sample.

    The lines are transformed along the readout; outside the object (air) and at high spatial frequencies only noise is
    left. Blocks of columns are ranked by their energy in one half of the outer lines, and the samples are taken from the
    other half (and the reverse), so that the choice of the quietest blocks does not make the result too small. Lines that are
    far stronger there than most (spikes) are left out.

    Raises
    ------
    ValueError
        When fewer than four lines were acquired or all of them are zero.
    """
    settings = settings or QuietSamples()
    xp = namespace(kspace)
    lines = _outer_lines(kspace, counts, settings.outer_fraction)
    halves = _quiet_halves(lines, settings)
    steady = np.zeros(lines.shape[1], bool)
    for half, part in zip(HALVES, halves, strict=True):
        steady[half] = _is_steady(part)
    if not steady.all():  # spikes have blurred which blocks are quiet, too
        lines = xp.take(lines, xp.asarray(np.flatnonzero(steady), device=lines.device), axis=1)
        halves = _quiet_halves(lines, settings)
    return xp.concat([xp.reshape(part, (part.shape[0], -1)) for part in halves], axis=1)


def _quiet_halves(lines: Array, settings: QuietSamples) -> list[Array]:
    """The quietest blocks (coil, line, column) of either half of lines (coil, line, x), as the other half ranks them."""
    xp = namespace(lines)
    power = xp.real(lines) ** 2 + xp.imag(lines) ** 2
    column_power = xp.stack([xp.sum(power[:, half], axis=1) for half in HALVES])
    quietest = _quietest_blocks(to_numpy(column_power), settings)
    chosen_by_other_half = zip(HALVES, reversed(quietest), strict=True)
    return [xp.concat([lines[:, half, block] for block in blocks], axis=2) for half, blocks in chosen_by_other_half]


def _is_steady(part: Array) -> np.ndarray[Any, Any]:
    """Which lines of (coil, line, column) are not far stronger than most; every coil has the same weight."""
    xp = namespace(part)
    power = to_numpy(xp.mean(xp.real(part) ** 2 + xp.imag(part) ** 2, axis=2))
    usual = np.median(power, axis=1, keepdims=True)
    relative = np.divide(power, usual, out=np.ones_like(power), where=usual > 0).mean(axis=0)
    steady: np.ndarray[Any, Any] = relative <= SPIKE
    return steady


def _quietest_blocks(column_power: np.ndarray[Any, Any], settings: QuietSamples) -> list[list[slice]]:
    """Columns of the quietest blocks in each half of the lines.

    `column_power` is the power (half, coil, x) of the columns; every coil has the same weight.
    """
    coil_power = column_power.sum(axis=(0, 2))
    alive = coil_power > 0
    if not alive.any():
        raise ValueError("the noise level cannot be measured: all acquired lines are zero")
    column_energy = (column_power[:, alive] / coil_power[alive, None]).sum(axis=1)
    n_x = column_power.shape[-1]
    n_blocks = max(1, n_x // settings.block_width)
    edges = np.arange(n_blocks + 1) * n_x // n_blocks
    block_energy = np.add.reduceat(column_energy, edges[:-1], axis=-1) / np.diff(edges)
    n_quiet = max(1, round(settings.quiet_fraction * n_blocks))
    quietest = np.argsort(block_energy, axis=-1, kind="stable")[:, :n_quiet]
    return [[slice(edges[i], edges[i + 1]) for i in ranked] for ranked in quietest]


def _outer_lines(kspace: Array, counts: Array, outer_fraction: float) -> Array:
    """The outermost acquired lines after a readout transform (coil, line, x), inner ones first.

    They are scaled so that their noise is that of one acquired sample.
    """
    xp = namespace(kspace)
    n_coils, n_z, n_y, n_x = kspace.shape
    line_counts = xp.reshape(xp.astype(counts, real_dtype(kspace), copy=False), (n_z * n_y, n_x))
    n_filled = xp.sum(xp.astype(line_counts > 0, line_counts.dtype), axis=-1)
    n_lines = int(xp.sum(xp.astype(n_filled > 0, xp.int64)))
    if n_lines < 4:
        raise ValueError(f"the noise level cannot be measured: it takes at least 4 acquired lines, got {n_lines}")
    z = (xp.arange(n_z, dtype=xp.float64, device=counts.device) - n_z // 2) / n_z
    y = (xp.arange(n_y, dtype=xp.float64, device=counts.device) - n_y // 2) / n_y
    radius = xp.reshape(xp.sqrt(z[:, None] ** 2 + y[None, :] ** 2), (-1,))
    radius = xp.where(n_filled > 0, radius, -xp.ones_like(radius))  # lines without samples come before all others
    n_outer = max(4, round(outer_fraction * n_lines))
    outer = xp.argsort(radius)[-n_outer:]
    to_one_sample = xp.sqrt(xp.take(line_counts, outer, axis=0) * (n_x / xp.take(n_filled, outer))[:, None])
    lines = xp.take(xp.reshape(kspace, (n_coils, n_z * n_y, n_x)), outer, axis=1)
    return ifft(lines * to_one_sample, axes=(-1,))
