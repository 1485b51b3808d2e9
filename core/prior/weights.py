"""Denoiser weights as safetensors with their metadata; nothing is ever unpickled."""

from __future__ import annotations

import hashlib
import json
import struct
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from nilatron.core.errors import BadInputError
from nilatron.core.prior.edm import EDMDenoiser
from nilatron.core.prior.unet import UNetConfig

FORMAT = "nilatron-edm-1"
MAX_METADATA_BYTES = 1_000_000
DEFAULT_WEIGHTS = Path(__file__).with_name("default.safetensors")


class WeightsError(BadInputError):
    """A weights file that is absent, damaged, or not one of ours."""


@dataclass(frozen=True)
class Prior:
    """A denoiser with where it came from."""

    denoiser: EDMDenoiser
    metadata: dict[str, str]
    sha256: str


def save_prior(path: Path, denoiser: EDMDenoiser, metadata: dict[str, str], dtype: torch.dtype = torch.float16) -> None:
    """Write the denoiser's weights with `metadata`; the architecture and sigma_data are added here."""
    tensors = {name: value.detach().to("cpu", dtype).contiguous() for name, value in denoiser.state_dict().items()}
    own = {
        "format": FORMAT,
        "architecture": json.dumps(asdict(denoiser.network.config)),
        "sigma_data": repr(denoiser.sigma_data),
    }
    save_file(tensors, path, metadata={**metadata, **own})


def load_prior(path: Path = DEFAULT_WEIGHTS, device: torch.device | str = "cpu") -> Prior:
    """Read a denoiser, in evaluation mode, on `device`.

    Raises
    ------
    WeightsError
        When the file is missing, is not safetensors, or its metadata, names or shapes are not those of our network.
    """
    if not path.is_file():
        raise WeightsError(f"no weights file at {path}: give one that `nilatron train` wrote")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name).to(torch.float32) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, struct.error, OSError) as error:
        raise WeightsError(f"{path} is not a readable safetensors file ({error})") from error
    if metadata.get("format") != FORMAT:
        raise WeightsError(f"{path}: expected weights of format {FORMAT!r}, found {metadata.get('format')!r}")
    try:
        shape = json.loads(metadata["architecture"])
        config = UNetConfig(tuple(shape["channels"]), tuple(shape["blocks"]), int(shape["embedding"]))
        denoiser = EDMDenoiser(config, float(metadata["sigma_data"]))
        denoiser.load_state_dict(tensors)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise WeightsError(f"{path}: the tensors do not fit the architecture it names ({error})") from error
    if not all(bool(torch.isfinite(value).all()) for value in tensors.values()):
        raise WeightsError(f"{path} holds values that are not finite")
    denoiser = denoiser.to(device).eval().requires_grad_(False).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return Prior(denoiser, metadata, hashlib.sha256(path.read_bytes()).hexdigest())
