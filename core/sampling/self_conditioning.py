"""Self-conditioning: at each step the network also sees what it made of the step before.

What data consistency has changed in that estimate since tells errors of this scan from structure. The network was trained so,
through the sampler (self-conditioning: Chen, Zhang and Hinton, ICLR 2023, arXiv 2208.04202, section 3.2).
"""

from __future__ import annotations

from typing import Protocol

from nilatron.core.backend import Array
from nilatron.core.sampling.nila_fast import Denoiser


class ConditionedDenoiser(Protocol):
    """D(x, sigma | previous estimate) on complex images of image scale 1, (batch, z, y, x)."""

    def __call__(self, x: Array, sigma: float, previous_estimate: Array | None, /) -> Array:
        """Denoise x; the previous estimate is that of the step before, None where there is none. A prior may ignore it."""


def self_conditioned_denoiser(denoiser: ConditionedDenoiser) -> Denoiser:
    """The denoiser of one run of the sampler: each call is given the result of the one before, if that has its shape."""
    previous_estimate: Array | None = None

    def denoise(x: Array, sigma: float) -> Array:
        nonlocal previous_estimate
        fits = previous_estimate is not None and previous_estimate.shape == x.shape
        previous_estimate = denoiser(x, sigma, previous_estimate if fits else None)
        return previous_estimate

    return denoise
