"""How much an error map grows where a slice and those beside it show different things.

    f(r)   = sqrt(1 + mean_n (e_n(r) / E)^2)
    e_n(r) = max(0, d_n(r) - b (a_n / 3 mm) min(sd m(r), sd q_n(r)))
    d_n(r) = max(min_t |P m(r) - P q_n(r + t)|, min_t |P q_n(r) - P m(r + t)|)

for the magnitude m of the slice, magnitudes q_n of its neighbours at distances a_n of 3 mm or more, shifts t of a pixel, and
rms differences of patches P. It is looked both ways: the tissue around a lesion that only the neighbour has may be found again
there at a small shift, but the lesion is nowhere in the slice. Where both show structure, of standard deviation sd, some of the
difference is anatomy that goes on from slice to slice. The map is multiplied, not added to: data that leave little open leave
little to neighbours.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from nilatron.core.prior.neighbours.matching import patch_mean, squared_
from nilatron.core.prior.neighbours.planes import DISTANCE_UNIT_MM, N_NEIGHBOURS, PLANES_PER_NEIGHBOUR

REACH = 1  # largest shift along each axis, pixels
PATCH = 5  # side in pixels
SURROUNDINGS = 9  # side in pixels of the square whose standard deviation counts as structure
EXPLAINED = 1.3  # b: difference that anatomy explains at `NEAR_MM`, as a share of the structure
NEAR_MM = 3.0  # nearer slices differ by their own errors, which do not become smaller
UNIT = 0.07  # E, image scale 1


def widening(magnitude: Tensor, planes: Tensor) -> Tensor:
    """The factors f (batch, y, x), 1 or more.

    Parameters
    ----------
    magnitude
        m (batch, y, x), image scale 1.
    planes
        `neighbour_planes` (batch, plane, y, x), with one neighbour or more.
    """
    beside = planes[:, :-2].reshape(-1, N_NEIGHBOURS, PLANES_PER_NEIGHBOUR, *planes.shape[-2:]).to(torch.float32)
    neighbours, present = beside[:, :, 0], beside[:, :, 1]
    distance_mm = (DISTANCE_UNIT_MM * beside[:, :, 2]).clamp_min(NEAR_MM)
    structure = torch.minimum(_structure(magnitude[:, None]), _structure(neighbours))
    explained = EXPLAINED * (distance_mm / NEAR_MM) * structure
    excess = present * (_patch_difference(magnitude, neighbours) - explained).clamp_min(0)
    return (1 + (excess / UNIT).square().sum(1) / present.sum(1)).sqrt()


def _patch_difference(magnitude: Tensor, neighbours: Tensor) -> Tensor:
    """The differences d (batch, neighbour, y, x)."""
    n_y, n_x = magnitude.shape[-2:]
    edge = REACH + PATCH // 2
    image = F.pad(magnitude[:, None], (edge,) * 4, mode="replicate")
    wide = F.pad(neighbours, (edge + REACH,) * 4, mode="replicate")
    smallest = torch.full((2, *neighbours.shape), torch.inf, device=magnitude.device)
    of_slice, of_neighbour = smallest
    for y in range(2 * REACH + 1):
        for x in range(2 * REACH + 1):
            moved = wide[..., y : y + image.shape[-2], x : x + image.shape[-1]]
            # pixel r + REACH: patches of m at r and of q at r + t
            apart = patch_mean(squared_(image - moved), PATCH)
            here = apart[..., REACH : REACH + n_y, REACH : REACH + n_x]
            there = apart[..., 2 * REACH - y : 2 * REACH - y + n_y, 2 * REACH - x : 2 * REACH - x + n_x]
            torch.minimum(of_slice, here, out=of_slice)
            torch.minimum(of_neighbour, there, out=of_neighbour)
    return smallest.amax(0).sqrt()


def _structure(images: Tensor) -> Tensor:
    """Standard deviation (..., y, x) of the square of `SURROUNDINGS` around each pixel."""
    wide = F.pad(images, (SURROUNDINGS // 2,) * 4, mode="replicate")
    mean = patch_mean(wide, SURROUNDINGS)
    return (patch_mean(wide.square(), SURROUNDINGS) - mean.square()).clamp_min(0).sqrt()
