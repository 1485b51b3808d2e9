"""Nila-DC as published (Huang, Luo et al., MICCAI 2024, arXiv 2403.05245; Eq. 6, 10 and 11), for comparison.

A DDPM sampler whose network output is corrected by a few gradient steps towards the data, with a weight lambda_t that
falls once the diffusion noise is below the noise of the measurement. It works in model space u = 2 x - 1 (real and
imaginary part). Its known weaknesses are kept: the weight jumps from 1 to 0.2, all noise is drawn anew around the mean
(Eq. 11), which halves the posterior variance, and the gradient steps are not preconditioned. Our sampler is `nila_fast`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nilatron.core.backend import Array, complex_normal
from nilatron.core.measurement import Measurement
from nilatron.core.prior.prior import Denoiser
from nilatron.core.sampling.nila_fast import Callback
from nilatron.core.sampling.schedule import linear_vp_schedule

N_TRAIN_STEPS = 1000
MODEL_ORIGIN = 1 + 1j  # x = (u + MODEL_ORIGIN) / 2


@dataclass(frozen=True)
class NilaSettings:
    """Settings of the published sampler, with the published defaults."""

    n_steps: int = 1000  # network evaluations; a divisor of 1000
    n_gradient_steps: int = 4
    adaptive: bool = True  # False: lambda = 1 in all steps, which the authors call "without Nila"


def dc_weight(index: int, ratio: float, sigma: float, first_below: int) -> float:
    """lambda_t (Eq. 10): 1 while ratio = sqrt(1 - abar) / sqrt(abar) >= sigma, then 0.2 t / t*.

    `first_below` is t*, the first index below the threshold. It is 0 if sigma is at or below the end of the schedule; the
    weight then stays 1, where the authors' code divides by zero.
    """
    if ratio >= sigma or first_below <= 0:
        return 1.0
    return 0.2 * index / first_below


def nila(
    denoiser: Denoiser,
    operator: Measurement,
    data: Array,
    *,
    sigma: float,
    scale: float,
    generator: np.random.Generator,
    settings: NilaSettings | None = None,
    callback: Callback | None = None,
) -> Array:
    """Image of one slice by one run of the published sampler.

    Parameters
    ----------
    denoiser
        (x, sigma) -> estimate with the mean D(x, sigma), on complex images of image scale 1.
    operator, data
        Measurement and its data y (coil, k2, k1, k0), in physical units.
    sigma
        Complex standard deviation of the noise of y, in physical units.
    scale
        Image scale: the network sees x / scale.
    generator
        Random generator of all noise.
    settings
        Numbers of steps.
    callback
        Called with step, sigma and x (image scale 1) before each evaluation; an exception that it raises ends the run.

    Returns
    -------
    Image (z, y, x) in physical units.
    """
    settings = settings or NilaSettings()
    if N_TRAIN_STEPS % settings.n_steps:
        raise ValueError(f"n_steps must divide {N_TRAIN_STEPS}, got {settings.n_steps}")
    skip = N_TRAIN_STEPS // settings.n_steps
    alpha_bar = linear_vp_schedule()[skip - 1 :: skip]
    sigma_model = 2 * sigma / scale / np.sqrt(2)  # per real component of u
    zero_filled = operator.adjoint(data) / scale
    if zero_filled.ndim != 3:
        raise ValueError(f"the published sampler takes one slice, got images of shape {tuple(zero_filled.shape)}")
    ratios = np.sqrt((1 - alpha_bar) / alpha_bar)
    below = np.flatnonzero(ratios < sigma_model)
    first_below = int(below[-1]) + 1 if below.size and settings.adaptive else 0
    u = complex_normal(generator, tuple(zero_filled.shape), zero_filled) * np.sqrt(2).item()
    for index in reversed(range(settings.n_steps)):
        abar = float(alpha_bar[index])
        diffused = (u / abar**0.5 + MODEL_ORIGIN) / 2  # x + n with n of complex standard deviation ratio / sqrt(2)
        sigma_t = float(ratios[index]) / 2**0.5
        if callback is not None:
            callback(settings.n_steps - 1 - index, sigma_t, diffused)
        u0 = 2 * denoiser(diffused, sigma_t).mean - MODEL_ORIGIN  # Eq. 6
        previous = float(alpha_bar[index - 1]) if index else 1.0
        ratio = (1 - previous) ** 0.5 / previous**0.5
        weight = dc_weight(index, ratio, sigma_model, first_below) if settings.adaptive else 1.0
        for _ in range(settings.n_gradient_steps):
            u0 = u0 - weight * 2 * (operator.normal((u0 + MODEL_ORIGIN) / 2) - zero_filled)
        noise = complex_normal(generator, tuple(u0.shape), u0) * np.sqrt(2).item()
        u = previous**0.5 * u0 + (1 - previous) ** 0.5 * noise  # Eq. 11
    return (u + MODEL_ORIGIN) / 2 * scale
