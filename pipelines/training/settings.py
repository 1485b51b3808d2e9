"""Everything that decides a training run, in one tree of frozen dataclasses."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, is_dataclass, replace

from nilatron.core.errors import BadInputError
from nilatron.core.prior.augment import AugmentSettings
from nilatron.core.prior.loss import NoiseDistribution
from nilatron.core.prior.training_scans import ScanSettings
from nilatron.core.prior.unet import ARCHITECTURES, UNetConfig

CHANGEABLE = {"steps", "final_learning_rate", "data", "licence", "monitor", "compute"}


class TrainingError(BadInputError):
    """Settings, images or a checkpoint that cannot be used for training."""


@dataclass(frozen=True)
class MonitorSettings:
    """What is written down on the way, and how often; nothing here changes the weights."""

    log_every: int = 100  # steps
    checkpoint_every: int = 500  # steps
    validate_every: int = 5000  # steps; errors on the held-out images, 0: at the end only
    picture_every: int = 5000  # steps; 0: none
    validation_patches: int = 48  # of 192 x 192 pixels
    tensorboard: bool = True  # logs for TensorBoard in OUT/logs

    def __post_init__(self) -> None:
        """Refuse intervals that cannot be."""
        for name in ("log_every", "checkpoint_every", "validation_patches"):
            require(getattr(self, name) >= 1, f"monitor.{name} must be at least 1, got {getattr(self, name)}")
        for name in ("validate_every", "picture_every"):
            require(getattr(self, name) >= 0, f"monitor.{name} must not be negative, got {getattr(self, name)}")


@dataclass(frozen=True)
class ComputeSettings:
    """Where it runs. Another number of processes changes the weights by rounding only."""

    device: str = "auto"  # auto, cpu or cuda
    devices: int = 1  # processes a node, one for each GPU
    nodes: int = 1
    workers: int = -1  # processes that prepare batches ahead, for each device; -1: none on a CPU, up to 8 for a GPU

    def __post_init__(self) -> None:
        """Refuse numbers that cannot be."""
        require(
            self.device in ("auto", "cpu", "cuda"), f"compute.device must be auto, cpu or cuda, got {self.device!r}"
        )
        require(self.devices >= 1, f"compute.devices must be at least 1, got {self.devices}")
        require(self.nodes >= 1, f"compute.nodes must be at least 1, got {self.nodes}")
        require(self.workers >= -1, f"compute.workers must be -1 or more, got {self.workers}")


@dataclass(frozen=True)
class TrainSettings:
    """One training run."""

    architecture: str = "default"  # a key of core.prior.unet.ARCHITECTURES
    self_conditioned: bool = True  # the network also sees the estimate of the step before; learned with scans only
    start: str = ""  # weights to start from: a file, default or tiny; empty: random ones
    steps: int = 20_000
    batch_size: int = 8  # patches of the smallest size, all processes together; fewer of the larger, to the same pixels
    patch_sizes: tuple[int, ...] = (96, 96, 96, 128, 192)  # one is drawn for each step
    learning_rate: float = 1e-3
    final_learning_rate: float = 1e-5
    warm_up_steps: int = 300
    decay_fraction: float = 0.5  # of all steps, at the end, with a cosine decay; before it the rate is constant
    weight_decay: float = 1e-4
    clip_norm: float = 1.0  # of the gradient
    ema_half_life_images: int = 20_000
    seed: int = 0  # of weights, patches and noise
    bf16: bool = True
    data: str = "not stated"  # what the images are, for the metadata of the weights
    licence: str = "not stated"  # of the weights, for their metadata
    acquired_probability: float = 0.3  # of a patch as a scanner acquires it (scans.acquisition, scans.augment)
    augment: AugmentSettings = field(default_factory=AugmentSettings)
    noise: NoiseDistribution = field(default_factory=NoiseDistribution)
    scans: ScanSettings = field(default_factory=ScanSettings)
    monitor: MonitorSettings = field(default_factory=MonitorSettings)
    compute: ComputeSettings = field(default_factory=ComputeSettings)

    def __post_init__(self) -> None:
        """Refuse what no run can have."""
        require(
            self.architecture in ARCHITECTURES,
            f"unknown architecture {self.architecture!r}: choose from {', '.join(ARCHITECTURES)}",
        )
        for name in ("steps", "batch_size", "ema_half_life_images"):
            require(getattr(self, name) >= 1, f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("warm_up_steps", "seed", "weight_decay"):
            require(getattr(self, name) >= 0, f"{name} must not be negative, got {getattr(self, name)}")
        for name in ("learning_rate", "final_learning_rate", "clip_norm"):
            value = getattr(self, name)
            require(0 < value < math.inf, f"{name} must be positive and finite, got {value}")
        for name in ("decay_fraction", "acquired_probability"):
            require(0 <= getattr(self, name) <= 1, f"{name} must be from 0 to 1, got {getattr(self, name)}")
        multiple = self.network_config.multiple
        require(
            bool(self.patch_sizes) and all(n > 0 and n % multiple == 0 for n in self.patch_sizes),
            f"patch_sizes must be multiples of {multiple} for {self.architecture!r}, got {list(self.patch_sizes)}",
        )

    @property
    def network_config(self) -> UNetConfig:
        """The shape of the network."""
        return replace(ARCHITECTURES[self.architecture], self_conditioned=self.self_conditioned)


def require(condition: bool, message: str) -> None:
    """Raise TrainingError unless the condition holds."""
    if not condition:
        raise TrainingError(message)


def check_resumable(old: TrainSettings, new: TrainSettings) -> None:
    """See that a run with `old` settings may go on with `new` ones.

    Steps, the last learning rate, the words of the metadata, `monitor` and `compute` may change; the others decide what
    every step so far has been.

    Raises
    ------
    TrainingError
        That names each other setting that differs.
    """
    changed = [f"{name} ({a!r} then, {b!r} now)" for name, a, b in _differences(old, new) if name not in CHANGEABLE]
    if changed:
        raise TrainingError(
            f"a run cannot be resumed with other settings: {'; '.join(changed)}. Leave them out, or begin a new run in "
            f"another folder, with --start and the weights so far. May change: {', '.join(sorted(CHANGEABLE))}"
        )


def _differences(old: TrainSettings, new: TrainSettings) -> Iterator[tuple[str, object, object]]:
    for item in fields(old):
        before, after = getattr(old, item.name), getattr(new, item.name)
        if before == after:
            continue
        if is_dataclass(before) and item.name not in CHANGEABLE:
            names = [f.name for f in fields(before) if getattr(before, f.name) != getattr(after, f.name)]
            yield from ((f"{item.name}.{name}", getattr(before, name), getattr(after, name)) for name in names)
        else:
            yield item.name, before, after
