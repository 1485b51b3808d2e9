"""Slices at a coarser resolution: the middle of k-space measures a smaller image of the same field of view.

With orthonormal transforms F and F' of N and M pixels, x' = F'^H C F x, where C cuts the middle out. The values of x' are
sqrt(N / M) times those of x, white noise stays as it is, and C y = C P F (S x) + C n = P' F' (S' x') + n', with S' the maps at
the pixels of x', as far as they are smooth.
"""

from __future__ import annotations

import math

from nilatron.core.backend import Array, namespace
from nilatron.core.fft import fft, ifft
from nilatron.core.measurement import Shape3

PLANE = (-2, -1)
MIN_PIXELS = 32  # a side with fewer shows too little
_NETWORK_PIXELS, _MARGINS = 16, 8  # networks work on multiples of these, and with a margin around the image


def coarse_shape(shape: Shape3) -> Shape3:
    """(z, y, x) of about half the resolution in the plane; the same shape where that has too few pixels.

    The sides are such that a network has nothing but its margins to fill in.
    """
    n_z, *plane = shape
    n_y, n_x = (_NETWORK_PIXELS * math.ceil((n / 2 + _MARGINS) / _NETWORK_PIXELS - 0.5) - _MARGINS for n in plane)
    return (n_z, n_y, n_x) if min(n_y, n_x) >= MIN_PIXELS else shape


def value_ratio(shape: Shape3, coarse: Shape3) -> float:
    """sqrt(N / M), by which the values of the coarse image are larger."""
    return math.sqrt(math.prod(shape) / math.prod(coarse))


def crop_kspace(kspace: Array, shape: Shape3) -> Array:
    """C y: the samples around DC, (..., y, x) to the plane of `shape`."""
    return kspace[(..., *_window(tuple(kspace.shape[-2:]), shape[-2:]))]


def coarse_image(image: Array, shape: Shape3) -> Array:
    """Image x' of x (..., z, y, x)."""
    return ifft(crop_kspace(fft(image, PLANE), shape), PLANE)


def replace_low_frequencies(coarse: Array, image: Array) -> Array:
    """The image with the low frequencies of another one of the coarse resolution, both (..., z, y, x)."""
    kspace = fft(image, PLANE)
    kspace[(..., *_window(tuple(kspace.shape[-2:]), tuple(coarse.shape[-2:])))] = fft(coarse, PLANE)
    return ifft(kspace, PLANE)


def coarse_maps(coil_maps: Array, shape: Shape3) -> Array:
    """S': maps (..., coil, z, y, x) at the pixels nearest to those of the plane of `shape`."""
    xp = namespace(coil_maps)
    for axis, m in zip(PLANE, shape[-2:], strict=True):
        n = int(coil_maps.shape[axis])
        nearest = [min(max(round((i - m // 2) * n / m) + n // 2, 0), n - 1) for i in range(m)]
        coil_maps = xp.take(coil_maps, xp.asarray(nearest, device=coil_maps.device), axis=axis)
    return coil_maps


def _window(outer: tuple[int, ...], inner: tuple[int, ...]) -> tuple[slice, ...]:
    first = [n // 2 - m // 2 for n, m in zip(outer, inner, strict=True)]
    return tuple(slice(f, f + m) for f, m in zip(first, inner, strict=True))
