"""Adaptive coil maps from the coil images themselves (Walsh et al., MRM 2000;43:682, Eq. 13 to 17).

S(r) = leading eigenvector of sum_{r' in window(r)} x(r') x(r')^H

They serve scans without a calibration block: no part of k-space has to be fully sampled, but aliased images give aliased
maps.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from nilatron.core.backend import Array, namespace, percentile
from nilatron.core.coils.eigen import leading_vectors, virtual_coils


@dataclass(frozen=True)
class WalshSettings:
    """Settings of the map estimation.

    Attributes
    ----------
    window
        Width in pixels, along each axis, of the box over which the covariance of the coils is averaged; odd.
    support_fraction
        Pixels whose local rms signal is below this fraction of its 99.5th percentile lie outside the object. The fraction is
        small because pixels outside the object are missing from the image.
    n_iterations
        Number of power iterations at each pixel.
    slab_bytes
        Memory for the covariances of one group of pixels.
    """

    window: int = 7
    support_fraction: float = 0.02
    n_iterations: int = 15
    slab_bytes: int = 8 << 20

    def __post_init__(self) -> None:
        if self.window < 1 or self.window % 2 == 0:
            raise ValueError(f"the window of the Walsh maps must be a positive odd number of pixels, got {self.window}")


def walsh_maps(coil_images: Array, settings: WalshSettings | None = None) -> Array:
    """Coil maps with sum_c |S_c|^2 = 1 inside the object and 0 outside.

    The phase is relative to the strongest virtual coil. A single coil gets a map of 1 everywhere; images without signal
    give maps of 0.

    Parameters
    ----------
    coil_images
        Complex (coil, z, y, x), whitened.

    Returns
    -------
    Complex (coil, z, y, x).

    Raises
    ------
    ValueError
        When the images do not have four axes or are not finite.
    """
    settings = settings or WalshSettings()
    xp = namespace(coil_images)
    if coil_images.ndim != 4 or not bool(xp.all(xp.isfinite(xp.abs(coil_images)))):
        raise ValueError(f"Walsh maps need finite coil images (coil, z, y, x), got {tuple(coil_images.shape)} or NaN")
    if coil_images.shape[0] == 1:
        return xp.ones_like(coil_images)
    peak = float(xp.max(xp.abs(coil_images)))
    if peak == 0:
        return xp.zeros_like(coil_images)
    virtual, to_coils = virtual_coils(coil_images / peak, tolerance=1e-5)
    maps, energies = _local_eigenvectors(virtual, settings)
    level = settings.support_fraction**2 * percentile(energies, 99.5)
    maps = xp.where(energies >= level, maps, xp.zeros_like(maps))
    return xp.reshape(to_coils @ xp.reshape(maps, (maps.shape[0], -1)), coil_images.shape)


def _local_eigenvectors(images: Array, settings: WalshSettings) -> tuple[Array, Array]:
    """Leading eigenvectors (coil, z, y, x) and eigenvalues (z, y, x) of the local covariance, slab by slab."""
    xp = namespace(images)
    n_coils, n_z, n_y, n_x = images.shape
    padded = _zero_border(images, settings.window)
    halo = tuple(p - n for p, n in zip(padded.shape[1:], images.shape[1:], strict=True))
    maps = xp.zeros_like(images)
    energies = xp.zeros((n_z, n_y, n_x), dtype=xp.real(images).dtype, device=images.device)
    bytes_a_line = 8 * n_coils**2 * n_x * (1 + halo[0])
    n_lines = max(1, settings.slab_bytes // bytes_a_line)
    for z in range(n_z):
        for y in range(0, n_y, n_lines):
            n = min(n_lines, n_y - y)
            some = padded[:, z : z + 1 + halo[0], y : y + n + halo[1]]
            covariance = _box_mean(some[:, None] * xp.conj(some)[None], halo)
            matrices = xp.reshape(xp.permute_dims(covariance, (2, 3, 4, 0, 1)), (n * n_x, n_coils, n_coils))
            vectors, values = leading_vectors(matrices, settings.n_iterations)
            maps[:, z, y : y + n] = xp.permute_dims(xp.reshape(vectors, (n, n_x, n_coils)), (2, 0, 1))
            energies[z, y : y + n] = xp.reshape(values, (n, n_x))
    return maps, energies


def _zero_border(images: Array, window: int) -> Array:
    """Images with half a window of zeros at both ends of each axis of size above 1."""
    xp = namespace(images)
    border = [window // 2 if n > 1 else 0 for n in images.shape[1:]]
    shape = tuple(n + 2 * b for n, b in zip(images.shape[1:], border, strict=True))
    padded = xp.zeros((images.shape[0], *shape), dtype=images.dtype, device=images.device)
    padded[(slice(None), *(slice(b, b + n) for n, b in zip(images.shape[1:], border, strict=True)))] = images
    return padded


def _box_mean(array: Array, halo: tuple[int, ...]) -> Array:
    """Mean over boxes of halo + 1 pixels along the last three axes, which become shorter by the halo."""
    xp = namespace(array)
    for axis, extra in zip((-3, -2, -1), halo, strict=True):
        moved = xp.moveaxis(array, axis, -1)
        n = moved.shape[-1] - extra
        total = moved[..., :n]
        for i in range(1, extra + 1):
            total = total + moved[..., i : i + n]
        array = xp.moveaxis(total, -1, axis)
    return array / math.prod(extra + 1 for extra in halo)
