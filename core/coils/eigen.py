"""Principal components over the coils: those of a whole scan (virtual coils) and those of each pixel."""

from __future__ import annotations

import math

import numpy as np

from nilatron.core.backend import Array, namespace

PRODUCTS_BETWEEN_NORMS = 4
SQUARINGS = 2  # M^4 takes a quarter of the products; for more coils squaring costs more than it saves
MAX_COILS_SQUARED = 12


def virtual_coils(samples: Array, tolerance: float = 0.0, max_coils: int | None = None) -> tuple[Array, Array]:
    """Principal components v over the coils, samples = U v (Buehrer et al., MRM 2007;57:1131), strongest first.

    Their phases are fixed: the coil that contributes most to a virtual coil has a positive real weight.

    Parameters
    ----------
    samples
        Complex (coil, ...), k-space or images.
    tolerance
        Fraction of the energy that may be lost by leaving out the weakest virtual coils.
    max_coils
        Largest number of virtual coils, whatever energy that loses.

    Returns
    -------
    v, complex (virtual, ...), and U, complex (coil, virtual), with orthonormal columns.
    """
    xp = namespace(samples)
    flat = xp.reshape(samples, (samples.shape[0], -1))
    values, vectors = xp.linalg.eigh(flat @ xp.conj(flat).T)
    energies = [max(float(value), 0.0) for value in values]  # ascending
    lost, n_dropped = energies[0], 0
    while n_dropped < len(energies) - 1 and lost <= tolerance * sum(energies):
        n_dropped += 1
        lost += energies[n_dropped]
    n_dropped = max(n_dropped, len(energies) - (max_coils or len(energies)))
    to_coils = with_fixed_phases(xp.flip(vectors[:, n_dropped:], axis=1))
    virtual = xp.conj(to_coils).T @ flat
    return xp.reshape(virtual, (to_coils.shape[1], *samples.shape[1:])), to_coils


def with_fixed_phases(vectors: Array) -> Array:
    """The columns, rotated so that their largest element is real and positive.

    The phase of an eigenvector is arbitrary, and each library returns another one.
    """
    xp = namespace(vectors)
    largest = xp.take_along_axis(vectors, xp.argmax(xp.abs(vectors), axis=0, keepdims=True), axis=0)
    return vectors * (xp.conj(largest) / xp.abs(largest))


def eigenvectors(matrix: Array) -> tuple[Array, Array]:
    """Eigenvalues (ascending) and eigenvectors (columns) of one large Hermitian matrix.

    Arrays in host memory go through SciPy, which takes half the time of NumPy for the same routine of LAPACK.
    """
    if isinstance(matrix, np.ndarray):
        from scipy.linalg import eigh  # imported at the first decomposition because the import is slow

        return eigh(matrix, driver="evd", check_finite=False)  # type: ignore[no-any-return]
    return namespace(matrix).linalg.eigh(matrix)  # type: ignore[no-any-return]


def leading_vectors(matrices: Array, n_iterations: int) -> tuple[Array, Array]:
    """Leading eigenvectors v and eigenvalues of Hermitian positive semidefinite matrices by power iteration.

    Parameters
    ----------
    matrices
        Complex (pixel, coil, coil).
    n_iterations
        Number of products with the matrix (products with its powers count for several, rounded up); each reduces the error
        by the ratio of the two largest eigenvalues.

    Returns
    -------
    Unit vectors (pixel, coil) with a real first element >= 0, or 0 where the matrix is 0; eigenvalues (pixel,).
    """
    xp = namespace(matrices)
    spread = xp.arange(matrices.shape[-1], dtype=xp.float64, device=matrices.device) ** 2
    start = xp.astype(xp.cos(spread) + 1j * xp.sin(spread), matrices.dtype)  # irregular, so orthogonal to no coil map
    trace = xp.real(xp.sum(xp.linalg.diagonal(matrices), axis=-1))[:, None, None]
    inverse = xp.astype(_quotient(xp.ones_like(trace), trace), matrices.dtype)
    scaled = matrices * inverse  # largest eigenvalue 1 / coils to 1: powers neither over- nor underflow
    power, n_products = scaled, n_iterations
    for _ in range(SQUARINGS if matrices.shape[-1] <= MAX_COILS_SQUARED else 0):
        power, n_products = power @ power, math.ceil(n_products / 2)
    vectors = power @ start[:, None]
    for done in range(n_products - 1):
        if done % PRODUCTS_BETWEEN_NORMS == 0:
            vectors = _quotient(vectors, _norms(vectors))
        vectors = power @ vectors
    vectors = scaled @ _quotient(vectors, _norms(vectors))
    norms = _norms(vectors)
    first = vectors[:, :1]
    phase = _quotient(xp.conj(first), xp.abs(first))
    phase = xp.where(xp.abs(first) > 0, phase, xp.ones_like(phase))
    return (_quotient(vectors, norms) * phase)[..., 0], (norms * trace)[:, 0, 0]


def without_vectors(matrices: Array, vectors: Array) -> Array:
    """(I - v v^H) M (I - v v^H) of Hermitian matrices (pixel, coil, coil) and unit vectors (pixel, coil).

    Its leading eigenvectors are orthogonal to v, even where v is not quite one of M.
    """
    xp = namespace(matrices)
    column, row = vectors[..., None], xp.conj(vectors)[:, None]
    matrices = matrices - column @ (row @ matrices)
    return matrices - (matrices @ column) @ row


def _norms(vectors: Array) -> Array:
    xp = namespace(vectors)
    return xp.sqrt(xp.sum(xp.real(vectors) ** 2 + xp.imag(vectors) ** 2, axis=-2, keepdims=True))


def _quotient(numerator: Array, denominator: Array) -> Array:
    """Quotient of the two, 0 where the denominator is 0."""
    xp = namespace(denominator)
    return numerator / xp.where(denominator > 0, denominator, xp.ones_like(denominator))
