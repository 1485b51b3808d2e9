"""One slice as its reconstruction sees it, and what comes of it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from nilatron.core.backend import Array, namespace, percentile
from nilatron.core.prior.weights import DEFAULT_WEIGHTS
from nilatron.core.sense import SenseOperator, chi_squared, with_empty_coils

NOISE_FLOOR = 1e-3  # of the image scale: below it single precision and coil maps limit the image, not noise


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


@runtime_checkable
class Together(Protocol):
    """A reconstruction that takes several slices at once, if they have the same size and device."""

    def together(self, problems: Sequence[Problem], settings: Any) -> list[Outcome]:
        """What comes of each of them: the same as alone."""


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
    """99.5th percentile of the magnitude of the warm start; 1 for an empty image."""
    image = problem.conventional
    return percentile(abs(image), 99.5) or 1.0


def noise_level(problem: Problem, scale: float) -> float:
    """Complex standard deviation of what the model cannot explain, in SNR units.

    max(1, sqrt(chi2 of the conventional image), noise floor): whitened noise has 1. Where the maps do not fit the data (they
    moved, alias or ripple) even the image that follows the data best leaves more than noise, and a prior that takes the
    difference for anatomy makes ghosts of it.
    """
    chi2 = chi_squared(problem.operator, problem.data, problem.conventional)
    return max(1.0, math.sqrt(chi2), NOISE_FLOOR * scale)


def inside(operator: SenseOperator, image: Array) -> Array:
    """The image where some coil sees it: elsewhere nothing was measured, and the prior alone would paint."""
    xp = namespace(operator.coil_maps)
    return image * xp.any(operator.coil_maps != 0, axis=0)
