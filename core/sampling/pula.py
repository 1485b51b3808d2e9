"""Annealed Langevin sampling with the exact likelihood at every noise level, for comparison.

The prior of each level is multiplied by the likelihood itself (Luo et al., MRM 2023, arXiv 2202.01479), and the steps are
preconditioned and unadjusted as in BART's `sample` (pULA: Blumenthal et al., arXiv 2512.05791):

    x <- (1 - gamma) x + gamma M (A^H y / sigma_y^2 + D(x) / sigma^2) + sqrt(2 gamma) M^(1/2) z,
    M = (A^H A / sigma_y^2 + I / sigma^2)^-1.

M^(1/2) z is drawn as M (A^H n / sigma_y + n' / sigma). The last step returns the mean M (...). A step of finite length leaves
too large a variance, by 1 / (1 - gamma / 2) where M is the posterior covariance. Our sampler is `nila_fast`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from nilatron.core.backend import Array, complex_normal
from nilatron.core.measurement import Measurement
from nilatron.core.prior.prior import Denoiser
from nilatron.core.sampling.nila_fast import Callback
from nilatron.core.sampling.schedule import geometric_schedule
from nilatron.core.solvers import conjugate_gradient


@dataclass(frozen=True)
class PulaSettings:
    """Settings of annealed Langevin sampling, with BART's defaults."""

    levels: int = 100  # noise levels, falling geometrically
    sigma_max: float = 10.0  # first of them, image scale 1
    sigma_min: float = 0.01  # last of them
    steps: int = 1  # Langevin steps at each level
    gamma: float = 0.5  # length of a step
    iterations: int = 10  # of conjugate gradients in a step

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        geometric_schedule(self.levels, self.sigma_max, self.sigma_min)
        if self.steps < 1 or self.iterations < 1 or not 0 < self.gamma <= 1:
            raise ValueError(
                f"expected steps and iterations of at least 1 and 0 < gamma <= 1, got {self.steps}, {self.iterations} "
                f"and {self.gamma}"
            )


def pula(
    denoiser: Denoiser,
    operator: Measurement,
    data: Array,
    *,
    n_samples: int,
    sigma: float,
    scale: float,
    generator: np.random.Generator,
    settings: PulaSettings | None = None,
    callback: Callback | None = None,
) -> Array:
    """Independent posterior samples of one slice.

    Parameters
    ----------
    denoiser
        (x, sigma) -> estimate with the mean D(x, sigma), on complex images of image scale 1, (sample, z, y, x).
    operator, data
        Measurement and its data y (coil, k2, k1, k0), in physical units.
    n_samples
        Chains, which run together.
    sigma
        Complex standard deviation of the noise of y, in physical units.
    scale
        Image scale: the network sees x / scale.
    generator
        Random generator of all noise.
    settings
        Levels and steps.
    callback
        Called with step, level and x (image scale 1) before each evaluation; an exception that it raises ends the run.

    Returns
    -------
    Images (sample, z, y, x) in physical units.
    """
    settings = settings or PulaSettings()
    sigma_y, y = sigma / scale, data / scale
    back_projected = operator.adjoint(y)[None]
    image_shape = (n_samples, *back_projected.shape[1:])

    def noise(shape: tuple[int, ...]) -> Array:
        return complex_normal(generator, shape, y)

    levels = geometric_schedule(settings.levels, settings.sigma_max, settings.sigma_min)
    x = settings.sigma_max * noise(image_shape)
    n_steps = settings.levels * settings.steps
    for step in range(n_steps):
        level, last = levels[step // settings.steps], step + 1 == n_steps
        if callback is not None:
            callback(step, level, x)
        estimate, weight = denoiser(x, level).mean, (level / sigma_y) ** 2
        gamma = 1.0 if last else settings.gamma
        right = gamma * (estimate + weight * back_projected)
        if not last:
            measured = operator.adjoint(noise((n_samples, *y.shape)))
            jitter = level * noise(image_shape) + weight * sigma_y * measured
            right = right + math.sqrt(2 * gamma) * jitter
        solved = conjugate_gradient(
            lambda v, weight=weight: v + weight * operator.normal(v),  # type: ignore[misc]
            right,
            estimate,
            tolerance=1e-6,
            max_iterations=settings.iterations,
        ).x
        x = (1 - gamma) * x + solved
    return x * scale
