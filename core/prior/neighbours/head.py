"""A small network beside the denoiser that corrects the finished image x by what neighbouring slices show.

    x' = u max(|x| + c, 0),        u = x / |x|,        c(|D|, (X - D) / u, neighbours, sigma)

for the denoiser's last estimate D from X, whose noise has the level sigma. The correction c is real, along the phase u of the
image, since neighbours are known by their magnitudes alone. The denoiser stays as it is: without neighbours nothing is added.
c is the mean of what the network says of the image and of its mirror image: both are right, and their errors differ.
"""

from __future__ import annotations

import torch
from torch import Tensor

from nilatron.core.prior.neighbours.matching import N_MATCHED, matched
from nilatron.core.prior.neighbours.planes import N_NEIGHBOURS, N_PLANES, PLANES_PER_NEIGHBOUR
from nilatron.core.prior.small_unet import CORRECTION_UNIT, SmallUNet, SmallUNetConfig, object_slices, of_any_size

N_INPUTS = N_PLANES + 4 + N_MATCHED
SIGMA_FLOOR = 0.01
MIRRORED = ((), (-2,))  # axes along which the network sees the image mirrored


class NeighbourHead(SmallUNet):
    """c / CORRECTION_UNIT of each pixel from `head_inputs`."""

    def __init__(self, config: SmallUNetConfig | None = None) -> None:
        super().__init__(N_INPUTS, config)


def own_channels(x: Tensor, estimate: Tensor, sigma: Tensor) -> Tensor:
    """What the step itself shows: channels (batch, 4, y, x) of complex x and estimates (batch, y, x), and levels (batch,)."""
    magnitude = estimate.abs()
    level = sigma.clamp_min(SIGMA_FLOOR)[:, None, None]
    difference = (x - estimate) * phase_of(estimate).conj() / level
    channels = [magnitude, torch.asinh(difference.real) / 2, torch.asinh(difference.imag) / 2]
    channels.append((level.log() / 4).expand_as(magnitude))
    return torch.stack(channels, dim=1).to(torch.float32)


def head_inputs(own: Tensor, planes: Tensor) -> Tensor:
    """Real channels (batch, N_INPUTS, y, x) of `own_channels` and the neighbours' planes (batch, plane, y, x)."""
    beside = planes[:, :-2].reshape(-1, N_NEIGHBOURS, PLANES_PER_NEIGHBOUR, *planes.shape[-2:]).to(torch.float32)
    again = matched(own[:, 0], beside[:, :, 0], beside[:, :, 1].amax((-2, -1)))
    noise_and_share = planes[:, -2:].clamp_min(1e-4).log() / 4
    return torch.cat((own, beside.flatten(1, 2), again, noise_and_share), dim=1)


def phase_of(estimate: Tensor) -> Tensor:
    """D / |D|, with less than length 1 where |D| is next to nothing."""
    return estimate / (estimate.abs() + 1e-4)


def change_of(head: NeighbourHead, x: Tensor, estimate: Tensor, sigma: float, planes: Tensor) -> Tensor:
    """C (batch, y, x) for complex images x and their estimates D (batch, y, x) of image scale 1, at complex level `sigma`.

    It is 0 outside a rectangle around the object, which saves time.
    """
    change = torch.zeros(estimate.shape, device=estimate.device)
    part = (..., *object_slices(estimate))
    levels = torch.full((len(x),), sigma, device=x.device)
    own = own_channels(x[part], estimate[part], levels)
    inputs = head_inputs(own, planes.expand(len(x), *planes.shape[1:])[part])
    change[part] = answered(head, inputs)
    return change


def answered(head: NeighbourHead, inputs: Tensor) -> Tensor:
    """The changes c (batch, y, x) that follow from `head_inputs` of any size."""
    views = [of_any_size(head, inputs.flip(axes)).flip(axes) for axes in MIRRORED]
    return CORRECTION_UNIT * torch.stack(views).mean(0)
