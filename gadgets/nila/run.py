"""One run of the fast sampler: the images of a slice, or of several at once, within their time."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from nilatron.core.backend import Array, on_host, synchronize
from nilatron.core.measurement import Measurement, mask_outside_coils
from nilatron.core.prior.neighbours.correction import Corrected, InformedByNeighbours
from nilatron.core.sampling.image import ImageSettings, sample_images
from nilatron.core.sampling.nila_fast import Renewal, SamplerResult
from nilatron.core.sampling.refinement import MapRefinement
from nilatron.core.uncertainty.psnr import predicted_variance
from nilatron.gadgets.nila.budget import Plan, Shape, Stopwatch
from nilatron.gadgets.nila.neighbours import informed_of, said_of_neighbours
from nilatron.gadgets.nila.prior import ReadyPrior
from nilatron.gadgets.nila.refined import measured_by, refinement_of, said_of_maps
from nilatron.gadgets.nila.samples import sampled_images
from nilatron.gadgets.nila.second_look import looked_again
from nilatron.gadgets.nila.settings import SAMPLED_SERIES, NilaNodeSettings
from nilatron.gadgets.nila.uncertainty import (
    UNCALIBRATED,
    PredictedError,
    predicted_errors,
    stated_errors,
    widened,
)
from nilatron.gadgets.problem import Outcome, Problem, batch_of

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SliceImage:
    """The image of a slice.

    Attributes
    ----------
    outcome
        With the image as "main".
    predicted_error
        Its rms error, image scale 1; None where it is not known or not needed.
    """

    outcome: Outcome
    predicted_error: float | None = None


def settings_for(settings: NilaNodeSettings, problem: Problem) -> NilaNodeSettings:
    """The settings with the detail of a slice."""
    return settings.for_data(problem.noise_level / problem.scale, problem.acquired_share)


@dataclass(frozen=True)
class NilaRun:
    """Slices of the same size and device, and of the same automatic detail, on their way through the sampler."""

    problems: Sequence[Problem]
    settings: NilaNodeSettings
    watch: Stopwatch
    prior: ReadyPrior

    @cached_property
    def batch(self) -> tuple[Measurement, Array, Array]:
        """Measurement, data and warm starts."""
        return batch_of(self.problems)

    @cached_property
    def sampler(self) -> ImageSettings:
        """Settings of the sampler for the data of these slices.

        Raises
        ------
        ValueError
            When their automatic details differ.
        """
        first, *others = dict.fromkeys(settings_for(self.settings, problem) for problem in self.problems)
        if others:
            raise ValueError(f"slices of one run need the same detail, got {first.detail} and {others[0].detail}")
        return first

    @property
    def shape(self) -> Shape:
        """(slice, coil, z, y, x)."""
        return len(self.problems), *self.batch[1].shape[-4:]

    @cached_property
    def informed(self) -> InformedByNeighbours | None:
        """What a slice that is alone is told of its neighbours; None where it is told nothing."""
        return informed_of(self.problems[0], self.prior) if len(self.problems) == 1 else None

    @cached_property
    def refinement(self) -> MapRefinement | None:
        """What corrects the coil maps of a slice that is alone; None where they stay as they are."""
        return refinement_of(self.problems[0], self.settings) if len(self.problems) == 1 else None

    def plan(self) -> Plan:
        """What fits into the time; what a step costs is measured if it is not known."""
        settings, shape = self.settings, self.shape
        if self.watch.limited and self.prior.costs.step_s(shape) is None:
            self._sample((settings.sigma_max,), [np.random.default_rng(0) for _ in self.problems])
        step_s = self.prior.costs.step_s(shape) or 0.0
        wanted = settings.samples if self._sampled_roles else 0
        sample_step_s = sum(self._sample_step_s(problem, wanted) or step_s / shape[0] for problem in self.problems)
        extension = settings.map_steps / settings.samples if "map" in self._sampled_roles else 0.0
        n_steps = settings.steps_each(self.prior.errors is not None) + extension
        return self.watch.plan(step_s, settings.steps, wanted, n_steps * sample_step_s)

    @property
    def _sampled_roles(self) -> tuple[str, ...]:
        """Series from posterior samples; an uncertainty map as asked for, or with weights that predict none."""
        predicted = self.settings.uncertainty_from == "prediction" and self.prior.errors is not None
        sampled = SAMPLED_SERIES if predicted else (*SAMPLED_SERIES, "uncertainty")
        return tuple(name for name in self.settings.series if name in sampled)

    def _sample_step_s(self, problem: Problem, n_samples: int) -> float | None:
        return self.prior.costs.step_s((n_samples, 1, *problem.data.shape))

    def images(self, plan: Plan) -> list[SliceImage]:
        """The image of each slice."""
        levels = self.sampler.levels(plan.steps)
        sampled = self._sample(levels, [problem.generator for problem in self.problems], self.refinement)
        alone, looked_at = self._looked_again(sampled)
        told = self._told(alone, levels[-1])
        result = alone if told is None else replace(alone, image=told.images)
        maps = self._predicted(alone, told)
        renewed = None if self.refinement is None else self.refinement.renewed
        outcomes = []
        for place, problem in enumerate(self.problems):
            provenance = self._said_of_run(place, result) | {"second_look": "yes" if looked_at[place] else "no"}
            if problem.neighbours:
                provenance |= said_of_neighbours(self.informed, self.prior, changed=told is not None)
            if plan.reason:
                provenance["shortened"] = plan.reason
            provenance |= said_of_maps(problem, self.settings, self.refinement)
            image = mask_outside_coils(problem.operator, result.image[place])
            outcome = Outcome({"main": image}, provenance, renewed)
            error = self._rms_error(problem, result.image[place], maps[place]) if maps else None
            outcomes.append(SliceImage(self._with_prediction(outcome, maps[place]) if maps else outcome, error))
        return outcomes

    def _said_of_run(self, place: int, result: SamplerResult) -> dict[str, str]:
        """How the image of a slice was made."""
        problem = self.problems[place]
        return {
            "sampler": "nila_fast",
            "steps": str(result.n_evaluations),
            "coarse_steps": str(result.n_coarse),
            "cg_iterations": str(result.n_iterations[place]),
            "detail": f"{self.sampler.detail:g}",
            "scale": f"{problem.scale:.6g}",
            "sigma_model": f"{problem.noise_level:.4g}",
            "weights_sha256": self.prior.prior.sha256,
            "engine": self.prior.prior.label,
        }

    def _looked_again(self, result: SamplerResult) -> tuple[SamplerResult, list[bool]]:
        """The result after a second look, and of which slices it was taken."""
        if self.prior.errors is None:
            return result, [False] * len(self.problems)
        conventional = self.batch[2]
        return looked_again(self.prior.errors, self.problems, conventional, result, self.sampler, self.prior.device)

    def _told(self, alone: SamplerResult, last_level: float) -> Corrected | None:
        """The image of a slice that is told of its neighbours, where they change it."""
        if self.informed is None:
            return None
        return self.informed.corrected(alone, self.problems[0].scale, self.sampler.network_fraction * last_level)

    def _rms_error(self, problem: Problem, image: Array, predicted: PredictedError) -> float | None:
        """Predicted rms error of an image, image scale 1; None where nobody asks, because a GPU would be waited for."""
        if not self._sampled_roles:
            return None
        return math.sqrt(predicted_variance(image, predicted.deviation, problem.scale)) / problem.scale

    def _predicted(self, alone: SamplerResult, told: Corrected | None) -> list[PredictedError]:
        """Predicted error map of each slice, by the head or by a prior that states variances; none with other weights."""
        if self.prior.errors is None:
            return [] if alone.variance is None else stated_errors(self.problems, alone.variance)
        found = predicted_errors(
            self.prior.errors, self.problems, self.batch[2], alone, self.sampler, self.prior.device
        )
        if self.informed is None or told is None:
            return found
        (problem,) = self.problems
        image = mask_outside_coils(problem.operator, told.images[0])
        factor = self.informed.widening(image[None] / problem.scale)[0]
        return [widened(found[0], factor, told.change[0])]

    def _with_prediction(self, outcome: Outcome, predicted: PredictedError) -> Outcome:
        if "uncertainty" not in self.settings.series or self.settings.uncertainty_from != "prediction":
            return replace(outcome, provenance=outcome.provenance | predicted.of_image)
        provenance = outcome.provenance | {"uncertainty_from": "prediction"} | predicted.provenance | predicted.of_image
        return replace(outcome, images=outcome.images | {"uncertainty": predicted.deviation}, provenance=provenance)

    def _sample(
        self, levels: tuple[float, ...], generators: list[np.random.Generator], renewal: Renewal | None = None
    ) -> SamplerResult:
        operator, data, starts = self.batch
        scales = [problem.scale for problem in self.problems]
        sigmas = [problem.noise_level for problem in self.problems]
        began_s = self.watch.clock()
        result = sample_images(
            self.prior.prior.estimate,
            operator,
            data,
            levels,
            self.sampler,
            start=starts,
            sigma=sigmas,
            scale=scales,
            generator=generators,
            callback=self._callback,
            renewal=renewal,
        )
        self._remember_cost(self.shape, result.image, began_s, len(levels))
        return result

    def _callback(self, step: int, sigma: float, x: Array) -> None:
        for place, problem in enumerate(self.problems):
            problem.callback(step, sigma, x[place : place + 1])
        self.watch.check(step, sigma, x)

    def _remember_cost(self, shape: Shape, image: Array, began_s: float, n_steps: int) -> None:
        """Seconds of one of `n_steps`, on a GPU only where a budget makes waiting for them worth it."""
        if self.watch.limited:
            synchronize(image)
        elif not on_host(image):
            return
        self.prior.costs.add(shape, (self.watch.clock() - began_s) / n_steps)

    def with_samples(self, made: SliceImage, place: int, plan: Plan) -> Outcome:
        """The outcome of the slice at `place` with the images that come from posterior samples, if samples are planned."""
        outcome, roles = made.outcome, [role for role in self._sampled_roles if role not in made.outcome.images]
        if not plan.samples or not roles:
            return outcome
        problem, began_s = measured_by(self.problems[place], outcome), self.watch.clock()
        n_steps = 0

        def callback(step: int, sigma: float, x: Array) -> None:
            nonlocal n_steps
            n_steps += int(x.shape[0])
            problem.callback(step, sigma, x)
            self.watch.check(step, sigma, x)

        try:
            sampled = sampled_images(
                self.prior.prior,
                problem,
                self.settings,
                roles,
                n_samples=plan.samples,
                image=outcome.images["main"],
                predicted_error=made.predicted_error,
                callback=callback,
            )
        except (RuntimeError, MemoryError) as error:  # out of time or memory: the image is there all the same
            return replace(outcome, provenance=outcome.provenance | {"shortened": f"no posterior samples: {error}"})
        shape = (plan.samples, 1, *problem.data.shape)
        self._remember_cost(shape, sampled.images[roles[0]], began_s, n_steps)
        provenance = outcome.provenance | sampled.provenance
        if "uncertainty" in roles:
            provenance |= self._origin_of_map()
        return replace(outcome, images=outcome.images | sampled.images, provenance=provenance)

    def _origin_of_map(self) -> dict[str, str]:
        """What is said of an uncertainty map from samples."""
        origin = "samples"
        if self.settings.uncertainty_from == "prediction":
            origin = "samples, because these weights predict no errors"
            log.info("the weights predict no errors: the uncertainty map is the spread of posterior samples")
        return {"uncertainty_from": origin, "uncertainty_calibration": UNCALIBRATED}
