"""The prior of this process, with what its steps cost here."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

from nilatron.core.prior.edm_weights import EDMPrior
from nilatron.core.prior.engines.choose import EngineSettings, engine_for, read_weights
from nilatron.core.prior.engines.engine_prior import EnginePrior
from nilatron.core.prior.errors.model import ErrorModel
from nilatron.core.prior.neighbours.weights import NeighbourPrior, beside, load_neighbours
from nilatron.core.prior.prior import Prior
from nilatron.core.prior.weights import WeightsError
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
    """The prior with the head that knows neighbouring slices, where one for these weights lies beside them.

    Raises
    ------
    BadInputError
        When a file or the engine cannot be used, or the head belongs to other weights.
    """
    ready, path = prior_for(weights, device, settings), beside(weights)
    if not path.is_file():
        return ready
    head = _neighbours_at(path, device)
    if head.denoiser_sha256 != ready.prior.sha256:
        raise WeightsError(f"{path} knows neighbouring slices for other weights than {weights}: train it for these")
    return replace(ready, neighbours=head)


@lru_cache(maxsize=2)
def _neighbours_at(path: Path, device: str) -> NeighbourPrior:
    return load_neighbours(path, device)


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

    from nilatron.core.prior.engines.onnx.file import OnnxModel

    source = read_weights(weights, device)
    if not isinstance(source, EDMPrior | OnnxModel):
        return ReadyPrior(source)
    return ReadyPrior(
        EnginePrior(engine_for(source, settings, device, user_cache), torch.device(device), source.sha256),
        errors=source.errors if isinstance(source, EDMPrior) else None,
        device=device,
    )
