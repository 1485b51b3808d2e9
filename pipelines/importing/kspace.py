"""K-space on a grid, slice by slice, and what is known of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

ComplexArray = npt.NDArray[np.complex64]


@dataclass(frozen=True)
class Kspace:
    """K-space of a scan, DC at n // 2 of each axis; 0 where nothing was acquired.

    Attributes
    ----------
    shape
        Of a slice: (coil, z, y, x), x along the readout.
    n_slices
        Slices.
    read
        The slice of a number, complex64 of `shape`.
    header
        ISMRMRD header of the file as it was parsed; None where it has none.
    sampled
        Lines along y that were acquired, bool (y,); None where the file does not say.
    reference
        Magnitude images (slice, z, y, x) that come with the scan; None where there are none.
    """

    shape: tuple[int, int, int, int]
    n_slices: int
    read: Callable[[int], ComplexArray]
    header: Any = None
    sampled: npt.NDArray[np.bool_] | None = None
    reference: npt.NDArray[np.float32] | None = None
