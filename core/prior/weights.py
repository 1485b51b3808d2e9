"""Denoiser weights as safetensors with their metadata; nothing is ever unpickled.

A file is read once and believed step by step: sizes before memory is taken for them, the architecture before a network
is built, names and shapes before values are read, and a SHA-256 over metadata and tensors before anything is used.
"""

from __future__ import annotations

import hashlib
import json
import math
import stat
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nilatron.core.errors import BadInputError

if TYPE_CHECKING:  # torch takes seconds to import, and whoever names a file has not loaded it yet
    import torch
    from torch import Tensor

    from nilatron.core.prior.edm import EDMDenoiser
    from nilatron.core.prior.unet import UNetConfig

FORMAT = "nilatron-edm-2"
FORMAT_WITHOUT_HASH = "nilatron-edm-1"  # the version before: read where it carries no hash
HASH_KEY = "content_sha256"
SHIPPED = ("default", "tiny")
DEFAULT_WEIGHTS = Path(__file__).with_name("default.safetensors")

MAX_FILE_BYTES = 512 * 2**20
MAX_HEADER_BYTES = 2**20
MAX_LEVELS, MAX_CHANNELS, MAX_BLOCKS, MAX_EMBEDDING = 8, 1024, 16, 4096
DTYPES = ("F16", "BF16", "F32")


class WeightsError(BadInputError):
    """A weights file that is absent, damaged, or not one of ours."""


@dataclass(frozen=True)
class Prior:
    """A denoiser with where it came from; `sha256` is that of the whole file."""

    denoiser: EDMDenoiser
    metadata: dict[str, str]
    sha256: str


def shipped_weights(name: str) -> Path:
    """File of weights that come with the package.

    Raises
    ------
    WeightsError
        When nothing is shipped under `name`, or this installation lacks the file.
    """
    if name not in SHIPPED:
        raise WeightsError(f"no weights are shipped as {name!r}: choose from {', '.join(SHIPPED)}, or give a file")
    path = Path(__file__).with_name(f"{name}.safetensors")
    if not path.is_file():
        raise WeightsError(f"the weights {name!r} are not in this installation ({path}): install the package again")
    return path


def find_weights(given: str) -> Path:
    """A shipped name or a path to a file."""
    return shipped_weights(given) if given in SHIPPED else Path(given)


def save_prior(path: Path, denoiser: EDMDenoiser, metadata: dict[str, str], dtype: torch.dtype | None = None) -> None:
    """Write the denoiser's weights, as float16 by default; format, architecture, sigma_data and the hash are added here."""
    import safetensors.torch
    import torch

    kept = dtype or torch.float16
    tensors = {name: value.detach().to("cpu", kept).contiguous() for name, value in denoiser.state_dict().items()}
    own = {
        "format": FORMAT,
        "architecture": json.dumps(asdict(denoiser.network.config)),
        "sigma_data": repr(denoiser.sigma_data),
    }
    complete = {**metadata, **own}
    complete[HASH_KEY] = content_sha256(tensors, complete)
    safetensors.torch.save_file(tensors, path, metadata=complete)


