"""Weights files of the head that knows neighbouring slices."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nilatron.core.prior.weights import HASH_KEY, WeightsError, content_sha256, read_weights_file

if TYPE_CHECKING:  # torch takes seconds to import
    import torch

    from nilatron.core.prior.neighbours.head import NeighbourHead

FORMAT = "nilatron-neighbours-1"
SUFFIX = ".neighbours.safetensors"
MAX_CHANNELS = 256


@dataclass(frozen=True)
class NeighbourPrior:
    """The head with what its file says.

    Attributes
    ----------
    head
        As trained.
    metadata
        Of the file.
    sha256
        SHA-256 of the file.
    denoiser_sha256
        SHA-256 of the weights file whose estimates it corrects.
    """

    head: NeighbourHead
    metadata: dict[str, str]
    sha256: str
    denoiser_sha256: str


def save_neighbours(path: Path, head: NeighbourHead, metadata: dict[str, str], denoiser_sha256: str) -> None:
    """Write the head as float16, with the SHA-256 of the weights whose estimates it corrects."""
    import safetensors.torch
    import torch

    tensors = {name: value.detach().to("cpu", torch.float16).contiguous() for name, value in head.state_dict().items()}
    own = {"format": FORMAT, "architecture": json.dumps(asdict(head.config)), "denoiser_sha256": denoiser_sha256}
    complete = {**metadata, **own}
    complete[HASH_KEY] = content_sha256(tensors, complete)
    safetensors.torch.save_file(tensors, path, metadata=complete)


def beside(weights: Path) -> Path:
    """Where the head for a weights file is looked for: NAME.neighbours.safetensors beside NAME.safetensors."""
    return weights.with_suffix(SUFFIX)


def load_neighbours(path: Path, device: torch.device | str = "cpu") -> NeighbourPrior:
    """The head of a weights file, in evaluation mode, on `device`.

    Raises
    ------
    WeightsError
        When the file cannot be read or is not one of ours.
    """
    import torch

    from nilatron.core.prior.neighbours.head import NeighbourHead
    from nilatron.core.prior.small_unet import SmallUNetConfig

    file = read_weights_file(path)
    if file.format != FORMAT:
        raise WeightsError(f"{path}: expected weights of format {FORMAT!r}, found {file.format[:40]!r}")
    try:
        shape = json.loads(file.metadata["architecture"])
        channels = shape["channels"]
        if not isinstance(channels, list) or not all(type(n) is int and 0 < n <= MAX_CHANNELS for n in channels):
            raise ValueError(f"channels are whole numbers from 1 to {MAX_CHANNELS}, got {str(channels)[:80]}")
        with torch.device("meta"):
            head = NeighbourHead(SmallUNetConfig(tuple(channels)))
        denoiser_sha256 = file.metadata["denoiser_sha256"]
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise WeightsError(f"{path}: its metadata do not fit a head of ours ({error})") from error
    expected = {name: list(value.shape) for name, value in head.state_dict().items()}
    found = {name: entry.get("shape") if isinstance(entry, dict) else None for name, entry in file.tensors.items()}
    if found != expected:
        raise WeightsError(f"{path}: the tensors do not fit the architecture it names")
    head.load_state_dict({name: value.float() for name, value in file.load().items()}, assign=True)
    head = head.to(device).eval().requires_grad_(False)
    head.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # faster on a CPU
    return NeighbourPrior(head, file.metadata, file.sha256, denoiser_sha256)
