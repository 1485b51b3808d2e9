"""Predictor-corrector sampling as published for MRI (Luo et al., MRM 2023, code spreco), for comparison.

Of a variance-exploding diffusion (Song et al., ICLR 2021) with levels falling geometrically. The corrector, a Langevin step
of length e = 2 (r |z| / |s|)^2 with score s = (D(x) - x) / sigma^2 and signal-to-noise ratio r, comes before the predictor, the
reverse diffusion over e = sigma^2 - sigma'^2 to the next level sigma':

    corrector  x <- x + e s + sqrt(2 e) z,        predictor  x <- x + e s + sqrt(e) z.

After each of them the likelihood acts for the same time. The published code leaves this map to the user; here it is the
implicit step (I + e A^H A / sigma_y^2)^-1 (x + e A^H y / sigma_y^2), which is stable for every e and exact for small ones.
The last predictor adds no noise. Our sampler is `nila_fast`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from nilatron.core.backend import Array, complex_normal, namespace
from nilatron.core.measurement import Measurement
from nilatron.core.prior.prior import Denoiser
from nilatron.core.sampling.nila_fast import Callback
from nilatron.core.sampling.schedule import geometric_schedule
from nilatron.core.solvers import conjugate_gradient

IMAGE_AXES = (-3, -2, -1)


@dataclass(frozen=True)
class PredictorCorrectorSettings:
    """Settings of predictor-corrector sampling, with the published defaults."""

    levels: int = 100  # noise levels, falling geometrically; two evaluations of the network at each
    sigma_max: float = 5.0  # first of them, image scale 1
    sigma_min: float = 0.005  # last of them
    target_snr: float = 0.25  # of the corrector's drift to its noise
    iterations: int = 10  # of conjugate gradients after each step

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        geometric_schedule(self.levels, self.sigma_max, self.sigma_min)
        if not 0 < self.target_snr < 1 or self.iterations < 1:
            raise ValueError(
                f"expected 0 < target_snr < 1 and iterations >= 1, got {self.target_snr} and {self.iterations}"
            )


def predictor_corrector(
    denoiser: Denoiser,
    operator: Measurement,
    data: Array,
    *,
    n_samples: int,
    sigma: float,
    scale: float,
    generator: np.random.Generator,
    settings: PredictorCorrectorSettings | None = None,
    callback: Callback | None = None,
) -> Array:
    """Independent posterior samples (sample, z, y, x) of one slice in physical units; parameters are those of `pula`."""
    settings = settings or PredictorCorrectorSettings()
    sigma_y, y = sigma / scale, data / scale
    back_projected = operator.adjoint(y)[None]
    xp, shape = namespace(y), (n_samples, *back_projected.shape[1:])

    def score(x: Array, level: float) -> Array:
        return (denoiser(x, level).mean - x) / level**2

    def noise() -> Array:
        return complex_normal(generator, shape, y)

    def norm(image: Array) -> Array:
        return xp.sqrt(xp.sum(xp.real(image) ** 2 + xp.imag(image) ** 2, axis=IMAGE_AXES, keepdims=True))

    def with_likelihood(x: Array, length: Array | float) -> Array:
        weight = length / sigma_y**2
        return conjugate_gradient(
            lambda v: v + weight * operator.normal(v),
            x + weight * back_projected,
            x,
            tolerance=1e-6,
            max_iterations=settings.iterations,
        ).x

    levels = geometric_schedule(settings.levels, settings.sigma_max, settings.sigma_min)
    x = settings.sigma_max * noise()
    for step, level in enumerate(levels):
        if callback is not None:
            callback(step, level, x)
        last = step + 1 == len(levels)
        z, drift = noise(), score(x, level)
        length = 2 * (settings.target_snr * norm(z) / norm(drift)) ** 2
        x = with_likelihood(x + length * drift + xp.sqrt(2 * length) * z, length)
        fall = level**2 - (0.0 if last else levels[step + 1] ** 2)
        x = x + fall * score(x, level)
        x = with_likelihood(x if last else x + math.sqrt(fall) * noise(), fall)
    return x * scale
