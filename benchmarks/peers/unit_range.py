"""Complex images for programs that want two real channels with values in [0, 1].

v = (u / B + 1) / 2 for real and imaginary part of an image u of image scale 1, with B so large that u / B lies in [-1, 1],
where such programs clip. Measurement and noise follow: with o = 1 + i everywhere,

    y = A u + n   =>   y_v = (y / B + A o) / 2 = A v + n / (2 B),

and complex noise sigma has the standard deviation sigma / (2 sqrt(2) B) in each channel of v.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

OFFSET = 1 + 1j


@dataclass(frozen=True)
class UnitRange:
    """The map between u and v for one B, `bound`."""

    bound: float

    def channels(self, image: Tensor) -> Tensor:
        """V (batch, 2, y, x) of complex u (batch, y, x)."""
        return (as_channels(image) / self.bound + 1) / 2

    def image(self, channels: Tensor) -> Tensor:
        """Complex u (batch, y, x) of v (batch, 2, y, x)."""
        return as_complex((2 * channels - 1) * self.bound)

    def measurement(self, data: Tensor, offset_data: Tensor) -> Tensor:
        """y_v of y and A o, all complex."""
        return (data / self.bound + offset_data) / 2

    def channel_sigma(self, sigma: float) -> float:
        """Noise of each channel of v for complex noise `sigma` of u."""
        return sigma / (2 * math.sqrt(2) * self.bound)

    def complex_sigma(self, channel_sigma: float) -> float:
        """The reverse of `channel_sigma`."""
        return channel_sigma * 2 * math.sqrt(2) * self.bound


def as_channels(image: Tensor) -> Tensor:
    """Real and imaginary part as axis 1."""
    return torch.view_as_real(image.resolve_conj()).movedim(-1, 1)


def as_complex(channels: Tensor) -> Tensor:
    """The reverse of `as_channels`."""
    return torch.view_as_complex(channels.movedim(1, -1).contiguous())
