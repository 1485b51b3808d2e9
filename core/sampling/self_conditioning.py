"""Self-conditioning: at each step the network also sees what it made of the step before.

What data consistency has changed in that estimate since tells errors of this scan from structure. The network was trained so,
through the sampler (self-conditioning: Chen, Zhang and Hinton, ICLR 2023, arXiv 2208.04202, section 3.2).
"""

from __future__ import annotations

from nilatron.core.backend import Array
from nilatron.core.prior.prior import ConditionedDenoiser, Denoiser, Estimate


def self_conditioned_denoiser(denoiser: ConditionedDenoiser) -> Denoiser:
    """The denoiser of one run of the sampler: each call is given the result of the one before, if that has its shape."""
    previous: Array | None = None

    def denoise(x: Array, sigma: float) -> Estimate:
        nonlocal previous
        estimate = denoiser(x, sigma, previous if previous is not None and previous.shape == x.shape else None)
        previous = estimate.mean
        return estimate

    return denoise
