"""Small lesions and fine texture in training scans, which few stored images have: what a prior has never seen, it removes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from nilatron.core.metrics import FOREGROUND
from nilatron.core.prior.augment import bernoulli, random_field, uniform


@dataclass(frozen=True)
class LesionSettings:
    """How many scans have lesions and texture, and the ranges of these."""

    probability: float = 0.0  # of lesions in a scan; 0 leaves scans as they are
    number: tuple[int, int] = (1, 12)
    diameter: tuple[float, float] = (
        2.0,
        12.0,
    )  # pixels, full width at half maximum; the logarithm is evenly distributed
    contrast: tuple[float, float] = (0.05, 0.6)  # relative to the tissue, bright or dark; the logarithm as well
    edge: tuple[float, float] = (0.3, 2.0)  # width of the edge in pixels
    texture_probability: float = 0.0
    texture: tuple[float, float] = (0.02, 0.1)  # standard deviation relative to the tissue
    texture_size: tuple[float, float] = (2.0, 6.0)  # pixels

    def __post_init__(self) -> None:
        """Refuse ranges from which nothing can be drawn."""
        for name in ("probability", "texture_probability"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be from 0 to 1, got {getattr(self, name)}")
        for name in ("number", "diameter", "contrast", "edge", "texture", "texture_size"):
            low, high = getattr(self, name)
            if not 0 < low <= high:
                raise ValueError(f"{name} must be a range above 0, got {[low, high]}")


def with_lesions(image: Tensor, settings: LesionSettings, generator: torch.Generator) -> Tensor:
    """Complex image (y, x) of image scale 1 with lesions and texture, as often as the settings say.

    Both are factors on the image, so that they have the phase of the tissue around them.
    """
    if settings.texture_probability and bernoulli(settings.texture_probability, generator):
        image = image * (1 + random_texture(image.shape, settings, generator))
    if not settings.probability or not bernoulli(settings.probability, generator):
        return image
    places = torch.nonzero(image.abs() > FOREGROUND)
    if not len(places):
        return image
    low, high = settings.number
    for _ in range(int(torch.randint(low, high + 1, (), generator=generator))):
        y, x = places[int(torch.randint(0, len(places), (), generator=generator))].tolist()
        contrast = _log_uniform(settings.contrast, generator) * (1 if bernoulli(0.5, generator) else -1)
        shape = lesion(
            image.shape,
            (y + uniform(-0.5, 0.5, generator), x + uniform(-0.5, 0.5, generator)),
            _log_uniform(settings.diameter, generator),
            uniform(*settings.edge, generator),
            elongation=uniform(1.0, 1.6, generator),
            angle=uniform(0.0, math.pi, generator),
        )
        image = image * (1 + contrast * shape)
    return image


def lesion(
    shape: torch.Size | tuple[int, ...],
    centre: tuple[float, float],
    diameter: float,
    edge: float,
    *,
    elongation: float = 1.0,
    angle: float = 0.0,
) -> Tensor:
    """Profile (y, x) of a disc or ellipse of value 1: 1 / (1 + exp(4 (r - d / 2) / w)), edge width w in pixels.

    `diameter` d is that of a disc of the same area, full width at half maximum.
    """
    y, x = torch.meshgrid(torch.arange(shape[-2]) - centre[0], torch.arange(shape[-1]) - centre[1], indexing="ij")
    along = math.cos(angle) * y + math.sin(angle) * x
    across = math.cos(angle) * x - math.sin(angle) * y
    radius = (along**2 / elongation + across**2 * elongation).sqrt()
    profile: Tensor = torch.sigmoid(4 * (diameter / 2 - radius) / edge)
    return profile


def random_texture(shape: torch.Size, settings: LesionSettings, generator: torch.Generator) -> Tensor:
    """Random relative changes (y, x) of structures of a few pixels, stronger in some places than in others."""
    size = uniform(*settings.texture_size, generator)
    frequencies = [torch.fft.fftfreq(n) for n in shape[-2:]]
    squared = frequencies[0][:, None] ** 2 + frequencies[1][None, :] ** 2
    noise = torch.fft.fft2(torch.randn(shape[-2], shape[-1], generator=generator))
    fine: Tensor = torch.fft.ifft2(noise * torch.exp(-0.5 * (math.pi * size / 2) ** 2 * squared)).real
    fine = fine / fine.std().clamp_min(1e-6)
    amplitude = uniform(*settings.texture, generator) * (
        1 + 0.5 * random_field((shape[-2], shape[-1]), generator, (2, 6))
    )
    texture: Tensor = (fine * amplitude).clamp(-0.5, 0.5)
    return texture


def _log_uniform(limits: tuple[float, float], generator: torch.Generator) -> float:
    return math.exp(uniform(math.log(limits[0]), math.log(limits[1]), generator))
