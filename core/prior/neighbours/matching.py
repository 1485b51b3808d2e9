"""Where the tissue of a slice is found again in those beside it: patches that look alike, averaged (non-local means).

    f_h(r) = sum_{n, t} w_h q_n(r + t) / sum_{n, t} w_h,      w_h = exp(-|P m(r) - P q_n(r + t)|^2 / h^2)

for the magnitude m of the slice, magnitudes q_n of its neighbours, shifts t of a few pixels and patches P around them (Buades,
Coll and Morel, CVPR 2005). Anatomy moves from slice to slice; a small network of convolutions finds it again only slowly.
Shifts are dense where the tissue mostly is, and sparse up to where it may be: those in between would find the same patches.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

WIDTHS = (0.12, 0.06, 0.03)  # h, image scale 1; each half of the one before, so that its weights are the fourth power
N_MATCHED = len(WIDTHS) + 1
REACH = 6  # largest shift along each axis, pixels
PATCH = 5  # side in pixels
EDGE = PATCH // 2
NOTHING = 1e-4  # total weight below which nothing is alike: then f_h = m
ABSENT = 100.0  # an image that is like nothing, image scale 1
LEAST = 1e-9  # weights, so that their fourth power is no denormal number, with which processors are slow


class Shifts(NamedTuple):
    """Shifts (y, x), (y, x + step) and so on: `n` of them."""

    y: int
    x: int
    step: int
    n: int

    def of(self, wide: Tensor, n_y: int, n_x: int) -> Tensor:
        """Copies (..., shift, n_y, n_x) of images with so many more pixels on each side as `REACH`."""
        first_y, first_x = REACH + self.y, REACH + self.x
        rows = wide[..., first_y : first_y + n_y, first_x : first_x + n_x + self.step * (self.n - 1)]
        return rows.unfold(-1, n_x, self.step).movedim(-2, -3).contiguous()


SHIFTS = (
    *(Shifts(y, -REACH, 3, 5) for y in range(-REACH, REACH + 1, 3)),
    *(Shifts(y, -1, 1, 3) for y in (-1, 1)),
    Shifts(0, -1, 2, 2),
)


def matched(magnitude: Tensor, neighbours: Tensor, present: Tensor) -> Tensor:
    """Channels (batch, N_MATCHED, y, x): f_h - m for each width, and how much is alike, from 0 to 1.

    Parameters
    ----------
    magnitude
        m (batch, y, x), image scale 1.
    neighbours
        q (batch, neighbour, y, x).
    present
        1 or 0 for each neighbour, (batch, neighbour).
    """
    n_y, n_x = magnitude.shape[-2:]
    unit = WIDTHS[0] * PATCH  # then squared differences, summed over patches, are negative logarithms of weights
    there = torch.where(present[:, :, None, None] > 0, neighbours, ABSENT)
    wide = F.pad(there / unit, (REACH + EDGE,) * 4, mode="replicate")
    image = F.pad(magnitude[:, None] / unit, (EDGE,) * 4, mode="replicate")[:, None]
    totals = [torch.zeros_like(magnitude) for _ in WIDTHS]
    sums = [torch.zeros_like(magnitude) for _ in WIDTHS]
    for shifts in SHIFTS:
        moved = shifts.of(wide, n_y + 2 * EDGE, n_x + 2 * EDGE)
        centres = moved[..., EDGE : EDGE + n_y, EDGE : EDGE + n_x]
        weight = patch_sum(squared_(moved - image), PATCH).neg_().exp_()
        for number, (total, weighted) in enumerate(zip(totals, sums, strict=True)):
            if number:
                weight = squared_(squared_(weight.clamp_min_(LEAST)))
            total += weight.sum((1, 2))
            weighted += (weight * centres).sum((1, 2))
    found = [(unit * seen - total * magnitude) / (total + NOTHING) for seen, total in zip(sums, totals, strict=True)]
    possible = present.sum(1)[:, None, None].clamp_min(1) * sum(shifts.n for shifts in SHIFTS)
    return torch.stack((*found, totals[1] / possible), dim=1)


def patch_mean(images: Tensor, side: int) -> Tensor:
    """Mean over patches (..., y, x) of images (..., y + side - 1, x + side - 1)."""
    return patch_sum(images, side).div_(side**2)


def patch_sum(images: Tensor, side: int) -> Tensor:
    """Sum over patches, of three pixels or more along each side, as `patch_mean`."""
    return _sums(_sums(images, side, -2), side, -1)


def squared_(images: Tensor) -> Tensor:
    """Squares in place: `Tensor.square_` takes four times as long."""
    return images.mul_(images)


def _sums(images: Tensor, side: int, axis: int) -> Tensor:
    """Of so many successive rows or columns; those of pairs first, which takes fewer additions."""
    n = images.shape[axis] - side + 1
    pairs = images.narrow(axis, 0, n + side - 2) + images.narrow(axis, 1, n + side - 2)
    total = pairs.narrow(axis, 0, n) + (pairs if side > 3 else images).narrow(axis, 2, n)
    for first in range(4, side - 1, 2):
        total += pairs.narrow(axis, first, n)
    if side % 2 and side > 3:
        total += images.narrow(axis, side - 1, n)
    return total
