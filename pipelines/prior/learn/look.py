"""Training of the second look at images, for weights with an error head: `nilatron prior learn-look`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from nilatron.core.prior.edm_weights import load_prior
from nilatron.core.prior.lesions import LesionSettings
from nilatron.core.prior.second_look.head import SecondLook
from nilatron.core.prior.second_look.training import LookTraining, look_example, train_look
from nilatron.core.prior.training_scans import ScanSettings
from nilatron.pipelines.files.atomic import InputError
from nilatron.pipelines.prior.calibrate import write
from nilatron.pipelines.prior.learn.simulated import simulated_scans
from nilatron.pipelines.training.images import load_images

REPORT_EVERY = 100  # steps


@dataclass(frozen=True)
class LearnLookSettings:
    """What the head learns from.

    Attributes
    ----------
    images
        Training images: files and folders.
    weights
        Whose images it looks at; they do not change.
    scans
        How many scans are simulated, and how they are drawn.
    training
        Of the head.
    """

    images: tuple[Path, ...]
    weights: Path
    n_scans: int = 1400
    scans: ScanSettings = field(
        default_factory=lambda: ScanSettings(
            sigma=(0.012, 0.12), lesions=LesionSettings(probability=0.7, number=(2, 14), contrast=(0.08, 0.6))
        )
    )
    training: LookTraining = field(default_factory=LookTraining)

    def __post_init__(self) -> None:
        """Refuse what trains nothing."""
        if self.n_scans < 1:
            raise InputError(f"expected 1 scan or more, got {self.n_scans}")


def learn_look(settings: LearnLookSettings, output: Path, progress: Callable[[str], None] = lambda _: None) -> None:
    """Write the weights with a new head, which makes their errors uncalibrated, to `output`.

    Raises
    ------
    InputError
        When the weights predict no errors.
    BadInputError
        When weights or images cannot be used.
    """
    prior = load_prior(settings.weights)
    if prior.errors is None:
        raise InputError(
            f"{settings.weights}: these weights predict no errors; `nilatron prior learn-errors` adds that"
        )
    images = load_images(settings.images)
    seed = settings.training.seed
    scans = simulated_scans(prior, images, settings.scans, settings.n_scans, seed, progress)
    examples = [look_example(delivered, scan) for delivered, scan in scans]

    def watch(step: int, after: float, before: float) -> None:
        if step % REPORT_EVERY == 0:
            progress(f"step {step} of {settings.training.steps}, error {after / before:.3f} of what it was")

    torch.manual_seed(seed)
    look = train_look(SecondLook(), examples, settings.training, watch)
    write(output, prior, replace(prior.errors, second_look=look, calibration=None))
