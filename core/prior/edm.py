"""EDM preconditioning of the network and the complex denoiser D(x, sigma) (Karras et al., NeurIPS 2022, Table 1).

sigma is everywhere the standard deviation of *complex* noise, E|n|^2 = sigma^2; each of the network's two real channels
sees s = sigma / sqrt(2). This file is the only place that knows the factor.
"""

from __future__ import annotations

import math
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nilatron.core.prior.prior import Estimate
from nilatron.core.prior.unet import UNet, UNetConfig

SIGMA_RANGE = (0.002, 3.0)
MARGIN = 4  # pixels of reflection around an image, at least: without them the network errs more at its borders


class ChannelDenoiser(Protocol):
    """D on real channels, by whatever engine computes it."""

    @property
    def sigma_data(self) -> float:
        """Root mean square of one real component of the training images."""

    @property
    def multiple(self) -> int:
        """The image sides have to be a multiple of this."""

    @property
    def n_inputs(self) -> int:
        """Channels in: 2, or 4 of a self-conditioned one."""

    def __call__(self, x: Tensor, s: Tensor, /) -> Tensor:
        """Denoise (batch, n_inputs, y, x) to (batch, 2, y, x), per-component noise s (batch,) or (1,) for all; float32.

        Channels 0 and 1 are the noisy image. Of four, 2 and 3 are an estimate made before; where there is none, they are the
        noisy image again.
        """


class EDMDenoiser(nn.Module):
    """D(x, s) = c_skip x + c_out F(c_in x, c_noise), for real channels with noise s each.

    A self-conditioned network has F((c_in x, (x - previous_estimate) / s), c_noise), given an earlier estimate of the image.

    Parameters
    ----------
    config
        The network's shape.
    sigma_data
        Root mean square of one real component of the training images (image scale 1).
    """

    def __init__(self, config: UNetConfig, sigma_data: float) -> None:
        super().__init__()
        if not sigma_data > 0:
            raise ValueError(f"sigma_data must be positive, got {sigma_data}")
        self.network = UNet(config)
        self.sigma_data = sigma_data

    @property
    def multiple(self) -> int:
        """The image sides have to be a multiple of this."""
        return self.network.config.multiple

    @property
    def n_inputs(self) -> int:
        """Channels in: 2, or 4 of a self-conditioned network."""
        return self.network.config.n_inputs

    def forward(self, x: Tensor, s: Tensor) -> Tensor:
        """Denoise real channels (batch, 2 or 4, y, x) with per-component noise s, (batch,) or (1,): see `ChannelDenoiser`."""
        s = s.to(torch.float32)
        x, previous_estimate = x[:, :2], x[:, 2:] if x.shape[1] == 4 else x
        variance = s**2 + self.sigma_data**2
        c_skip = (self.sigma_data**2 / variance)[:, None, None, None]
        c_out = (s * self.sigma_data / variance.sqrt())[:, None, None, None]
        c_in = (1 / variance.sqrt())[:, None, None, None]
        c_noise = s.log() / 4
        seen = c_in * x
        if self.n_inputs == 4:
            seen = torch.cat((seen, (x - previous_estimate) / s[:, None, None, None]), dim=1)
        residual: Tensor = self.network(seen, c_noise)
        return c_skip * x + c_out * residual.to(torch.float32)

    def denoise(self, x: Tensor, sigma: float, previous_estimate: Tensor | None = None) -> Tensor:
        """E[x0 | x] for complex images: see `denoise_complex`."""
        return denoise_complex(self, x, sigma, previous_estimate)


@torch.inference_mode()
def denoise_complex(
    channels: ChannelDenoiser, x: Tensor, sigma: float, previous_estimate: Tensor | None = None
) -> Tensor:
    """E[x0 | x] without derivatives: see `complex_denoised`."""
    return complex_denoised(channels, x, sigma, previous_estimate)


def complex_estimate(
    channels: ChannelDenoiser, x: Tensor, sigma: float, previous_estimate: Tensor | None = None
) -> Estimate:
    """`complex_denoised` as samplers take it."""
    return Estimate(complex_denoised(channels, x, sigma, previous_estimate))


