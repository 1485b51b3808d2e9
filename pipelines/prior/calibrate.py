"""Calibration of predicted errors on simulated scans of subjects that no training saw: `nilatron prior calibrate`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from nilatron.core.metrics import psnr
from nilatron.core.prior.edm_weights import EDMPrior, load_prior, save_prior
from nilatron.core.prior.errors.head import ln_variance
from nilatron.core.prior.errors.model import KEYS, ErrorModel
from nilatron.core.prior.errors.training import ErrorExample, example_of
from nilatron.core.prior.training_scans import ScanSettings, draw_scan
from nilatron.core.prior.weights import HASH_KEY
from nilatron.core.uncertainty.calibration import (
    Calibration,
    CalibrationLevels,
    SubjectScores,
    calibrated,
)
from nilatron.core.uncertainty.conformal import covering_factor, subjects_needed
from nilatron.core.uncertainty.psnr import predicted_psnr_db
from nilatron.pipelines.files.atomic import InputError, atomic_path
from nilatron.pipelines.prior.subjects import images_by_subject
from nilatron.pipelines.training.batches import seeded_generator

ACCELERATIONS = ((2,), (3, 4), (6, 8))  # drawn for each band
NOISES = ((0.006, 0.02), (0.02, 0.05), (0.05, 0.12))
TRIES = 20  # to draw a scan that falls into its class, whose bands are those of the scan as it was measured

Class = tuple[int, int]


@dataclass(frozen=True)
class CalibrateSettings:
    """What is calibrated, and on what.

    Attributes
    ----------
    images, subject
        Images of subjects that no training saw, and the pattern that tells these apart (see `images_by_subject`).
    weights
        With an error head.
    scans
        Simulated for every subject in every class.
    levels
        What is promised.
    seed
        Of the scans.
    """

    images: tuple[Path, ...]
    weights: Path
    subject: str = ""
    scans: int = 2
    levels: CalibrationLevels = field(default_factory=CalibrationLevels)
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what cannot be calibrated."""
        if self.scans < 1:
            raise InputError(f"expected 1 scan or more for each subject and class, got {self.scans}")


def calibrate(
    settings: CalibrateSettings, output: Path, progress: Callable[[str], None] = lambda _: None
) -> Calibration:
    """Write the weights with their calibration to `output`.

    Raises
    ------
    InputError
        When the weights predict no errors, or there are fewer subjects than the levels need.
    BadInputError
        When weights or images cannot be used.
    """
    prior = load_prior(settings.weights)
    if prior.errors is None:
        raise InputError(
            f"{settings.weights}: these weights predict no errors; `nilatron prior learn-errors` adds that"
        )
    subjects = images_by_subject(settings.images, settings.subject)
    needed = max(subjects_needed(level) for level in (settings.levels.confidence, settings.levels.bound))
    if len(subjects) < needed:
        raise InputError(f"these levels need images of at least {needed} subjects, there are {len(subjects)}")
    classes = {
        key: [
            subject_scores(prior.errors, examples, settings.levels.coverage)
            for examples in simulated(prior, subjects, key, settings, progress).values()
        ]
        for key in product(range(len(ACCELERATIONS)), range(len(NOISES)))
    }
    found = calibrated(classes, settings.levels)
    write(output, prior, replace(prior.errors, calibration=found))
    return found


def simulated(
    prior: EDMPrior,
    subjects: Mapping[str, Sequence[Tensor]],
    key: Class,
    settings: CalibrateSettings,
    progress: Callable[[str], None],
) -> dict[str, list[ErrorExample]]:
    """Images that the sampler makes of scans of one class, by subject."""
    scans = ScanSettings(accelerations=ACCELERATIONS[key[0]], sigma=NOISES[key[1]])
    found: dict[str, list[ErrorExample]] = {}
    for place, (subject, images) in enumerate(subjects.items()):
        progress(f"class {key[0] * len(NOISES) + key[1] + 1}: {subject}")
        found[subject] = [
            _example(prior, images, scans, key, (settings.seed, *key, place, scan)) for scan in range(settings.scans)
        ]
    return found


def _example(
    prior: EDMPrior, images: Sequence[Tensor], scans: ScanSettings, key: Class, seed: tuple[int, ...]
) -> ErrorExample:
    bands, generator = Calibration({}), seeded_generator(*seed)
    for _ in range(TRIES):
        scan = draw_scan(images, scans, generator)
        if bands.class_of(1 / float(scan.counts.mean()), scan.sigma / scan.scale) == key:
            look = None if prior.errors is None else prior.errors.second_look
            return example_of(prior.denoiser, scan, np.random.default_rng(seed), look=look)
    raise InputError(f"no scan of {TRIES} fell into class {key}: the images are too small or empty")


def subject_scores(model: ErrorModel, examples: Sequence[ErrorExample], coverage: float) -> SubjectScores:
    """Scores of one subject by its images of one class: all pixels of its object count, and its worst image."""
    errors, deviations, margins = [], [], []
    for example in examples:
        with torch.inference_mode():
            deviation = (ln_variance(model.head, example.seen) / 2).exp()
        inside = example.inside
        errors.append(example.error[inside].numpy())
        deviations.append(deviation[inside].numpy())
        margins.append(psnr_margin_db(example, deviation))
    return SubjectScores(covering_factor(np.concatenate(errors), np.concatenate(deviations), coverage), max(margins))


def psnr_margin_db(example: ErrorExample, deviation: Tensor) -> float:
    """Predicted PSNR less the true one in dB.

    The prediction knows the image alone, its peak and its foreground.
    """
    predicted = predicted_psnr_db(example.seen.image.numpy(), deviation.numpy(), 1.0)
    return predicted - psnr(example.seen.image.numpy(), example.truth.numpy())


def write(output: Path, prior: EDMPrior, errors: ErrorModel) -> None:
    """Weights file of the prior with another error model."""
    own = {key: value for key, value in prior.metadata.items() if key not in (*KEYS, HASH_KEY)}
    with atomic_path(output) as temporary:
        save_prior(temporary, prior.denoiser, own, errors=errors)
