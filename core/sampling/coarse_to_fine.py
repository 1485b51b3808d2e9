"""The sampler with its first steps at half the resolution.

Strong diffusion noise hides all but the low frequencies of an image, which a quarter of the pixels can hold. The first steps
therefore cost only a quarter, and more of them can be made. Their result replaces the low frequencies of the warm start.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from nilatron.core.backend import Array
from nilatron.core.measurement import Measurement
from nilatron.core.prior.prior import Denoiser
from nilatron.core.resolution import coarse_image, coarse_shape, replace_low_frequencies, value_ratio
from nilatron.core.sampling.nila_fast import (
    Callback,
    PerElement,
    RandomGenerators,
    Renewal,
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
    sigma: PerElement,
    scale: PerElement,
    generator: RandomGenerators,
    solver: SolverSettings | None = None,
    sigma_fraction: float = 1.0,
    momentum: float = 0.0,
    solve: Solver = conjugate_gradient,
    callback: Callback | None = None,
    renewal: Renewal | None = None,
) -> SamplerResult:
    """Images with tau = 0; the first `n_coarse` steps are made at half the resolution if that has enough pixels.

    Relative to the image scale, a noise level s of the schedule is s / sqrt(N / M) at the coarse resolution (see
    `core.resolution`). All other parameters and errors are those of `nila_fast`; `renewal` is called at the full
    resolution only.

    Raises
    ------
    ValueError
        When `n_coarse` leaves no step for the full resolution.
    """
    if not 0 <= n_coarse < len(schedule):
        raise ValueError(f"of {len(schedule)} steps from 0 to {len(schedule) - 1} can be coarse, got {n_coarse}")
    shape = (int(start.shape[-3]), int(start.shape[-2]), int(start.shape[-1]))
    coarse = coarse_shape(shape)

    def sample(
        measurement: Measurement, y: Array, levels: Sequence[float], x: Array, ratio: float, *, first_step: int
    ) -> SamplerResult:
        return nila_fast(
            denoiser,
            measurement,
            y,
            [level / ratio for level in levels],
            start=x,
            sigma=sigma,
            scale=np.asarray(scale) * ratio,
            tau=0.0,
            generator=generator,
            solver=solver,
            sigma_fraction=sigma_fraction,
            noisy_start=not first_step,
            momentum=momentum,
            solve=solve,
            callback=callback and (lambda step, level, x: callback(first_step + step, level * ratio, x)),
            renewal=renewal if ratio == 1 else None,
        )

    coarse_measurement = operator.coarse(data, coarse) if n_coarse and coarse != shape else None
    if coarse_measurement is None:
        return sample(operator, data, schedule, start, 1.0, first_step=0)
    coarse_start, ratio = coarse_image(start, coarse), value_ratio(shape, coarse)
    first = sample(*coarse_measurement, schedule[:n_coarse], coarse_start, ratio, first_step=0)
    fine_start = replace_low_frequencies(first.image, start)
    second = sample(operator, data, schedule[n_coarse:], fine_start, 1.0, first_step=n_coarse)
    return replace(
        second,
        n_evaluations=len(schedule),
        iterations=first.iterations + second.iterations,
        n_coarse=n_coarse,
    )
