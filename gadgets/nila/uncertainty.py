"""The predicted error map of an image, and what calibration lets it promise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from nilatron.core.backend import Array, namespace
from nilatron.core.measurement import mask_outside_coils
from nilatron.core.metrics import FOREGROUND
from nilatron.core.prior.errors.model import ErrorModel, delivered, predicted_deviation
from nilatron.core.sampling.image import ImageSettings
from nilatron.core.sampling.nila_fast import SamplerResult
from nilatron.core.uncertainty.psnr import predicted_psnr_db
from nilatron.gadgets.problem import Problem

if TYPE_CHECKING:  # torch takes seconds to import
    from nilatron.core.prior.errors.head import Delivered

UNCALIBRATED = "uncalibrated"
MIN_OBJECT = 0.1  # of the pixels: the first and last slices of a head are smaller, and could be anything
MAX_NOISE = 0.2  # of the image scale; noise alone looks like nothing that a prior was trained on
CALIBRATED_SETTINGS = ImageSettings()  # of the sampler, in every calibration


@dataclass(frozen=True)
class PredictedError:
    """Of one slice.

    Attributes
    ----------
    deviation
        Standard deviation of the magnitude's error (z, y, x).
    provenance
        What is said about it.
    of_image
        What is said about the image itself: a bound of its PSNR, and whether the prior knows such objects.
    """

    deviation: Array
    provenance: dict[str, str]
    of_image: dict[str, str]


def predicted_errors(
    model: ErrorModel,
    problems: Sequence[Problem],
    conventional: Array,
    result: SamplerResult,
    settings: ImageSettings,
    device: str,
) -> list[PredictedError]:
    """Error map of each slice of a batch, in one pass of the head.

    Parameters
    ----------
    model
        On `device`.
    conventional
        Warm starts (batch, z, y, x).
    result
        Of the sampler.
    settings
        With which it ran; other settings than those of the calibration make the map uncalibrated.
    """
    scales = [problem.scale for problem in problems]
    shares = [problem.acquired_share for problem in problems]
    seen = seen_by_heads(problems, conventional, result, device)
    deviations = predicted_deviation(model, seen, scales, namespace(result.image).abs(result.image))
    familiar = familiarity_of(model, seen, len(problems))
    found = []
    for place, (problem, share) in enumerate(zip(problems, shares, strict=True)):
        image, deviation = result.image[place], mask_outside_coils(problem.operator, deviations[place])
        said, of_image = _promises(model, problem, image, deviation, share, settings, result.n_evaluations)
        found.append(PredictedError(deviation, said, of_image | familiar[place]))
    return found


def seen_by_heads(problems: Sequence[Problem], conventional: Array, result: SamplerResult, device: str) -> Delivered:
    """What the heads beside the weights see of the images of a batch; for the parameters see `predicted_errors`."""
    scales = [problem.scale for problem in problems]
    noises = [problem.noise_level for problem in problems]
    return delivered(result, conventional, scales, noises, [problem.acquired_share for problem in problems], device)


def widened(predicted: PredictedError, factor: Array, change: Array) -> PredictedError:
    """The map of an image that its neighbours have changed: sqrt((factor deviation)^2 + change^2), which no calibration knows.

    Parameters
    ----------
    factor
        Above 1 where image and neighbours disagree (z, y, x).
    change
        What was believed of the neighbours, and might be wrong here (z, y, x).
    """
    xp = namespace(predicted.deviation)
    deviation = xp.sqrt((factor * predicted.deviation) ** 2 + xp.abs(change) ** 2)
    unfit = ("psnr_bound_db", "psnr_bound_confidence")
    of_image = {name: text for name, text in predicted.of_image.items() if name not in unfit}
    return PredictedError(deviation, {"uncertainty_calibration": UNCALIBRATED}, of_image)


def stated_errors(problems: Sequence[Problem], variance: Array) -> list[PredictedError]:
    """Error map of each slice by the variance (batch, z, y, x) of the complex image that the prior itself states."""
    deviations = namespace(variance).sqrt(variance)
    return [
        PredictedError(
            mask_outside_coils(problem.operator, deviations[place]), {"uncertainty_calibration": UNCALIBRATED}, {}
        )
        for place, problem in enumerate(problems)
    ]


def _promises(
    model: ErrorModel,
    problem: Problem,
    image: Array,
    deviation: Array,
    share: float,
    settings: ImageSettings,
    n_steps: int,
) -> tuple[dict[str, str], dict[str, str]]:
    """What calibration says about the map and about the image."""
    found = None if model.calibration is None else model.calibration.of(1 / share, problem.noise_level / problem.scale)
    if model.calibration is None or found is None or not _as_calibrated(problem, settings, n_steps):
        return {"uncertainty_calibration": UNCALIBRATED}, {}
    levels = model.calibration.levels
    bound = predicted_psnr_db(image, deviation, problem.scale) - found.psnr_margin_db
    return {
        "uncertainty_calibration": "calibrated",
        "uncertainty_coverage": f"{levels.coverage:g}",
        "uncertainty_confidence": f"{levels.confidence:g}",
        "uncertainty_kappa": f"{found.kappa:.4g}",
        "uncertainty_subjects": str(found.subjects),
    }, {"psnr_bound_db": f"{bound:.2f}", "psnr_bound_confidence": f"{levels.bound:g}"}


def familiarity_of(model: ErrorModel, seen: Delivered, n_slices: int) -> list[dict[str, str]]:
    """What is said of each slice about its object, by its least familiar partition of those that show enough."""
    familiarity = model.familiarity
    if familiarity is None:
        return [{} for _ in range(n_slices)]
    magnitude = seen.image.abs()
    filled = (magnitude > FOREGROUND).float().mean(dim=(-2, -1))
    shows = (filled >= MIN_OBJECT) & (seen.noise <= MAX_NOISE)
    scores = familiarity.scores(magnitude)
    judged = scores.masked_fill(~shows, -math.inf).reshape(n_slices, -1).amax(dim=1).tolist()
    return [said_of(score, familiarity.threshold, familiarity.false_alarms) for score in judged]


def said_of(score: float, threshold: float, false_alarms: float) -> dict[str, str]:
    """A score with its threshold, and a sentence if it is above it; of an image that shows too little there is none."""
    if score == -math.inf:
        return {"unfamiliarity": "not judged: too small or too noisy an object"}
    said = {"unfamiliarity": f"{score:.2f}", "unfamiliarity_threshold": f"{threshold:.2f}"}
    if score > threshold:
        said["prior_mismatch"] = (
            f"this does not look like what the prior was trained on (score {score:.2f}, {false_alarms:.1%} of the images of "
            f"that kind are above {threshold:.2f}): compare with the conventional image"
        )
    return said


def _as_calibrated(problem: Problem, settings: ImageSettings, n_steps: int) -> bool:
    calibrated = CALIBRATED_SETTINGS.for_data(problem.noise_level / problem.scale, problem.acquired_share)
    same = all(getattr(settings, field.name) == getattr(calibrated, field.name) for field in fields(ImageSettings))
    return same and n_steps == calibrated.steps
