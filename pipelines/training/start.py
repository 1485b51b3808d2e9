"""The network before the first step: random, or from weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from nilatron.core.prior.edm import EDMDenoiser
from nilatron.core.prior.edm_weights import load_prior
from nilatron.core.prior.unet import ARCHITECTURES
from nilatron.core.prior.weights import find_weights
from nilatron.pipelines.training.batches import measure_sigma_data
from nilatron.pipelines.training.settings import TrainingError, TrainSettings


def start_network(settings: TrainSettings, images: Sequence[Tensor]) -> tuple[EDMDenoiser, str]:
    """The network before the first step, and the SHA-256 of the weights file it comes from ("": random weights).

    A self-conditioned network begins without a use for the estimates made before: as one that is not, whose weights will do.

    Raises
    ------
    TrainingError
        When the weights are of another architecture.
    """
    config = settings.network_config
    if not settings.start:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            network = EDMDenoiser(replace(config, self_conditioned=False), measure_sigma_data(images))
        return (with_self_conditioning(network) if config.self_conditioned else network), ""
    path = find_weights(settings.start)
    prior = load_prior(path)
    found = prior.denoiser.network.config
    if replace(found, self_conditioned=config.self_conditioned) != config:
        alone = replace(found, self_conditioned=False)
        fitting = [name for name, other in ARCHITECTURES.items() if other == alone]
        advice = f"give --architecture {fitting[0]}" if fitting else "it is none of ours, start without it"
        raise TrainingError(f"{path} does not hold a network of architecture {settings.architecture!r}: {advice}")
    if found.self_conditioned and not config.self_conditioned:
        raise TrainingError(
            f"{path} holds a self-conditioned network: leave self_conditioned at true, or start without it"
        )
    network = prior.denoiser.requires_grad_(True)
    return (with_self_conditioning(network) if config != found else network), prior.sha256


def with_self_conditioning(plain: EDMDenoiser) -> EDMDenoiser:
    """The same denoiser with inputs for an estimate made before, whose weights are 0."""
    with torch.device("meta"):  # takes no random numbers
        network = EDMDenoiser(replace(plain.network.config, self_conditioned=True), plain.sigma_data)
    tensors = plain.state_dict()
    first = tensors["network.first.weight"]
    wider = torch.cat((first, torch.zeros_like(first)), dim=1)
    network.load_state_dict(tensors | {"network.first.weight": wider}, assign=True)
    return network
