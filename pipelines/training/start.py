"""The network before the first step: random, or from weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from nilatron.core.prior.edm import EDMDenoiser
from nilatron.core.prior.unet import ARCHITECTURES
from nilatron.core.prior.weights import SHIPPED, load_prior, shipped_weights
from nilatron.pipelines.training.batches import measure_sigma_data
from nilatron.pipelines.training.settings import TrainingError, TrainSettings


def start_network(settings: TrainSettings, images: Sequence[Tensor]) -> tuple[EDMDenoiser, str]:
    """The network before the first step, and the SHA-256 of the weights file it comes from ("": random weights).

    Raises
    ------
    TrainingError
        When the weights are of another architecture.
    """
    config = ARCHITECTURES[settings.architecture]
    if not settings.start:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            return EDMDenoiser(config, measure_sigma_data(images)), ""
    path = shipped_weights(settings.start) if settings.start in SHIPPED else Path(settings.start)
    prior = load_prior(path)
    found = prior.denoiser.network.config
    if found != config:
        fitting = [name for name, other in ARCHITECTURES.items() if other == found]
        advice = f"give --architecture {fitting[0]}" if fitting else "it is none of ours, start without it"
        raise TrainingError(f"{path} does not hold a network of architecture {settings.architecture!r}: {advice}")
    return prior.denoiser.requires_grad_(True), prior.sha256
