"""Coil compression down to the noise floor (Buehrer et al., MRM 2007;57:1131).

The covariance of whitened samples is that of the signal plus the identity. Its eigenvectors are the virtual coils, and an
eigenvalue that pure noise would have too says that a virtual coil holds no signal that could be told from noise: of M noise
samples of C coils the largest is (1 + sqrt(C / M))^2 (Marchenko and Pastur 1967).
"""

from __future__ import annotations

import math

from nilatron.core.backend import Array, namespace
from nilatron.core.coils.eigen import with_fixed_phases


def compression_matrix(data: Array, counts: Array, at_most: int | None = None) -> Array:
    """Rows of a unitary matrix: those virtual coils that hold more than noise, strongest first, at least one.

    Unit rows keep white noise white, so everything behind goes on with noise of variance 1.

    Parameters
    ----------
    data
        Whitened k-space weighted by sqrt(counts), complex (coil, z, y, x).
    counts
        How often each sample was acquired (z, y, x); 0 where it was not.
    at_most
        Number of virtual coils that are kept whatever is lost.

    Returns
    -------
    Complex (virtual, coil).

    Raises
    ------
    ValueError
        When `at_most` is below 1.
    """
    if at_most is not None and at_most < 1:
        raise ValueError(f"at least 1 virtual coil must stay, got {at_most}")
    xp = namespace(data)
    n_coils = int(data.shape[0])
    n_samples = max(int(xp.sum(xp.astype(counts > 0, xp.int64))), 1)
    flat = xp.reshape(data, (n_coils, -1))
    values, vectors = xp.linalg.eigh(flat @ xp.conj(flat).T / n_samples)
    floor = (1 + math.sqrt(n_coils / n_samples)) ** 2
    n_kept = max(int(xp.sum(xp.astype(values > floor, xp.int64))), 1)
    n_kept = min(n_kept, at_most or n_kept)
    return xp.conj(with_fixed_phases(xp.flip(vectors[:, n_coils - n_kept :], axis=1))).T


def compress(matrix: Array, kspace: Array) -> Array:
    """Virtual coils (virtual, ...) of samples (coil, ...)."""
    xp = namespace(kspace)
    flat = xp.reshape(kspace, (kspace.shape[0], -1))
    return xp.reshape(xp.astype(matrix, kspace.dtype, copy=False) @ flat, (matrix.shape[0], *kspace.shape[1:]))
