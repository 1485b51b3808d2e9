"""EDM preconditioning of the network and the complex denoiser D(x, sigma) (Karras et al., NeurIPS 2022, Table 1).

Everywhere else sigma is the standard deviation of *complex* noise, E|n|^2 = sigma^2; each of the network's two real channels
sees s = sigma / sqrt(2). This file alone applies this factor.
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
MARGIN = 4  # smallest number of reflected pixels on each side of an image: without them its borders have larger errors


class ChannelDenoiser(Protocol):
    """The denoiser D on real channels; every engine has one."""

    @property
    def sigma_data(self) -> float:
        """Root mean square of one real component of the training images."""

    @property
    def multiple(self) -> int:
        """The image sides have to be a multiple of this."""

    @property
    def n_inputs(self) -> int:
        """Number of input channels: 2, or 4 for a self-conditioned denoiser."""

    def __call__(self, x: Tensor, s: Tensor, /) -> Tensor:
        """Denoise float32 (batch, n_inputs, y, x) to (batch, 2, y, x) at per-component noise s, (batch,) or (1,).

        Channels 0 and 1 are the noisy image. Channels 2 and 3, if there are four, are a previous estimate; without one they
        are the noisy image again.
        """


class EDMDenoiser(nn.Module):
    """D(x, s) = c_skip x + c_out F(c_in x, c_noise), for real channels with noise of standard deviation s.

    A self-conditioned network computes F((c_in x, (x - previous_estimate) / s), c_noise).

    Parameters
    ----------
    config
        Architecture of the network F.
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
        """Number of input channels: 2, or 4 for a self-conditioned network."""
        return self.network.config.n_inputs

    def forward(self, x: Tensor, s: Tensor) -> Tensor:
        """Denoise real channels (batch, 2 or 4, y, x) at per-component noise s, (batch,) or (1,): see `ChannelDenoiser`."""
        s = s.to(torch.float32)
        x, previous_estimate = x[:, :2], x[:, 2:] if x.shape[1] == 4 else x
        variance = s**2 + self.sigma_data**2
        c_skip = (self.sigma_data**2 / variance)[:, None, None, None]
        c_out = (s * self.sigma_data / variance.sqrt())[:, None, None, None]
        c_in = (1 / variance.sqrt())[:, None, None, None]
        c_noise = s.log() / 4
        network_input = c_in * x
        if self.n_inputs == 4:
            network_input = torch.cat((network_input, (x - previous_estimate) / s[:, None, None, None]), dim=1)
        residual: Tensor = self.network(network_input, c_noise)
        return c_skip * x + c_out * residual.to(torch.float32)

    def denoise(self, x: Tensor, sigma: float, previous_estimate: Tensor | None = None) -> Tensor:
        """E[x0 | x] for complex images: see `denoise_complex`."""
        return denoise_complex(self, x, sigma, previous_estimate)


@torch.inference_mode()
def denoise_complex(
    denoiser: ChannelDenoiser, x: Tensor, sigma: float, previous_estimate: Tensor | None = None
) -> Tensor:
    """E[x0 | x] without derivatives: see `denoise_complex_with_gradient`."""
    return denoise_complex_with_gradient(denoiser, x, sigma, previous_estimate)


def estimate_complex(
    denoiser: ChannelDenoiser, x: Tensor, sigma: float, previous_estimate: Tensor | None = None
) -> Estimate:
    """E[x0 | x] as an `Estimate` for samplers; it can be differentiated."""
    return Estimate(denoise_complex_with_gradient(denoiser, x, sigma, previous_estimate))


def denoise_complex_with_gradient(
    denoiser: ChannelDenoiser, x: Tensor, sigma: float, previous_estimate: Tensor | None = None
) -> Tensor:
    """E[x0 | x] for complex images x = x0 + sigma n of image scale 1; the result can be differentiated.

    Parameters
    ----------
    denoiser
        Denoiser D on real channels.
    x
        Complex images (..., y, x); leading axes are a batch.
    sigma
        Complex standard deviation of the noise. Below the trained range the lowest trained level is used; above it the
        result is c_skip x, the best linear estimate for images of variance sigma_data^2.
    previous_estimate
        Previous estimate of the same images, of the shape of x, for a self-conditioned network; others ignore it.

    Returns
    -------
    Complex images of the same shape.
    """
    n_y, n_x = x.shape[-2:]
    s = max(sigma / math.sqrt(2), SIGMA_RANGE[0])
    if s > SIGMA_RANGE[1]:
        return x * (denoiser.sigma_data**2 / (s**2 + denoiser.sigma_data**2))
    images = x.reshape(-1, n_y, n_x).to(torch.complex64)
    phase = mean_phase(images.detach())  # only a choice of coordinates, so it needs no derivative
    real = _real_channels(images * phase.conj())
    if denoiser.n_inputs == 4:
        previous = images if previous_estimate is None else previous_estimate.reshape(-1, n_y, n_x).to(torch.complex64)
        real = torch.cat((real, _real_channels(previous * phase.conj())), dim=1)
    padded = reflect_pad(real, denoiser.multiple).contiguous(memory_format=torch.channels_last)
    out = denoiser(padded, torch.full((1,), s, device=x.device))
    cropped = without_padding(out, n_y, n_x).permute(0, 2, 3, 1).contiguous()
    return (phase * torch.view_as_complex(cropped)).reshape(x.shape).to(x.dtype)


def _real_channels(images: Tensor) -> Tensor:
    """Complex images (batch, y, x) as real channels (batch, 2, y, x)."""
    return torch.view_as_real(images).permute(0, 3, 1, 2)


def mean_phase(images: Tensor) -> Tensor:
    """Phase factor (batch, 1, 1) of each image (batch, y, x): its mean phase weighted by |x|^3.

    The network sees every image rotated to phase 0, so that D(u x) = u D(x) for every global phase factor u.
    """
    real, imaginary = images.real, images.imag  # torch sums complex numbers ten times slower than real ones
    weight = real * real + imaginary * imaginary
    sums = [(weight * part).sum((-2, -1), keepdim=True) for part in (real, imaginary)]
    total = torch.complex(*sums)
    return torch.where(
        total.abs() > 0, torch.polar(torch.ones_like(total.abs()), total.angle()), torch.ones_like(total)
    )


def padded_size(n: int, multiple: int) -> int:
    """The smallest multiple of `multiple` that holds `n` pixels and their margins."""
    return -(-(n + 2 * MARGIN) // multiple) * multiple


def reflect_pad(x: Tensor, multiple: int) -> Tensor:
    """Images (batch, channel, y, x), padded by reflection, equally on both sides or by one pixel more at the end.

    Images smaller than the padding are reflected several times.
    """
    for axis in (-2, -1):
        extra = padded_size(x.shape[axis], multiple) - x.shape[axis]
        near, far = extra // 2, extra - extra // 2
        while near or far:
            max_reflection = max(x.shape[axis] - 1, 1)
            sides = (min(near, max_reflection), min(far, max_reflection))
            pad = (0, 0, *sides) if axis == -2 else (*sides, 0, 0)
            x = F.pad(x, pad, mode="reflect" if x.shape[axis] > 1 else "replicate")
            near, far = near - sides[0], far - sides[1]
    return x


def without_padding(x: Tensor, n_y: int, n_x: int) -> Tensor:
    """The images (batch, channel, n_y, n_x) without the padding of `reflect_pad`."""
    top, left = (x.shape[-2] - n_y) // 2, (x.shape[-1] - n_x) // 2
    return x[..., top : top + n_y, left : left + n_x]
