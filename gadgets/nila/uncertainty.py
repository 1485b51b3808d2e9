"""The predicted error map of an image, and what calibration lets it promise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

from nilatron.core.backend import Array, namespace
from nilatron.core.measurement import mask_outside_coils
from nilatron.core.prior.error_model import ErrorModel, delivered, predicted_deviation
from nilatron.core.sampling.image import ImageSettings
from nilatron.core.sampling.nila_fast import SamplerResult
from nilatron.core.uncertainty.psnr import predicted_psnr_db
from nilatron.gadgets.problem import Problem

UNCALIBRATED = "uncalibrated"
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
    bound
        What is said about the PSNR of the image.
    """

    deviation: Array
    provenance: dict[str, str]
    bound: dict[str, str]


def acquired_share(problem: Problem) -> float:
    """Acquired samples per sample of the whole grid, at most 1."""
    n_coils, n_pixels = int(problem.data.shape[-4]), math.prod(map(int, problem.conventional.shape))
    return min(1.0, problem.operator.n_samples / (n_coils * n_pixels))


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
    noises = [problem.noise_level for problem in problems]
    shares = [acquired_share(problem) for problem in problems]
    seen = delivered(result, conventional, scales, noises, shares, device)
    deviations = predicted_deviation(model, seen, scales, namespace(result.image).abs(result.image))
    return [
        _described(model, problem, result.image[place], deviations[place], share, settings, result.n_evaluations)
        for place, (problem, share) in enumerate(zip(problems, shares, strict=True))
    ]


def stated_errors(problems: Sequence[Problem], variance: Array) -> list[PredictedError]:
    """Error map of each slice by the variance (batch, z, y, x) of the complex image that the prior itself states."""
    deviations = namespace(variance).sqrt(variance)
    return [
        PredictedError(
            mask_outside_coils(problem.operator, deviations[place]), {"uncertainty_calibration": UNCALIBRATED}, {}
        )
        for place, problem in enumerate(problems)
    ]


def _described(
    model: ErrorModel,
    problem: Problem,
    image: Array,
    deviation: Array,
    share: float,
    settings: ImageSettings,
    n_steps: int,
) -> PredictedError:
    deviation = mask_outside_coils(problem.operator, deviation)
    found = None if model.calibration is None else model.calibration.of(1 / share, problem.noise_level / problem.scale)
    if model.calibration is None or found is None or not _as_calibrated(settings, n_steps):
        return PredictedError(deviation, {"uncertainty_calibration": UNCALIBRATED}, {})
    levels = model.calibration.levels
    bound = predicted_psnr_db(image, deviation, problem.scale) - found.psnr_margin_db
    return PredictedError(
        deviation,
        {
            "uncertainty_calibration": "calibrated",
            "uncertainty_coverage": f"{levels.coverage:g}",
            "uncertainty_confidence": f"{levels.confidence:g}",
            "uncertainty_kappa": f"{found.kappa:.4g}",
            "uncertainty_subjects": str(found.subjects),
        },
        {
            "psnr_bound_db": f"{bound:.2f}",
            "psnr_bound_confidence": f"{levels.bound:g}",
        },
    )


def _as_calibrated(settings: ImageSettings, n_steps: int) -> bool:
    names = [field.name for field in fields(ImageSettings)]
    same = all(getattr(settings, name) == getattr(CALIBRATED_SETTINGS, name) for name in names)
    return same and n_steps == CALIBRATED_SETTINGS.steps
