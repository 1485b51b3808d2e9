"""Settings of posterior samples, and the chains that they give for an image and its predicted error."""

from __future__ import annotations

import math
from dataclasses import dataclass

from nilatron.core.bounds import bounded, check_bounds
from nilatron.core.sampling.schedule import karras_schedule

# level of the split by the predicted rms error of the image: mean and variance are best balanced there for the shipped weights
SPLIT_ERRORS = 1.4
CENTRED = 0.5  # of the way from the samples' mean to the image
DEFAULT_SPLIT = 0.06  # for weights that predict no errors
DEFAULT_STEPS = 2  # of samples that are not widened
# of deviations after one step, for `widened`: WIDENING share^WIDENING_BY_SHARE, with the acquired share of the samples. Fitted
# to the errors that the shipped weights make of scans on which they were not trained
WIDENING, WIDENING_BY_SHARE = 7.2, -0.05


@dataclass(frozen=True)
class Chains:
    """How the samples of a slice are drawn.

    Attributes
    ----------
    levels
        Diffusion noise levels after the split.
    shared
        Whether they start from the image, their shared burn-in, and are moved towards it; else from the conventional image.
    widening
        By how much their deviations are enlarged, as `widened` takes it; 0 if they stay as they are.
    """

    levels: tuple[float, ...]
    shared: bool
    widening: float = 0.0

    @property
    def centred(self) -> float:
        """Part of the way from the samples' mean to the image by which all are moved."""
        return CENTRED if self.shared else 0.0


@dataclass(frozen=True)
class SampleSettings:
    """Settings of posterior samples."""

    samples: int = bounded(
        8, 2, 64
    )  # posterior samples behind mean, std, map, sample, and an uncertainty map from samples
    # network evaluations of each posterior sample after the split. By default 1, its deviations enlarged to the size of errors,
    # where the split follows a predicted error; else 2
    sample_steps: int | None = bounded(None, 1, 200)
    # noise level at which samples part from the image, their shared burn-in; by default from the image's predicted error.
    # From sample_sigma_max they share nothing (16 steps are enough)
    split_sigma: float | None = None
    sample_sigma_max: float = 0.5  # first level for samples that share nothing, and for map
    sample_sigma_min: float = 0.01  # last level for samples: what lies below it is missing from their variance
    map_steps: int = bounded(16, 1, 200)  # network evaluations of the noise-free end of a sample's chain: map

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        check_bounds(self)
        karras_schedule(self.map_steps, self.sample_sigma_max, self.sample_sigma_min)
        if self.split_sigma is not None and not self.sample_sigma_min <= self.split_sigma < math.inf:
            raise ValueError(f"split_sigma must be at least sample_sigma_min, got {self.split_sigma}")

    def split(self, predicted_error: float | None = None) -> float:
        """Level of the split for an image whose rms error is `predicted_error`, image scale 1; None if that is unknown."""
        wanted = self.split_sigma
        if wanted is None:
            wanted = DEFAULT_SPLIT if predicted_error is None else SPLIT_ERRORS * predicted_error
        return min(max(wanted, self.sample_sigma_min), self.sample_sigma_max)

    def steps_each(self, error_known: bool) -> int:
        """Network evaluations of each sample, by whether the error of the image is predicted."""
        return self.sample_steps or (1 if error_known and self.split_sigma is None else DEFAULT_STEPS)

    def chains(self, predicted_error: float | None = None, share: float = 1.0) -> Chains:
        """How the samples of an image are drawn.

        Parameters
        ----------
        predicted_error
            Rms error of the image, image scale 1; None if it is unknown.
        share
            Acquired samples per sample of the whole grid.
        """
        split = self.split(predicted_error)
        shared = split < self.sample_sigma_max
        by_error = shared and self.split_sigma is None and predicted_error is not None
        levels = karras_schedule(self.steps_each(by_error), split, self.sample_sigma_min)
        widening = WIDENING * max(share, 1e-6) ** WIDENING_BY_SHARE if by_error and len(levels) == 1 else 0.0
        return Chains(levels, shared, widening)

    @property
    def map_levels(self) -> tuple[float, ...]:
        """Levels of the noise-free end of a chain."""
        return karras_schedule(self.map_steps, self.sample_sigma_max, self.sample_sigma_min)
