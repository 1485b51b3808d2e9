"""Tables of the noise levels that a network was trained at, and its time input for levels between them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor


def level_and_time(sigma: Tensor, levels: Sequence[float], time: str) -> tuple[Tensor, Tensor]:
    """Noise level and time (batch,) with which a network trained at `levels` denoises noise of sigma (batch,).

    position
        Time is linear in ln(sigma) between levels; the level is sigma itself.
    step
        Time is the index of the level nearest in ln(sigma), and D is computed at that level, for which the network was
        trained. With |ln(level / sigma)| <= h, half of the largest distance of neighbouring levels, the error is at most
        h max |dD / d ln(sigma)| over that distance.

    Beyond the ends of the table, level and time are those of the end.
    """
    known = sorted(math.log(level) for level in levels)
    edges = torch.tensor(known, dtype=torch.float64).to(sigma)
    wanted = sigma.log().clamp(known[0], known[-1])
    if time == "step":
        index = (wanted[:, None] - edges).abs().argmin(1)
        level = edges[index].exp()
    else:
        fractions = (wanted[:, None] - edges[:-1]) / (edges[1:] - edges[:-1])
        index, level = fractions.clamp(0, 1).sum(1), wanted.exp()
    falling = levels[0] > levels[-1]
    return level, len(known) - 1 - index if falling else index


def linear_alpha_bar(first: float = 1e-4, last: float = 0.02, n_steps: int = 1000) -> tuple[float, ...]:
    """abar_t = prod_(i <= t) (1 - beta_i) with beta_i rising linearly (Ho et al.); the defaults are those of DDPM."""
    if not 0 < first < last < 1 or n_steps < 2:
        raise ValueError(f"beta must rise between 0 and 1 in 2 steps or more, got {first} to {last} in {n_steps}")
    betas = torch.linspace(first, last, n_steps, dtype=torch.float64)
    return tuple((1 - betas).cumprod(0).tolist())


def cosine_alpha_bar(n_steps: int = 1000, offset: float = 0.008) -> tuple[float, ...]:
    """abar_t = f((t + 1) / T) / f(0), f(u) = cos^2(pi / 2 (u + o) / (1 + o)) (Nichol and Dhariwal, ICML 2021).

    No step removes more than the fraction 0.999 of the signal's power.
    """
    if n_steps < 2:
        raise ValueError(f"a schedule has 2 steps or more, got {n_steps}")
    edges = torch.arange(n_steps + 1, dtype=torch.float64) / n_steps
    power = torch.cos((edges + offset) / (1 + offset) * math.pi / 2) ** 2
    betas = (1 - power[1:] / power[:-1]).clamp(max=0.999)
    return tuple((1 - betas).cumprod(0).tolist())


def geometric_levels(lowest: float, highest: float, n_levels: int) -> tuple[float, ...]:
    """Rising noise levels with equal ratios of neighbours."""
    if not 0 < lowest < highest < math.inf or n_levels < 2:
        raise ValueError(f"noise levels must rise in 2 or more, got {lowest} to {highest} in {n_levels}")
    return tuple((lowest * (highest / lowest) ** (i / (n_levels - 1))) for i in range(n_levels))


def check_levels(levels: Sequence[float]) -> None:
    """Refuse a table of noise levels that neither rises nor falls throughout.

    Raises
    ------
    ValueError
        When there are fewer than 2 levels, one is not positive, or they do not all rise or all fall.
    """
    pairs = list(itertools.pairwise(levels))
    monotonic = all(b > a for a, b in pairs) or all(b < a for a, b in pairs)
    if not pairs or not monotonic or not all(0 < level < math.inf for level in levels):
        raise ValueError(f"a table of noise levels rises or falls, with 2 positive ones or more; got {len(levels)}")
