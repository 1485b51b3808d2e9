"""Self-conditioning: at each step the network also sees what it made of the step before.

What data consistency has changed in that estimate since tells errors of this scan from structure. The network was trained so,
through the sampler (self-conditioning: Chen, Zhang and Hinton, ICLR 2023, arXiv 2208.04202, section 3.2).
"""

from __future__ import annotations

from typing import Protocol

from nilatron.core.backend import Array
from nilatron.core.sampling.nila_fast import Denoiser


class ConditionedDenoiser(Protocol):
    """D(x, sigma | before) on complex images of image scale 1, (batch, z, y, x)."""

    def __call__(self, x: Array, sigma: float, before: Array | None, /) -> Array:
        """Denoise x; `before` is the estimate of the step before, None where there is none. A prior may ignore it."""


def remembering(denoiser: ConditionedDenoiser) -> Denoiser:
    """The denoiser of one run of the sampler: each call is given the result of the one before, if that has its shape."""
    before: Array | None = None

    def denoise(x: Array, sigma: float) -> Array:
        nonlocal before
        before = denoiser(x, sigma, before if before is not None and before.shape == x.shape else None)
        return before

    return denoise
