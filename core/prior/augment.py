"""Complex training patches from magnitude images: crops, contrast, and synthetic phase.

Phase augmentation after Luo et al., arXiv 2308.02340; here the phase is synthetic (global, polynomial and band-limited).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

SCALE_QUANTILE = 0.995


@dataclass(frozen=True)
class AugmentSettings:
    """How far a training patch may be from its image."""

    resample: tuple[float, float] = (0.75, 1.33)  # pixel size ratio
    scale: tuple[float, float] = (0.5, 1.5)  # intensity, so that a wrong image scale is harmless
    gamma: tuple[float, float] = (0.7, 1.4)  # contrast, of the magnitude
    gamma_probability: float = 0.3
    phase_probability: float = 0.7  # of a smooth phase on top of the global one


def image_scale(magnitude: Tensor) -> float:
    """Image scale: the 99.5th percentile of the magnitude; at least a tiny positive number."""
    flat = magnitude.reshape(-1).to(torch.float32)
    return max(float(torch.quantile(flat[:: max(1, flat.numel() // 1_000_000)], SCALE_QUANTILE)), 1e-6)


def uniform(low: float, high: float, generator: torch.Generator) -> float:
    """One number from U(low, high)."""
    return low + (high - low) * float(torch.rand((), generator=generator))


def random_patch(magnitude: Tensor, size: int, settings: AugmentSettings, generator: torch.Generator) -> Tensor:
    """A resampled, flipped and rotated crop (size, size) of one magnitude image (y, x), image scale 1."""
    ratio = uniform(*settings.resample, generator)
    side = max(8, round(size / ratio))
    short = max(0, side - min(magnitude.shape))
    if short:
        magnitude = F.pad(magnitude, (short, short, short, short))
    corner = [int(torch.randint(0, n - side + 1, (), generator=generator)) for n in magnitude.shape]
    crop = magnitude[corner[0] : corner[0] + side, corner[1] : corner[1] + side][None, None]
    patch = F.interpolate(crop, size=(size, size), mode="bicubic", antialias=True)[0, 0].clamp_min(0)
    if float(torch.rand((), generator=generator)) < settings.gamma_probability:
        patch = patch ** uniform(*settings.gamma, generator)
    patch = torch.rot90(patch, int(torch.randint(0, 4, (), generator=generator)))
    if float(torch.rand((), generator=generator)) < 0.5:
        patch = patch.flip(0)
    return patch


def synthetic_phase(shape: tuple[int, int], settings: AugmentSettings, generator: torch.Generator) -> Tensor:
    """Phase in radians (y, x): global always; often also a second-order polynomial and a band-limited random field."""
    phase = torch.full(shape, uniform(-math.pi, math.pi, generator))
    if float(torch.rand((), generator=generator)) >= settings.phase_probability:
        return phase
    y, x = torch.meshgrid(torch.linspace(-1, 1, shape[0]), torch.linspace(-1, 1, shape[1]), indexing="ij")
    c = torch.randn(5, generator=generator) * torch.tensor([1.5, 1.5, 0.7, 0.7, 0.7])
    phase = phase + c[0] * x + c[1] * y + c[2] * x * x + c[3] * y * y + c[4] * x * y
    grid = int(torch.randint(3, 10, (), generator=generator))
    coarse = torch.randn(1, 1, grid, grid, generator=generator) * uniform(0.0, 1.2, generator)
    return phase + F.interpolate(coarse, size=shape, mode="bicubic", align_corners=True)[0, 0]


def draw_batch(
    images: Sequence[Tensor], n: int, size: int, settings: AugmentSettings, generator: torch.Generator
) -> Tensor:
    """Random complex patches as real channels (n, 2, size, size) from magnitude images (y, x) of image scale 1."""
    patches = []
    for _ in range(n):
        magnitude = images[int(torch.randint(0, len(images), (), generator=generator))]
        patch = random_patch(magnitude.to(torch.float32), size, settings, generator)
        patch = patch * uniform(*settings.scale, generator)
        phase = synthetic_phase((size, size), settings, generator)
        patches.append(torch.stack((patch * phase.cos(), patch * phase.sin())))
    return torch.stack(patches)
