"""Decomposed Diffusion Sampling (Chung, Lee, Ye, ICLR 2024, arXiv 2303.05754), reimplemented from the paper.

For t falling along 50 of 1000 steps of a variance-preserving schedule (abar: `linear_vp_schedule`), with the image
x_t = sqrt(abar) u + sqrt(1 - abar) n, n of unit variance per real component:

    x0  = D(x_t / sqrt(abar)) at noise sqrt((1 - abar) / abar) per component,    e = (x_t - sqrt(abar) x0) / sqrt(1 - abar)
    x0' = 5 conjugate-gradient iterations from x0 on (I + gamma A^H A) x = x0 + gamma A^H y,      gamma = 1
    x_s = sqrt(abar_s) x0' + sqrt(1 - abar_s - eta^2 b^2) e + eta b z                             (DDIM, eta = 0.85)

with b^2 = (1 - abar_s) / (1 - abar) (1 - abar / abar_s), s the next step and abar_s = 1 at the end. gamma is fixed: the method
knows no noise of the measurement. Inner products here are those of complex images.
"""

from __future__ import annotations

import math

import numpy as np

from nilatron.core.backend import Array, complex_normal
from nilatron.core.measurement import Measurement as LinearMeasurement
from nilatron.core.prior.prior import MeanDenoiser
from nilatron.core.sampling.schedule import linear_vp_schedule
from nilatron.core.solvers import conjugate_gradient
from peers.case import Case
from peers.denoiser import CountedDenoiser
from peers.measurement import Measurement, RunSettings, once

GAMMA, ETA, N_STEPS, N_CG = 1.0, 0.85, 50, 5


def noise_split(abar: float, following: float, eta: float = ETA) -> tuple[float, float]:
    """Weights of the predicted noise e and of fresh noise z; their squares add up to 1 - abar of the next step."""
    fresh = eta * math.sqrt((1 - following) / (1 - abar) * (1 - abar / following))
    return math.sqrt(max(1 - following - fresh**2, 0.0)), fresh


def dds(
    denoiser: MeanDenoiser, operator: LinearMeasurement, data: Array, *, scale: float, generator: np.random.Generator
) -> Array:
    """Image (z, y, x) in physical units; `scale` is the image scale."""
    back_projected = operator.adjoint(data) / scale
    levels = linear_vp_schedule()[:: 1000 // N_STEPS][::-1]
    shape = tuple(back_projected.shape)

    def noise() -> Array:  # unit variance per real component
        return complex_normal(generator, shape, back_projected) * np.float32(math.sqrt(2))

    x = noise()
    for i, abar in enumerate(float(level) for level in levels):
        following = float(levels[i + 1]) if i + 1 < len(levels) else 1.0
        estimate = denoiser(x / np.float32(math.sqrt(abar)), math.sqrt(2 * (1 - abar) / abar))
        predicted = (x - math.sqrt(abar) * estimate) / math.sqrt(1 - abar)
        solved = conjugate_gradient(
            lambda v: v + GAMMA * operator.normal(v),
            estimate + GAMMA * back_projected,
            estimate,
            tolerance=0.0,
            max_iterations=N_CG,
        ).x
        kept, fresh = noise_split(abar, following)
        x = math.sqrt(following) * solved + kept * predicted + fresh * noise()
    return x * scale


def measure(case: Case, variant: str, settings: RunSettings) -> Measurement:
    """One run."""
    del variant
    denoiser = CountedDenoiser(settings.weights, np.shape(case.reference))

    def run() -> Array:
        problem = case.problem(settings.weights)  # for the image scale, as ours
        return dds(denoiser, problem.operator, problem.data, scale=problem.scale, generator=np.random.default_rng(0))

    image, seconds = once(run)
    return Measurement(
        seconds,
        1,
        case.psnr(image),
        denoiser.n_evaluations,
        N_STEPS * (N_CG + 1),
        note="reimplemented; gamma 1, eta 0.85",
    )
