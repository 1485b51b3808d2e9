"""A second look at the sampler's images, where these are such as it was trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace

import numpy as np

from nilatron.core.backend import Array, converted_to, namespace
from nilatron.core.prior.errors.model import BESIDE_NEIGHBOURS, ErrorModel, second_look
from nilatron.core.sampling.image import ImageSettings
from nilatron.core.sampling.nila_fast import SamplerResult
from nilatron.gadgets.nila.uncertainty import seen_by_heads
from nilatron.gadgets.problem import Problem

# noise of the data, image scale 1, and acquired samples per sample of the grid, of scans that it was trained or measured on
NOISE, SHARE = (0.006, 0.15), (0.05, 0.75)


def takes_second_look(model: ErrorModel, problem: Problem, settings: ImageSettings, n_steps: int) -> bool:
    """Whether a slice is such as the look was trained on, and made with the default settings but for `detail`.

    `settings` are those with which the sampler ran, `n_steps` the evaluations that it made.
    """
    if model.second_look is None or not settings.second_look:
        return False
    usual = replace(ImageSettings(), detail=settings.detail, sigma_min=settings.sigma_min)
    as_trained = all(getattr(settings, field.name) == getattr(usual, field.name) for field in fields(ImageSettings))
    if not as_trained or n_steps != usual.steps or problem.conventional.shape[0] > 1:
        return False
    noise, share = problem.noise_level / problem.scale, problem.acquired_share
    return NOISE[0] <= noise <= NOISE[1] and SHARE[0] <= share <= SHARE[1]


def looked_again(
    model: ErrorModel,
    problems: Sequence[Problem],
    conventional: Array,
    result: SamplerResult,
    settings: ImageSettings,
    device: str,
    *,
    informed: bool = False,
) -> tuple[SamplerResult, list[bool]]:
    """The sampler's result with the images that a second look makes of it, and of which slices it is taken.

    `informed` is whether neighbours have corrected the image; for the other parameters see `predicted_errors`.
    """
    taken = [takes_second_look(model, problem, settings, result.n_evaluations) for problem in problems]
    if not any(taken):
        return result, taken
    seen, scales = seen_by_heads(problems, conventional, result, device), [problem.scale for problem in problems]
    images = second_look(model, seen, scales, result.image, BESIDE_NEIGHBOURS if informed else 1.0)
    chosen = converted_to(np.reshape(taken, (-1, 1, 1, 1)), images)
    return replace(result, image=namespace(images).where(chosen, images, result.image)), taken
