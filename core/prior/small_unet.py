"""The small network of heads that correct an image: convolutions at four resolutions."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nilatron.core.metrics import FOREGROUND

MULTIPLE = 8  # the network halves its input three times
MARGIN = 8  # pixels around the object that are looked at
CORRECTION_UNIT = 0.1  # image scale; heads say by how many of these they correct


@dataclass(frozen=True)
class SmallUNetConfig:
    """Feature channels at full, half, quarter and eighth resolution."""

    channels: tuple[int, int, int, int] = (16, 32, 48, 64)

    def __post_init__(self) -> None:
        """Refuse other than four levels of at least one channel."""
        if len(self.channels) != 4 or any(c < 1 for c in self.channels):
            raise ValueError(f"expected four numbers of channels from 1, got {list(self.channels)}")


class SmallUNet(nn.Module):
    """One number for each pixel from real channels; 0 before it is trained."""

    def __init__(self, n_inputs: int, config: SmallUNetConfig | None = None) -> None:
        super().__init__()
        self.config = config or SmallUNetConfig()
        widths = self.config.channels
        self.first = nn.Conv2d(n_inputs, widths[0], 3, padding=1)
        pairs = list(pairwise(widths))
        self.shrink = nn.ModuleList(nn.Conv2d(wide, narrow, 3, stride=2, padding=1) for wide, narrow in pairs)
        self.down = nn.ModuleList(nn.Conv2d(narrow, narrow, 3, padding=1) for _, narrow in pairs)
        self.grow = nn.ModuleList(nn.Conv2d(narrow, wide, 1) for wide, narrow in pairs)
        self.up = nn.ModuleList(nn.Conv2d(wide, wide, 3, padding=1) for wide, _ in pairs)
        self.last = nn.Conv2d(widths[0], 1, 3, padding=1)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)  # type: ignore[arg-type]

    def forward(self, inputs: Tensor) -> Tensor:
        """Map inputs (batch, channel, y, x), sides multiples of `MULTIPLE`, to (batch, y, x)."""
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


def of_any_size(network: SmallUNet, inputs: Tensor) -> Tensor:
    """The network's numbers (batch, y, x) for inputs (batch, channel, y, x) of any size."""
    n_y, n_x = inputs.shape[-2:]
    padded = F.pad(inputs, (0, -n_x % MULTIPLE, 0, -n_y % MULTIPLE), mode="replicate")
    found: Tensor = network(padded.contiguous(memory_format=torch.channels_last))[:, :n_y, :n_x]
    return found


def object_slices(images: Tensor) -> tuple[slice, slice]:
    """Rows and columns in which images (batch, y, x) of image scale 1 show an object, and some around them."""
    bright = (images.abs() > FOREGROUND).any(0)
    found = []
    for axis, n in ((1, images.shape[-2]), (0, images.shape[-1])):
        places = torch.nonzero(bright.any(axis))[:, 0]
        first, last = (int(places[0]), int(places[-1])) if len(places) else (0, n - 1)
        found.append(slice(max(0, first - MARGIN), min(n, last + 1 + MARGIN)))
    return found[0], found[1]


def with_magnitude_changed(images: Tensor, change: Tensor) -> Tensor:
    """Complex images x (batch, y, x) with the magnitude max(|x| + c, 0) for real changes c."""
    magnitude = images.abs()
    factor = (1 + change / magnitude.clamp_min(1e-6)).clamp_min(0)
    return torch.where(magnitude > 0, images * factor, images)
