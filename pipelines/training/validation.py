"""How good a prior is: its error by noise level, and pictures."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from nilatron.core.prior.augment import AugmentSettings, draw_batch
from nilatron.core.prior.edm import EDMDenoiser
from nilatron.core.sampling.schedule import karras_schedule
from nilatron.core.sampling.unconditional import sample_unconditional

VALIDATION_SIGMAS = (0.02, 0.05, 0.1, 0.2)  # complex, image scale 1
PATCH_SIZE = 192
PATCHES_AT_ONCE = 8
PICTURE_SIGMA = 0.2
SAMPLE_SCHEDULE = karras_schedule(20, sigma_max=4.0, sigma_min=0.01)  # just inside the range of training
SAMPLE_SHAPE = (4, 128, 128)

Picture = npt.NDArray[np.uint8]


def validate(
    denoiser: EDMDenoiser,
    images: Sequence[Tensor],
    sigmas: Sequence[float] = VALIDATION_SIGMAS,
    n_patches: int = 48,
    seed: int = 0,
) -> dict[float, float]:
    """Root mean square error per real component of D, by complex noise level, on patches as they are but for the phase."""
    device = next(denoiser.parameters()).device
    squared = dict.fromkeys(sigmas, 0.0)
    clean, noise = _noisy_patches(images, n_patches, seed)
    for x, n in zip(torch.split(clean, PATCHES_AT_ONCE), torch.split(noise, PATCHES_AT_ONCE), strict=True):
        for sigma in sigmas:
            estimate = denoiser.denoise((x + sigma * n).to(device), sigma).cpu()
            squared[sigma] += float((estimate - x).abs().square().sum())
    return {sigma: math.sqrt(total / clean.numel() / 2) for sigma, total in squared.items()}


def _noisy_patches(images: Sequence[Tensor], n_patches: int, seed: int) -> tuple[Tensor, Tensor]:
    """Complex patches (patch, y, x) and noise of unit variance."""
    generator = torch.Generator().manual_seed(seed)
    channels = draw_batch(images, n_patches, PATCH_SIZE, AugmentSettings.phase_only(), generator)
    noise = torch.randn((2, n_patches, PATCH_SIZE, PATCH_SIZE), generator=generator) / math.sqrt(2)
    return torch.complex(channels[:, 0], channels[:, 1]), torch.complex(noise[0], noise[1])


def pictures(denoiser: EDMDenoiser, held_out: Sequence[Tensor], seed: int = 0) -> Iterator[tuple[str, Picture]]:
    """Names and grey pictures: held-out patches noisy, denoised and clean, then samples with their phases below."""
    device = next(denoiser.parameters()).device
    if held_out:
        clean, noise = _noisy_patches(held_out, 3, seed)
        noisy = clean + PICTURE_SIGMA * noise
        denoised = denoiser.denoise(noisy.to(device), PICTURE_SIGMA).cpu()
        yield "validation", _grey([[image.abs() for image in row] for row in zip(noisy, denoised, clean, strict=True)])
    generator = torch.Generator().manual_seed(seed)
    samples = sample_unconditional(
        denoiser.denoise, SAMPLE_SHAPE, SAMPLE_SCHEDULE, generator=generator, device=device
    ).cpu()
    yield "samples", _grey([[z.abs() for z in samples], [z.angle() / (2 * math.pi) + 0.5 for z in samples]])


def _grey(rows: Sequence[Sequence[Tensor]]) -> Picture:
    """Images of 0 to 1, side by side and below each other, in 8 bits."""
    sheet = torch.cat([torch.cat(list(row), dim=1) for row in rows])
    return (255 * sheet.clamp(0, 1)).round().to(torch.uint8).numpy()
