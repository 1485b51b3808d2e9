"""Images from pure noise: what a prior believes in when there is no measurement (Karras et al., NeurIPS 2022)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor


def sample_unconditional(
    denoiser: Callable[[Tensor, float], Tensor],
    shape: tuple[int, ...],
    schedule: Sequence[float],
    *,
    generator: torch.Generator,
    device: torch.device | str = "cpu",
) -> Tensor:
    """dx/dsigma = (x - D(x, sigma)) / sigma from x ~ CN(0, sigma_0^2) to sigma = 0, by Heun's method (Algorithm 1).

    Parameters
    ----------
    denoiser
        D(x, sigma) for complex images of image scale 1.
    shape
        (sample, y, x).
    schedule
        Complex noise levels, falling, above 0; the last step ends at 0 with D itself.
    generator
        Of the first noise, on the CPU, so that samples are the same on every device; nothing later is random.

    Returns
    -------
    Complex images of `shape`.
    """
    parts = torch.randn((2, *shape), generator=generator)
    x = schedule[0] / 2**0.5 * torch.complex(parts[0], parts[1]).to(device)
    for sigma, lower in pairwise(schedule):
        slope = (x - denoiser(x, sigma)) / sigma
        ahead = x + (lower - sigma) * slope
        x = x + (lower - sigma) * (slope + (ahead - denoiser(ahead, lower)) / lower) / 2
    return denoiser(x, schedule[-1])
