"""Training of the head that predicts errors, for weights that exist: `nilatron prior learn-errors`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch

from nilatron.core.prior.edm_weights import load_prior
from nilatron.core.prior.errors.head import ErrorHead
from nilatron.core.prior.errors.model import ErrorModel
from nilatron.core.prior.errors.training import HeadTraining, train_head
from nilatron.core.prior.lesions import LesionSettings
from nilatron.core.prior.training_scans import ScanSettings
from nilatron.pipelines.files.atomic import InputError
from nilatron.pipelines.prior.calibrate import write
from nilatron.pipelines.prior.learn.simulated import simulated_scans
from nilatron.pipelines.training.images import load_images

REPORT_EVERY = 100  # steps


@dataclass(frozen=True)
class LearnErrorsSettings:
    """What the head learns from.

    Attributes
    ----------
    images
        Training images: files and folders.
    weights
        Whose errors it learns; they do not change.
    scans
        How many scans are simulated, and how they are drawn.
    training
        Of the head.
    """

    images: tuple[Path, ...]
    weights: Path
    n_scans: int = 800
    scans: ScanSettings = field(
        default_factory=lambda: ScanSettings(lesions=LesionSettings(probability=0.6, texture_probability=0.3))
    )
    training: HeadTraining = field(default_factory=HeadTraining)

    def __post_init__(self) -> None:
        """Refuse what trains nothing."""
        if self.n_scans < 1:
            raise InputError(f"expected 1 scan or more, got {self.n_scans}")


def learn_errors(settings: LearnErrorsSettings, output: Path, progress: Callable[[str], None] = lambda _: None) -> None:
    """Write the weights with a new head, uncalibrated, to `output`.

    Raises
    ------
    BadInputError
        When weights or images cannot be used.
    """
    prior = load_prior(settings.weights)
    images = load_images(settings.images)
    look = None if prior.errors is None else prior.errors.second_look
    seed = settings.training.seed
    scans = simulated_scans(prior, images, settings.scans, settings.n_scans, seed, progress, look)
    examples = [example for example, _ in scans]

    def watch(step: int, loss: float) -> None:
        if step % REPORT_EVERY == 0:
            progress(f"step {step} of {settings.training.steps}, loss {loss:.3f}")

    torch.manual_seed(seed)
    head = train_head(ErrorHead(), examples, settings.training, watch)
    write(output, prior, ErrorModel(head, second_look=look))
