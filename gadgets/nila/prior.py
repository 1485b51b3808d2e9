"""The prior of this process, with what its steps cost here."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

from nilatron.core.prior.edm_weights import EDMPrior
from nilatron.core.prior.engines.choose import EngineSettings, engine_for, read_weights
from nilatron.core.prior.engines.engine_prior import EnginePrior
from nilatron.core.prior.error_model import ErrorModel
from nilatron.core.prior.neighbour_weights import NeighbourPrior, load_neighbours
from nilatron.core.prior.prior import Prior
from nilatron.gadgets.engine_cache import user_cache
from nilatron.gadgets.nila.budget import StepCosts


@dataclass(frozen=True)
class ReadyPrior:
    """A prior on its device.

    Attributes
    ----------
    prior
        What the samplers take.
    costs
        Of the sampler's steps with it, as the latest scans of this process had them.
    errors
        What the weights know of the errors of their images; None for weights that came without.
    device
        Of the heads.
    neighbours
        Head that knows neighbouring slices; None where there is none for these weights.
    """

    prior: Prior
    costs: StepCosts = field(default_factory=StepCosts)
    errors: ErrorModel | None = None
    device: str = "cpu"
    neighbours: NeighbourPrior | None = None


def informed_prior_for(weights: Path, device: str, settings: EngineSettings | None = None) -> ReadyPrior:
    """The prior with the shipped head that knows neighbouring slices, where that belongs to these weights.

    Raises
    ------
    BadInputError
        When a file or the engine cannot be used.
    """
    ready, head = prior_for(weights, device, settings), _neighbours_for(device)
    return replace(ready, neighbours=head) if head.denoiser_sha256 == ready.prior.sha256 else ready


@lru_cache(maxsize=2)
def _neighbours_for(device: str) -> NeighbourPrior:
    return load_neighbours(device=device)


def prior_for(weights: Path, device: str, settings: EngineSettings | None = None) -> ReadyPrior:
    """The prior of a safetensors or ONNX file, loaded once a process for the same words; the user's cache keeps models.

    Raises
    ------
    BadInputError
        When the file or the engine cannot be used.
    """
    return _prior_for(weights, device, settings or EngineSettings())


@lru_cache(maxsize=2)
def _prior_for(weights: Path, device: str, settings: EngineSettings) -> ReadyPrior:
    import torch

    from nilatron.core.prior.engines.onnx_file import OnnxModel

    source = read_weights(weights, device)
    if not isinstance(source, EDMPrior | OnnxModel):
        return ReadyPrior(source)
    return ReadyPrior(
        EnginePrior(engine_for(source, settings, device, user_cache), torch.device(device), source.sha256),
        errors=source.errors if isinstance(source, EDMPrior) else None,
        device=device,
    )
