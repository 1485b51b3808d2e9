"""Removal of readout oversampling before the reconstruction, and changes of matrix and field of view after it."""

from __future__ import annotations

import numpy as np

from nilatron.core.backend import Array, converted_to, namespace
from nilatron.core.fft import SPATIAL_AXES, fft, ifft

WHOLE_PIXELS = 0.01  # difference from whole pixels below which a field of view is rounded


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

    Where the reconstructed field of view is a whole number of encoded pixels, the image is cropped (or padded with zeros) to it
    and the matrix is changed by sinc interpolation (cropping or zero-filling k-space). Elsewhere the sinc interpolation is
    evaluated at the pixels of the reconstructed matrix, so that the pixels have the size that the field of view implies. Pixel
    n // 2 stays the centre; pixel values, not energy, are kept. All tuples are in (z, y, x) order.
    """
    spacings: dict[int, tuple[int, float]] = {}  # axis: pixels, and their spacing in encoded pixels
    for axis, encoded, recon, n in zip(SPATIAL_AXES, encoded_fov_mm, recon_fov_mm, recon_matrix, strict=True):
        if not (encoded > 0 and recon > 0 and image.shape[axis] > 1):
            continue
        kept = image.shape[axis] * recon / encoded
        whole = max(1, round(kept))
        if abs(kept - whole) < WHOLE_PIXELS:
            image = resize_centre(image, whole, axis)
        else:
            size = n if n > 0 else whole
            spacings[axis] = (size, kept / size)
    for axis, n in zip(SPATIAL_AXES, recon_matrix, strict=True):
        old = int(image.shape[axis])
        if axis in spacings:
            image = resample(image, *spacings[axis], axis)
        elif n > 0 and n != old and old > 1:
            image = ifft(resize_centre(fft(image, axes=(axis,)), n, axis), axes=(axis,)) * (n / old) ** 0.5
    return image


def resample(image: Array, size: int, spacing: float, axis: int) -> Array:
    """Sinc interpolation of an image at `size` points with a distance of `spacing` pixels, centred on pixel n // 2.

    x'[j] = sum_k X[k] exp(2 pi i (k - n // 2) t_j / n) / sqrt(n),    t_j = (j - size // 2) spacing,

    summed over the frequencies below the Nyquist frequency of the new spacing. Points more than a pixel outside the image
    are 0.
    """
    n = int(image.shape[axis])
    frequency, t = np.arange(n) - n // 2, (np.arange(size) - size // 2) * spacing
    kernel = np.exp(2j * np.pi / n * np.outer(frequency, t)) / n**0.5
    kernel[np.abs(frequency) * spacing > n / 2] = 0
    kernel[:, (t <= -(n // 2) - 1) | (t >= n - n // 2)] = 0
    xp, spectrum = namespace(image), fft(image, axes=(axis,))
    weights = xp.astype(converted_to(kernel, spectrum), spectrum.dtype)
    return xp.moveaxis(xp.matmul(xp.moveaxis(spectrum, axis, -1), weights), -1, axis)
