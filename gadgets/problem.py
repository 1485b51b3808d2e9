"""One slice as its reconstruction sees it, and what comes of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from nilatron.core.backend import Array, namespace
from nilatron.core.measurement import Measurement
from nilatron.core.prior.neighbours.planes import Neighbour
from nilatron.core.prior.weights import DEFAULT_WEIGHTS
from nilatron.core.recon import InverseProblem
from nilatron.core.sampling.nila_fast import Callback
from nilatron.core.sense import SenseOperator, with_empty_coils


def go_on(step: int, sigma: float, x: Array) -> None:
    """A callback of a sampler that never stops it."""
    del step, sigma, x


@dataclass(frozen=True)
class Problem(InverseProblem):
    """One slice, whitened, with what its reconstruction needs beside measurement and data.

    Attributes
    ----------
    generator
        Source of all noise, seeded for this slice.
    device
        "cpu" or "cuda".
    weights
        File of the prior.
    clock
        Seconds, for the budgets.
    neighbours
        Images of slices beside this one, in its units, one on each side at most.
    callback
        In front of each step of a sampler, with this slice's images (batch, z, y, x), several if they are samples, or
        (z, y, x); what it raises ends the reconstruction.
    thin_maps
        Whether the coil maps are from little, or from lines that do not agree with these.
    """

    generator: np.random.Generator
    device: str
    weights: Path = DEFAULT_WEIGHTS
    clock: Callable[[], float] = time.monotonic
    callback: Callback = go_on
    neighbours: tuple[Neighbour, ...] = ()
    thin_maps: bool = False

    @classmethod
    def of(
        cls,
        slice_: InverseProblem,
        generator: np.random.Generator,
        device: str = "cpu",
        weights: Path = DEFAULT_WEIGHTS,
        clock: Callable[[], float] = time.monotonic,
        callback: Callback = go_on,
    ) -> Problem:
        """A slice that is to be reconstructed so."""
        return cls(slice_.operator, slice_.data, slice_.conventional, generator, device, weights, clock, callback)


@dataclass(frozen=True)
class Outcome:
    """Images by role ("main", "uncertainty", and those of posterior samples), and how they were made.

    `operator` is the measurement that they explain, where that is not the slice's.
    """

    images: dict[str, Array]
    provenance: dict[str, str] = field(default_factory=dict)
    operator: Measurement | None = None


def batch_of(problems: Sequence[Problem]) -> tuple[Measurement, Array, Array]:
    """Measurement, data and warm starts (batch, z, y, x) of slices, for a sampler; one slice keeps its own measurement.

    Raises
    ------
    TypeError
        For several slices whose measurements cannot be stacked.
    """
    if len(problems) == 1:
        return problems[0].operator, problems[0].data, problems[0].conventional[None]
    operators = [problem.operator for problem in problems if isinstance(problem.operator, SenseOperator)]
    if len(operators) < len(problems):
        raise TypeError("only slices with SenseOperator can be reconstructed at once")
    xp, operator = namespace(problems[0].data), SenseOperator.stacked(operators)
    n_coils = int(operator.coil_maps.shape[-4])
    data = xp.stack([with_empty_coils(problem.data, n_coils) for problem in problems])
    return operator, data, xp.stack([problem.conventional for problem in problems])
