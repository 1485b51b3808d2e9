"""Posterior samples, their mean and their standard deviation: the uncertainty map of an image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nilatron.core.backend import Array, namespace
from nilatron.core.measurement import Measurement
from nilatron.core.prior.prior import Denoiser
from nilatron.core.sampling.nila_fast import Callback, SolverSettings, nila_fast


@dataclass(frozen=True)
class Posterior:
    """Mean and standard deviation of posterior samples.

    Attributes
    ----------
    mean
        Complex image (z, y, x).
    standard_deviation
        Real image (z, y, x): square root of the complex sample variance, in the units of `mean`.
    """

    mean: Array
    standard_deviation: Array


def sample_posterior(
    denoiser: Denoiser,
    operator: Measurement,
    data: Array,
    schedule: Sequence[float],
    *,
    n_samples: int,
    start: Array,
    sigma: float,
    scale: float,
    generator: np.random.Generator,
    solver: SolverSettings | None = None,
    callback: Callback | None = None,
) -> Posterior:
    """Draw `n_samples` posterior samples in one batch (`nila_fast` with tau = 1); `start` is (z, y, x).

    Raises
    ------
    ValueError
        When there are fewer than two samples, which have no variance, or more than one slice.
    """
    if start.ndim != 3:
        raise ValueError(f"samples are drawn of one slice (z, y, x), got a start of shape {tuple(start.shape)}")
    if n_samples < 2:
        raise ValueError(f"an uncertainty map needs at least 2 posterior samples, got {n_samples}")
    xp = namespace(start)
    batch = xp.stack([start] * n_samples)
    samples = nila_fast(
        denoiser,
        operator,
        data,
        schedule,
        start=batch,
        sigma=sigma,
        scale=scale,
        tau=1.0,
        generator=generator,
        solver=solver,
        callback=callback,
    ).image
    mean = xp.mean(samples, axis=0)
    deviation = samples - mean[None]
    variance = xp.sum(xp.real(deviation) ** 2 + xp.imag(deviation) ** 2, axis=0) / (n_samples - 1)
    return Posterior(mean, xp.sqrt(variance))
