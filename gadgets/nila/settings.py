"""The properties of the Nila targets."""

from __future__ import annotations

from dataclasses import dataclass

from nilatron.core.prior.engines.choose import EngineSettings
from nilatron.core.sampling.image import ImageSettings
from nilatron.core.sampling.schedule import karras_schedule
from nilatron.gadgets.nila.budget import BudgetSettings
from nilatron.gadgets.nila.memory import MODES

SERIES = ("nila", "conventional", "uncertainty")
UNCERTAINTY_FROM = ("prediction", "samples")


@dataclass(frozen=True)
class NetworkSettings(BudgetSettings):
    """What all targets with a network have."""

    engine: str = "torch"  # what computes the network
    precision: str = "auto"  # of its convolutions: fp32, bf16, fp16, or what the machine computes fastest

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        super().__post_init__()
        EngineSettings(self.engine, self.precision)

    @property
    def engine_settings(self) -> EngineSettings:
        """Engine and precision."""
        return EngineSettings(self.engine, self.precision)


@dataclass(frozen=True)
class NilaNodeSettings(NetworkSettings, ImageSettings):
    """Nila, fast (the default)."""

    series: tuple[str, ...] = ("conventional", "nila")  # what is sent, in this order: conventional, nila, uncertainty
    # what the uncertainty map is: the errors that the weights predict for this image, or the spread of posterior samples
    uncertainty_from: str = "prediction"
    samples: int = 8  # posterior samples behind an uncertainty map from samples
    sample_steps: int = 16  # network evaluations of each posterior sample
    sample_sigma_max: float = 0.5  # first level for samples
    sample_sigma_min: float = 0.01  # last level for samples: what lies below it is missing from their variance
    # up to so many slices of the same size in one run, which waits for them (not with a slice_budget_s); for a GPU
    batch_slices: int = 1
    # what a slice is told of others of its volume: off, past (those that are there; none waits), or both (every second slice
    # waits for the two beside it); then slices are not put together
    neighbours: str = "off"

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        NetworkSettings.__post_init__(self)
        ImageSettings.__post_init__(self)
        check_series(self.series)
        karras_schedule(self.sample_steps, self.sample_sigma_max, self.sample_sigma_min)
        if self.uncertainty_from not in UNCERTAINTY_FROM:
            raise ValueError(f"uncertainty_from must be {' or '.join(UNCERTAINTY_FROM)}, got {self.uncertainty_from!r}")
        if self.samples < 2:
            raise ValueError(f"samples must be at least 2, got {self.samples}")
        if self.neighbours not in MODES:
            raise ValueError(f"neighbours must be {', '.join(MODES[:-1])} or {MODES[-1]}, got {self.neighbours!r}")
        if self.batch_slices < 1:
            raise ValueError(f"batch_slices must be at least 1, got {self.batch_slices}")

    @property
    def evaluations(self) -> int:
        """Evaluations of the network for a slice, each of one image."""
        return self.steps + (self.samples * self.sample_steps if "uncertainty" in self.series else 0)


@dataclass(frozen=True)
class PublishedNodeSettings(NetworkSettings):
    """Nila as published; its steps do not shrink: a budget stops it."""

    series: tuple[str, ...] = ("conventional", "nila")  # what is sent, in this order: conventional, nila
    steps: int = 1000  # network evaluations, a divisor of 1000

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        super().__post_init__()
        check_series(self.series)
        if "uncertainty" in self.series:
            raise ValueError("the published sampler has no calibrated uncertainty: use target nila")
        if self.steps < 1 or 1000 % self.steps:
            raise ValueError(f"steps must divide 1000, got {self.steps}")

    @property
    def evaluations(self) -> int:
        """Evaluations of the network for a slice."""
        return self.steps


def check_series(series: tuple[str, ...]) -> None:
    """Refuse unknown, repeated or no series."""
    if not series or len(set(series)) != len(series) or any(name not in SERIES for name in series):
        raise ValueError(f"series must be some of {', '.join(SERIES)}, each once, got {', '.join(series) or 'none'}")
