"""ESPIRiT's condition on each pixel: leading eigenvectors of G(r) from the kernels' autocorrelation."""

from __future__ import annotations

import math

from nilatron.core.backend import Array, namespace
from nilatron.core.coils.eigen import leading_vectors, without_vectors


def pixel_eigenvectors(
    lags: Array, image_shape: tuple[int, int, int], n_sets: int, *, crop: float, n_iterations: int, slab_bytes: int
) -> Array:
    """Leading eigenvectors of G at each pixel, slab by slab: (set, coil, z, y, x), 0 where lambda < crop.

    Parameters
    ----------
    lags
        The autocorrelation R (coil, coil, z, y, x), its lags in the order of `lag_numbers`.
    n_iterations
        Of the power iterations.
    slab_bytes
        Memory for the matrices of one slab.
    """
    xp = namespace(lags)
    n_coils = int(lags.shape[0])
    n_z, n_y, n_x = image_shape
    along_z, along_y, along_x = (
        _fourier_matrix(n_lags, n, lags) for n_lags, n in zip(lags.shape[2:], image_shape, strict=True)
    )
    maps = xp.zeros((n_sets, n_coils, *image_shape), dtype=lags.dtype, device=lags.device)
    n_lines = max(1, slab_bytes // (8 * n_coils**2 * n_x))
    by_z = xp.permute_dims(lags, (3, 4, 0, 1, 2))  # (lag y, lag x, coil, coil, lag z)
    for z in range(n_z):
        plane = by_z @ along_z[z]
        for first in range(0, n_y, n_lines):
            some = along_y[first : first + n_lines]
            lines = xp.tensordot(some, plane, axes=1)
            matrices = xp.tensordot(along_x, lines, axes=[[1], [1]])  # (x, y, coil, coil)
            matrices = xp.reshape(matrices, (-1, n_coils, n_coils))
            for number in range(n_sets):
                vectors, values = leading_vectors(matrices, n_iterations)
                if number + 1 < n_sets:
                    matrices = without_vectors(matrices, vectors)
                vectors = xp.where(values[:, None] >= crop, vectors, xp.zeros_like(vectors))
                slab = xp.reshape(vectors, (n_x, some.shape[0], n_coils))
                maps[number, :, z, first : first + n_lines] = xp.permute_dims(slab, (2, 1, 0))
    return maps


def _fourier_matrix(n_lags: int, n: int, reference: Array) -> Array:
    """exp(2 pi i l r) for the pixels r of an axis and the lags l in the order of the transform: (n, n_lags)."""
    xp = namespace(reference)
    device, real = reference.device, xp.float64
    pixel = (xp.arange(n, dtype=real, device=device) - n // 2) / n
    phase = 2 * math.pi * pixel[:, None] * lag_numbers(n_lags, reference)[None, :]
    return xp.astype(xp.cos(phase) + 1j * xp.sin(phase), reference.dtype)


def lag_numbers(n_lags: int, reference: Array) -> Array:
    """0, 1, ..., K-1, -(K-1), ..., -1: the lags of an axis in the order of the transform."""
    xp = namespace(reference)
    lag = xp.arange(n_lags, dtype=xp.float64, device=reference.device)
    return xp.where(lag > n_lags // 2, lag - n_lags, lag)
