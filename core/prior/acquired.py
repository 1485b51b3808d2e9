"""Complex images as a scanner acquires them: whole, air around them, at the sharp resolution of a k-space that ends.

Stored images are interpolated, so that their spectra fall off before the Nyquist frequency; those of raw data do not. Cutting
the k-space of a stored image brings the edge back, and the ringing with it.
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
    """The scanner's field of view and resolution."""

    field_of_view: tuple[float, float] = (0.95, 1.3)  # in sides of the stored image
    kspace_share: tuple[float, float] = (0.5, 0.9)  # of k-space kept along each side
    uneven: float = 0.12  # by which the shares of the two sides may differ from it
    sides: tuple[int, int] = (80, 230)  # pixels, at least and at most

    def __post_init__(self) -> None:
        """Refuse what no scanner has."""
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
    """Complex image (y, x) of image scale 1 from a stored one (y, x), magnitude or complex.

    A magnitude gets contrast, shading and synthetic phase; a complex image keeps its own phase.
    """
    stored = image if image.is_complex() else image.to(torch.float32).clamp_min(0)
    if not image.is_complex() and bernoulli(augment.gamma_probability, generator):
        stored = stored ** uniform(*augment.gamma, generator)
    least, most = settings.sides
    shape = [max(least, round(n * uniform(*settings.field_of_view, generator))) for n in stored.shape]
    full = torch.rot90(_in_middle(stored, shape), int(torch.randint(0, 4, (), generator=generator)))
    full = full.flip(-2) if bernoulli(0.5, generator) else full
    sides = (full.shape[0], full.shape[1])
    full = full * shading(sides, augment, generator)
    if not image.is_complex():
        phase = synthetic_phase(sides, augment, generator) + tissue_phase(full, augment, generator)
        full = torch.polar(full, phase)
    share = uniform(*settings.kspace_share, generator)
    shares = [share * uniform(1 - settings.uneven, 1 + settings.uneven, generator) for _ in sides]
    kept = [min(n, most, max(least, round(n * part))) for n, part in zip(sides, shares, strict=True)]
    cut: Tensor = coarse_image(full, (1, kept[0], kept[1]))
    return cut / max(image_scale(cut), 1e-20)


def acquired_patches(
    images: Sequence[Tensor],
    n: int,
    size: int,
    settings: AcquisitionSettings,
    augment: AugmentSettings,
    generator: torch.Generator,
) -> Tensor:
    """Real channels (n, 2, size, size) of random patches of acquired images, in air where these are smaller."""
    patches = []
    for _ in range(n):
        chosen = images[int(torch.randint(0, len(images), (), generator=generator))]
        whole = simulate_acquisition(chosen, settings, augment, generator)
        whole = _in_middle(whole, [max(n_pixels, size) for n_pixels in whole.shape])
        y, x = (int(torch.randint(0, n_pixels - size + 1, (), generator=generator)) for n_pixels in whole.shape)
        patch = whole[y : y + size, x : x + size] * uniform(*augment.scale, generator)
        patches.append(torch.view_as_real(patch).permute(2, 0, 1))
    return torch.stack(patches)


def _in_middle(array: Tensor, shape: Sequence[int]) -> Tensor:
    """Cut or fill with zeros on all sides, so that the element at n // 2 is at n' // 2 afterwards."""
    near = [new // 2 - old // 2 for old, new in zip(array.shape, shape, strict=True)]
    far = [new - old - first for old, new, first in zip(array.shape, shape, near, strict=True)]
    return F.pad(array, (near[1], far[1], near[0], far[0]))
