"""Preconditioned unadjusted Langevin sampling, BART's `sample` (Blumenthal et al., arXiv 2512.05791), reimplemented.

One step at each of 100 levels sigma, falling geometrically from 10 to 0.01, with M = (A^H A / sigma_y^2 + I / sigma^2)^-1:

    x <- (1 - gamma) x + gamma M (A^H y / sigma_y^2 + D(x) / sigma^2) + sqrt(2 gamma) M^(1/2) z,        gamma = 1/2

by 10 conjugate-gradient iterations; M^(1/2) z is drawn as M (A^H n / sigma_y + n' / sigma). The last step returns the mean
M (...). The BART of the package bartorch is built without PyTorch and cannot run it with our network.
"""

from __future__ import annotations

import math

import numpy as np

from nilatron.core.backend import Array, complex_normal
from nilatron.core.measurement import Measurement as LinearMeasurement
from nilatron.core.prior.prior import MeanDenoiser
from nilatron.core.solvers import conjugate_gradient
from peers.case import Case
from peers.denoiser import CountedDenoiser
from peers.measurement import Measurement, RunSettings, once

N_LEVELS, SIGMA_MAX, SIGMA_MIN, GAMMA, N_CG = 100, 10.0, 0.01, 0.5, 10


def pula(
    denoiser: MeanDenoiser,
    operator: LinearMeasurement,
    data: Array,
    *,
    sigma: float,
    scale: float,
    generator: np.random.Generator,
) -> Array:
    """Image (z, y, x) in physical units; `sigma` is the noise of the data, `scale` the image scale."""
    sigma_y, y = sigma / scale, data / np.float32(scale)
    back_projected = operator.adjoint(y)

    def noise(reference: Array) -> Array:
        return complex_normal(generator, tuple(reference.shape), reference)

    x = np.float32(SIGMA_MAX) * noise(back_projected)
    for level in (float(value) for value in np.geomspace(SIGMA_MAX, SIGMA_MIN, N_LEVELS)):
        weight, estimate = np.float32((level / sigma_y) ** 2), denoiser(x, level)
        right = estimate + weight * back_projected
        if level > SIGMA_MIN:
            jitter = level * (noise(x) + np.float32(level / sigma_y) * operator.adjoint(noise(y)))
            right = GAMMA * right + np.float32(math.sqrt(2 * GAMMA)) * jitter
        solved = conjugate_gradient(
            lambda v, weight=weight: v + weight * operator.normal(v),  # type: ignore[misc]
            right,
            estimate,
            tolerance=1e-6,
            max_iterations=N_CG,
        ).x
        x = (1 - GAMMA) * x + solved if level > SIGMA_MIN else solved
    return x * np.float32(scale)


def measure(case: Case, variant: str, settings: RunSettings) -> Measurement:
    """One sample."""
    del variant
    denoiser = CountedDenoiser(settings.weights, np.shape(case.reference))

    def run() -> Array:
        problem = case.problem(settings.weights)
        return pula(
            denoiser,
            problem.operator,
            problem.data,
            sigma=problem.noise_level,
            scale=problem.scale,
            generator=np.random.default_rng(0),
        )

    image, seconds = once(run)
    n_products = N_LEVELS * (N_CG + 1)
    return Measurement(
        seconds, 1, case.psnr(image), denoiser.n_evaluations, n_products, note="reimplemented; one sample"
    )
