"""Noise-adaptive proximal sampler: the idea of Nila with the weight that follows from the likelihood.

With p(x0 | x_sigma) ~ CN(D, sigma^2 I) the conditional posterior is Gaussian, and its mean is

    x^ = argmin |A x - y|^2 / sigma_y^2 + |x - D|^2 / sigma^2.                                         (P)

If A is a subset of the rows of a unitary matrix, this is a step of weight sigma^2 / (sigma^2 + sigma_y^2): 1 while the
diffusion noise dominates, 1/2 where Nila's rule switches (Huang, Luo et al., MICCAI 2024, Eq. 10), 0 at the end. In general
there is a weight for each singular value of A, which accounts for the g-factor. tau = 0 gives the image. tau = 1 perturbs
data and denoised image by their noise before solving (Papandreou and Yuille, NIPS 2010), which draws exact samples of the
Gaussian; each run then gives a posterior sample.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from nilatron.core.backend import Array, complex_normal, converted_to, namespace, real_dtype, to_numpy
from nilatron.core.measurement import Measurement
from nilatron.core.prior.prior import Denoiser
from nilatron.core.solvers import Solution, conjugate_gradient

# one number, or generator, for the whole batch or one for each of its elements
PerElement: TypeAlias = "float | Sequence[float] | npt.NDArray[np.float64]"
RandomGenerators: TypeAlias = "np.random.Generator | Sequence[np.random.Generator]"
# (step, sigma, x) before each evaluation of the denoiser, x (batch, z, y, x) of image scale 1; an exception ends the run
Callback: TypeAlias = Callable[[int, float, Array], None]
# (sigma, estimate) behind each evaluation, estimate (batch, z, y, x) in physical units: the measurement to go on with, of the
# same data, or None for the one that there is
Renewal: TypeAlias = Callable[[float, Array], "Measurement | None"]


class Solver(Protocol):
    """A function that solves A x = b, as `conjugate_gradient` does."""

    def __call__(
        self,
        apply: Callable[[Array], Array],
        b: Array,
        start: Array,
        /,
        *,
        tolerance: float,
        min_change: float,
        max_iterations: int,
    ) -> Solution:
        """The solution for each element of the batch."""


@dataclass(frozen=True, kw_only=True)
class SolverSettings:
    """Accuracy to which (P) is solved."""

    tolerance: float = 1e-3  # relative residual
    min_change: float = (
        0.0  # rms change, as a fraction of the level; a smaller change in an iteration ends the iterations
    )
    max_iterations: int = 20


@dataclass(frozen=True)
class SamplerResult:
    """Images and the work that they took.

    Attributes
    ----------
    image
        (batch, z, y, x) in physical units.
    n_evaluations
        Number of calls of the denoiser.
    iterations
        Number of conjugate gradient iterations of each element, summed over all steps: (batch, 1, 1, 1).
    n_coarse
        Number of evaluations at half the resolution.
    variance
        Variance that the prior states with its last estimate, (batch, z, y, x), in squared physical units; None for a prior
        without variances.
    last_input, last_estimate
        What the prior was given in the last step and its mean estimate, (batch, z, y, x) in physical units.
    """

    image: Array
    n_evaluations: int
    iterations: Array
    n_coarse: int = 0
    variance: Array | None = None
    last_input: Array | None = None
    last_estimate: Array | None = None

    @property
    def n_iterations(self) -> tuple[int, ...]:
        """Number of iterations of each element; reading it waits for a GPU."""
        return tuple(map(int, np.ravel(to_numpy(self.iterations))))


def balanced_noise(noise: Array) -> Array:
    """sqrt(S / (S - 1)) (n_i - mean n): noise (S, ...) of S samples, changed to have sum zero and the variance that it had."""
    n = int(noise.shape[0])
    return (noise - namespace(noise).mean(noise, axis=0, keepdims=True)) * math.sqrt(n / (n - 1))


def nila_fast(
    denoiser: Denoiser,
    operator: Measurement,
    data: Array,
    schedule: Sequence[float],
    *,
    start: Array,
    sigma: PerElement,
    scale: PerElement,
    tau: float,
    generator: RandomGenerators,
    balanced: bool = False,
    solver: SolverSettings | None = None,
    sigma_fraction: float = 1.0,
    noisy_start: bool = True,
    momentum: float = 0.0,
    solve: Solver = conjugate_gradient,
    callback: Callback | None = None,
    renewal: Renewal | None = None,
) -> SamplerResult:
    """Run the sampler for a batch; on a GPU the host does not wait for it.

    Parameters
    ----------
    denoiser
        (x, sigma) -> estimate with the mean D(x, sigma), on complex images of image scale 1, (batch, z, y, x).
    operator, data
        Measurement and its data y in physical units: (coil, k2, k1, k0) for several runs of one slice, or
        (batch, coil, k2, k1, k0) with another slice in each element.
    schedule
        Falling diffusion noise levels, image scale 1.
    start
        Warm start (batch, z, y, x) in physical units, e.g. CG-SENSE; its first axis sets the batch.
    sigma
        Complex standard deviation of the noise of y in physical units (1 for whitened data).
    scale
        Image scale: the network sees x / scale.
    tau
        0 for the image, 1 for posterior samples.
    generator
        Random generator of all noise. With one generator for each element, an element gets the same noise, and so the same
        image, in every batch.
    balanced
        Whether all noise sums to zero over the batch, for several samples of one slice: see `balanced_noise`.
    solver
        Accuracy to which (P) is solved.
    sigma_fraction
        Noise level that the network is given after the first step, as a fraction of the step's level. With 1 the weight is
        exact (a Gaussian prior gives its posterior mean). With tau = 0 no noise is added back, and a learned prior drifts
        towards its mode, which is too smooth; a fraction slightly below 1 compensates this.
    noisy_start
        Whether noise of the first level is added to the start; False if the start is a result of a previous level.
    momentum
        Fraction of the last step's change that is added to the network's input (Polyak, USSR Comput. Math. 1964), so that
        fewer steps reach the same image. Not for posterior samples.
    solve
        Solver of (P); training needs one that can be differentiated.
    callback
        Called before each step; an exception that it raises ends the run.
    renewal
        Called in each step between the evaluation and data consistency, for measurements that the image corrects.

    Raises
    ------
    ValueError
        When a sigma or scale is not positive, there are not as many generators as elements, momentum is set with tau > 0, or
        noise is to be balanced between fewer than two elements or those of several generators.
    """
    if tau and momentum:
        raise ValueError(f"posterior samples (tau = {tau}) have no momentum, got {momentum}")
    scales = np.reshape(np.asarray(scale, np.float64), (-1, 1, 1, 1))
    sigmas = np.reshape(np.asarray(sigma, np.float64), (-1, 1, 1, 1))
    if np.any(scales <= 0) or np.any(sigmas <= 0):
        raise ValueError(f"sigma and scale must be positive, got sigma {sigma} and scale {scale}")
    if not isinstance(generator, np.random.Generator) and len(generator) != start.shape[0]:
        raise ValueError(f"expected one generator or one for each of {start.shape[0]} elements, got {len(generator)}")
    if balanced and (not isinstance(generator, np.random.Generator) or start.shape[0] < 2):
        raise ValueError("balanced noise needs one generator and at least two elements")
    solver = solver or SolverSettings()
    xp, n_elements = namespace(data), int(start.shape[0])

    def on_data_device(values: npt.NDArray[np.float64]) -> Array:
        return xp.astype(converted_to(values, data), real_dtype(data))

    def noise(shape: tuple[int, ...]) -> Array:
        if isinstance(generator, np.random.Generator):
            drawn = complex_normal(generator, (n_elements, *shape), data)
            return balanced_noise(drawn) if balanced else drawn
        return xp.concat([complex_normal(own, (1, *shape), data) for own in generator])

    # copied to the device before the loop, because a copy makes the host wait for a GPU
    image_scale, sigma_y = on_data_device(scales), on_data_device(sigmas / scales)
    weights = on_data_device((np.reshape(schedule, (-1, 1, 1, 1, 1)) * scales / sigmas) ** 2)
    y = data / image_scale[..., None]
    back_projected = operator.adjoint(y)
    image_shape, data_shape = tuple(start.shape[1:]), tuple(y.shape[1:])
    x = start / image_scale
    if noisy_start:
        x = x + schedule[0] * noise(image_shape)
    previous: Array | None = None
    variance: Array | None = None
    iterations = xp.zeros((n_elements, 1, 1, 1), dtype=xp.int64, device=data.device)
    for step, level in enumerate(schedule):
        if callback is not None:
            callback(step, level, x)
        last, weight = step + 1 == len(schedule), weights[step]
        network_sigma = level if noisy_start and not step else sigma_fraction * level
        extrapolated = x + momentum * (x - previous) if momentum and previous is not None else x
        estimate = denoiser(extrapolated, network_sigma)
        renewed = renewal(level, estimate.mean * image_scale) if renewal is not None else None
        if renewed is not None:
            operator, back_projected = renewed, renewed.adjoint(y)
        prior_mean, variance, likelihood = estimate.mean, estimate.variance, back_projected
        if tau and not last:
            prior_mean = prior_mean + tau * level * noise(image_shape)
            likelihood = back_projected + tau * sigma_y * operator.adjoint(noise(data_shape))
        solution = solve(
            lambda v, weight=weight, normal=operator.normal: v + weight * normal(v),  # type: ignore[misc]
            prior_mean + weight * likelihood,
            prior_mean,
            tolerance=solver.tolerance,
            min_change=solver.min_change * level,
            max_iterations=solver.max_iterations,
        )
        iterations = iterations + solution.iterations
        previous = None if noisy_start and not step else x  # the change from the first noise is no momentum
        x = solution.x
        if tau and not last:
            x = x + tau * schedule[step + 1] * noise(image_shape)
    if variance is not None:
        variance = variance * image_scale**2
    return SamplerResult(
        x * image_scale,
        len(schedule),
        iterations,
        variance=variance,
        last_input=extrapolated * image_scale,
        last_estimate=estimate.mean * image_scale,
    )
