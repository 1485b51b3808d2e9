"""A fully convolutional U-Net without attention and position input, so that it takes any matrix size."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class UNetConfig:
    """Architecture of the network, stored with its weights.

    Attributes
    ----------
    channels
        Feature channels of each resolution level, finest first.
    blocks
        Residual blocks of each level, on the way down and again on the way up.
    embedding
        Width of the noise-level embedding.
    self_conditioned
        Whether the network has two more input channels, for the difference of the image from a previous estimate.
    """

    channels: tuple[int, ...] = (24, 48, 72, 96, 128)
    blocks: tuple[int, ...] = (1, 1, 2, 2, 2)
    embedding: int = 96
    self_conditioned: bool = False

    def __post_init__(self) -> None:
        """Refuse shapes that no network can have."""
        if len(self.channels) != len(self.blocks) or not self.channels:
            raise ValueError(f"channels {self.channels} and blocks {self.blocks} must have the same, nonzero length")
        if any(c % CHANNELS_PER_GROUP for c in self.channels) or any(b < 1 for b in self.blocks):
            raise ValueError(
                f"channels {self.channels} must be multiples of {CHANNELS_PER_GROUP}, blocks {self.blocks} at least 1"
            )

    @property
    def multiple(self) -> int:
        """The image sides have to be a multiple of this."""
        return int(2 ** (len(self.channels) - 1))

    @property
    def n_inputs(self) -> int:
        """Number of real input channels."""
        return 4 if self.self_conditioned else 2


CHANNELS_PER_GROUP = 8

ARCHITECTURES = {
    "tiny": UNetConfig(channels=(16, 32, 48, 64), blocks=(1, 1, 1, 1), embedding=64),
    "default": UNetConfig(channels=(24, 48, 72, 96, 128), blocks=(1, 1, 2, 2, 2), embedding=96),
    "large": UNetConfig(channels=(32, 64, 128, 192, 256), blocks=(1, 2, 2, 2, 2), embedding=128),
}


def zero_initialised(convolution: nn.Conv2d) -> nn.Conv2d:
    """The layer with weights and bias set to 0, so that its block starts as the identity."""
    for parameter in convolution.parameters():
        nn.init.zeros_(parameter)
    return convolution


def lower_precision(network: UNet, dtype: torch.dtype) -> UNet:
    """Convert the convolutions, which are nearly all of the work, to `dtype` in place; the noise embedding stays float32.

    On a CPU the normalisations stay float32, too: its kernel accepts parameters of another precision than the input, and is
    faster with them. The statistics of the normalisations are float32 everywhere.
    """
    for module in network.modules():
        on_gpu = any(parameter.device.type != "cpu" for parameter in module.parameters(recurse=False))
        if isinstance(module, nn.Conv2d) or (isinstance(module, nn.GroupNorm) and on_gpu):
            module.to(dtype)
    return network


class NoiseEmbedding(nn.Module):
    """Fourier features of the noise coordinate c_noise, mixed by two linear layers."""

    def __init__(self, width: int, n_frequencies: int = 16) -> None:
        super().__init__()
        # on the CPU even if the network is built on "meta" (without memory): there torch would import its compiler for this
        frequencies = torch.logspace(-1, 1, n_frequencies, device="cpu")
        self.register_buffer("frequencies", 2 * math.pi * frequencies, persistent=False)
        self.mix = nn.Sequential(nn.Linear(2 * n_frequencies, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU())

    def forward(self, c_noise: Tensor) -> Tensor:
        """Map noise coordinates (batch,) to embeddings (batch, width)."""
        angle = c_noise[:, None] * self.get_buffer("frequencies")
        embedded: Tensor = self.mix(torch.cat((angle.cos(), angle.sin()), dim=1))
        return embedded


class ResidualBlock(nn.Module):
    """x + conv(silu(film(norm(conv(silu(norm(x)))))))."""

    def __init__(self, n_in: int, n_out: int, embedding: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(n_in // CHANNELS_PER_GROUP, n_in)
        self.conv1 = nn.Conv2d(n_in, n_out, 3, padding=1)
        self.film = nn.Linear(embedding, 2 * n_out)
        self.norm2 = nn.GroupNorm(n_out // CHANNELS_PER_GROUP, n_out)
        self.conv2 = nn.Conv2d(n_out, n_out, 3, padding=1)
        self.skip = nn.Conv2d(n_in, n_out, 1) if n_in != n_out else nn.Identity()
        zero_initialised(self.conv2)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """Map features (batch, n_in, y, x) to (batch, n_out, y, x)."""
        scale, shift = self.film(embedding).chunk(2, dim=1)
        h = self.conv1(F.silu(self.norm1(x), inplace=True))
        if (
            embedding.shape[0] == 1
        ):  # one noise level for the whole batch, so the normalisation can apply its modulation
            h = _modulated(self.norm2, h, 1 + scale[0], shift[0])
        else:
            h = torch.addcmul(shift[:, :, None, None], self.norm2(h), 1 + scale[:, :, None, None])
        out: Tensor = self.conv2(F.silu(h, inplace=True)).add_(self.skip(x))
        return out


def _modulated(norm: nn.GroupNorm, x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """norm(x) scale + shift in one pass over the features; scale and shift are (channel,)."""
    weight = (norm.weight * scale).to(norm.weight.dtype)
    bias = torch.addcmul(shift, norm.bias, scale).to(norm.bias.dtype)
    return F.group_norm(x, norm.num_groups, weight, bias, norm.eps)


class Blocks(nn.ModuleList):
    """Residual blocks of one level, one after the other."""

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """Map features (batch, n, y, x) to the same shape."""
        for block in self:
            x = block(x, embedding)
        return x


class UNet(nn.Module):
    """F(x, c_noise): images with `config.n_inputs` real channels to images of the same size with two."""

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.config = config
        channels, n_levels = config.channels, len(config.channels)

        def level(i: int) -> Blocks:
            return Blocks(ResidualBlock(channels[i], channels[i], config.embedding) for _ in range(config.blocks[i]))

        def smaller(i: int) -> nn.Conv2d:
            return nn.Conv2d(channels[i], channels[i + 1], 3, stride=2, padding=1)

        self.embed = NoiseEmbedding(config.embedding)
        self.first = nn.Conv2d(config.n_inputs, channels[0], 3, padding=1)
        self.down = nn.ModuleList(level(i) for i in range(n_levels))
        self.shrink = nn.ModuleList(smaller(i) for i in range(n_levels - 1))
        self.grow = nn.ModuleList(nn.Conv2d(channels[i + 1], channels[i], 1) for i in range(n_levels - 1))
        self.up = nn.ModuleList(level(i) for i in range(n_levels - 1))
        norm = nn.GroupNorm(channels[0] // CHANNELS_PER_GROUP, channels[0])
        self.last = nn.Sequential(norm, nn.SiLU(), zero_initialised(nn.Conv2d(channels[0], 2, 3, padding=1)))

    def forward(self, x: Tensor, c_noise: Tensor) -> Tensor:
        """Map images (batch, n_inputs, y, x) and noise coordinates (batch,) or (1,) to (batch, 2, y, x).

        y and x have to be multiples of `config.multiple`.
        """
        embedding = self.embed(c_noise)
        h = self.first(x.to(self.first.weight.dtype))
        kept: list[Tensor] = []
        for blocks, shrink in zip(self.down, self.shrink, strict=False):
            h = blocks(h, embedding)
            kept.append(h)
            h = shrink(h)
        h = self.down[-1](h, embedding)
        for blocks, grow in zip(reversed(self.up), reversed(self.grow), strict=True):
            h = blocks(F.interpolate(grow(h), scale_factor=2.0, mode="nearest").add_(kept.pop()), embedding)
        out: Tensor = self.last(h)
        return out
