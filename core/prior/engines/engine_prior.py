"""A denoising network on its engine, as samplers take it: a `Prior`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nilatron.core.backend import Array, converted_to, to_torch
from nilatron.core.prior.engines.engine import Engine
from nilatron.core.prior.prior import Estimate

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class EnginePrior:
    """D(x, sigma) for arrays of any library.

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

    @property
    def label(self) -> str:
        """Engine and precision, with what is to be said of them."""
        return self.engine.label

    def estimate(self, x: Array, sigma: float, previous_estimate: Array | None = None, /) -> Estimate:
        """E[x0 | x]; memory is handed to torch and back without a copy where it can be."""
        from nilatron.core.prior.edm import denoise_complex

        known = None if previous_estimate is None else to_torch(previous_estimate).to(self.device)
        mean = denoise_complex(self.engine.channels, to_torch(x).to(self.device), sigma, known)
        return Estimate(converted_to(mean, x))
