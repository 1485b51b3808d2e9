"""A denoising network with its engine, as a `Prior` for samplers."""

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
    """A `Prior` whose estimate D(x, sigma) an engine computes, for arrays of any library.

    Attributes
    ----------
    engine
        Engine that computes D.
    device
        Device of the engine's tensors.
    sha256
        SHA-256 of the weights file.
    """

    engine: Engine
    device: torch.device
    sha256: str

    @property
    def label(self) -> str:
        """Engine and precision, with the engine's remark if there is one."""
        return self.engine.label

    def estimate(self, x: Array, sigma: float, previous_estimate: Array | None = None, /) -> Estimate:
        """E[x0 | x]; arrays are passed to torch and back without a copy where possible."""
        from nilatron.core.prior.edm import denoise_complex

        previous = None if previous_estimate is None else to_torch(previous_estimate).to(self.device)
        mean = denoise_complex(self.engine.denoiser, to_torch(x).to(self.device), sigma, previous)
        return Estimate(converted_to(mean, x))
