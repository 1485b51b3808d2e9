"""Posterior samples, what is estimated from them, and the noise-free end of a chain.

The samples share their burn-in: one run finds an image, and the samples part from it at a noise level `split_sigma` that covers
the image's own errors, as a chain that has burnt in is split into several (Luo et al., MRM 2023). The noise that parts them is
balanced: it sums to zero over the samples, while each of them alone has noise of variance 1. What depends linearly on the noise
therefore cancels in their mean, which has nearly the error of infinitely many samples.

One step after the split shows where and how the prior would give way, but not how far: with a Gaussian prior and a split at the
posterior's deviation it leaves a quarter to a fifth of the variance. The deviations are therefore enlarged, all of a slice by
one factor, to the size that errors were found to have where one step deviates so much. The factor alone is fitted; which
structures differ is the prior's answer.

The image is an estimate of the posterior mean, too, and with a learned prior often the better one. The samples are therefore
moved together, by half of what their mean is away from it (a control variate); their spread stays as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from nilatron.core.backend import Array, namespace, real_dtype
from nilatron.core.measurement import Measurement
from nilatron.core.metrics import FOREGROUND
from nilatron.core.prior.prior import Denoiser
from nilatron.core.sampling.nila_fast import Callback, SolverSettings, nila_fast

# of the rms deviation after one step in the factor that enlarges it; fitted with `WIDENING`
WIDENING_POWER = 0.23


@dataclass(frozen=True)
class Posterior:
    """Posterior samples and the estimates from them.

    Attributes
    ----------
    samples
        Complex images (sample, z, y, x).
    balanced
        Whether their noise sums to zero: their mean then spreads no more, and all of them count for the variance.
    """

    samples: Array
    balanced: bool = False

    @cached_property
    def mean(self) -> Array:
        """Estimate of least mean squared error (MMSE): complex image (z, y, x)."""
        return namespace(self.samples).mean(self.samples, axis=0)

    @cached_property
    def standard_deviation(self) -> Array:
        """Square root of the complex sample variance: real image (z, y, x), in the units of `mean`."""
        xp = namespace(self.samples)
        deviation = self.samples - self.mean[None]
        return self._root_mean(xp.real(deviation) ** 2 + xp.imag(deviation) ** 2)

    @cached_property
    def magnitude_deviation(self) -> Array:
        """Standard deviation of the samples' magnitudes: real image (z, y, x)."""
        xp = namespace(self.samples)
        magnitudes = xp.abs(self.samples)
        return self._root_mean((magnitudes - xp.mean(magnitudes, axis=0)[None]) ** 2)

    def _root_mean(self, squares: Array) -> Array:
        xp, n_samples = namespace(squares), int(squares.shape[0])
        return xp.sqrt(xp.sum(squares, axis=0) / (n_samples if self.balanced else n_samples - 1))


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
    balanced: bool = True,
    centred: float = 0.0,
    widening: float = 0.0,
    solver: SolverSettings | None = None,
    callback: Callback | None = None,
) -> Posterior:
    """Draw `n_samples` posterior samples in one batch (`nila_fast` with tau = 1); `start` (z, y, x) is their burn-in's end.

    Parameters
    ----------
    schedule
        Levels after the split, image scale 1; noise of the first of them is added to the start.
    balanced
        Whether the noise sums to zero over the samples; otherwise they are independent.
    centred
        Part of the way from their mean to the start by which all samples are moved, for a start that estimates the mean.
    widening
        By how much their deviations are enlarged (`widened`), for one step from a start whose error set its level; 0: not.

    Raises
    ------
    ValueError
        When there are fewer than two samples, which have no variance, or more than one slice.
    """
    if start.ndim != 3:
        raise ValueError(f"samples are drawn of one slice (z, y, x), got a start of shape {tuple(start.shape)}")
    if n_samples < 2:
        raise ValueError(f"an uncertainty map needs at least 2 posterior samples, got {n_samples}")
    samples = nila_fast(
        denoiser,
        operator,
        data,
        schedule,
        start=namespace(start).stack([start] * n_samples),
        sigma=sigma,
        scale=scale,
        tau=1.0,
        generator=generator,
        balanced=balanced,
        solver=solver,
        callback=callback,
    ).image
    posterior = Posterior(samples, balanced)
    if widening:
        posterior = widened(posterior, start, scale, widening)
    if centred:
        posterior = Posterior(posterior.samples + centred * (start - posterior.mean)[None], balanced)
    return posterior


def widened(posterior: Posterior, image: Array, scale: float, widening: float) -> Posterior:
    """Samples with their mean kept, and all deviations from it multiplied by widening r^WIDENING_POWER.

    r is the rms of the magnitudes' deviations over the object that `image` (z, y, x) shows, by the image scale; without an
    object it counts as 0.
    """
    xp = namespace(image)
    inside = xp.astype(xp.abs(image) > FOREGROUND * scale, real_dtype(image))
    n_inside = xp.sum(inside)
    n_inside = xp.where(n_inside > 0, n_inside, xp.ones_like(n_inside))
    variance = xp.sum(inside * posterior.magnitude_deviation**2) / n_inside
    factor = widening * (xp.sqrt(variance) / scale) ** WIDENING_POWER
    return Posterior(posterior.mean + factor * (posterior.samples - posterior.mean), posterior.balanced)


def most_probable(
    denoiser: Denoiser,
    operator: Measurement,
    data: Array,
    schedule: Sequence[float],
    *,
    sample: Array,
    sigma: float,
    scale: float,
    generator: np.random.Generator,
    solver: SolverSettings | None = None,
    callback: Callback | None = None,
) -> Array:
    """Image (z, y, x) near a maximum of the posterior density (MAP): the chain of a sample goes on without noise.

    At a fixed point of a step at the level s the gradients of log-likelihood and log p_s, the prior blurred by s, cancel. The
    levels of `schedule` fall, so that the first steps move far and the last blur little.
    """
    return nila_fast(
        denoiser,
        operator,
        data,
        schedule,
        start=sample[None],
        sigma=sigma,
        scale=scale,
        tau=0.0,
        generator=generator,
        noisy_start=False,
        solver=solver,
        callback=callback,
    ).image[0]
