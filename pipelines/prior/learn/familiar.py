"""Training of what a prior is familiar with, for weights with an error head: `nilatron prior learn-familiar`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from nilatron.core.prior.edm_weights import load_prior
from nilatron.core.prior.familiarity import Familiarity
from nilatron.core.prior.familiarity_training import FamiliarityTraining, train_familiarity
from nilatron.pipelines.files.atomic import InputError
from nilatron.pipelines.prior.calibrate import write
from nilatron.pipelines.training.images import load_images

REPORT_EVERY = 50  # steps


@dataclass(frozen=True)
class LearnFamiliarSettings:
    """What is familiar: the training images of these weights, files and folders."""

    images: tuple[Path, ...]
    weights: Path
    training: FamiliarityTraining = field(default_factory=FamiliarityTraining)


def learn_familiar(
    settings: LearnFamiliarSettings, output: Path, progress: Callable[[str], None] = lambda _: None
) -> Familiarity:
    """Write the weights with what their images look like to `output`.

    Raises
    ------
    InputError
        When the weights predict no errors, or there are too few images.
    BadInputError
        When weights or images cannot be used.
    """
    prior = load_prior(settings.weights)
    if prior.errors is None:
        raise InputError(
            f"{settings.weights}: these weights predict no errors; `nilatron prior learn-errors` adds that"
        )

    def watch(step: int, loss: float) -> None:
        if step % REPORT_EVERY == 0:
            progress(f"step {step} of {settings.training.steps}, loss {loss:.3f}")

    try:
        found = train_familiarity(load_images(settings.images), settings.training, watch)
    except ValueError as error:
        raise InputError(str(error)) from error
    write(output, prior, replace(prior.errors, familiarity=found))
    return found
