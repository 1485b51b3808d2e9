"""Comparison of the errors of two denoisers on images whose truth is known: whole slices with synthetic phase.

rmse = sqrt(mean over images of  mean |D(x + sigma n) - x|^2 / 2),  per real component, at complex noise sigma.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from nilatron.core.prior.augment import AugmentSettings, synthetic_phase
from nilatron.core.prior.prior import MeanDenoiser

CleanAndNoise: TypeAlias = tuple[Tensor, Tensor]  # a clean complex image and complex noise of variance 1


@dataclass(frozen=True)
class Comparison:
    """Errors of a denoiser and of a reference denoiser on the images of one source: mean squares per real component."""

    source: str
    sigma: float
    n_images: int
    mean_square: float
    reference_mean_square: float

    @property
    def rmse(self) -> float:
        """Root mean square error of the denoiser."""
        return math.sqrt(self.mean_square)

    @property
    def reference_rmse(self) -> float:
        """Root mean square error of the reference denoiser."""
        return math.sqrt(self.reference_mean_square)

    @property
    def ratio(self) -> float:
        """Ratio rmse / reference_rmse; 1 if both are 0."""
        if self.reference_rmse == 0:
            return 1.0 if self.rmse == 0 else math.inf
        return self.rmse / self.reference_rmse


def draw_clean_and_noise(image: Tensor, seed: int) -> CleanAndNoise:
    """A complex image and unit noise for it, complex64 (y, x): the same for every noise level and denoiser.

    Parameters
    ----------
    image
        Image (y, x) of image scale 1: a magnitude, which gets synthetic phase, or a complex image, which keeps its phase.
    seed
        Seed of phase and noise.
    """
    generator = torch.Generator().manual_seed(seed)
    clean = image.to(torch.complex64)
    if not image.is_complex():
        n_y, n_x = (int(n) for n in image.shape)
        phase = synthetic_phase((n_y, n_x), AugmentSettings(), generator)
        clean = torch.polar(image.to(torch.float32), phase)
    return clean, torch.randn(clean.shape, dtype=torch.complex64, generator=generator)


def mean_square_error(estimate: Tensor, clean: Tensor) -> float:
    """Mean of |estimate - clean|^2 / 2, per real component."""
    difference = torch.view_as_real((estimate - clean).to(torch.complex64))
    return float(difference.square().mean(dtype=torch.float64))


def compare(
    denoiser: MeanDenoiser,
    reference: MeanDenoiser,
    images: Sequence[Tensor],
    sigma: float,
    *,
    source: str,
    seed: int = 0,
) -> Comparison:
    """Errors of both denoisers on the same noisy images; image i has phase and noise of seed + i.

    Raises
    ------
    ValueError
        When there are no images.
    """
    if not images:
        raise ValueError(f"no images of {source!r} to compare denoisers on")
    errors = []
    for index, image in enumerate(images):
        clean, noise = draw_clean_and_noise(image, seed + index)
        noisy = clean + sigma * noise
        errors.append([mean_square_error(method(noisy, sigma), clean) for method in (denoiser, reference)])
    first, second = (math.fsum(column) / len(errors) for column in zip(*errors, strict=True))
    return Comparison(source, sigma, len(errors), first, second)


def pooled(comparisons: Sequence[Comparison], source: str = "all") -> Comparison:
    """Errors on all images of several sources at one noise level; each image has the same weight.

    Raises
    ------
    ValueError
        When there are no comparisons, or their noise levels differ.
    """
    if len({comparison.sigma for comparison in comparisons}) != 1:
        raise ValueError("comparisons are pooled at one noise level")
    n = sum(comparison.n_images for comparison in comparisons)
    first = sum(comparison.mean_square * comparison.n_images for comparison in comparisons) / n
    second = sum(comparison.reference_mean_square * comparison.n_images for comparison in comparisons) / n
    return Comparison(source, comparisons[0].sigma, n, first, second)
