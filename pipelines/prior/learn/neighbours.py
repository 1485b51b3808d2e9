"""Training of the head that knows neighbouring slices, for weights that exist: `nilatron prior learn-neighbours`."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from nilatron.core.prior.edm_weights import load_prior
from nilatron.core.prior.neighbours.head import NeighbourHead
from nilatron.core.prior.neighbours.training import NeighbourTraining, train_neighbours
from nilatron.core.prior.neighbours.weights import load_neighbours, save_neighbours
from nilatron.core.prior.volumes import NeighbourSettings, Volumes
from nilatron.pipelines.training.checkpoint import replaced_durably
from nilatron.pipelines.training.images import load_volumes

REPORT_EVERY = 10  # scans; then the weights so far are written as well


@dataclass(frozen=True)
class LearnNeighboursSettings:
    """What the head learns from.

    Attributes
    ----------
    images
        Files and folders of ordered volumes.
    weights
        Whose estimates it corrects; they do not change.
    start
        Weights of a head to go on with; None: a new one.
    neighbours
        Which slices are neighbours, and the errors that they have.
    training
        Of the head.
    data, licence
        For the metadata of the weights.
    """

    images: tuple[Path, ...]
    weights: Path
    start: Path | None = None
    neighbours: NeighbourSettings = field(default_factory=NeighbourSettings)
    training: NeighbourTraining = field(default_factory=NeighbourTraining)
    data: str = "not stated"
    licence: str = "not stated"


def learn_neighbours(
    settings: LearnNeighboursSettings, output: Path, progress: Callable[[str], None] = lambda _: None
) -> None:
    """Write the weights of the head to `output`, every few scans and at the end, each time as a whole.

    Raises
    ------
    BadInputError
        When weights or images cannot be used.
    """
    prior = load_prior(settings.weights)
    images, places = load_volumes(settings.images)
    n_scans = settings.training.n_scans
    gains: list[float] = []

    def watch(scans: int, gain: float, head: NeighbourHead) -> None:
        gains.append(gain)
        if scans % REPORT_EVERY and scans != n_scans:
            return
        recent = gains[-REPORT_EVERY:]
        progress(f"scan {scans} of {n_scans}, gain by neighbours {sum(recent) / len(recent):+.3f} dB")
        training = {"neighbours": asdict(settings.neighbours), "training": asdict(settings.training)}
        metadata = {
            "data": settings.data,
            "licence": settings.licence,
            "n_training_images": str(len(images)),
            "trained_scans": str(scans),
            "training": json.dumps(training),
        }
        with replaced_durably(output) as partial:
            save_neighbours(partial, head, metadata, prior.sha256)

    start = None if settings.start is None else load_neighbours(settings.start).head.train().requires_grad_(True)
    volumes = Volumes(images, places, settings.neighbours)
    look = None if prior.errors is None else prior.errors.second_look
    train_neighbours(prior.denoiser, volumes, settings.training, watch, start, look)
