"""The sampler, first at half the resolution.

While the diffusion noise is strong it leaves of an image little but the low frequencies, which a quarter of the pixels hold:
these steps cost a quarter, so that more of them can be made. What they find replaces the low frequencies of the warm start.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nilatron.core.backend import Array
from nilatron.core.measurement import Measurement
from nilatron.core.prior.prior import Denoiser
from nilatron.core.resolution import coarse_image, coarse_shape, replace_low_frequencies, value_ratio
from nilatron.core.sampling.nila_fast import (
    Callback,
    Generators,
    Numbers,
    SamplerResult,
    Solver,
    SolverSettings,
    nila_fast,
)
from nilatron.core.solvers import conjugate_gradient


def nila_coarse_to_fine(
    denoiser: Denoiser,
    operator: Measurement,
    data: Array,
    schedule: Sequence[float],
    n_coarse: int,
    *,
    start: Array,
    sigma: Numbers,
    scale: Numbers,
    generator: Generators,
    solver: SolverSettings | None = None,
    sigma_fraction: float = 1.0,
    momentum: float = 0.0,
    solve: Solver = conjugate_gradient,
    callback: Callback | None = None,
) -> SamplerResult:
    """Images with tau = 0, the first `n_coarse` steps at half the resolution where that has pixels enough.

    A level of noise s of the schedule is s / sqrt(N / M) of the image scale there (see `core.resolution`). All other parameters
    and what is raised are those of `nila_fast`.

    Raises
    ------
    ValueError
        Unless at least one step is left for the full resolution.
    """
    if not 0 <= n_coarse < len(schedule):
        raise ValueError(f"of {len(schedule)} steps from 0 to {len(schedule) - 1} can be coarse, got {n_coarse}")
    shape = (int(start.shape[-3]), int(start.shape[-2]), int(start.shape[-1]))
    coarse = coarse_shape(shape)

    def sample(
        model: Measurement, measured: Array, levels: Sequence[float], begin: Array, times: float, *, first_step: int
    ) -> SamplerResult:
        return nila_fast(
            denoiser,
            model,
            measured,
            [level / times for level in levels],
            start=begin,
            sigma=sigma,
            scale=np.asarray(scale) * times,
            tau=0.0,
            generator=generator,
            solver=solver,
            sigma_fraction=sigma_fraction,
            noisy_start=not first_step,
            momentum=momentum,
            solve=solve,
            callback=callback and (lambda step, level, x: callback(first_step + step, level * times, x)),
        )

    coarsened = operator.coarse(data, coarse) if n_coarse and coarse != shape else None
    if coarsened is None:
        return sample(operator, data, schedule, start, 1.0, first_step=0)
    ratio = value_ratio(shape, coarse)
    first = sample(*coarsened, schedule[:n_coarse], coarse_image(start, coarse), ratio, first_step=0)
    begin = replace_low_frequencies(first.image, start)
    then = sample(operator, data, schedule[n_coarse:], begin, 1.0, first_step=n_coarse)
    return SamplerResult(then.image, len(schedule), first.iterations + then.iterations, n_coarse, then.variance)
