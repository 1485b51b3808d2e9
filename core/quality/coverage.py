"""Do the coil maps explain what the coils saw? Where all maps are 0 the image is 0, whatever was measured.

unexplained = 1 - sum |S^H I|^2 / sum |I|^2,  noise taken out,

of low-resolution coil images I, as the calibration lines give them: 0 where each pixel of I is a multiple of the maps S there,
which have sum_c |S_c|^2 = 1 or are 0.
"""

from __future__ import annotations

import math

from nilatron.core.backend import Array, namespace
from nilatron.core.fft import ifft

NOISE_TAIL = (
    2.5  # standard deviations of the noise's norm over the coils, times sqrt(2): one pixel in 100 000 exceeds it
)


def coil_energy(coil_images: Array, noise_variance: float = 1.0) -> Array:
    """sum_c |I_c|^2 less its noise (z, y, x), of coil images (coil, z, y, x); 0 where it may be noise alone."""
    xp = namespace(coil_images)
    energy = xp.sum(xp.real(coil_images) ** 2 + xp.imag(coil_images) ** 2, axis=0)
    n_coils = int(coil_images.shape[0])
    beyond = energy > noise_variance * (math.sqrt(n_coils) + NOISE_TAIL) ** 2
    return xp.where(beyond, energy - noise_variance * n_coils, xp.zeros_like(energy))


def unexplained_share(kspace: Array, coil_maps: Array, noise_variance: float = 1.0) -> float:
    """Share of the object's energy that the maps leave out; 0 where no object can be told from the noise.

    Parameters
    ----------
    kspace
        Block around DC (coil, z, y, x), fully sampled.
    coil_maps
        (coil, z, y, x) of the same field of view, or orthogonal sets of them (set, coil, z, y, x).
    noise_variance
        Of a sample of the block.
    """
    xp = namespace(kspace)
    images = ifft(kspace)
    energy = coil_energy(images, noise_variance)
    total = float(xp.sum(energy, dtype=xp.float64))
    if total == 0:
        return 0.0
    maps = nearest(coil_maps, tuple(kspace.shape[1:]))
    combined = xp.abs(xp.sum(xp.conj(maps) * images, axis=-4)) ** 2
    noise = noise_variance * xp.sum(xp.abs(maps) ** 2, axis=-4)
    explained = xp.where(energy > 0, combined - noise, xp.zeros_like(energy))
    return max(0.0, 1 - float(xp.sum(explained, dtype=xp.float64)) / total)


def nearest(values: Array, shape: tuple[int, ...]) -> Array:
    """Values (..., z, y, x) at the pixels nearest to those of a grid (z, y, x) of the same field of view."""
    xp = namespace(values)
    for axis, m in zip((-3, -2, -1), shape, strict=True):
        n = int(values.shape[axis])
        if n != m:
            places = [min(max(round((i - m // 2) * n / m) + n // 2, 0), n - 1) for i in range(m)]
            values = xp.take(values, xp.asarray(places, device=values.device), axis=axis)
    return values
