"""Phases for magnitude images, drawn with a diffusion model of complex images.

Given a magnitude m, x is drawn from p(x) p(m | x), with p(m | x) ~ exp(-(|x| - m)^2 / sigma_m^2) and a denoiser D that knows
p(x). With p(x0 | x_sigma) ~ CN(D, sigma^2 I), the most probable x0 has the phase of D and, in every pixel,

    |x^| = argmin_r (r - |D|)^2 / sigma^2 + (r - m)^2 / sigma_m^2 = |D| + w (m - |D|),   w = sigma^2 / (sigma^2 + sigma_m^2),

and noise of the next level is added, x = x^ + sigma' z. The result is m e^{i arg x^}: the magnitude is kept exactly.

The coarse structure of the phase is decided at high noise. At sigma = 1 each patch of a few pixels already has a phase, so a
start at that level would keep the phase of the first noise in each patch. The levels therefore begin at 4, and half of them
are above 1.

Source: phase augmentation of Luo et al., arXiv 2308.02340. They take Langevin steps with a score network and a step of fixed
length towards the magnitude; here each iteration denoises and then takes the proximal step that follows from the noise level.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from nilatron.core.prior.prior import MeanDenoiser
from nilatron.core.sampling.schedule import karras_schedule


@dataclass(frozen=True)
class PhaseSettings:
    """Noise levels of the diffusion from noise to a phase, as complex standard deviations at image scale 1."""

    n_steps: int = 20
    sigma_first: float = 4.0
    sigma_last: float = 0.01
    rho: float = 2.0  # parameter of `karras_schedule`; small values give more levels at high noise
    sigma_magnitude: float = 0.02  # standard deviation of |x| from m in the intermediate steps

    def __post_init__(self) -> None:
        """Refuse noise levels that are not positive or do not fall."""
        if not self.sigma_first > self.sigma_last > 0 or not self.sigma_magnitude > 0 or not self.rho > 0:
            raise ValueError(f"noise levels must be positive and fall, got {self}")
        if self.n_steps < 2:
            raise ValueError(f"at least 2 steps are needed, got {self}")


def draw_phases(
    denoiser: MeanDenoiser, magnitude: Tensor, generator: torch.Generator, settings: PhaseSettings | None = None
) -> Tensor:
    """Complex images m e^{i phase}, one random phase for each magnitude image.

    Parameters
    ----------
    denoiser
        (x, sigma) -> E[x0 | x = x0 + sigma n] on complex images (batch, y, x) of image scale 1. If D(u x) = u D(x) for
        |u| = 1, as for our denoiser, the global phase of the result is uniformly distributed.
    magnitude
        Real images m (batch, y, x) of image scale 1; repeat an image to draw several phases for it.
    generator
        Random generator on the CPU, whatever the device of the images, so that a seed gives the same phases everywhere.
    settings
        Noise levels.

    Returns
    -------
    complex64 (batch, y, x) on the device of the magnitude.
    """
    settings = settings or PhaseSettings()
    m = magnitude.to(torch.float32)
    levels = karras_schedule(settings.n_steps, settings.sigma_first, settings.sigma_last, settings.rho)

    def noise() -> Tensor:
        return torch.randn(m.shape, dtype=torch.complex64, generator=generator).to(m.device)

    x = levels[0] * noise()
    for sigma, following in zip(levels, (*levels[1:], 0.0), strict=True):
        x = nearest_to_magnitude(denoiser(x, sigma), m, sigma**2 / (sigma**2 + settings.sigma_magnitude**2))
        if following:
            x = x + following * noise()
    return nearest_to_magnitude(x, m, 1.0)


def nearest_to_magnitude(x: Tensor, magnitude: Tensor, weight: float) -> Tensor:
    """Image x with its magnitude moved towards `magnitude` by the fraction `weight` of the distance.

    Where x is 0 its phase is taken as 0.
    """
    length = x.abs()
    return torch.polar(length + weight * (magnitude - length), x.angle())
