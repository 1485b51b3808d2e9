"""Self-conditioning: at each step the network also sees its estimate of the previous step.

The changes that data consistency has made to this estimate help the network to distinguish errors of the scan from structure.
The network was trained this way, through the sampler (Chen, Zhang and Hinton, ICLR 2023, arXiv 2208.04202, section 3.2).
"""

from __future__ import annotations

from nilatron.core.backend import Array
from nilatron.core.prior.prior import ConditionedDenoiser, Denoiser, Estimate


def self_conditioned_denoiser(denoiser: ConditionedDenoiser) -> Denoiser:
    """Denoiser for one run of the sampler that passes `denoiser` its own previous estimate, if that has the same shape."""
    previous: Array | None = None

    def denoise(x: Array, sigma: float) -> Estimate:
        nonlocal previous
        estimate = denoiser(x, sigma, previous if previous is not None and previous.shape == x.shape else None)
        previous = estimate.mean
        return estimate

    return denoise
