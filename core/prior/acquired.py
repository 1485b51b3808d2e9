"""Simulated acquisition of stored images: whole complex images with air around them and a k-space that ends abruptly.

Stored images are interpolated, so their spectra fall off before the Nyquist frequency; the spectra of raw data do not. Cropping
the k-space of a stored image restores the sharp end, and with it the ringing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from nilatron.core.prior.augment import (
    AugmentSettings,
    bernoulli,
    shading,
    synthetic_phase,
    tissue_phase,
    uniform,
)
from nilatron.core.resolution import coarse_image
from nilatron.core.scale import image_scale


@dataclass(frozen=True)
class AcquisitionSettings:
    """Ranges of the scanner's field of view and resolution."""

    field_of_view: tuple[float, float] = (0.95, 1.3)  # relative to the side of the stored image
    kspace_share: tuple[float, float] = (0.5, 0.9)  # fraction of k-space that is kept along each side
    uneven: float = 0.12  # relative difference, at most, of the fraction along one side from the drawn one
    sides: tuple[int, int] = (80, 230)  # smallest and largest side in pixels

    def __post_init__(self) -> None:
        """Refuse values that no scanner has."""
        if not 0 < self.field_of_view[0] <= self.field_of_view[1]:
            raise ValueError(f"field_of_view must be a range above 0, got {list(self.field_of_view)}")
        if not 0 < self.kspace_share[0] <= self.kspace_share[1] or not 0 <= self.uneven < 1:
            raise ValueError(
                f"expected kspace_share as a range above 0 and 0 <= uneven < 1, got {list(self.kspace_share)} and {self.uneven}"
            )
        if not 8 <= self.sides[0] <= self.sides[1]:
            raise ValueError(f"sides must be a range from 8 pixels, got {list(self.sides)}")


def simulate_acquisition(
    image: Tensor, settings: AcquisitionSettings, augment: AugmentSettings, generator: torch.Generator
) -> Tensor:
    """Complex image (y, x) of image scale 1 from a stored image (y, x), which is a magnitude or complex.

    A magnitude image gets random contrast, shading and synthetic phase; a complex image gets shading and keeps its phase. A
    stack (image, y, x) is acquired in the same way; its first image sets the phase and the image scale.
    """
    stored = image if image.is_complex() else image.to(torch.float32).clamp_min(0)
    if not image.is_complex() and bernoulli(augment.gamma_probability, generator):
        stored = stored ** uniform(*augment.gamma, generator)
    min_side, max_side = settings.sides
    shape = [max(min_side, round(n * uniform(*settings.field_of_view, generator))) for n in stored.shape[-2:]]
    turns = int(torch.randint(0, 4, (), generator=generator))
    full = torch.rot90(_crop_or_pad(stored, shape), turns, dims=(-2, -1))
    full = full.flip(-2) if bernoulli(0.5, generator) else full
    sides = (full.shape[-2], full.shape[-1])
    full = full * shading(sides, augment, generator)
    if not image.is_complex():
        first = full.reshape(-1, *sides)[0]
        phase = synthetic_phase(sides, augment, generator) + tissue_phase(first, augment, generator)
        full = torch.polar(full, phase.expand_as(full))
    share = uniform(*settings.kspace_share, generator)
    shares = [share * uniform(1 - settings.uneven, 1 + settings.uneven, generator) for _ in sides]
    kept = [min(n, max_side, max(min_side, round(n * part))) for n, part in zip(sides, shares, strict=True)]
    acquired: Tensor = coarse_image(full, (1, kept[0], kept[1]))
    return acquired / max(image_scale(acquired.reshape(-1, kept[0], kept[1])[0]), 1e-20)


def acquired_patches(
    images: Sequence[Tensor],
    n: int,
    size: int,
    settings: AcquisitionSettings,
    augment: AugmentSettings,
    generator: torch.Generator,
) -> Tensor:
    """Real channels (n, 2, size, size) of random patches of acquired images; smaller images are padded with air."""
    patches = []
    for _ in range(n):
        chosen = images[int(torch.randint(0, len(images), (), generator=generator))]
        whole = simulate_acquisition(chosen, settings, augment, generator)
        whole = _crop_or_pad(whole, [max(n_pixels, size) for n_pixels in whole.shape])
        y, x = (int(torch.randint(0, n_pixels - size + 1, (), generator=generator)) for n_pixels in whole.shape)
        patch = whole[y : y + size, x : x + size] * uniform(*augment.scale, generator)
        patches.append(torch.view_as_real(patch).permute(2, 0, 1))
    return torch.stack(patches)


def _crop_or_pad(array: Tensor, shape: Sequence[int]) -> Tensor:
    """The array (..., y, x) cropped or padded with zeros to `shape`, such that its element at n // 2 is at n' // 2."""
    near = [new // 2 - old // 2 for old, new in zip(array.shape[-2:], shape, strict=True)]
    far = [new - old - first for old, new, first in zip(array.shape[-2:], shape, near, strict=True)]
    return F.pad(array, (near[1], far[1], near[0], far[0]))
