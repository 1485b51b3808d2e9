"""Where a slice lies, in DICOM's words.

The position in the image header is the centre of pixel n // 2 of each axis (see `gadgets.images`), so the centre of the first
pixel of slice z lies at

    position - (n_x // 2) dx read_dir - (n_y // 2) dy phase_dir + (z - n_z // 2) dz slice_dir,

with d = field of view / n. Positions and directions are in patient coordinates (left, posterior, superior), as DICOM defines
them, so they do not depend on the patient position.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import ismrmrd
import numpy as np
import numpy.typing as npt

from nilatron.pipelines.files.atomic import InputError

PLACES = 4  # of positions in mm
DIRECTION_TOLERANCE = 1e-3  # largest error of lengths and cosines that counts as rounding

Vector = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Plane:
    """A slice in space, in mm and patient coordinates.

    Attributes
    ----------
    first
        Centre of its first pixel.
    axes
        Read, phase and slice direction (rows).
    spacing
        Between columns, rows and slices.
    """

    first: Vector
    axes: Vector
    spacing: Vector

    @property
    def location(self) -> float:
        """Position along the slice direction, without what single precision adds."""
        return round(float(self.first @ self.axes[2]), PLACES)

    def describe(self, data: Any, between_slices: float | None) -> None:
        """Set position, orientation and spacing of a DICOM object; `between_slices` in mm, where there are others."""
        data.ImagePositionPatient = [f"{v:.8g}" for v in self.first]
        data.ImageOrientationPatient = [f"{v:.8g}" for v in self.axes[:2].reshape(-1)]
        data.PixelSpacing = [f"{self.spacing[1]:.8g}", f"{self.spacing[0]:.8g}"]  # between rows, then between columns
        data.SliceThickness = f"{self.spacing[2]:.8g}"
        data.SliceLocation = f"{self.location:.8g}"
        if between_slices is not None:
            data.SpacingBetweenSlices = f"{between_slices:.8g}"


def planes_of(image: ismrmrd.Image) -> list[Plane]:
    """The slices of an image, in the order of its z.

    Raises
    ------
    InputError
        When the image has several channels, or no geometry that DICOM can hold.
    """
    n_channels, *shape = image.data.shape
    if n_channels != 1 or not all(0 < size < np.inf for size in image.field_of_view):
        raise InputError(
            f"DICOM needs one channel and a field of view, got {n_channels} and {list(image.field_of_view)} mm"
        )
    position, axes = np.array(image.position[:], float), directions(image)
    if not np.isfinite(position).all():
        raise InputError(f"DICOM needs a position, got {_numbers(position)} mm")
    sizes = np.array(shape[::-1])
    spacing = np.array(image.field_of_view[:], float) / sizes
    return [Plane(position + ((0, 0, z) - sizes // 2) * spacing @ axes, axes, spacing) for z in range(shape[0])]


def directions(image: ismrmrd.Image) -> npt.NDArray[np.float64]:
    """Read, phase and slice direction of an image (rows of a matrix), with rounding errors removed.

    Raises
    ------
    InputError
        When a direction does not have unit length, or two of them are not at right angles.
    """
    found = np.array([image.read_dir[:], image.phase_dir[:], image.slice_dir[:]], float)
    lengths = np.linalg.norm(found, axis=1)
    cosines = (found @ found.T)[np.triu_indices(3, 1)]
    if not max(np.abs(lengths - 1).max(), np.abs(cosines).max()) < DIRECTION_TOLERANCE:  # NaN is refused as well
        names = ("read_dir", "phase_dir", "slice_dir")
        told = ", ".join(f"{name} {_numbers(axis)}" for name, axis in zip(names, found, strict=True))
        raise InputError(f"DICOM needs directions of length 1 at right angles, got {told}")
    left, _, right = np.linalg.svd(found)
    nearest: npt.NDArray[np.float64] = left @ right
    return np.round(nearest, 9) + 0.0  # without it, zeros would be written as -0


def _numbers(values: npt.NDArray[np.float64]) -> str:
    return f"({', '.join(f'{v:.4g}' for v in values)})"
