"""The prior of this process."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from nilatron.core.backend import Array, like, to_torch
from nilatron.core.prior.weights import Prior, load_prior
from nilatron.core.sampling.nila_fast import Denoiser


@lru_cache(maxsize=2)
def prior_for(weights: Path, device: str) -> Prior:
    """The prior, loaded once a process."""
    return load_prior(weights, device)


def network_denoiser(prior: Prior) -> Denoiser:
    """D for arrays of any library; memory is handed to torch and back without a copy."""
    target = next(prior.denoiser.parameters()).device

    def denoise(x: Array, sigma: float) -> Array:
        return like(prior.denoiser.denoise(to_torch(x).to(target), sigma), x)

    return denoise
