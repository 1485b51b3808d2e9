"""Removal of readout oversampling before the reconstruction, and changes of matrix and field of view after it."""

from __future__ import annotations

from nilatron.core.backend import Array, namespace
from nilatron.core.fft import SPATIAL_AXES, fft, ifft


def resize_centre(array: Array, size: int, axis: int) -> Array:
    """Crop or zero-pad one axis so that index n // 2 stays the centre."""
    xp = namespace(array)
    n = int(array.shape[axis])
    if n == size:
        return array
    if size < n:
        first = n // 2 - size // 2
        index = [slice(None)] * array.ndim
        index[axis] = slice(first, first + size)
        return array[tuple(index)]
    before = size // 2 - n // 2
    shape = list(array.shape)
    shape[axis] = before
    left = xp.zeros(tuple(shape), dtype=array.dtype, device=array.device)
    shape[axis] = size - n - before
    right = xp.zeros(tuple(shape), dtype=array.dtype, device=array.device)
    return xp.concat((left, array, right), axis=axis)


def remove_oversampling(kspace: Array, n_x: int) -> Array:
    """Keep the central `n_x` pixels of the field of view of readouts (..., x): transform, crop, transform back.

    White noise of variance v stays white with variance v, since both transforms are orthonormal.
    """
    if n_x == kspace.shape[-1]:
        return kspace
    return fft(resize_centre(ifft(kspace, axes=(-1,)), n_x, -1), axes=(-1,))


def to_recon_space(
    image: Array,
    encoded_fov_mm: tuple[float, float, float],
    recon_fov_mm: tuple[float, float, float],
    recon_matrix: tuple[int, int, int],
) -> Array:
    """Bring an image (..., z, y, x) from the encoded field of view to the reconstructed field of view and matrix.

    The field of view is cropped (or padded with zeros) in the image; the matrix is changed by sinc interpolation (cropping
    or zero-filling k-space), which keeps pixel values, not energy. All tuples are in (z, y, x) order.
    """
    for axis, encoded, recon in zip(SPATIAL_AXES, encoded_fov_mm, recon_fov_mm, strict=True):
        if encoded > 0 and recon > 0 and image.shape[axis] > 1:
            image = resize_centre(image, max(1, round(image.shape[axis] * recon / encoded)), axis)
    for axis, n in zip(SPATIAL_AXES, recon_matrix, strict=True):
        old = int(image.shape[axis])
        if n > 0 and n != old and old > 1:
            image = ifft(resize_centre(fft(image, axes=(axis,)), n, axis), axes=(axis,)) * (n / old) ** 0.5
    return image
