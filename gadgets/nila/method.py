"""Nila in few steps within its time budget, and Nila as published."""

from __future__ import annotations

from collections.abc import Sequence

from nilatron.core.backend import Array
from nilatron.core.measurement import mask_outside_coils
from nilatron.core.sampling.nila import NilaSettings as PublishedSampler
from nilatron.core.sampling.nila import nila
from nilatron.gadgets.nila.budget import Stopwatch
from nilatron.gadgets.nila.prior import informed_prior_for, prior_for
from nilatron.gadgets.nila.refined import is_to_be_refined
from nilatron.gadgets.nila.run import NilaRun, settings_for
from nilatron.gadgets.nila.settings import NilaNodeSettings, PublishedNodeSettings
from nilatron.gadgets.problem import Outcome, Problem


def run_nila(problem: Problem, settings: NilaNodeSettings) -> Outcome:
    """The images of one slice: `run_nila_batch` of a batch of one."""
    return run_nila_batch([problem], settings)[0]


def run_nila_batch(problems: Sequence[Problem], settings: NilaNodeSettings) -> list[Outcome]:
    """The images of slices of the same size and device; their posterior samples are drawn slice by slice.

    Slices whose data ask for another detail are another run, so that a slice has the same image in every batch. Those whose
    coil maps are refined are each a run of their own.

    The budgets of the settings count from now: `slice_budget_s` is planned with, `scan_budget_s` ends it.

    Raises
    ------
    OutOfTimeError
        When the budgets do not allow an image (of each slice).
    """
    watch = Stopwatch(settings.slice_budget_s, settings.scan_budget_s, problems[0].clock)
    find = informed_prior_for if any(problem.neighbours for problem in problems) else prior_for
    prior = find(problems[0].weights, problems[0].device, settings.engine_settings)
    alike: dict[tuple[NilaNodeSettings, int], list[int]] = {}
    for place, problem in enumerate(problems):
        alone = place if is_to_be_refined(problem, settings) else -1
        alike.setdefault((settings_for(settings, problem), alone), []).append(place)
    outcomes: dict[int, Outcome] = {}
    for (own, _), places in alike.items():
        run = NilaRun([problems[place] for place in places], own, watch, prior)
        plan = run.plan()
        made = run.images(plan)
        outcomes |= {
            place: run.with_samples(one, k, plan) for k, (place, one) in enumerate(zip(places, made, strict=True))
        }
    return [outcomes[place] for place in range(len(problems))]


def run_published(problem: Problem, settings: PublishedNodeSettings) -> Outcome:
    """The published sampler, one run.

    Raises
    ------
    OutOfTimeError
        When the budgets, which count from now, are over.
    """
    watch = Stopwatch(settings.slice_budget_s, settings.scan_budget_s, problem.clock)
    prior = prior_for(problem.weights, problem.device, settings.engine_settings).prior

    def callback(step: int, sigma: float, x: Array) -> None:
        problem.callback(step, sigma, x)
        watch.check(step, sigma, x)

    image = nila(
        prior.estimate,
        problem.operator,
        problem.data,
        sigma=problem.noise_level,
        scale=problem.scale,
        generator=problem.generator,
        settings=PublishedSampler(n_steps=settings.steps),
        callback=callback,
    )
    provenance = {
        "sampler": "nila_published",
        "steps": str(settings.steps),
        "scale": f"{problem.scale:.6g}",
        "sigma_model": f"{problem.noise_level:.4g}",
        "weights_sha256": prior.sha256,
        "engine": prior.label,
    }
    return Outcome({"main": mask_outside_coils(problem.operator, image)}, provenance)
