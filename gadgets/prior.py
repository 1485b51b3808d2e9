"""The prior of this process."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch

from nilatron.core.backend import Array, like, to_torch
from nilatron.core.prior.edm import denoise_complex
from nilatron.core.prior.engines.choose import EngineSettings, engine_for
from nilatron.core.prior.engines.engine import Engine
from nilatron.core.prior.weights import load_prior


@dataclass(frozen=True)
class ReadyPrior:
    """A prior on its device and engine.

    Attributes
    ----------
    engine
        What computes D.
    device
        Of its tensors.
    sha256
        Of the weights file.
    """

    engine: Engine
    device: torch.device
    sha256: str

    def denoise(self, x: Array, sigma: float) -> Array:
        """D for arrays of any library; memory is handed to torch and back without a copy where it can be."""
        return like(denoise_complex(self.engine.channels, to_torch(x).to(self.device), sigma), x)


@lru_cache(maxsize=2)
def prior_for(weights: Path, device: str, settings: EngineSettings | None = None) -> ReadyPrior:
    """The prior, loaded once a process."""
    settings = settings or EngineSettings()
    prior = load_prior(weights, device)
    return ReadyPrior(engine_for(prior, settings, device), torch.device(device), prior.sha256)
