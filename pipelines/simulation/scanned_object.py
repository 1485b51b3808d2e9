"""The scanned object on the encoded field of view, and its k-space."""

from __future__ import annotations

import math
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image as Picture

from nilatron.core.backend import ComplexArray
from nilatron.core.fft import fft, ifft
from nilatron.core.phantom import coil_maps, phantom, positions, smooth_phase
from nilatron.pipelines.files.atomic import InputError
from nilatron.pipelines.files.pictures import UNREADABLE, read_npy, read_png
from nilatron.pipelines.simulation.settings import SimulationSettings

OBJECT_SHARE = 0.92  # of the smaller of encoded and recon field of view is the phantom's box
SLICE_RANGE = 0.7  # of the box along z is covered by slices
SLICE_THICKNESS = 0.05  # of the box at most, so that structures stay sharp


def ground_truth(settings: SimulationSettings, slice_index: int = 0, contrast: int = 0) -> ComplexArray:
    """Noise-free image of all lines, coil-combined, cropped to the recon field of view and brought to the recon matrix.

    Returns
    -------
    Complex64 (z, y, x) on the recon grid; intensities do not depend on the matrix.
    """
    return to_recon_grid(settings, _object(settings, slice_index, contrast))


def true_coil_maps(settings: SimulationSettings, slice_index: int = 0) -> ComplexArray:
    """Coil maps of a slice, cropped to the recon field of view and brought to the recon matrix.

    Returns
    -------
    Complex64 (coil, z, y, x); the sum over coils of their squared magnitudes is 1.
    """
    return to_recon_grid(settings, coil_maps(settings.n_coils, **_geometry(settings, slice_index)))


def to_recon_grid(settings: SimulationSettings, image: ComplexArray) -> ComplexArray:
    """Crop an image (..., z, y, x) of the encoded space to the recon field of view, and interpolate to the recon matrix."""
    for axis, place in ((-1, 0), (-2, 1)):
        ratio = settings.recon_fov_xyz_mm[place] / settings.encoded_fov_mm[place]
        image = _resize(image, axis, round(image.shape[axis] * ratio))
    n_x, n_y, _ = settings.recon_matrix_xyz
    scale = math.sqrt(n_x * n_y / (image.shape[-1] * image.shape[-2]))
    if image.shape[-2:] == (n_y, n_x):
        return image
    kspace = _resize(_resize(fft(image, axes=(-2, -1)), -1, n_x), -2, n_y)
    return np.asarray(ifft(kspace, axes=(-2, -1)) * np.float32(scale), np.complex64)


def object_kspace(settings: SimulationSettings, slice_index: int, contrast: int) -> ComplexArray:
    """Noise-free k-space of all lines, complex64 (coil, z, y, x)."""
    maps = coil_maps(settings.n_coils, **_geometry(settings, slice_index))
    maps *= _object(settings, slice_index, contrast)
    return np.asarray(fft(maps), np.complex64)


def _geometry(settings: SimulationSettings, slice_index: int) -> dict[str, Any]:
    """Shape, field of view and centre of the encoded space, relative to the object's box."""
    n_x, n_y, n_z = settings.encoded_matrix
    box = [OBJECT_SHARE * min(pair) for pair in zip(settings.fov_mm, settings.recon_fov_xyz_mm, strict=True)]
    fov_x, fov_y, fov_z = (f / b for f, b in zip(settings.encoded_fov_mm, box, strict=True))
    centre = 0.0
    if n_z == 1:
        fov_z = min(SLICE_RANGE / settings.n_slices, SLICE_THICKNESS)
        centre = 2 * SLICE_RANGE * (slice_index - (settings.n_slices - 1) / 2) / settings.n_slices
    return {"shape": (n_z, n_y, n_x), "field_of_view": (fov_z, fov_y, fov_x), "centre": (centre, 0.0, 0.0)}


def _object(settings: SimulationSettings, slice_index: int, contrast: int) -> ComplexArray:
    """Draw the object on the encoded grid, complex64 (z, y, x)."""
    geometry = _geometry(settings, slice_index)
    drawn = phantom(**geometry) if settings.image is None else _from_file(settings, slice_index, geometry)
    if contrast:
        drawn = drawn * np.abs(drawn) ** (0.6 * contrast)  # later echoes: the same structures, other intensities
    return np.asarray(drawn, np.complex64)


def _from_file(settings: SimulationSettings, slice_index: int, geometry: dict[str, Any]) -> ComplexArray:
    """Read the image file and let it fill the recon field of view of the encoded grid."""
    stack = read_planes(Path(settings.image or ""))
    n_z, n_y, n_x = geometry["shape"]
    share = [r / e for r, e in zip(settings.recon_fov_xyz_mm, settings.encoded_fov_mm, strict=True)]
    size = (round(n_x * share[0]), round(n_y * share[1]))
    chosen = stack[np.arange(n_z) * len(stack) // n_z] if n_z > 1 else stack[[slice_index % len(stack)]]
    resized = np.stack([_resample(plane, size) for plane in chosen])
    if not np.iscomplexobj(stack):
        axes = zip(resized.shape, (1.0, 1.0, 1.0), geometry["centre"], strict=True)
        resized = resized * smooth_phase(*(positions(n, f, c) for n, f, c in axes))
    return _resize(_resize(resized.astype(np.complex64), -1, n_x), -2, n_y)


@lru_cache(maxsize=2)
def read_planes(path: Path) -> npt.NDArray[Any]:
    """Planes (z, y, x), real or complex, with peak magnitude 1.

    Raises
    ------
    InputError
        When the file is no PNG or npy file of such planes.
    """
    try:
        image = read_npy(path) if path.suffix == ".npy" else read_png(path, "F")
    except UNREADABLE as error:
        raise InputError(f"{path}: is not an image (PNG, npy) that can be read: {error}") from error
    if image.dtype.kind not in "biufc":
        raise InputError(f"{path}: an image must be numbers, got {image.dtype}")
    image = image.astype(np.complex64 if np.iscomplexobj(image) else np.float32)
    if image.ndim not in (2, 3) or not image.size or not np.isfinite(image).all() or not image.any():
        raise InputError(
            f"{path}: an image must be (y, x) or (slice, y, x), finite and not all zero; got shape {image.shape}"
        )
    image /= np.abs(image).max()
    return image.reshape(-1, *image.shape[-2:])


def _resample(plane: npt.NDArray[Any], size: tuple[int, int]) -> npt.NDArray[Any]:
    """Resize with antialiasing to (x, y) = size."""
    if np.iscomplexobj(plane):
        resampled: npt.NDArray[Any] = _resample(plane.real, size) + 1j * _resample(plane.imag, size)
        return resampled
    if plane.shape == size[::-1]:
        return plane
    picture = Picture.fromarray(np.ascontiguousarray(plane, np.float32))
    return np.asarray(picture.resize(size, Picture.Resampling.BICUBIC))


def _resize(array: ComplexArray, axis: int, n_new: int) -> ComplexArray:
    """Crop or zero-pad along one axis, the centre n // 2 staying the centre."""
    n_old = array.shape[axis]
    shift = n_new // 2 - n_old // 2
    if shift > 0 or n_new > n_old:
        padding = [(0, 0)] * array.ndim
        padding[axis] = (shift, n_new - n_old - shift)
        return np.pad(array, padding)
    return np.take(array, range(-shift, -shift + n_new), axis=axis)