def complex_denoised(
    channels: ChannelDenoiser, x: Tensor, sigma: float, previous_estimate: Tensor | None = None
) -> Tensor:
    """E[x0 | x] for complex images x = x0 + sigma n, of image scale 1; can be differentiated.

    Parameters
    ----------
    channels
        D on real channels.
    x
        Complex images (..., y, x); leading axes are a batch.
    sigma
        Complex standard deviation of the noise. Below the trained range the lowest trained level is used; above it the
        linear part c_skip x, the best linear estimate for data of variance sigma_data^2.
    previous_estimate
        An earlier estimate of the same images, of the shape of x, for a self-conditioned network; others ignore it.

    Returns
    -------
    Complex images of the same shape.
    """
    n_y, n_x = x.shape[-2:]
    s = max(sigma / math.sqrt(2), SIGMA_RANGE[0])
    if s > SIGMA_RANGE[1]:
        return x * (channels.sigma_data**2 / (s**2 + channels.sigma_data**2))
    images = x.reshape(-1, n_y, n_x).to(torch.complex64)
    phase = mean_phase(images.detach())  # a choice of coordinates: no derivative goes through it
    real = _real_channels(images * phase.conj())
    if channels.n_inputs == 4:
        known = images if previous_estimate is None else previous_estimate.reshape(-1, n_y, n_x).to(torch.complex64)
        real = torch.cat((real, _real_channels(known * phase.conj())), dim=1)
    padded = reflect_pad(real, channels.multiple).contiguous(memory_format=torch.channels_last)
    out = channels(padded, torch.full((1,), s, device=x.device))
    cropped = without_padding(out, n_y, n_x).permute(0, 2, 3, 1).contiguous()
    return (phase * torch.view_as_complex(cropped)).reshape(x.shape).to(x.dtype)


def _real_channels(images: Tensor) -> Tensor:
    """Complex images (batch, y, x) as (batch, 2, y, x)."""
    return torch.view_as_real(images).permute(0, 3, 1, 2)


def mean_phase(images: Tensor) -> Tensor:
    """Unit complex number of each image (batch, y, x), its mean phase weighted by |x|^3, as (batch, 1, 1).

    The network sees every image turned to phase 0, so that D(u x) = u D(x) for every global phase u.
    """
    real, imaginary = images.real, images.imag  # sums of complex numbers take torch ten times as long
    weight = real * real + imaginary * imaginary
    sums = [(weight * part).sum((-2, -1), keepdim=True) for part in (real, imaginary)]
    total = torch.complex(*sums)
    return torch.where(
        total.abs() > 0, torch.polar(torch.ones_like(total.abs()), total.angle()), torch.ones_like(total)
    )


def padded_size(n: int, multiple: int) -> int:
    """The least multiple of `multiple` that leaves an axis of `n` pixels its margins."""
    return -(-(n + 2 * MARGIN) // multiple) * multiple


def reflect_pad(x: Tensor, multiple: int) -> Tensor:
    """Pad (batch, channel, y, x) by reflection on both sides, as evenly as it goes.

    Images smaller than the padding are padded in several reflections.
    """
    for axis in (-2, -1):
        extra = padded_size(x.shape[axis], multiple) - x.shape[axis]
        near, far = extra // 2, extra - extra // 2
        while near or far:
            most = max(x.shape[axis] - 1, 1)
            now = (min(near, most), min(far, most))
            pad = (0, 0, *now) if axis == -2 else (*now, 0, 0)
            x = F.pad(x, pad, mode="reflect" if x.shape[axis] > 1 else "replicate")
            near, far = near - now[0], far - now[1]
    return x


def without_padding(x: Tensor, n_y: int, n_x: int) -> Tensor:
    """The image in the middle of what `reflect_pad` made, (batch, channel, n_y, n_x)."""
    top, left = (x.shape[-2] - n_y) // 2, (x.shape[-1] - n_x) // 2
    return x[..., top : top + n_y, left : left + n_x]
