"""A small network that predicts how wrong each pixel of a delivered image is: ln of the variance of its magnitude's error.

It sees the image beside what led to it: how far the conventional image, the last input of the prior and its last estimate are
from it, relative to the noise. It is trained on images which the sampler makes of simulated scans whose truth is known, by the
likelihood of Gaussian errors of this variance (heteroscedastic regression: Nix and Weigend, ICNN 1994).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

N_INPUTS = 16
POOLED = 7  # pixels along each side of the neighbourhood whose mean square difference the network is given
MULTIPLE = 4  # the network halves its input twice
MAX_LN_RATIO = 12.0  # of the error's variance to that of the noise


@dataclass(frozen=True)
class ErrorHeadConfig:
    """Feature channels at full, half and quarter resolution."""

    channels: tuple[int, int, int] = (16, 32, 48)

    def __post_init__(self) -> None:
        """Refuse other than three levels of at least one channel."""
        if len(self.channels) != 3 or any(c < 1 for c in self.channels):
            raise ValueError(f"expected three numbers of channels from 1, got {list(self.channels)}")


class Delivered(NamedTuple):
    """A delivered image and what led to it, of image scale 1, complex (batch, y, x).

    Attributes
    ----------
    image
        The delivered image.
    conventional
        The warm start.
    last_input, last_estimate
        Input of the prior in the last step, and its estimate.
    noise
        Complex standard deviation of the data's noise, image scale 1: (batch,).
    share
        Acquired share of the samples: (batch,).
    misfit
        The same noise by that of the receivers, which is more than 1 where coil maps or lines do not fit the data: (batch,).
    """

    image: Tensor
    conventional: Tensor
    last_input: Tensor
    last_estimate: Tensor
    noise: Tensor
    share: Tensor
    misfit: Tensor

    def cropped(self, window: tuple[slice, ...]) -> Delivered:
        """The same of a part of the image."""
        return self._replace(
            image=self.image[window],
            conventional=self.conventional[window],
            last_input=self.last_input[window],
            last_estimate=self.last_estimate[window],
        )


def head_inputs(seen: Delivered) -> Tensor:
    """Real channels (batch, N_INPUTS, y, x): magnitudes, differences in the frame of the image's phase, and their energies."""
    noise = seen.noise[:, None, None]
    magnitude = seen.image.abs()
    towards = seen.image.conj() / (magnitude + 1e-3 * noise)
    differences = [(other - seen.image) * towards / noise for other in (seen.conventional, seen.last_estimate)]
    before = (seen.last_input - seen.image) * towards / noise
    energies = [_pooled(d.real.square() + d.imag.square()) for d in differences]
    slope = _slope(magnitude) / noise
    energies += [slope, _pooled(slope, 3), _pooled(slope)]
    channels = [
        magnitude,
        (magnitude / noise).log1p() / 4,
        *(torch.asinh(part) / 2 for d in (*differences, before) for part in (d.real, d.imag)),
        *(0.25 * (energy + 0.05).log() for energy in energies),
        (0.25 * noise.log() + 0.8).expand_as(magnitude),
        seen.share[:, None, None].log().expand_as(magnitude),
        seen.misfit[:, None, None].log().expand_as(magnitude),
    ]
    return torch.stack(channels, dim=1).to(torch.float32)


def _pooled(energy: Tensor, size: int = POOLED) -> Tensor:
    """Mean over the neighbourhood of each pixel (batch, y, x)."""
    padded = F.pad(energy[:, None], (size // 2,) * 4, mode="replicate")
    return F.avg_pool2d(padded, size, stride=1)[:, 0]


def _slope(magnitude: Tensor) -> Tensor:
    """Gradient of the magnitude, its length per pixel (batch, y, x)."""
    padded = F.pad(magnitude[:, None], (1, 1, 1, 1), mode="replicate")[:, 0]
    along_y = (padded[:, 2:, 1:-1] - padded[:, :-2, 1:-1]) / 2
    along_x = (padded[:, 1:-1, 2:] - padded[:, 1:-1, :-2]) / 2
    return (along_y.square() + along_x.square()).sqrt()


class ErrorHead(nn.Module):
    """ln(variance / noise^2) of each pixel from `head_inputs`, by convolutions at three resolutions."""

    def __init__(self, config: ErrorHeadConfig | None = None) -> None:
        super().__init__()
        self.config = config or ErrorHeadConfig()
        full, half, quarter = self.config.channels
        self.first = nn.Conv2d(N_INPUTS, full, 3, padding=1)
        self.shrink1 = nn.Conv2d(full, half, 3, stride=2, padding=1)
        self.half_down = nn.Conv2d(half, half, 3, padding=1)
        self.shrink2 = nn.Conv2d(half, quarter, 3, stride=2, padding=1)
        self.quarter_down = nn.Sequential(
            nn.Conv2d(quarter, quarter, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(quarter, quarter, 3, padding=2, dilation=2),
            nn.ReLU(inplace=True),
        )
        self.grow2 = nn.Conv2d(quarter, half, 1)
        self.half_up = nn.Conv2d(half, half, 3, padding=1)
        self.grow1 = nn.Conv2d(half, full, 1)
        self.full_up = nn.Conv2d(full, full, 3, padding=1)
        self.last = nn.Conv2d(full, 1, 1)
        nn.init.zeros_(self.last.weight)

    def forward(self, inputs: Tensor) -> Tensor:
        """Map inputs (batch, N_INPUTS, y, x), sides multiples of `MULTIPLE`, to ln ratios (batch, y, x)."""
        full = F.relu(self.first(inputs))
        half = F.relu(self.half_down(F.relu(self.shrink1(full))))
        low = self.quarter_down(F.relu(self.shrink2(half)))
        half = F.relu(self.half_up(half + F.interpolate(self.grow2(low), scale_factor=2.0, mode="nearest")))
        full = F.relu(self.full_up(full + F.interpolate(self.grow1(half), scale_factor=2.0, mode="nearest")))
        ratio: Tensor = self.last(full)[:, 0]
        return ratio.clamp(-MAX_LN_RATIO, MAX_LN_RATIO)


def ln_variance(head: ErrorHead, seen: Delivered) -> Tensor:
    """Ln of the variance of the magnitude's error, (batch, y, x), image scale 1; it can be differentiated."""
    n_y, n_x = seen.image.shape[-2:]
    padded = F.pad(head_inputs(seen), (0, -n_x % MULTIPLE, 0, -n_y % MULTIPLE), mode="replicate")
    ratio: Tensor = head(padded)
    return ratio[:, :n_y, :n_x] + 2 * seen.noise[:, None, None].log()


def gaussian_loss(ln_variances: Tensor, error: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean of (e^2 / v + ln v) / 2, the negative logarithm of the likelihood but for a constant."""
    terms = (error.square() * (-ln_variances).exp() + ln_variances) / 2
    return (weight * terms).sum() / weight.sum()
