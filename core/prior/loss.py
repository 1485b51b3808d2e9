"""Denoising loss (Karras et al., NeurIPS 2022, Eq. 8 and Table 1), with more low noise levels than in EDM."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from nilatron.core.prior.edm import SIGMA_RANGE, EDMDenoiser


@dataclass(frozen=True)
class NoiseDistribution:
    """Distribution of the noise levels in training: ln s ~ N(ln_mean, ln_std^2), s per real component.

    Reconstruction uses s from 0.02 to 0.35. EDM's mean of -1.2 is for generation from pure noise; a phase model, which draws
    coarse phase at high noise, needs about -1.
    """

    ln_mean: float = -2.5
    ln_std: float = 1.1

    def __post_init__(self) -> None:
        """Refuse a standard deviation that is not positive."""
        if not self.ln_std > 0:
            raise ValueError(f"ln_std must be positive, got {self.ln_std}")


def draw_sigma(n: int, generator: torch.Generator, distribution: NoiseDistribution | None = None) -> Tensor:
    """Random noise levels per component (n,), clipped to the trained range."""
    distribution = distribution or NoiseDistribution()
    ln_sigma = distribution.ln_mean + distribution.ln_std * torch.randn(n, generator=generator)
    return ln_sigma.exp().clamp(*SIGMA_RANGE)


def denoising_loss(denoiser: EDMDenoiser, clean: Tensor, s: Tensor, noise: Tensor) -> Tensor:
    """Mean of lambda(s) |D(x + s n, s) - x|^2, lambda = (s^2 + sigma_data^2) / (s sigma_data)^2.

    Parameters
    ----------
    denoiser
        The preconditioned network.
    clean, noise
        Real channels (batch, 2, y, x); noise of variance 1.
    s
        Per-component noise levels (batch,).
    """
    level = s[:, None, None, None]
    estimate: Tensor = denoiser(clean + level * noise, s)
    weight = (level**2 + denoiser.sigma_data**2) / (level * denoiser.sigma_data) ** 2
    return (weight * (estimate - clean) ** 2).mean()
