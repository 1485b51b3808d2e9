"""Noise schedules of the samplers; sigma is a complex standard deviation at image scale 1."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def karras_schedule(
    n_steps: int, sigma_max: float = 0.5, sigma_min: float = 0.01, rho: float = 7.0
) -> tuple[float, ...]:
    """sigma_k = (sigma_max^(1/rho) + k/(K-1) (sigma_min^(1/rho) - sigma_max^(1/rho)))^rho (Karras et al. 2022, Eq. 5).

    Raises
    ------
    ValueError
        When not n_steps >= 1 and sigma_max >= sigma_min > 0.
    """
    if n_steps < 1 or not sigma_max >= sigma_min > 0:
        raise ValueError(
            f"a schedule needs n_steps >= 1 and sigma_max >= sigma_min > 0, got {n_steps}, {sigma_max} and {sigma_min}"
        )
    if n_steps == 1:
        return (sigma_max,)
    root_max, root_min = sigma_max ** (1 / rho), sigma_min ** (1 / rho)
    return tuple((root_max + k / (n_steps - 1) * (root_min - root_max)) ** rho for k in range(n_steps))


def geometric_schedule(n_levels: int, sigma_max: float, sigma_min: float) -> tuple[float, ...]:
    """sigma_k = sigma_max (sigma_min / sigma_max)^(k/(K-1)).

    Raises
    ------
    ValueError
        When not n_levels >= 1 and sigma_max >= sigma_min > 0.
    """
    if n_levels < 1 or not sigma_max >= sigma_min > 0:
        raise ValueError(
            f"a schedule needs n_levels >= 1 and sigma_max >= sigma_min > 0, got {n_levels}, {sigma_max} and {sigma_min}"
        )
    return tuple(map(float, np.geomspace(sigma_max, sigma_min, n_levels)))


def linear_vp_schedule(n_train_steps: int = 1000) -> npt.NDArray[np.float64]:
    """abar_t of DDPM with betas linear from 1e-4 to 0.02 (Ho et al. 2020), as in the published Nila."""
    return np.cumprod(1 - np.linspace(1e-4, 0.02, n_train_steps), dtype=np.float64)
