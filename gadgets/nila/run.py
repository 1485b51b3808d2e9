"""One run of the fast sampler: the images of a slice, or of several at once, within their time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from nilatron.core.backend import Array
from nilatron.core.sampling.image import sample_images
from nilatron.core.sampling.nila_fast import SamplerResult
from nilatron.core.sampling.posterior import sample_posterior
from nilatron.core.sampling.schedule import karras_schedule
from nilatron.core.sense import SenseOperator
from nilatron.gadgets.nila.budget import Plan, Shape, StepCosts, Stopwatch, costs_on
from nilatron.gadgets.nila.prior import ReadyPrior
from nilatron.gadgets.nila.settings import NilaNodeSettings
from nilatron.gadgets.problem import Outcome, Problem, batch_of, image_scale, mask_outside_coils, noise_level


@dataclass(frozen=True)
class NilaRun:
    """Slices of the same size and device on their way through the sampler."""

    problems: Sequence[Problem]
    settings: NilaNodeSettings
    watch: Stopwatch
    prior: ReadyPrior

    @cached_property
    def scales(self) -> list[float]:
        """Image scale of each slice."""
        return [image_scale(problem) for problem in self.problems]

    @cached_property
    def sigmas(self) -> list[float]:
        """Noise level of each slice."""
        return [noise_level(problem, scale) for problem, scale in zip(self.problems, self.scales, strict=True)]

    @cached_property
    def batch(self) -> tuple[SenseOperator, Array, Array]:
        """Measurement model, data and warm starts."""
        return batch_of(self.problems)

    @cached_property
    def costs(self) -> StepCosts:
        """What steps cost here."""
        return costs_on(self.problems[0].device, self.prior.sha256, self.prior.engine.name)

    @property
    def shape(self) -> Shape:
        """(slice, coil, z, y, x)."""
        return len(self.problems), *self.batch[1].shape[-4:]

    def plan(self) -> Plan:
        """What fits into the time; what a step costs is measured if it is not known."""
        settings, shape = self.settings, self.shape
        if self.watch.limited and self.costs.step_s(shape) is None:
            self._sample((settings.sigma_max,), [np.random.default_rng(0) for _ in self.problems])
        step_s = self.costs.step_s(shape) or 0.0
        wanted = settings.samples if "uncertainty" in settings.series else 0
        sample_step_s = sum(self._sample_step_s(problem, wanted) or step_s / shape[0] for problem in self.problems)
        return self.watch.plan(step_s, settings.steps, wanted, settings.sample_steps * sample_step_s)

    def _sample_step_s(self, problem: Problem, n_samples: int) -> float | None:
        return self.costs.step_s((n_samples, 1, *problem.data.shape))

    def images(self, plan: Plan) -> list[Outcome]:
        """The image of each slice."""
        result = self._sample(self.settings.levels(plan.steps), [problem.generator for problem in self.problems])
        outcomes = []
        for place, problem in enumerate(self.problems):
            provenance = {
                "sampler": "nila_fast",
                "steps": str(result.n_evaluations),
                "coarse_steps": str(result.n_coarse),
                "cg_iterations": str(result.n_iterations[place]),
                "scale": f"{self.scales[place]:.6g}",
                "sigma_model": f"{self.sigmas[place]:.4g}",
                "weights_sha256": self.prior.sha256,
                "engine": self.prior.engine.label,
            }
            if plan.reason:
                provenance["shortened"] = plan.reason
            outcomes.append(Outcome({"main": mask_outside_coils(problem.operator, result.image[place])}, provenance))
        return outcomes

    def _sample(self, levels: tuple[float, ...], generators: list[np.random.Generator]) -> SamplerResult:
        (operator, data, starts), sigmas, scales = self.batch, self.sigmas, self.scales
        began_s = self.watch.clock()
        result = sample_images(
            self.watch.guard(self.prior.denoise),
            operator,
            data,
            levels,
            self.settings,
            start=starts,
            sigma=sigmas,
            scale=scales,
            generator=generators,
        )
        self.costs.add(self.shape, (self.watch.clock() - began_s) / len(levels))
        return result

    def with_uncertainty(self, outcome: Outcome, place: int, plan: Plan) -> Outcome:
        """The outcome of the slice at `place` with the standard deviation of its posterior samples, if they are planned."""
        if not plan.samples:
            return outcome
        settings, problem, began_s = self.settings, self.problems[place], self.watch.clock()
        try:
            spread = sample_posterior(
                self.watch.guard(self.prior.denoise),
                problem.operator,
                problem.data,
                karras_schedule(settings.sample_steps, settings.sample_sigma_max, settings.sample_sigma_min),
                n_samples=plan.samples,
                start=problem.conventional,
                sigma=self.sigmas[place],
                scale=self.scales[place],
                generator=problem.generator,
                solver=settings.solver,
            ).standard_deviation
        except (RuntimeError, MemoryError) as error:  # out of time or memory: the image is there all the same
            return replace(outcome, provenance=outcome.provenance | {"shortened": f"no posterior samples: {error}"})
        sample_step_s = (self.watch.clock() - began_s) / (plan.samples * settings.sample_steps)
        self.costs.add((plan.samples, 1, *problem.data.shape), sample_step_s)
        return Outcome(
            outcome.images | {"uncertainty": mask_outside_coils(problem.operator, spread)},
            outcome.provenance | {"samples": str(plan.samples)},
        )
