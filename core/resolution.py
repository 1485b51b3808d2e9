"""Slices at a coarser resolution: the centre of k-space measures a smaller image of the same field of view.

With orthonormal transforms F and F' of N and M pixels, x' = F'^H C F x, where C crops k-space to its centre. The values of x'
are sqrt(N / M) times those of x, white noise keeps its variance, and C y = C P F (S x) + C n = P' F' (S' x') + n', where S'
are the maps at the pixels of x'; this holds as far as the maps are smooth.
"""

from __future__ import annotations

import math

from nilatron.core.backend import Array, namespace
from nilatron.core.fft import fft, ifft
from nilatron.core.measurement import Shape3

PLANE = (-2, -1)
MIN_PIXELS = 32  # a side with fewer pixels shows too little
_NETWORK_PIXELS = 16  # networks need a multiple of these along each side,
_MARGINS = 8  # which includes a margin around the image, both sides together


def coarse_shape(shape: Shape3) -> Shape3:
    """Shape (z, y, x) of about half the resolution in the plane; the same shape if that has too few pixels.

    Image and margins together have a size that networks take without more padding.
    """
    n_z, *plane = shape
    n_y, n_x = (_NETWORK_PIXELS * math.ceil((n / 2 + _MARGINS) / _NETWORK_PIXELS - 0.5) - _MARGINS for n in plane)
    return (n_z, n_y, n_x) if min(n_y, n_x) >= MIN_PIXELS else shape


def value_ratio(shape: Shape3, coarse: Shape3) -> float:
    """sqrt(N / M), the ratio of the values of the coarse image to those of the full image."""
    return math.sqrt(math.prod(shape) / math.prod(coarse))


def crop_kspace(kspace: Array, shape: Shape3) -> Array:
    """C y: the samples around DC, (..., y, x) cropped to the last two sizes of `shape`."""
    return kspace[(..., *_window(tuple(kspace.shape[-2:]), shape[-2:]))]


def coarse_image(image: Array, shape: Shape3) -> Array:
    """Coarse image x' of the image x (..., z, y, x)."""
    return ifft(crop_kspace(fft(image, PLANE), shape), PLANE)


def replace_low_frequencies(coarse: Array, image: Array) -> Array:
    """The image with its low frequencies replaced by those of a coarse image, both (..., z, y, x)."""
    kspace = fft(image, PLANE)
    kspace[(..., *_window(tuple(kspace.shape[-2:]), tuple(coarse.shape[-2:])))] = fft(coarse, PLANE)
    return ifft(kspace, PLANE)


def coarse_maps(coil_maps: Array, shape: Shape3) -> Array:
    """S': the maps (..., coil, z, y, x) at the pixels nearest to those of an image of `shape`."""
    xp = namespace(coil_maps)
    for axis, m in zip(PLANE, shape[-2:], strict=True):
        n = int(coil_maps.shape[axis])
        nearest = [min(max(round((i - m // 2) * n / m) + n // 2, 0), n - 1) for i in range(m)]
        coil_maps = xp.take(coil_maps, xp.asarray(nearest, device=coil_maps.device), axis=axis)
    return coil_maps


def _window(outer: tuple[int, ...], inner: tuple[int, ...]) -> tuple[slice, ...]:
    first = [n // 2 - m // 2 for n, m in zip(outer, inner, strict=True)]
    return tuple(slice(f, f + m) for f, m in zip(first, inner, strict=True))
