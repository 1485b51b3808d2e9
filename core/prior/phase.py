"""Phases for magnitude images, drawn with a diffusion model of complex images.

Given a magnitude m, x is drawn from p(x) p(m | x), with p(m | x) ~ exp(-(|x| - m)^2 / sigma_m^2) and a denoiser D that knows
p(x). With p(x0 | x_sigma) ~ CN(D, sigma^2 I), the most probable x0 has the phase of D and, in every pixel,

    |x^| = argmin_r (r - |D|)^2 / sigma^2 + (r - m)^2 / sigma_m^2 = |D| + w (m - |D|),   w = sigma^2 / (sigma^2 + sigma_m^2),

from where noise leads on, x = x^ + sigma' z, through falling levels of several iterations each. The result is
m e^{i arg x^}: the magnitude is kept exactly.

Source: phase augmentation of Luo et al., arXiv 2308.02340. Theirs takes Langevin steps with a score network and a step of
fixed length towards the magnitude; here each iteration is a denoising and the proximal step that the noise level implies.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Denoiser = Callable[[Tensor, float], Tensor]


@dataclass(frozen=True)
class PhaseSettings:
    """The way from noise to a phase. Noise levels are complex standard deviations at image scale 1."""

    sigma_first: float = 1.0
    sigma_last: float = 0.01
    n_levels: int = 10  # a geometric sequence from the first to the last
    n_iterations: int = 3  # at each level, so that phases of one patch agree with those of the next
    sigma_magnitude: float = 0.02  # how far |x| may be from m on the way

    def __post_init__(self) -> None:
        """Refuse what is no falling sequence."""
        if not self.sigma_first >= self.sigma_last > 0 or not self.sigma_magnitude > 0:
            raise ValueError(f"noise levels must be positive and fall, got {self}")
        if self.n_levels < 2 or self.n_iterations < 1:
            raise ValueError(f"at least 2 levels of 1 iteration are needed, got {self}")

    @property
    def levels(self) -> list[float]:
        """Noise level of every iteration."""
        ratio = (self.sigma_last / self.sigma_first) ** (1 / (self.n_levels - 1))
        return [self.sigma_first * ratio**level for level in range(self.n_levels) for _ in range(self.n_iterations)]


def draw_phases(
    denoiser: Denoiser, magnitude: Tensor, generator: torch.Generator, settings: PhaseSettings | None = None
) -> Tensor:
    """Complex images m e^{i phase}, one random phase for each magnitude image.

    Parameters
    ----------
    denoiser
        (x, sigma) -> E[x0 | x = x0 + sigma n] on complex images (batch, y, x) of image scale 1.
    magnitude
        m (batch, y, x), real, image scale 1; repeat an image to draw several of its phases.
    generator
        On the CPU, whatever the device of the images, so that a seed means the same everywhere.
    settings
        Noise levels and iterations.

    Returns
    -------
    complex64 (batch, y, x) on the device of the magnitude.
    """
    settings = settings or PhaseSettings()
    m = magnitude.to(torch.float32)
    levels = settings.levels

    def noise() -> Tensor:
        return torch.randn(m.shape, dtype=torch.complex64, generator=generator).to(m.device)

    x = levels[0] * noise()
    for sigma, following in zip(levels, [*levels[1:], 0.0], strict=True):
        turn = random_turns(m.shape[0], generator).to(m.device)
        x = denoiser(x * turn, sigma) * turn.conj()
        x = nearest_to_magnitude(x, m, sigma**2 / (sigma**2 + settings.sigma_magnitude**2))
        if following:
            x = x + following * noise()
    return nearest_to_magnitude(x, m, 1.0)


def random_turns(n: int, generator: torch.Generator) -> Tensor:
    """e^{i phi} (n, 1, 1), phi uniform: a network that prefers a global phase may not impose it on every level."""
    return torch.polar(torch.ones(n, 1, 1), 2 * math.pi * torch.rand(n, 1, 1, generator=generator))


def nearest_to_magnitude(x: Tensor, magnitude: Tensor, weight: float) -> Tensor:
    """Complex x with |x| moved by the share `weight` of its distance to the magnitude; where it is 0, its phase is."""
    length = x.abs()
    return torch.polar(length + weight * (magnitude - length), x.angle())
