"""One slice as its reconstruction sees it, and what comes of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from nilatron.core import scale
from nilatron.core.backend import Array, namespace
from nilatron.core.prior.weights import DEFAULT_WEIGHTS
from nilatron.core.sense import SenseOperator, with_empty_coils


@dataclass(frozen=True)
class Problem:
    """One slice, whitened, in the arrays of the device it is reconstructed on.

    Attributes
    ----------
    operator, data
        Measurement model and weighted k-space; noise variance 1.
    conventional
        CG-SENSE image, the warm start.
    generator
        Of all noise, seeded for this slice.
    device
        "cpu" or "cuda".
    weights
        Of the prior.
    clock
        Seconds, for the budgets.
    """

    operator: SenseOperator
    data: Array
    conventional: Array
    generator: np.random.Generator
    device: str
    weights: Path = DEFAULT_WEIGHTS
    clock: Callable[[], float] = time.monotonic


@dataclass(frozen=True)
class Outcome:
    """Images by role, and how they were made."""

    images: dict[str, Array]
    provenance: dict[str, str] = field(default_factory=dict)


def batch_of(problems: Sequence[Problem]) -> tuple[SenseOperator, Array, Array]:
    """Measurement model, data and warm starts (batch, z, y, x) of slices, for a sampler; one keeps its own operator."""
    if len(problems) == 1:
        return problems[0].operator, problems[0].data, problems[0].conventional[None]
    xp = namespace(problems[0].data)
    operator = SenseOperator.stacked([problem.operator for problem in problems])
    n_coils = int(operator.coil_maps.shape[-4])
    data = xp.stack([with_empty_coils(problem.data, n_coils) for problem in problems])
    return operator, data, xp.stack([problem.conventional for problem in problems])


def image_scale(problem: Problem) -> float:
    """Image scale of the warm start."""
    return scale.image_scale(problem.conventional)


def noise_level(problem: Problem, of_scale: float) -> float:
    """Noise level by the warm start."""
    return scale.noise_level(problem.operator, problem.data, problem.conventional, of_scale)


def mask_outside_coils(operator: SenseOperator, image: Array) -> Array:
    """The image where some coil sees it: elsewhere nothing was measured, and the prior alone would paint."""
    xp = namespace(operator.coil_maps)
    return image * xp.any(operator.coil_maps != 0, axis=0)
