"""Coil compression down to the noise floor (Buehrer et al., MRM 2007;57:1131).

The covariance of whitened samples is that of the signal plus the identity. Its eigenvectors are the virtual coils. The
covariance of pure noise, M samples of C coils, has eigenvalues up to (1 + sqrt(C / M))^2 (Marchenko and Pastur 1967): a
virtual coil whose eigenvalue is not larger holds no signal that could be distinguished from noise.
"""

from __future__ import annotations

import math

from nilatron.core.backend import Array, namespace
from nilatron.core.coils.eigen import with_fixed_phases


def compression_matrix(data: Array, counts: Array, max_coils: int | None = None) -> Array:
    """Matrix from coils to the virtual coils that hold more than noise, strongest first, at least one.

    Its rows are orthonormal, so compressed noise is still white and of variance 1.

    Parameters
    ----------
    data
        Whitened k-space weighted by sqrt(counts), complex (coil, z, y, x).
    counts
        How often each sample was acquired (z, y, x); 0 where it was not.
    max_coils
        Largest number of virtual coils, whatever signal that loses.

    Returns
    -------
    Complex (virtual, coil).

    Raises
    ------
    ValueError
        When `max_coils` is below 1.
    """
    if max_coils is not None and max_coils < 1:
        raise ValueError(f"at least 1 virtual coil must stay, got {max_coils}")
    xp = namespace(data)
    n_coils = int(data.shape[0])
    n_samples = max(int(xp.sum(xp.astype(counts > 0, xp.int64))), 1)
    flat = xp.reshape(data, (n_coils, -1))
    values, vectors = xp.linalg.eigh(flat @ xp.conj(flat).T / n_samples)
    floor = (1 + math.sqrt(n_coils / n_samples)) ** 2
    n_kept = max(int(xp.sum(xp.astype(values > floor, xp.int64))), 1)
    n_kept = min(n_kept, max_coils or n_kept)
    return xp.conj(with_fixed_phases(xp.flip(vectors[:, n_coils - n_kept :], axis=1))).T


def compress(matrix: Array, kspace: Array) -> Array:
    """Virtual coils (virtual, ...) of samples (coil, ...)."""
    xp = namespace(kspace)
    flat = xp.reshape(kspace, (kspace.shape[0], -1))
    return xp.reshape(xp.astype(matrix, kspace.dtype, copy=False) @ flat, (matrix.shape[0], *kspace.shape[1:]))
