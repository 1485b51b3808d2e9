"""Nila in few steps within its time budget, and Nila as published."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nilatron.core.prior.engines.choose import EngineSettings
from nilatron.core.sampling.nila import NilaSettings as PublishedSampler
from nilatron.core.sampling.nila import nila
from nilatron.core.sampling.nila_fast import SamplerResult, SolverSettings, nila_fast
from nilatron.core.sampling.posterior import sample_posterior
from nilatron.core.sampling.schedule import karras_schedule
from nilatron.gadgets.budget import BudgetSettings, Stopwatch, costs_on
from nilatron.gadgets.prior import prior_for
from nilatron.gadgets.problem import Outcome, Problem, image_scale, inside, noise_level

SERIES = ("nila", "conventional", "uncertainty")


@dataclass(frozen=True)
class NetworkSettings(BudgetSettings):
    """What all targets with a network have."""

    engine: str = "torch"  # what computes the network
    precision: str = "auto"  # of its convolutions: fp32, bf16, fp16, or what the machine computes fastest

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        super().__post_init__()
        EngineSettings(self.engine, self.precision)

    @property
    def engine_settings(self) -> EngineSettings:
        """Both, as the prior is asked for."""
        return EngineSettings(self.engine, self.precision)


@dataclass(frozen=True)
class NilaNodeSettings(NetworkSettings):
    """Nila, fast (the default)."""

    series: tuple[str, ...] = ("conventional", "nila")  # what is sent, in this order: conventional, nila, uncertainty
    steps: int = 8  # network evaluations
    sigma_max: float = 0.5  # first diffusion noise level, image scale 1
    sigma_min: float = 0.03  # last diffusion noise level, image scale 1
    samples: int = 8  # posterior samples behind the uncertainty map
    sample_steps: int = 16  # network evaluations of each posterior sample
    sample_sigma_min: float = 0.01  # last level for samples: what lies below it is missing from their variance
    noise_left: float = 0.8  # share of a level that the network is told; 1 smooths more (image only, not the samples)
    tolerance: float = 1e-3  # relative residual of the data consistency problems
    iterations: int = 8  # at most, of conjugate gradients, for each of them

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        super().__post_init__()
        check_series(self.series)
        karras_schedule(self.steps, self.sigma_max, self.sigma_min)
        karras_schedule(self.sample_steps, self.sigma_max, self.sample_sigma_min)
        if self.samples < 2:
            raise ValueError(f"samples must be at least 2, got {self.samples}")
        if not 0 < self.noise_left <= 1:
            raise ValueError(f"noise_left must be above 0 and at most 1, got {self.noise_left}")
        if not 0 < self.tolerance < 1 or self.iterations < 1:
            raise ValueError(
                f"expected 0 < tolerance < 1 and iterations >= 1, got {self.tolerance} and {self.iterations}"
            )


@dataclass(frozen=True)
class PublishedNodeSettings(NetworkSettings):
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


def check_series(series: tuple[str, ...]) -> None:
    """Refuse unknown, repeated or no series."""
    if not series or len(set(series)) != len(series) or any(name not in SERIES for name in series):
        raise ValueError(f"series must be some of {', '.join(SERIES)}, each once, got {', '.join(series) or 'none'}")


def run_nila(problem: Problem, settings: NilaNodeSettings) -> Outcome:
    """Image with tau = 0; samples with tau = 1 where the uncertainty is wanted.

    The budgets of the settings count from now: `slice_budget_s` is planned with, `scan_budget_s` ends it.

    Raises
    ------
    OutOfTimeError
        When the budgets do not allow an image.
    """
    watch = Stopwatch(settings.slice_budget_s, settings.scan_budget_s, problem.clock)
    prior = prior_for(problem.weights, problem.device, settings.engine_settings)
    scale = image_scale(problem)
    sigma = noise_level(problem, scale)
    denoiser = watch.guard(prior.denoise)
    solver = SolverSettings(settings.tolerance, settings.iterations)
    costs, shape = costs_on(problem.device, prior.sha256, prior.engine.name), (1, *problem.data.shape)

    def sample(schedule: tuple[float, ...], generator: np.random.Generator) -> SamplerResult:
        began_s = problem.clock()
        result = nila_fast(
            denoiser,
            problem.operator,
            problem.data,
            schedule,
            start=problem.conventional[None],
            sigma=sigma,
            scale=scale,
            tau=0.0,
            generator=generator,
            solver=solver,
            noise_left=settings.noise_left,
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
        "cg_iterations": str(result.n_iterations[0]),
        "scale": f"{scale:.6g}",
        "sigma_model": f"{sigma:.4g}",
        "weights_sha256": prior.sha256,
        "engine": prior.engine.label,
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
                sigma=sigma,
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
    prior = prior_for(problem.weights, problem.device, settings.engine_settings)
    scale = image_scale(problem)
    sigma = noise_level(problem, scale)
    image = nila(
        watch.guard(prior.denoise),
        problem.operator,
        problem.data,
        sigma=sigma,
        scale=scale,
        generator=problem.generator,
        settings=PublishedSampler(n_steps=settings.steps),
    )
    provenance = {
        "sampler": "nila_published",
        "steps": str(settings.steps),
        "scale": f"{scale:.6g}",
        "sigma_model": f"{sigma:.4g}",
        "weights_sha256": prior.sha256,
        "engine": prior.engine.label,
    }
    return Outcome({"nila": inside(problem.operator, image)}, provenance)
