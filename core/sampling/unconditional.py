"""Samples of a prior alone: images drawn from pure noise without a measurement (Karras et al., NeurIPS 2022)."""

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
    first: Tensor | None = None,
) -> Tensor:
    """dx/dsigma = (x - D(x, sigma)) / sigma from x ~ CN(0, sigma_0^2) to sigma = 0, by Heun's method (Algorithm 1).

    Parameters
    ----------
    denoiser
        D(x, sigma) for complex images of image scale 1.
    shape
        (sample, y, x).
    schedule
        Falling complex noise levels above 0; the last step goes to 0 and returns D.
    generator
        Random generator of the first noise, on the CPU, so that samples are the same on every device; later steps are
        deterministic.
    first
        The first noise itself, complex, of `shape` and variance 1; by default from the generator.

    Returns
    -------
    Complex images of `shape`.
    """
    if first is None:
        parts = torch.randn((2, *shape), generator=generator)
        x = schedule[0] / 2**0.5 * torch.complex(parts[0], parts[1]).to(device)
    else:
        x = schedule[0] * first.to(device)
    for sigma, lower in pairwise(schedule):
        slope = (x - denoiser(x, sigma)) / sigma
        euler = x + (lower - sigma) * slope
        x = x + (lower - sigma) * (slope + (euler - denoiser(euler, lower)) / lower) / 2
    return denoiser(x, schedule[-1])
