"""Nila in few steps within its time budget, and Nila as published."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nilatron.core.prior.engines.choose import EngineSettings
from nilatron.core.sampling.image import ImageSettings
from nilatron.core.sampling.nila import NilaSettings as PublishedSampler
from nilatron.core.sampling.nila import nila
from nilatron.core.sampling.schedule import karras_schedule
from nilatron.gadgets.budget import BudgetSettings, Stopwatch
from nilatron.gadgets.nila_run import NilaRun
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
class NilaNodeSettings(NetworkSettings, ImageSettings):
    """Nila, fast (the default)."""

    series: tuple[str, ...] = ("conventional", "nila")  # what is sent, in this order: conventional, nila, uncertainty
    samples: int = 8  # posterior samples behind the uncertainty map
    sample_steps: int = 16  # network evaluations of each posterior sample
    sample_sigma_max: float = 0.5  # first level for samples
    sample_sigma_min: float = 0.01  # last level for samples: what lies below it is missing from their variance
    # up to so many slices of the same size in one run, which waits for them (not with a slice_budget_s); for a GPU
    batch_slices: int = 1

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        NetworkSettings.__post_init__(self)
        ImageSettings.__post_init__(self)
        check_series(self.series)
        karras_schedule(self.sample_steps, self.sample_sigma_max, self.sample_sigma_min)
        if self.samples < 2:
            raise ValueError(f"samples must be at least 2, got {self.samples}")
        if self.batch_slices < 1:
            raise ValueError(f"batch_slices must be at least 1, got {self.batch_slices}")


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


class Nila:
    """Nila in few steps, of one slice or of several at once.

    The budgets of the settings count from now: `slice_budget_s` is planned with, `scan_budget_s` ends it.

    Raises
    ------
    OutOfTimeError
        When the budgets do not allow an image (of each slice).
    """

    def __call__(self, problem: Problem, settings: NilaNodeSettings) -> Outcome:
        """What comes of one slice."""
        return self.together([problem], settings)[0]

    def together(self, problems: Sequence[Problem], settings: NilaNodeSettings) -> list[Outcome]:
        """What comes of slices of the same size and device; their posterior samples are drawn slice by slice."""
        watch = Stopwatch(settings.slice_budget_s, settings.scan_budget_s, problems[0].clock)
        prior = prior_for(problems[0].weights, problems[0].device, settings.engine_settings)
        run = NilaRun(problems, settings, watch, prior)
        plan = run.plan()
        outcomes = run.images(plan)
        return [run.with_uncertainty(outcomes[place], place, plan) for place in range(len(problems))]


run_nila = Nila()


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
