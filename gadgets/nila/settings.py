"""The properties of the Nila targets."""

from __future__ import annotations

from dataclasses import dataclass

from nilatron.core.bounds import bounded, check_bounds
from nilatron.core.prior.engines.choose import EngineSettings
from nilatron.core.sampling.image import ImageSettings
from nilatron.core.sampling.sample_settings import SampleSettings
from nilatron.gadgets.nila.budget import BudgetSettings
from nilatron.gadgets.nila.memory import MODES

SAMPLED_SERIES = ("mean", "map", "sample", "std")  # that are made of posterior samples
SERIES = ("nila", "conventional", "uncertainty", *SAMPLED_SERIES)
UNCERTAINTY_FROM = ("prediction", "samples")
REFINE_MAPS = ("auto", "off", "on")


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
class NilaNodeSettings(NetworkSettings, ImageSettings, SampleSettings):
    """Nila, fast (the default)."""

    # what is sent, in this order: conventional, nila, uncertainty, and of posterior samples mean, map, sample, std
    series: tuple[str, ...] = ("conventional", "nila")
    # what the uncertainty map is: the errors that the weights predict for this image, or the spread of posterior samples
    uncertainty_from: str = "prediction"
    # up to so many slices of the same size in one run, which waits for them (not with a slice_budget_s); for a GPU
    batch_slices: int = bounded(1, 1, 64)
    # what a slice is told of others of its volume: off, past (those that are there; none waits), or both (every second slice
    # waits for the two beside it); then slices are not put together
    neighbours: str = "off"
    # whether the image corrects its coil maps on its way: auto (those from few lines or none, and those of a calibration that
    # does not agree with the lines), off, on; such slices are not put together
    refine_maps: str = "auto"

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        check_bounds(self)
        NetworkSettings.__post_init__(self)
        ImageSettings.__post_init__(self)
        SampleSettings.__post_init__(self)
        check_series(self.series)
        if self.uncertainty_from not in UNCERTAINTY_FROM:
            raise ValueError(f"uncertainty_from must be {' or '.join(UNCERTAINTY_FROM)}, got {self.uncertainty_from!r}")
        if self.refine_maps not in REFINE_MAPS:
            raise ValueError(f"refine_maps must be auto, off or on, got {self.refine_maps!r}")
        if self.neighbours not in MODES:
            raise ValueError(f"neighbours must be {', '.join(MODES[:-1])} or {MODES[-1]}, got {self.neighbours!r}")

    @property
    def evaluations(self) -> int:
        """Evaluations of the network for a slice, each of one image, with weights that predict their errors."""
        sampled = any(name in self.series for name in ("uncertainty", *SAMPLED_SERIES))
        extension = self.map_steps if "map" in self.series else 0
        return self.steps + (self.samples * self.steps_each(error_known=True) if sampled else 0) + extension


@dataclass(frozen=True)
class PublishedNodeSettings(NetworkSettings):
    """Nila as published; its steps do not shrink: a budget stops it."""

    series: tuple[str, ...] = ("conventional", "nila")  # what is sent, in this order: conventional, nila
    steps: int = 1000  # network evaluations, a divisor of 1000

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        super().__post_init__()
        check_series(self.series)
        if not {"nila", "conventional"}.issuperset(self.series):
            raise ValueError(
                "the published sampler has no calibrated uncertainty and gives no estimates: use target nila"
            )
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
