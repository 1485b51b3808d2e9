"""The reconstructions by name: what TARGET of a node stands for."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nilatron.core.backend import Array, like, namespace, percentile, to_torch
from nilatron.core.baselines.l1_wavelet import L1WaveletSettings, l1_wavelet
from nilatron.core.baselines.zero_filled import zero_filled
from nilatron.core.prior.weights import DEFAULT_WEIGHTS, Prior, load_prior
from nilatron.core.sampling.nila import NilaSettings as PublishedSampler
from nilatron.core.sampling.nila import nila
from nilatron.core.sampling.nila_fast import Denoiser, SamplerResult, SolverSettings, nila_fast
from nilatron.core.sampling.posterior import sample_posterior
from nilatron.core.sampling.schedule import karras_schedule
from nilatron.core.sense import SenseOperator
from nilatron.gadgets.budget import BudgetSettings, Stopwatch, costs_on

SERIES = ("nila", "conventional", "uncertainty")
NOISE_FLOOR = 1e-3  # of the image scale: below it single precision and coil maps limit the image, not noise


@dataclass(frozen=True)
class BaselineSettings:
    """Zero-filled and CG-SENSE have nothing to set."""


@dataclass(frozen=True)
class L1WaveletNodeSettings:
    """l1-wavelet."""

    regularisation: float | None = None  # lambda in SNR units; by default from the noise and the data
    iterations: int = 60


@dataclass(frozen=True)
class NilaNodeSettings(BudgetSettings):
    """Nila, fast (the default)."""

    series: tuple[str, ...] = ("conventional", "nila")  # what is sent, in this order: conventional, nila, uncertainty
    steps: int = 8  # network evaluations
    sigma_max: float = 0.5  # first diffusion noise level, image scale 1
    sigma_min: float = 0.03  # last diffusion noise level, image scale 1
    samples: int = 8  # posterior samples behind the uncertainty map
    sample_steps: int = 16  # network evaluations of each posterior sample
    sample_sigma_min: float = 0.01  # last level for samples: what lies below it is missing from their variance
    tolerance: float = 1e-3  # relative residual of the data consistency problems
    iterations: int = 20  # at most, of conjugate gradients, for each of them

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        super().__post_init__()
        check_series(self.series)
        karras_schedule(self.steps, self.sigma_max, self.sigma_min)
        karras_schedule(self.sample_steps, self.sigma_max, self.sample_sigma_min)
        if self.samples < 2:
            raise ValueError(f"samples must be at least 2, got {self.samples}")
        if not 0 < self.tolerance < 1 or self.iterations < 1:
            raise ValueError(
                f"expected 0 < tolerance < 1 and iterations >= 1, got {self.tolerance} and {self.iterations}"
            )


@dataclass(frozen=True)
class PublishedNodeSettings(BudgetSettings):
    """Nila as published; its steps do not shrink: a budget stops it."""

    series: tuple[str, ...] = ("conventional", "nila")
    steps: int = 1000  # network evaluations, a divisor of 1000

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        super().__post_init__()
        check_series(self.series)
        if "uncertainty" in self.series:
            raise ValueError("the published sampler has no calibrated uncertainty: use target nila")
        if self.steps < 1 or 1000 % self.steps:
            raise ValueError(f"steps must divide 1000, got {self.steps}")


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


@dataclass(frozen=True)
class Method:
    """A target: its settings and its function."""

    settings_class: type[Any]
    run: Callable[[Problem, Any], Outcome]
    history: str  # for ImageProcessingHistory


def check_series(series: tuple[str, ...]) -> None:
    """Refuse unknown, repeated or no series."""
    if not series or len(set(series)) != len(series) or any(name not in SERIES for name in series):
        raise ValueError(f"series must be some of {', '.join(SERIES)}, each once, got {', '.join(series) or 'none'}")


@lru_cache(maxsize=2)
def prior_for(weights: Path, device: str) -> Prior:
    """The prior, loaded once a process."""
    return load_prior(weights, device)


def network_denoiser(prior: Prior) -> Denoiser:
    """D for arrays of any library; memory is handed to torch and back without a copy."""
    target = next(prior.denoiser.parameters()).device

    def denoise(x: Array, sigma: float) -> Array:
        return like(prior.denoiser.denoise(to_torch(x).to(target), sigma), x)

    return denoise


def image_scale(problem: Problem) -> float:
    """99.5th percentile of the magnitude of the warm start; 1 for an empty image."""
    image = problem.conventional
    return percentile(abs(image), 99.5) or 1.0


def noise_level(scale: float) -> float:
    """Complex standard deviation of the noise in SNR units: 1, or the noise floor of a scan without noise."""
    return max(1.0, NOISE_FLOOR * scale)


def inside(operator: SenseOperator, image: Array) -> Array:
    """The image where some coil sees it: elsewhere nothing was measured, and the prior alone would paint."""
    xp = namespace(operator.coil_maps)
    return image * xp.any(operator.coil_maps != 0, axis=0)


def run_zero_filled(problem: Problem, settings: BaselineSettings) -> Outcome:
    """Adjoint of the data."""
    del settings
    return Outcome({"nila": zero_filled(problem.operator, problem.data)})


def run_cg_sense(problem: Problem, settings: BaselineSettings) -> Outcome:
    """The warm start of everything else."""
    del settings
    return Outcome({"nila": problem.conventional})


def run_l1_wavelet(problem: Problem, settings: L1WaveletNodeSettings) -> Outcome:
    """FISTA with random shifts."""
    image = l1_wavelet(
        problem.operator,
        problem.data,
        regularisation=settings.regularisation,
        generator=problem.generator,
        settings=L1WaveletSettings(n_iterations=settings.iterations),
    )
    return Outcome({"nila": image}, {"iterations": str(settings.iterations)})


def run_nila(problem: Problem, settings: NilaNodeSettings) -> Outcome:
    """Image with tau = 0; samples with tau = 1 where the uncertainty is wanted.

    The budgets of the settings count from now: `slice_budget_s` is planned with, `scan_budget_s` ends it.

    Raises
    ------
    OutOfTimeError
        When the budgets do not allow an image.
    """
    watch = Stopwatch(settings.slice_budget_s, settings.scan_budget_s, problem.clock)
    prior, scale = prior_for(problem.weights, problem.device), image_scale(problem)
    denoiser = watch.guard(network_denoiser(prior))
    solver = SolverSettings(settings.tolerance, settings.iterations)
    costs, shape = costs_on(problem.device, prior.sha256), (1, *problem.data.shape)

    def sample(schedule: tuple[float, ...], generator: np.random.Generator) -> SamplerResult:
        began_s = problem.clock()
        result = nila_fast(
            denoiser,
            problem.operator,
            problem.data,
            schedule,
            start=problem.conventional[None],
            sigma=noise_level(scale),
            scale=scale,
            tau=0.0,
            generator=generator,
            solver=solver,
        )
        costs.add(shape, (problem.clock() - began_s) / len(schedule))
        return result

    if watch.limited and costs.step_s(shape) is None:
        sample((settings.sigma_max,), np.random.default_rng(0))  # measures; the noise of the image stays untouched
    step_s = costs.step_s(shape) or 0.0
    wanted = settings.samples if "uncertainty" in settings.series else 0
    sample_s = settings.sample_steps * (costs.step_s((wanted, *shape)) or step_s)
    plan = watch.plan(step_s, settings.steps, wanted, sample_s)
    result = sample(karras_schedule(plan.steps, settings.sigma_max, settings.sigma_min), problem.generator)
    images = {"nila": inside(problem.operator, result.image[0])}
    provenance = {
        "sampler": "nila_fast",
        "steps": str(result.n_evaluations),
        "cg_iterations": str(result.n_iterations),
        "scale": f"{scale:.6g}",
        "weights_sha256": prior.sha256,
    }
    if plan.reason:
        provenance["shortened"] = plan.reason
    if plan.samples:
        began_s = problem.clock()
        try:
            spread = sample_posterior(
                denoiser,
                problem.operator,
                problem.data,
                karras_schedule(settings.sample_steps, settings.sigma_max, settings.sample_sigma_min),
                n_samples=plan.samples,
                start=problem.conventional,
                sigma=noise_level(scale),
                scale=scale,
                generator=problem.generator,
                solver=solver,
            ).standard_deviation
        except (RuntimeError, MemoryError) as error:  # out of time or memory: the image is there all the same
            provenance["shortened"] = f"no posterior samples: {error}"
            return Outcome(images, provenance)
        sample_step_s = (problem.clock() - began_s) / (plan.samples * settings.sample_steps)
        costs.add((plan.samples, *shape), sample_step_s)
        images["uncertainty"] = inside(problem.operator, spread)
        provenance["samples"] = str(plan.samples)
    return Outcome(images, provenance)


def run_published(problem: Problem, settings: PublishedNodeSettings) -> Outcome:
    """The published sampler, one run.

    Raises
    ------
    OutOfTimeError
        When the budgets, which count from now, are over.
    """
    watch = Stopwatch(settings.slice_budget_s, settings.scan_budget_s, problem.clock)
    prior, scale = prior_for(problem.weights, problem.device), image_scale(problem)
    image = nila(
        watch.guard(network_denoiser(prior)),
        problem.operator,
        problem.data,
        sigma=noise_level(scale),
        scale=scale,
        generator=problem.generator,
        settings=PublishedSampler(n_steps=settings.steps),
    )
    provenance = {
        "sampler": "nila_published",
        "steps": str(settings.steps),
        "scale": f"{scale:.6g}",
        "weights_sha256": prior.sha256,
    }
    return Outcome({"nila": inside(problem.operator, image)}, provenance)


METHODS = {
    "zero_filled": Method(BaselineSettings, run_zero_filled, "zero-filled"),
    "cg_sense": Method(BaselineSettings, run_cg_sense, "CG-SENSE"),
    "l1_wavelet": Method(L1WaveletNodeSettings, run_l1_wavelet, "l1-wavelet"),
    "nila": Method(NilaNodeSettings, run_nila, "AI Nila"),
    "nila_published": Method(PublishedNodeSettings, run_published, "AI Nila as published"),
}


def to_device(array: Any, device: str) -> Array:
    """NumPy on the CPU; CuPy on a GPU, or torch where CuPy is not installed."""
    if device == "cpu":
        return array
    try:
        import cupy  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        return torch.from_numpy(np.ascontiguousarray(array)).to(device)
    return cupy.asarray(array)
