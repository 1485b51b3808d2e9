"""Our network for samplers of others: counted, and with a gradient for those that differentiate it."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from nilatron.core.backend import Array
from nilatron.core.prior.edm import SIGMA_RANGE, EDMDenoiser, mean_phase, reflect_pad, without_padding
from nilatron.core.prior.edm_weights import load_prior
from nilatron.core.prior.prior import MeanDenoiser
from nilatron.gadgets.nila.prior import prior_for
from nilatron.gadgets.nila.settings import NilaNodeSettings


def shared_denoiser(weights: Path) -> MeanDenoiser:
    """D(x, sigma) exactly as our own gadgets compute it, for every method."""
    prior = prior_for(weights, "cpu", NilaNodeSettings().engine_settings).prior
    return lambda x, sigma: prior.estimate(x, sigma).mean


class CountedDenoiser:
    """D(x, sigma) of complex images (..., y, x) of image scale 1, sigma complex, and how often it was asked.

    The first evaluation, which takes memory and chooses kernels, is made (and not counted) at once.
    """

    def __init__(self, weights: Path, shape: tuple[int, ...]) -> None:
        self.denoise = shared_denoiser(weights)
        self.prior = load_prior(weights).denoiser
        self.denoise(np.zeros(shape, np.complex64), 0.1)
        self.n_evaluations = 0

    def __call__(self, x: Array, sigma: float) -> Array:
        """Denoise arrays of any library; no gradient."""
        self.n_evaluations += 1
        return self.denoise(x, sigma)

    def differentiable(self, x: Tensor, sigma: float) -> Tensor:
        """Denoise a complex tensor (batch, y, x); autograd sees it."""
        self.n_evaluations += 1
        return denoise_with_gradient(self.prior, x, sigma)


def denoise_with_gradient(denoiser: EDMDenoiser, x: Tensor, sigma: float) -> Tensor:
    """The values of `EDMDenoiser.denoise`, outside inference mode."""
    n_y, n_x = x.shape[-2:]
    s = max(sigma / math.sqrt(2), SIGMA_RANGE[0])
    if s > SIGMA_RANGE[1]:
        return x * (denoiser.sigma_data**2 / (s**2 + denoiser.sigma_data**2))
    phase = mean_phase(x)
    channels = torch.view_as_real(x * phase.conj()).permute(0, 3, 1, 2)
    padded = reflect_pad(channels, denoiser.network.config.multiple).contiguous(memory_format=torch.channels_last)
    out = denoiser(padded, torch.full((padded.shape[0],), s))
    cropped = without_padding(out, n_y, n_x).permute(0, 2, 3, 1).contiguous()
    return phase * torch.view_as_complex(cropped)