def content_sha256(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    """SHA-256 of the metadata but for the hash itself, and of the tensors' names, dtypes, shapes and bytes."""
    import torch

    described = {key: value for key, value in metadata.items() if key != HASH_KEY}
    digest = hashlib.sha256(json.dumps(described, sort_keys=True).encode())
    for name, value in sorted(tensors.items()):
        digest.update(json.dumps([name, str(value.dtype), list(value.shape)]).encode())
        digest.update(value.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def load_prior(path: Path = DEFAULT_WEIGHTS, device: torch.device | str = "cpu") -> Prior:
    """Read a denoiser, in evaluation mode, on `device`.

    Raises
    ------
    WeightsError
        When the file cannot be read or is not safetensors, its format, architecture, tensor names, shapes or dtypes are
        not those of our network, its hash is missing or wrong, or a value is not finite.
    """
    import safetensors.torch
    import torch

    from nilatron.core.prior.edm import EDMDenoiser

    content = read_file(path)
    header = _header(path, content)
    metadata = header.pop("__metadata__", {})
    found = metadata.get("format") if isinstance(metadata, dict) else None
    if found not in (FORMAT, FORMAT_WITHOUT_HASH):
        raise WeightsError(f"{path}: expected weights of format {FORMAT!r}, found {str(found)[:40]!r}")
    config, sigma_data = _architecture(path, metadata)
    _check_tensors(path, header, config)
    try:
        tensors = safetensors.torch.load(content)
    except (safetensors.SafetensorError, ValueError, RuntimeError) as error:
        raise WeightsError(f"{path} is not a readable safetensors file ({error})") from error
    _check_hash(path, tensors, metadata)
    if not all(bool(torch.isfinite(value).all()) for value in tensors.values()):
        raise WeightsError(f"{path} holds values that are not finite: train again, or take an earlier checkpoint")
    denoiser = EDMDenoiser(config, sigma_data)
    denoiser.load_state_dict({name: value.to(torch.float32) for name, value in tensors.items()})
    denoiser = denoiser.to(device).eval().requires_grad_(False).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return Prior(denoiser, metadata, hashlib.sha256(content).hexdigest())


def read_file(path: Path, what: str = "weights file", command: str = "train") -> bytes:
    """All bytes of a regular file of reasonable size; messages call it `what`, and name the `command` that writes it.

    Raises
    ------
    WeightsError
        When it is absent, no regular file, too large, or may not be read.
    """
    try:
        status = path.stat()
        if stat.S_ISREG(status.st_mode) and status.st_size <= MAX_FILE_BYTES:
            with path.open("rb") as file:
                return file.read(status.st_size)
    except FileNotFoundError:
        raise WeightsError(f"no {what} at {path}: give one that `nilatron {command}` wrote") from None
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        raise WeightsError(f"the {what} {path} may not be read: {error}") from error
    if not stat.S_ISREG(status.st_mode):
        raise WeightsError(f"no {what} at {path}: it is a folder or no regular file; give the file itself")
    raise WeightsError(
        f"{path} has {status.st_size} bytes, more than the {MAX_FILE_BYTES} that any of our weights have"
    )


def _header(path: Path, content: bytes) -> dict[str, Any]:
    """The JSON in front of the tensors: 8 bytes of length, then as many of text."""
    length = int.from_bytes(content[:8], "little")
    if len(content) < 8 or length > min(MAX_HEADER_BYTES, len(content) - 8):
        why = f"{len(content)} bytes, of which the header would take {length}; at most {MAX_HEADER_BYTES} are read"
        raise WeightsError(f"{path} is not a readable safetensors file ({why})")
    try:
        header = json.loads(content[8 : 8 + length])
    except (ValueError, RecursionError) as error:
        raise WeightsError(f"{path} is not a readable safetensors file (its header is no JSON: {error})") from error
    if not isinstance(header, dict):
        raise WeightsError(f"{path} is not a readable safetensors file (its header is no JSON object)")
    return header


def _architecture(path: Path, metadata: Mapping[str, Any]) -> tuple[UNetConfig, float]:
    """The network that the metadata describe, refused before it is built where it could not be ours."""
    from nilatron.core.prior.unet import UNetConfig

    try:
        shape = json.loads(metadata["architecture"])
        if not isinstance(shape, dict) or set(shape) - {"self_conditioned"} != {"channels", "blocks", "embedding"}:
            raise ValueError("an architecture has channels, blocks and embedding, and may be self_conditioned")
        if not isinstance(shape.get("self_conditioned", False), bool):
            raise ValueError(f"self_conditioned must be true or false, got {str(shape['self_conditioned'])[:80]}")
        config = UNetConfig(
            _whole_numbers(shape["channels"], MAX_CHANNELS),
            _whole_numbers(shape["blocks"], MAX_BLOCKS),
            _whole_numbers([shape["embedding"]], MAX_EMBEDDING)[0],
            self_conditioned=shape.get("self_conditioned", False),
        )
        sigma_data = float(metadata["sigma_data"])
        if not 0 < sigma_data < math.inf:
            raise ValueError(f"sigma_data must be positive and finite, got {sigma_data}")
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise WeightsError(f"{path}: its metadata do not fit a network of ours ({error})") from error
    return config, sigma_data


def _whole_numbers(values: object, largest: int) -> tuple[int, ...]:
    if not isinstance(values, list) or not 1 <= len(values) <= MAX_LEVELS:
        raise ValueError(f"expected 1 to {MAX_LEVELS} levels, got {str(values)[:80]}")
    if not all(type(value) is int and 1 <= value <= largest for value in values):
        raise ValueError(f"expected whole numbers from 1 to {largest}, got {str(values)[:80]}")
    return tuple(values)


def _check_tensors(path: Path, header: Mapping[str, Any], config: UNetConfig) -> None:
    """Names, shapes and dtypes that the header announces against those of the network, without memory for either."""
    import torch

    from nilatron.core.prior.edm import EDMDenoiser

    with torch.device("meta"):
        expected = {name: list(value.shape) for name, value in EDMDenoiser(config, 1.0).state_dict().items()}
    differing = sorted(expected.keys() ^ header.keys())
    if differing:
        raise WeightsError(
            f"{path}: the tensors do not fit the architecture it names: {len(differing)} names are missing or foreign, "
            f"{differing[0][:80]!r} for one"
        )
    for name, shape in expected.items():
        entry = header[name] if isinstance(header[name], dict) else {}
        if entry.get("shape") != shape or entry.get("dtype") not in DTYPES:
            raise WeightsError(
                f"{path}: the tensors do not fit the architecture it names: {name!r} must be {shape} of "
                f"{', '.join(DTYPES)}, found {str(entry.get('shape'))[:80]} of {str(entry.get('dtype'))[:20]}"
            )


def _check_hash(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    stated = metadata.get(HASH_KEY)
    if stated is None and metadata["format"] == FORMAT_WITHOUT_HASH:
        return
    if stated is None:
        raise WeightsError(f"{path}: weights of format {FORMAT!r} carry {HASH_KEY}, this file has none: copy it again")
    if content_sha256(tensors, metadata) != stated:
        raise WeightsError(f"{path} is damaged: its content does not have the SHA-256 that it states; copy it again")
