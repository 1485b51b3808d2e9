"""What a slice is told about those beside it: for each a magnitude image, whether it is there, and how far away.

The phase of a slice says little about that of the next, so that only magnitudes are given, in units of the image scale of the
slice that is being reconstructed. All planes of a neighbour that is absent are 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nilatron.core.backend import Array, namespace

N_NEIGHBOURS = 2
PLANES_PER_NEIGHBOUR = 3
N_PLANES = PLANES_PER_NEIGHBOUR * N_NEIGHBOURS + 2
DISTANCE_UNIT_MM = 10.0  # the planes hold distances in these, so that they are about 1


@dataclass(frozen=True)
class Neighbour:
    """A slice beside the one that is being reconstructed.

    Attributes
    ----------
    magnitude
        Real image (y, x) in the units of the slice that is being reconstructed.
    distance_mm
        Distance of the two slices, above 0.
    """

    magnitude: Array
    distance_mm: float

    def __post_init__(self) -> None:
        """Refuse distances that no two slices have."""
        if not self.distance_mm > 0:
            raise ValueError(f"neighbouring slices have a distance above 0, got {self.distance_mm} mm")


def neighbour_planes(neighbours: Sequence[Neighbour], scale: float, noise: float, share: float) -> Array:
    """Planes (N_PLANES, y, x) for one slice: magnitude / scale, presence and distance of each neighbour, then noise and share.

    Parameters
    ----------
    neighbours
        One or two, in any order: the nearest comes first, of two equally near ones the brighter, so that the order in which
        they are given does not matter.
    scale
        Image scale of the slice.
    noise, share
        Complex noise level of its data at image scale 1, and acquired share of its samples: how much they leave open.

    Raises
    ------
    ValueError
        When there is none, or more than `N_NEIGHBOURS`.
    """
    if not 1 <= len(neighbours) <= N_NEIGHBOURS:
        raise ValueError(f"expected 1 to {N_NEIGHBOURS} neighbours, got {len(neighbours)}")
    xp, zero = namespace(neighbours[0].magnitude), 0 * neighbours[0].magnitude
    planes: list[Array] = []
    for one in sorted(neighbours, key=lambda n: (n.distance_mm, -float(xp.sum(n.magnitude)))):
        planes += [one.magnitude / scale, zero + 1, zero + one.distance_mm / DISTANCE_UNIT_MM]
    planes += [zero] * (PLANES_PER_NEIGHBOUR * (N_NEIGHBOURS - len(neighbours)))
    return xp.stack([*planes, zero + noise, zero + share])
