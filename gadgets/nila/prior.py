"""The prior of this process."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from nilatron.core.backend import Array, converted_to, to_torch
from nilatron.core.prior.engines.choose import EngineSettings, engine_for, read_weights
from nilatron.core.prior.engines.engine import Engine
from nilatron.gadgets.engine_cache import user_cache

if TYPE_CHECKING:
    import torch


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

    def denoise(self, x: Array, sigma: float, previous_estimate: Array | None = None) -> Array:
        """D for arrays of any library; memory is handed to torch and back without a copy where it can be."""
        from nilatron.core.prior.edm import denoise_complex

        known = None if previous_estimate is None else to_torch(previous_estimate).to(self.device)
        return converted_to(denoise_complex(self.engine.channels, to_torch(x).to(self.device), sigma, known), x)


def prior_for(weights: Path, device: str, settings: EngineSettings | None = None) -> ReadyPrior:
    """The prior, of a safetensors or an ONNX file, loaded once a process for the same words; the user's cache keeps models.

    Raises
    ------
    BadInputError
        When the file or the engine cannot be used.
    """
    return _prior_for(weights, device, settings or EngineSettings())


@lru_cache(maxsize=2)
def _prior_for(weights: Path, device: str, settings: EngineSettings) -> ReadyPrior:
    import torch

    source = read_weights(weights, device)
    return ReadyPrior(engine_for(source, settings, device, user_cache), torch.device(device), source.sha256)
