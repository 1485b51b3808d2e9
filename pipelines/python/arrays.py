"""Arrays as a user has them: their axes checked, brought to slices (coil, z, y, x), results returned in the same library."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from nilatron.core.backend import Array, ComplexArray, FloatArray, converted_to, on_host, to_numpy
from nilatron.core.errors import BadInputError
from nilatron.gadgets.known_noise import GIVEN, NoiseCovariance, NoiseOrigin
from nilatron.gadgets.noise.scan import NoiseSum

KSPACE_AXES = {3: "(coil, y, x)", 4: "(coil, z, y, x)", 5: "(batch, coil, z, y, x)"}
COUNTS_AXES = {3: "(y, x)", 4: "(z, y, x)", 5: "(batch, z, y, x)"}
MAX_COILS = (
    128  # of a scanner; with more, or with far more coils than samples in a line, another axis stands in their place
)
HERMITIAN = 1e-4  # relative deviation of a covariance from its adjoint

Shape: TypeAlias = tuple[int, ...]


class ArrayError(BadInputError):
    """An array with other axes or values than were expected."""


def kspace_slices(kspace: Array) -> list[ComplexArray]:
    """K-space of each slice, complex64 (coil, z, y, x) on the host.

    Raises
    ------
    ArrayError
        When the axes or the numbers are not those of k-space.
    """
    array, shape = _on_host(kspace, "kspace"), tuple(getattr(kspace, "shape", ()))
    if array.ndim not in KSPACE_AXES:
        expected = ", ".join(KSPACE_AXES.values())
        raise ArrayError(f"expected kspace with axes {expected}, got {array.ndim} axes, shape {shape}")
    axes, n_coils = KSPACE_AXES[array.ndim], array.shape[-3 if array.ndim == 3 else -4]
    if 0 in array.shape:
        raise ArrayError(f"kspace {axes} = {shape} is empty")
    if not np.iscomplexobj(array):
        raise ArrayError(f"expected complex kspace {axes}, got {array.dtype}: real and imaginary part are one number")
    if n_coils > MAX_COILS or n_coils > 2 * array.shape[-1]:
        raise ArrayError(f"kspace {axes} = {shape} would have {n_coils} coils: move the axis of the coils in front")
    return _slices(array.astype(np.complex64, copy=False), array.ndim)


def counts_slices(counts: Array | None, kspace: Array, slices: Sequence[ComplexArray]) -> list[FloatArray]:
    """How often each sample of each slice was acquired, float32 (z, y, x); None: all that are not 0 in every coil, once.

    Raises
    ------
    ArrayError
        When the counts do not have the axes of k-space but for its coils, or are no counts.
    """
    if counts is None:
        return [np.any(one != 0, axis=0).astype(np.float32) for one in slices]
    array, n_axes = _on_host(counts, "counts"), len(kspace.shape)
    expected = tuple(kspace.shape[1:]) if n_axes < 5 else (kspace.shape[0], *kspace.shape[2:])
    if array.shape != expected:
        raise ArrayError(
            f"expected counts {COUNTS_AXES[n_axes]} = {expected} for kspace {KSPACE_AXES[n_axes]} = "
            f"{tuple(kspace.shape)}, got {array.shape}"
        )
    if np.iscomplexobj(array) or not np.all(np.isfinite(array)) or np.any(array < 0):
        raise ArrayError("counts are numbers of acquisitions: real, finite and not negative")
    array = array.astype(np.float32)
    return list(array) if n_axes == 5 else [array.reshape(slices[0].shape[1:])]


def calibration_slices(calibration: Array | None, kspace: Array, n_slices: int) -> list[ComplexArray | None]:
    """Calibration block of each slice, complex64 (coil, z, y, x); None where there is none.

    Raises
    ------
    ArrayError
        When its axes are not those of k-space, or it is larger.
    """
    if calibration is None:
        return [None] * n_slices
    array, shape, n_axes = _on_host(calibration, "calibration"), tuple(kspace.shape), len(kspace.shape)
    leading = n_axes - 2 if n_axes == 3 else n_axes - 3  # batch and coils, which have to be the same
    fits = array.ndim == n_axes and array.shape[:leading] == shape[:leading]
    if not fits or any(n > size for n, size in zip(array.shape, shape, strict=True)):
        raise ArrayError(
            f"expected calibration {KSPACE_AXES[n_axes]}, a fully sampled block around the centre of kspace {shape}, "
            f"got {array.shape}"
        )
    return [*_slices(array.astype(np.complex64, copy=False), n_axes)]


def map_slices(coil_maps: Array | None, kspace: Array, n_slices: int) -> list[ComplexArray | None]:
    """Coil maps of each slice, complex64 (coil, z, y, x); None where there are none.

    Raises
    ------
    ArrayError
        When they do not have the shape of k-space.
    """
    if coil_maps is None:
        return [None] * n_slices
    array, n_axes = _on_host(coil_maps, "coil_maps"), len(kspace.shape)
    if array.shape != tuple(kspace.shape):
        raise ArrayError(
            f"expected coil_maps {KSPACE_AXES[n_axes]} of the shape of kspace, {tuple(kspace.shape)}, got {array.shape}"
        )
    return [*_slices(array.astype(np.complex64, copy=False), n_axes)]


def noise_covariance_of(noise: Array | None, n_coils: int) -> NoiseCovariance | None:
    """Noise covariance of a sample of k-space, given itself (coil, coil) or as samples of noise alone (coil, ...).

    Raises
    ------
    ArrayError
        When it is of other coils, or no noise.
    """
    if noise is None:
        return None
    array = _on_host(noise, "noise")
    if array.ndim < 2 or array.shape[0] != n_coils:
        raise ArrayError(
            f"expected noise as a covariance (coil, coil) = ({n_coils}, {n_coils}) or as samples (coil, sample), got "
            f"{array.shape}"
        )
    exact: Array = array.astype(np.complex128)
    origin = NoiseOrigin(GIVEN)
    if array.shape != (n_coils, n_coils):
        samples = NoiseSum.empty(n_coils)
        samples.add(exact.reshape(n_coils, -1), 0.0)
        found = samples.covariance(origin)
        if found.fault:
            raise ArrayError(f"noise (coil, sample) = {array.shape} {found.fault}")
        return found
    if not np.all(np.isfinite(exact)) or np.abs(exact - exact.conj().T).max() > HERMITIAN * np.abs(exact).max():
        raise ArrayError(f"noise (coil, coil) = {array.shape} is no covariance: it is not finite or not Hermitian")
    return NoiseCovariance(exact, 0, 0.0, origin)


def is_on_gpu(array: Array) -> bool:
    """Whether the array lies in the memory of a GPU."""
    return not on_host(array)


def like(array: npt.NDArray[Any], kspace: Array) -> Array:
    """A result (slice, ..., z, y, x) with the batch and slice axes of k-space, in its library and on its device."""
    n_axes = len(kspace.shape)
    found = array if n_axes == 5 else array[0]
    if n_axes == 3:
        found = found.reshape(*found.shape[:-3], *found.shape[-2:])
    return converted_to(np.ascontiguousarray(found), kspace)


def _on_host(array: Array, name: str) -> npt.NDArray[Any]:
    try:
        found = to_numpy(array)
    except (TypeError, ValueError) as error:
        raise ArrayError(f"{name} is no array of NumPy, CuPy or torch: {error}") from error
    if found.dtype.kind not in "biufc":
        raise ArrayError(f"{name} holds no numbers: {found.dtype}")
    return found


def _slices(array: ComplexArray, n_axes: int) -> list[ComplexArray]:
    return list(array) if n_axes == 5 else [array if n_axes == 4 else array[:, None]]


def rms(noise: NoiseCovariance) -> float:
    """Root mean square over the coils of the noise's standard deviation."""
    return math.sqrt(float(np.mean(np.real(np.diagonal(noise.covariance)))))
