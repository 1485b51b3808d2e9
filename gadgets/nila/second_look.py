"""A second look at the sampler's images, where these are such as it was trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace

from nilatron.core.backend import Array
from nilatron.core.prior.error_model import ErrorModel, delivered, second_look
from nilatron.core.sampling.image import ImageSettings
from nilatron.core.sampling.nila_fast import SamplerResult
from nilatron.gadgets.problem import Problem

BESIDE_NEIGHBOURS = 0.4  # of the correction, of images that neighbouring slices have corrected: part of it is the same


def wanted(model: ErrorModel | None, problems: Sequence[Problem], settings: ImageSettings, n_steps: int) -> bool:
    """Whether images of single slices, made with the default settings but for `detail`, are looked at again.

    `settings` are those with which the sampler ran, `n_steps` the evaluations that it made.
    """
    if model is None or model.second_look is None or not settings.second_look:
        return False
    usual = replace(ImageSettings(), detail=settings.detail, sigma_min=settings.sigma_min)
    as_trained = all(getattr(settings, field.name) == getattr(usual, field.name) for field in fields(ImageSettings))
    return as_trained and n_steps == usual.steps and all(p.conventional.shape[0] == 1 for p in problems)


def looked_again(
    model: ErrorModel,
    problems: Sequence[Problem],
    conventional: Array,
    result: SamplerResult,
    device: str,
    *,
    informed: bool = False,
) -> SamplerResult:
    """The sampler's result with the images that a second look makes of it.

    `informed` is whether neighbours have corrected the image; for the other parameters see `predicted_errors`.
    """
    scales = [problem.scale for problem in problems]
    noises = [problem.noise_level for problem in problems]
    shares = [problem.acquired_share for problem in problems]
    seen = delivered(result, conventional, scales, noises, shares, device)
    return replace(result, image=second_look(model, seen, scales, result.image, BESIDE_NEIGHBOURS if informed else 1.0))
