"""Noise-adaptive proximal sampler: Nila's idea with the weight that the likelihood implies.

With p(x0 | x_sigma) ~ CN(D, sigma^2 I) the conditional posterior is Gaussian, and its mean is

    x^ = argmin |A x - y|^2 / sigma_y^2 + |x - D|^2 / sigma^2.                                         (P)

For a unitary subset of rows this is a step of weight sigma^2 / (sigma^2 + sigma_y^2): 1 while the diffusion noise
dominates, 1/2 where Nila's rule switches (Huang, Luo et al., MICCAI 2024, Eq. 10), 0 in the end; per singular value of A
it is aware of the g-factor. tau = 0 gives the image. tau = 1 perturbs data and denoised image by their noise before solving
(Papandreou and Yuille, NIPS 2010), which draws exact samples of the Gaussian; then runs are posterior samples.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from nilatron.core.backend import Array, complex_normal, namespace
from nilatron.core.sense import SenseOperator
from nilatron.core.solvers import conjugate_gradient

Denoiser = Callable[[Array, float], Array]


@dataclass(frozen=True)
class SolverSettings:
    """How exactly (P) is solved."""

    tolerance: float = 1e-3  # relative residual
    max_iterations: int = 20


@dataclass(frozen=True)
class SamplerResult:
    """Images and what they cost.

    Attributes
    ----------
    image
        (batch, z, y, x) in physical units.
    n_evaluations
        Calls of the denoiser.
    n_iterations
        Conjugate-gradient iterations of the slowest element, all steps together.
    """

    image: Array
    n_evaluations: int
    n_iterations: int


def nila_fast(
    denoiser: Denoiser,
    operator: SenseOperator,
    data: Array,
    schedule: Sequence[float],
    *,
    start: Array,
    sigma: float,
    scale: float,
    tau: float,
    generator: np.random.Generator,
    solver: SolverSettings | None = None,
    noise_left: float = 1.0,
) -> SamplerResult:
    """Run the sampler for a batch; on a GPU the host waits for it once, at the end.

    Parameters
    ----------
    denoiser
        (x, sigma) -> D(x, sigma) on complex images of image scale 1, (batch, z, y, x).
    operator, data
        Measurement model and weighted k-space y (coil, z, y, x), physical units.
    schedule
        Falling diffusion noise levels, image scale 1.
    start
        Warm start (batch, z, y, x), e.g. CG-SENSE, physical units; its first axis sets the batch.
    sigma
        Complex standard deviation of the noise of y (1 for whitened data), physical units.
    scale
        Image scale: the network sees x / scale.
    tau
        0 for the image, 1 for posterior samples.
    generator
        Of all noise.
    solver
        How exactly (P) is solved.
    noise_left
        Share of the level that the network is told, after the first step. 1 is the exact weight (a Gaussian prior gives its
        posterior mean). With tau = 0 no noise is put back, and a learned prior drifts towards its mode, which is too smooth:
        a little less than 1 counters it.
    """
    if sigma <= 0 or scale <= 0:
        raise ValueError(f"sigma and scale must be positive, got sigma {sigma} and scale {scale}")
    solver = solver or SolverSettings()
    sigma_y = sigma / scale
    y = data / scale
    xp = namespace(y)

    def noise(shape: tuple[int, ...]) -> Array:
        return complex_normal(generator, shape, y)

    back_projected = operator.adjoint(y)[None]
    image_shape, data_shape = tuple(start.shape), (int(start.shape[0]), *y.shape)
    x = start / scale + schedule[0] * noise(image_shape)
    iterations = xp.zeros((), dtype=xp.int64, device=y.device)
    for step, level in enumerate(schedule):
        last = step + 1 == len(schedule)
        weight = (level / sigma_y) ** 2
        told = noise_left * level if step else level
        prior_mean, likelihood = denoiser(x, told), back_projected
        if tau and not last:
            prior_mean = prior_mean + tau * level * noise(image_shape)
            likelihood = back_projected + tau * sigma_y * operator.adjoint(noise(data_shape))
        solution = conjugate_gradient(
            lambda v, weight=weight: v + weight * operator.normal(v),  # type: ignore[misc]
            prior_mean + weight * likelihood,
            prior_mean,
            tolerance=solver.tolerance,
            max_iterations=solver.max_iterations,
        )
        iterations = iterations + xp.max(solution.iterations)
        x = solution.x
        if tau and not last:
            x = x + tau * schedule[step + 1] * noise(image_shape)
    return SamplerResult(x * scale, len(schedule), int(iterations))
