"""The one Fourier transform of the code base: centred and orthonormal.

image = fftshift(ifftn(ifftshift(kspace), norm="ortho")),  DC at n // 2, axes (..., z, y, x).
"""

from __future__ import annotations

import os

import numpy as np

from nilatron.core.backend import Array, namespace

SPATIAL_AXES = (-3, -2, -1)
_PROCESSORS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
_WISHED = os.environ.get("OMP_NUM_THREADS", "")  # which SciPy's transforms do not read by themselves
_WORKERS = min(_PROCESSORS, int(_WISHED)) if _WISHED.isdecimal() and int(_WISHED) else _PROCESSORS


def fft(image: Array, axes: tuple[int, ...] = SPATIAL_AXES) -> Array:
    """k-space of an image: fftshift(fftn(ifftshift(image))), orthonormal."""
    return _centred(image, axes, inverse=False)


def ifft(kspace: Array, axes: tuple[int, ...] = SPATIAL_AXES) -> Array:
    """Image of a k-space: fftshift(ifftn(ifftshift(kspace))), orthonormal."""
    return _centred(kspace, axes, inverse=True)


def _centred(array: Array, axes: tuple[int, ...], *, inverse: bool) -> Array:
    xp = namespace(array)
    axes = tuple(axis for axis in axes if array.shape[axis] > 1)
    if not axes:
        return array
    shifted = xp.fft.ifftshift(array, axes=axes)
    return xp.fft.fftshift(uncentred(shifted, axes, inverse=inverse), axes=axes)


def uncentred(array: Array, axes: tuple[int, ...], *, inverse: bool, overwrite: bool = False) -> Array:
    """Orthonormal transform with DC at index 0, for loops that shift once outside the loop (see `core.sense`).

    With `overwrite` the memory of `array` may be used for the result.
    """
    axes = tuple(axis for axis in axes if array.shape[axis] > 1)  # a transform of one sample only takes time
    if not axes:
        return array
    if isinstance(array, np.ndarray):
        import scipy.fft  # imported at the first transform because the import is slow

        transform = scipy.fft.ifftn if inverse else scipy.fft.fftn  # multithreaded, and keeps complex64
        return transform(array, axes=axes, norm="ortho", overwrite_x=overwrite, workers=_WORKERS)
    xp = namespace(array)
    return (xp.fft.ifftn if inverse else xp.fft.fftn)(array, axes=axes, norm="ortho")
