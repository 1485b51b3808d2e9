"""A small network beside the denoiser that corrects its estimate by what neighbouring slices show.

    D'(x, sigma) = D + u c(|D|, (x - D) / u, neighbours, sigma),        u = D / |D|

The correction c is real, along the phase u of the estimate, since neighbours are known by their magnitudes alone. The denoiser
stays as it is: without neighbours nothing is added, and an image is the same to the last bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nilatron.core.metrics import FOREGROUND
from nilatron.core.prior.neighbours.matching import N_MATCHED, matched
from nilatron.core.prior.neighbours.planes import N_NEIGHBOURS, N_PLANES, PLANES_PER_NEIGHBOUR

N_INPUTS = N_PLANES + 4 + N_MATCHED
MULTIPLE = 8  # the network halves its input three times
MARGIN = 8  # pixels around the object that are looked at
CORRECTION_UNIT = 0.1  # image scale
SIGMA_FLOOR = 0.01


@dataclass(frozen=True)
class NeighbourHeadConfig:
    """Feature channels at full, half, quarter and eighth resolution."""

    channels: tuple[int, int, int, int] = (16, 32, 48, 64)

    def __post_init__(self) -> None:
        """Refuse other than four levels of at least one channel."""
        if len(self.channels) != 4 or any(c < 1 for c in self.channels):
            raise ValueError(f"expected four numbers of channels from 1, got {list(self.channels)}")


class NeighbourHead(nn.Module):
    """c / CORRECTION_UNIT of each pixel from `head_inputs`, by convolutions at four resolutions; 0 before it is trained."""

    def __init__(self, config: NeighbourHeadConfig | None = None) -> None:
        super().__init__()
        self.config = config or NeighbourHeadConfig()
        widths = self.config.channels
        self.first = nn.Conv2d(N_INPUTS, widths[0], 3, padding=1)
        pairs = list(pairwise(widths))
        self.shrink = nn.ModuleList(nn.Conv2d(wide, narrow, 3, stride=2, padding=1) for wide, narrow in pairs)
        self.down = nn.ModuleList(nn.Conv2d(narrow, narrow, 3, padding=1) for _, narrow in pairs)
        self.grow = nn.ModuleList(nn.Conv2d(narrow, wide, 1) for wide, narrow in pairs)
        self.up = nn.ModuleList(nn.Conv2d(wide, wide, 3, padding=1) for wide, _ in pairs)
        self.last = nn.Conv2d(widths[0], 1, 3, padding=1)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)  # type: ignore[arg-type]

    def forward(self, inputs: Tensor) -> Tensor:
        """Map inputs (batch, N_INPUTS, y, x), sides multiples of `MULTIPLE`, to (batch, y, x)."""
        h = F.relu(self.first(inputs))
        kept = []
        for shrink, down in zip(self.shrink, self.down, strict=True):
            kept.append(h)
            h = F.relu(shrink(h))
            h = h + F.relu(down(h))
        for grow, up in zip(reversed(self.grow), reversed(self.up), strict=True):
            h = kept.pop() + F.interpolate(grow(h), scale_factor=2.0, mode="nearest")
            h = h + F.relu(up(h))
        out: Tensor = self.last(h)[:, 0]
        return out


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


def correction(head: NeighbourHead, inputs: Tensor) -> Tensor:
    """C (batch, y, x) of inputs of any size."""
    n_y, n_x = inputs.shape[-2:]
    padded = F.pad(inputs, (0, -n_x % MULTIPLE, 0, -n_y % MULTIPLE), mode="replicate")
    found: Tensor = CORRECTION_UNIT * head(padded.contiguous(memory_format=torch.channels_last))[:, :n_y, :n_x]
    return found


def change_of(head: NeighbourHead, x: Tensor, estimate: Tensor, sigma: float, planes: Tensor) -> Tensor:
    """C (batch, y, x) for complex images x and their estimates D (batch, y, x) of image scale 1, at complex level `sigma`.

    It is 0 outside a rectangle around the object, which saves time.
    """
    change = torch.zeros(estimate.shape, device=estimate.device)
    part = (..., *object_slices(estimate))
    levels = torch.full((len(x),), sigma, device=x.device)
    own = own_channels(x[part], estimate[part], levels)
    change[part] = correction(head, head_inputs(own, planes.expand(len(x), *planes.shape[1:])[part]))
    return change


def object_slices(images: Tensor) -> tuple[slice, slice]:
    """Rows and columns in which images (batch, y, x) of image scale 1 show an object, and some around them."""
    bright = (images.abs() > FOREGROUND).any(0)
    found = []
    for axis, n in ((1, images.shape[-2]), (0, images.shape[-1])):
        places = torch.nonzero(bright.any(axis))[:, 0]
        first, last = (int(places[0]), int(places[-1])) if len(places) else (0, n - 1)
        found.append(slice(max(0, first - MARGIN), min(n, last + 1 + MARGIN)))
    return found[0], found[1]
