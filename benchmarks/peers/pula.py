"""Preconditioned unadjusted Langevin sampling, BART's `sample` (Blumenthal et al., arXiv 2512.05791): `core.sampling.pula`.

The BART of the package bartorch is built without PyTorch and cannot run it with our network.
"""

from __future__ import annotations

import numpy as np

from nilatron.core.backend import Array
from nilatron.core.measurement import Measurement as LinearMeasurement
from nilatron.core.prior.prior import Estimate, MeanDenoiser
from nilatron.core.sampling.pula import PulaSettings
from nilatron.core.sampling.pula import pula as samples_of
from peers.case import Case
from peers.denoiser import CountedDenoiser
from peers.measurement import Measurement, RunSettings, once

SETTINGS = PulaSettings()


def pula(
    denoiser: MeanDenoiser,
    operator: LinearMeasurement,
    data: Array,
    *,
    sigma: float,
    scale: float,
    generator: np.random.Generator,
) -> Array:
    """One sample (z, y, x) in physical units; `sigma` is the noise of the data, `scale` the image scale."""
    return samples_of(
        lambda x, level: Estimate(denoiser(x[0], level)[None]),
        operator,
        data,
        n_samples=1,
        sigma=sigma,
        scale=scale,
        generator=generator,
        settings=SETTINGS,
    )[0]


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
    n_products = SETTINGS.levels * (SETTINGS.iterations + 1)
    return Measurement(
        seconds, 1, case.psnr(image), denoiser.n_evaluations, n_products, note="reimplemented; one sample"
    )
