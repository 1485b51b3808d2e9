"""Complex training patches from magnitude or complex images: crops, resolution, contrast, coil shading, and synthetic phase.

Phase augmentation follows Luo et al., arXiv 2308.02340. This file makes synthetic phases (global, polynomial and
band-limited); images with learned phases are complex already (core/prior/phase.py).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class AugmentSettings:
    """Ranges and probabilities of the random changes that make a training patch from an image."""

    resample: tuple[float, float] = (0.75, 1.33)  # pixel size ratio
    truncate: tuple[float, float] = (0.5, 1.0)  # fraction of k-space kept in each direction, before the crop
    truncate_probability: float = 0.3  # truncation makes edges ring, as in a scanner's images
    scale: tuple[float, float] = (0.4, 1.5)  # intensity factor, so that a wrong image scale is harmless
    shading: float = 0.35  # standard deviation of the logarithm of a smooth coil shading
    shading_probability: float = 0.4
    gamma: tuple[float, float] = (0.7, 1.4)  # exponent of the magnitude, which changes the contrast
    gamma_probability: float = 0.3
    phase_probability: float = 0.7  # probability of a smooth phase in addition to the global one, for magnitude images
    tissue_phase: float = 0.8  # largest phase in radians of single tissues, such as fat, fluid and vessels
    tissue_probability: float = 0.25
    rough_phase: float = 0.2  # largest phase in radians that varies within a few pixels
    rough_probability: float = 0.15

    @classmethod
    def phase_only(cls) -> AugmentSettings:
        """Settings with crops, flips and phase only, for measuring errors on otherwise unchanged images."""
        one = (1.0, 1.0)
        return cls(
            resample=one,
            scale=one,
            truncate_probability=0.0,
            shading_probability=0.0,
            gamma_probability=0.0,
            tissue_probability=0.0,
            rough_probability=0.0,
        )


def uniform(low: float, high: float, generator: torch.Generator) -> float:
    """Random number, evenly distributed between low and high."""
    return low + (high - low) * float(torch.rand((), generator=generator))


def bernoulli(probability: float, generator: torch.Generator) -> bool:
    """Random event of this probability: whether it takes place."""
    return float(torch.rand((), generator=generator)) < probability


def random_field(shape: tuple[int, int], generator: torch.Generator, n_knots: tuple[int, int] = (3, 10)) -> Tensor:
    """Smooth random field (y, x) of about unit variance, interpolated from a random number of knots along each side."""
    n = int(torch.randint(*n_knots, (), generator=generator))
    coarse = torch.randn(1, 1, n, n, generator=generator)
    return F.interpolate(coarse, size=shape, mode="bicubic", align_corners=True)[0, 0]


def truncated(image: Tensor, settings: AugmentSettings, generator: torch.Generator) -> Tensor:
    """Channels (c, y', x') at a lower resolution, from channels (c, y, x) whose k-space is cut off abruptly, as by a scanner.

    The mean is kept; an image that would become too small is returned unchanged.
    """
    shape = [max(32, round(n * uniform(*settings.truncate, generator))) for n in image.shape[-2:]]
    if any(new >= old for new, old in zip(shape, image.shape[-2:], strict=True)):
        return image
    kspace = torch.fft.fftshift(torch.fft.fft2(image), dim=(-2, -1))
    first = [old // 2 - new // 2 for new, old in zip(shape, image.shape[-2:], strict=True)]
    kept = kspace[..., first[0] : first[0] + shape[0], first[1] : first[1] + shape[1]]
    share = shape[0] * shape[1] / (image.shape[-2] * image.shape[-1])
    smaller: Tensor = torch.fft.ifft2(torch.fft.ifftshift(kept, dim=(-2, -1))).real * share
    return smaller


def random_crop(image: Tensor, size: int, settings: AugmentSettings, generator: torch.Generator) -> Tensor:
    """Random crop (c, size, size) of the channels (c, y, x) of one image, resampled, flipped and rotated."""
    side = max(8, round(size / uniform(*settings.resample, generator)))
    short = max(0, side - min(image.shape[-2:]))
    if short:
        image = F.pad(image, (short, short, short, short))
    corner = [int(torch.randint(0, n - side + 1, (), generator=generator)) for n in image.shape[-2:]]
    crop = image[None, :, corner[0] : corner[0] + side, corner[1] : corner[1] + side]
    patch = F.interpolate(crop, size=(size, size), mode="bicubic", antialias=True)[0]
    patch = torch.rot90(patch, int(torch.randint(0, 4, (), generator=generator)), dims=(-2, -1))
    return patch.flip(-2) if bernoulli(0.5, generator) else patch


def synthetic_phase(shape: tuple[int, int], settings: AugmentSettings, generator: torch.Generator) -> Tensor:
    """Random phase (y, x) in radians: a global phase, often plus a second-order polynomial and a smooth random field."""
    phase = torch.full(shape, uniform(-math.pi, math.pi, generator))
    if not bernoulli(settings.phase_probability, generator):
        return phase
    y, x = torch.meshgrid(torch.linspace(-1, 1, shape[0]), torch.linspace(-1, 1, shape[1]), indexing="ij")
    c = torch.randn(5, generator=generator) * torch.tensor([1.5, 1.5, 0.7, 0.7, 0.7])
    phase = phase + c[0] * x + c[1] * y + c[2] * x * x + c[3] * y * y + c[4] * x * y
    return phase + random_field(shape, generator) * uniform(0.0, 1.2, generator)


def tissue_phase(magnitude: Tensor, settings: AugmentSettings, generator: torch.Generator) -> Tensor:
    """Random phase (y, x) in radians that depends on the magnitude m, a cos(2 pi (k m + p)) with slowly varying a.

    A rough phase that varies within a few pixels is sometimes added. In measured images chemical shift, susceptibility and
    flow give tissues different phases, with steps at their edges; a prior that has seen only smooth phases takes these steps
    for noise.
    """
    shape = (magnitude.shape[-2], magnitude.shape[-1])
    phase = torch.zeros(shape)
    if bernoulli(settings.tissue_probability, generator):
        amplitude = uniform(0.0, settings.tissue_phase, generator)
        level = magnitude / magnitude.max().clamp_min(1e-6)
        cycles = uniform(0.3, 2.0, generator) * level + uniform(0.0, 1.0, generator)
        phase = amplitude * (2 * math.pi * cycles).cos() * (1 + 0.5 * random_field(shape, generator, (2, 6)))
    if bernoulli(settings.rough_probability, generator):
        amplitude = uniform(0.0, settings.rough_phase, generator)
        phase = phase + amplitude * random_field(shape, generator, (10, 64))
    return phase


def shading(shape: tuple[int, int], settings: AugmentSettings, generator: torch.Generator) -> Tensor:
    """Random factor (y, x) of a smooth coil shading; often 1 everywhere."""
    if not bernoulli(settings.shading_probability, generator):
        return torch.ones(shape)
    return (settings.shading * random_field(shape, generator, (2, 5))).exp()


def random_patch(image: Tensor, size: int, settings: AugmentSettings, generator: torch.Generator) -> Tensor:
    """Real channels (2, size, size) of a random patch of one image (y, x) of image scale 1.

    A magnitude image gets random contrast and synthetic phase; a complex image keeps both, except for a random global phase.
    """
    is_complex = image.is_complex()
    channels = (
        torch.view_as_real(image.to(torch.complex64)).permute(2, 0, 1) if is_complex else image.to(torch.float32)[None]
    )
    if bernoulli(settings.truncate_probability, generator):
        channels = truncated(channels, settings, generator)
    patch = random_crop(channels, size, settings, generator)
    intensity = uniform(*settings.scale, generator) * shading((size, size), settings, generator)
    if is_complex:
        phase = torch.full((size, size), uniform(-math.pi, math.pi, generator))
        z = torch.complex(patch[0], patch[1]) * torch.polar(torch.ones(()), phase) * intensity
        return torch.view_as_real(z).permute(2, 0, 1)
    magnitude = patch[0].clamp_min(0)
    if bernoulli(settings.gamma_probability, generator):
        magnitude = magnitude ** uniform(*settings.gamma, generator)
    phase = synthetic_phase((size, size), settings, generator) + tissue_phase(magnitude, settings, generator)
    return torch.stack((phase.cos(), phase.sin())) * (magnitude * intensity)


def draw_batch(
    images: Sequence[Tensor], n: int, size: int, settings: AugmentSettings, generator: torch.Generator
) -> Tensor:
    """Random patches as real channels (n, 2, size, size) from magnitude or complex images (y, x) of image scale 1."""
    chosen = [images[int(torch.randint(0, len(images), (), generator=generator))] for _ in range(n)]
    return torch.stack([random_patch(image, size, settings, generator) for image in chosen])
