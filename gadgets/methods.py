"""The reconstructions by name: what TARGET of a node stands for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from nilatron.core.baselines.l1_wavelet import L1WaveletSettings, l1_wavelet
from nilatron.core.baselines.zero_filled import zero_filled
from nilatron.core.bounds import bounded
from nilatron.gadgets.nila.method import run_nila, run_nila_batch, run_published
from nilatron.gadgets.nila.settings import NilaNodeSettings, PublishedNodeSettings
from nilatron.gadgets.problem import Outcome, Problem


@dataclass(frozen=True)
class BaselineSettings:
    """Zero-filled and CG-SENSE have nothing to set."""


@dataclass(frozen=True)
class L1WaveletNodeSettings:
    """l1-wavelet."""

    regularisation: float | None = None  # lambda in SNR units; by default from the noise and the data
    iterations: int = bounded(60, 1, 1000)  # of FISTA


@dataclass(frozen=True)
class Method:
    """A target of a node.

    Attributes
    ----------
    settings_class
        Its properties, a dataclass.
    run
        The images of one slice.
    history
        What it is called in ImageProcessingHistory.
    run_batch
        The images of several slices of the same size and device at once, the same as alone; None where there is no gain.
    """

    settings_class: type[Any]
    run: Callable[[Problem, Any], Outcome]
    history: str
    run_batch: Callable[[Sequence[Problem], Any], list[Outcome]] | None = None


def run_zero_filled(problem: Problem, settings: BaselineSettings) -> Outcome:
    """Adjoint of the data."""
    del settings
    return Outcome({"main": zero_filled(problem.operator, problem.data)})


def run_cg_sense(problem: Problem, settings: BaselineSettings) -> Outcome:
    """The warm start of everything else."""
    del settings
    return Outcome({"main": problem.conventional})


def run_l1_wavelet(problem: Problem, settings: L1WaveletNodeSettings) -> Outcome:
    """FISTA with random shifts."""
    image = l1_wavelet(
        problem.operator,
        problem.data,
        regularisation=settings.regularisation,
        generator=problem.generator,
        settings=L1WaveletSettings(n_iterations=settings.iterations),
    )
    return Outcome({"main": image}, {"iterations": str(settings.iterations)})


METHODS = {
    "zero_filled": Method(BaselineSettings, run_zero_filled, "zero-filled"),
    "cg_sense": Method(BaselineSettings, run_cg_sense, "CG-SENSE"),
    "l1_wavelet": Method(L1WaveletNodeSettings, run_l1_wavelet, "l1-wavelet"),
    "nila": Method(NilaNodeSettings, run_nila, "AI Nila", run_nila_batch),
    "nila_published": Method(PublishedNodeSettings, run_published, "AI Nila as published"),
}
