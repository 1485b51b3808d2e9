"""Weights files of our network: the architecture is in the metadata, the tensors have their names of torch.

The architecture is checked before a network is built, and tensor names and shapes before values are read.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nilatron.core.prior.errors.model import ErrorModel, expected_tensors, parse_error_model
from nilatron.core.prior.weights import (
    DEFAULT_WEIGHTS,
    HASH_KEY,
    WeightsError,
    WeightsFile,
    content_sha256,
    read_weights_file,
)

if TYPE_CHECKING:  # torch takes seconds to import
    import torch

    from nilatron.core.prior.edm import EDMDenoiser
    from nilatron.core.prior.unet import UNetConfig

FORMAT = "nilatron-edm-2"
FORMAT_WITHOUT_HASH = "nilatron-edm-1"  # the previous version of the format
MAX_LEVELS, MAX_CHANNELS, MAX_BLOCKS, MAX_EMBEDDING = 8, 1024, 16, 4096
DTYPES = ("F16", "BF16", "F32")


@dataclass(frozen=True)
class EDMPrior:
    """Our trained network with the metadata and the SHA-256 of its weights file; an engine makes it a `Prior`.

    `errors` is what it knows of its images' errors, None for weights that came without.
    """

    denoiser: EDMDenoiser
    metadata: dict[str, str]
    sha256: str
    errors: ErrorModel | None = None


def save_prior(
    path: Path,
    denoiser: EDMDenoiser,
    metadata: dict[str, str],
    dtype: torch.dtype | None = None,
    errors: ErrorModel | None = None,
) -> None:
    """Write the denoiser's weights, as float16 by default, and what is known of its images' errors, as float32.

    Format, architecture, sigma_data and hash are added to `metadata`, which must not be those of another error model.
    """
    import safetensors.torch
    import torch

    kept = dtype or torch.float16
    tensors = {name: value.detach().to("cpu", kept).contiguous() for name, value in denoiser.state_dict().items()}
    own = {
        "format": FORMAT,
        "architecture": json.dumps(asdict(denoiser.network.config)),
        "sigma_data": repr(denoiser.sigma_data),
    }
    if errors is not None:
        tensors |= errors.tensors()
        own |= errors.metadata()
    complete = {**metadata, **own}
    complete[HASH_KEY] = content_sha256(tensors, complete)
    safetensors.torch.save_file(tensors, path, metadata=complete)


def load_prior(path: Path = DEFAULT_WEIGHTS, device: torch.device | str = "cpu") -> EDMPrior:
    """Our network from a weights file, in evaluation mode, on `device`.

    Raises
    ------
    WeightsError
        When the file cannot be read, or `load_edm` refuses it.
    """
    return load_edm(read_weights_file(path), device)


def load_edm(file: WeightsFile, device: torch.device | str = "cpu") -> EDMPrior:
    """Our network from a file that has been read, in evaluation mode, on `device`.

    Raises
    ------
    WeightsError
        When format, architecture, tensor names, shapes or dtypes are not those of our network, the hash is missing or wrong,
        or a value is not finite.
    """
    import torch

    from nilatron.core.prior.edm import EDMDenoiser

    if file.format not in (FORMAT, FORMAT_WITHOUT_HASH):
        raise WeightsError(f"{file.path}: expected weights of format {FORMAT!r}, found {file.format[:40]!r}")
    config, sigma_data = _architecture(file.path, file.metadata)
    with _refusing_error_models(file.path):
        of_errors = expected_tensors(file.metadata)
    _check_tensors(file.path, file.tensors, config, of_errors)
    tensors = file.load()
    with _refusing_error_models(file.path):
        errors = parse_error_model(tensors, file.metadata)
    denoiser = EDMDenoiser(config, sigma_data)
    denoiser.load_state_dict({name: value.float() for name, value in tensors.items() if name not in of_errors})
    denoiser = denoiser.to(device).eval().requires_grad_(False).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return EDMPrior(denoiser, file.metadata, file.sha256, None if errors is None else errors.to(device))


@contextmanager
def _refusing_error_models(path: Path) -> Iterator[None]:
    try:
        yield
    except (ValueError, RecursionError) as error:
        raise WeightsError(f"{path}: its metadata do not fit an error model of ours ({error})") from error


def _architecture(path: Path, metadata: Mapping[str, Any]) -> tuple[UNetConfig, float]:
    """Architecture and sigma_data that the metadata describe, checked before a network is built."""
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


def _whole_numbers(values: object, max_value: int) -> tuple[int, ...]:
    if not isinstance(values, list) or not 1 <= len(values) <= MAX_LEVELS:
        raise ValueError(f"expected 1 to {MAX_LEVELS} levels, got {str(values)[:80]}")
    if not all(type(value) is int and 1 <= value <= max_value for value in values):
        raise ValueError(f"expected whole numbers from 1 to {max_value}, got {str(values)[:80]}")
    return tuple(values)


def _check_tensors(path: Path, header: Mapping[str, Any], config: UNetConfig, others: Mapping[str, list[int]]) -> None:
    """Check the names, shapes and dtypes in the file's header against those of the network, before memory is allocated.

    `others` are the shapes of the tensors beside the network.
    """
    import torch

    from nilatron.core.prior.edm import EDMDenoiser

    with torch.device("meta"):
        expected = {name: list(value.shape) for name, value in EDMDenoiser(config, 1.0).state_dict().items()}
    expected |= others
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
