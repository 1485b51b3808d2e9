"""Converter of samples and trajectories of lines from any stored type."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from nilatron.pipelines.files.atomic import InputError

AnyArray = npt.NDArray[Any]

REAL, IMAGINARY = ("real", "re", "r"), ("imag", "im", "i", "imaginary")


def line_samples(stored: AnyArray, shape: tuple[int, int], line: str) -> npt.NDArray[np.complex64]:
    """Samples (coil, n) of a line.

    Parameters
    ----------
    stored
        Complex numbers, compounds of real and imaginary part, or alternating real and imaginary parts; coil by coil, in an
        array of any shape.
    shape
        Number of coils and samples that the head announces.
    line
        Name of the line, for messages.

    Raises
    ------
    InputError
        When `stored` has another type or another number of samples.
    """
    values = _parts(np.asarray(stored), line)
    if values.size != 2 * shape[0] * shape[1]:
        raise InputError(
            f"{line} has {values.size / 2:g} complex samples, its header announces {shape[0]} channels of {shape[1]}"
        )
    return values.view(np.complex64).reshape(shape)


def _parts(stored: AnyArray, line: str) -> npt.NDArray[np.float32]:
    """Alternating real and imaginary parts."""
    parts = stored
    if stored.dtype.kind == "c":
        parts = stored.astype(np.complex64, copy=False).reshape(-1).view(np.float32)
    elif stored.dtype.names:
        names = {name.lower(): name for name in stored.dtype.names}
        found = [names[name] for part in (REAL, IMAGINARY) for name in part if name in names]
        parts = np.stack([stored[name] for name in found], axis=-1) if len(found) == 2 else stored
    if parts.dtype.kind not in "iuf":
        raise InputError(f"{line} has samples of type {stored.dtype}; expected numbers, or real and imaginary parts")
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(parts, np.float32).reshape(-1)


def line_trajectory(stored: AnyArray, n_samples: int, n_dimensions: int) -> npt.NDArray[np.float32] | None:
    """Trajectory (sample, dimension) of a line; None where it is empty or has the wrong length.

    If the head announces 0 dimensions, their number follows from the number of values.
    """
    stored = np.asarray(stored)
    if stored.dtype.kind not in "iuf" or stored.size == 0 or n_samples == 0:
        return None
    n_dimensions = n_dimensions or stored.size // n_samples
    if stored.size != n_samples * n_dimensions:
        return None
    return np.ascontiguousarray(stored, np.float32).reshape(n_samples, n_dimensions)
