"""What weights know about the errors of their images: what corrects and predicts them, its calibration, and what is familiar.

All belong to the network beside which they are stored: other weights make other errors.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nilatron.core.backend import Array, converted_to, namespace, to_torch
from nilatron.core.sampling.nila_fast import SamplerResult
from nilatron.core.uncertainty.calibration import Calibration

if TYPE_CHECKING:  # torch takes seconds to import
    import torch
    from torch import Tensor, nn

    from nilatron.core.prior.errors.head import Delivered, ErrorHead
    from nilatron.core.prior.familiarity import Familiarity
    from nilatron.core.prior.second_look.head import SecondLook

HEAD_KEY, LOOK_KEY = "error_head", "second_look"
CALIBRATION_KEY, FAMILIARITY_KEY = "calibration", "familiarity"
KEYS = (HEAD_KEY, LOOK_KEY, CALIBRATION_KEY, FAMILIARITY_KEY)  # in the metadata of a weights file
MAX_CHANNELS = 256
BESIDE_NEIGHBOURS = 0.4  # of the second look, in images that neighbouring slices have corrected: part of it is the same


@dataclass(frozen=True)
class ErrorModel:
    """Head, calibration, familiarity and second look; all but the first are None where they were not made.

    The second look corrects the image whose remaining error the head predicts.
    """

    head: ErrorHead
    calibration: Calibration | None = None
    familiarity: Familiarity | None = None
    second_look: SecondLook | None = None

    @property
    def networks(self) -> dict[str, nn.Module]:
        """By the first part of the names of their tensors."""
        networks: dict[str, nn.Module] = {HEAD_KEY: self.head}
        if self.familiarity is not None:
            networks[FAMILIARITY_KEY] = self.familiarity.network
        if self.second_look is not None:
            networks[LOOK_KEY] = self.second_look
        return networks

    def tensors(self) -> dict[str, Tensor]:
        """All tensors by their names in a weights file."""
        return {
            f"{key}.{name}": value.detach().cpu().contiguous()
            for key, network in self.networks.items()
            for name, value in network.state_dict().items()
        }

    def metadata(self) -> dict[str, str]:
        """Everything else, as texts."""
        texts = {HEAD_KEY: json.dumps(asdict(self.head.config))}
        if self.calibration is not None:
            texts[CALIBRATION_KEY] = self.calibration.json()
        if self.familiarity is not None:
            texts[FAMILIARITY_KEY] = self.familiarity.json()
        if self.second_look is not None:
            texts[LOOK_KEY] = json.dumps(asdict(self.second_look.config))
        return texts

    def to(self, device: torch.device | str) -> ErrorModel:
        """The model on `device`, for prediction alone."""
        for network in self.networks.values():
            network.to(device).eval().requires_grad_(False)
        return self


def expected_tensors(metadata: Mapping[str, str]) -> dict[str, list[int]]:
    """Shapes of the tensors by name, as the metadata of a weights file describe them; none without a head.

    Raises
    ------
    ValueError
        When they describe no error model.
    """
    if HEAD_KEY not in metadata:
        return {}
    import torch

    with torch.device("meta"):
        networks = _described(metadata).networks
        return {
            f"{key}.{name}": list(value.shape)
            for key, network in networks.items()
            for name, value in network.state_dict().items()
        }


def parse_error_model(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> ErrorModel | None:
    """The error model of a weights file whose tensors have been checked; None for a file without one.

    Raises
    ------
    ValueError
        When the metadata describe none.
    """
    if HEAD_KEY not in metadata:
        return None
    model = _described(metadata)
    for key, network in model.networks.items():
        own = {name.removeprefix(f"{key}."): value for name, value in tensors.items() if name.startswith(f"{key}.")}
        network.load_state_dict({name: value.float() for name, value in own.items()})
    return model


def _described(metadata: Mapping[str, str]) -> ErrorModel:
    """The error model of the metadata, its networks untrained."""
    from nilatron.core.prior.familiarity import FamiliarityNetwork, parse_familiarity

    calibration, familiarity = metadata.get(CALIBRATION_KEY), metadata.get(FAMILIARITY_KEY)
    return ErrorModel(
        _head(metadata),
        None if calibration is None else Calibration.parsed(calibration),
        None if familiarity is None else parse_familiarity(familiarity, FamiliarityNetwork()),
        _second_look(metadata),
    )


def _head(metadata: Mapping[str, str]) -> ErrorHead:
    from nilatron.core.prior.errors.head import ErrorHead, ErrorHeadConfig

    first, second, third = _channels(metadata[HEAD_KEY], 3)
    return ErrorHead(ErrorHeadConfig((first, second, third)))


def _second_look(metadata: Mapping[str, str]) -> SecondLook | None:
    from nilatron.core.prior.second_look.head import SecondLook
    from nilatron.core.prior.small_unet import SmallUNetConfig

    if LOOK_KEY not in metadata:
        return None
    first, second, third, fourth = _channels(metadata[LOOK_KEY], 4)
    return SecondLook(SmallUNetConfig((first, second, third, fourth)))


def _channels(text: str, n_levels: int) -> list[int]:
    """The numbers of channels in the description of a network."""
    read = json.loads(text)
    channels = read.get("channels") if isinstance(read, dict) and set(read) == {"channels"} else None
    if (
        not isinstance(channels, list)
        or len(channels) != n_levels
        or not all(type(n) is int and 0 < n <= MAX_CHANNELS for n in channels)
    ):
        raise ValueError(f"expected {n_levels} numbers of channels from 1 to {MAX_CHANNELS}, got {str(read)[:80]}")
    return channels


def delivered(
    result: SamplerResult, conventional: Array, scale: Any, noise: Any, share: Any, device: torch.device | str
) -> Delivered:
    """What the head sees of a sampler's result, at image scale 1.

    Parameters
    ----------
    result
        Of `sample_images`.
    conventional
        Warm starts (batch, z, y, x); every partition is an image of its own for the head.
    scale, noise, share
        Of each element: image scale, complex noise level in units of the receivers' noise, and acquired share of the samples.
    device
        Of the head.
    """
    import torch

    from nilatron.core.prior.errors.head import Delivered

    scales = np.reshape(np.asarray(scale, np.float64), (-1, 1, 1, 1))
    n_z = int(conventional.shape[1])

    def images(array: Array) -> Tensor:
        scaled = array / converted_to(scales.astype(np.float32), array)
        tensor = to_torch(scaled).to(device)
        return tensor.reshape(-1, *tensor.shape[-2:]).to(torch.complex64)

    def numbers(values: Any) -> Tensor:
        repeated = np.repeat(np.broadcast_to(np.reshape(values, -1), scales.size), n_z)
        return torch.as_tensor(repeated, dtype=torch.float32, device=device)

    return Delivered(
        images(result.image),
        images(conventional),
        images(result.last_input),
        images(result.last_estimate),
        numbers(np.reshape(noise, -1) / np.reshape(scale, -1)),
        numbers(share),
        numbers(noise),
    )


def predicted_deviation(model: ErrorModel, seen: Delivered, scale: Any, reference: Array) -> Array:
    """Predicted standard deviation of the magnitude's error in physical units, like `reference` (batch, z, y, x)."""
    import torch

    from nilatron.core.prior.errors.head import ln_variance

    with torch.inference_mode():
        deviation = (ln_variance(model.head, seen) / 2).exp()
    return _like(deviation, scale, reference)


def second_look(model: ErrorModel, seen: Delivered, scale: Any, reference: Array, share: float = 1.0) -> Array:
    """The images that a share of the second look makes of `seen`, in physical units, like `reference` (batch, z, y, x).

    Raises
    ------
    ValueError
        When the model has none.
    """
    import torch

    from nilatron.core.prior.second_look.head import looked_again

    if model.second_look is None:
        raise ValueError("these weights take no second look")
    with torch.inference_mode():
        images = looked_again(model.second_look, seen, share)
    return _like(images, scale, reference)


def _like(values: Tensor, scale: Any, reference: Array) -> Array:
    """Values (image, y, x) of image scale 1 in physical units, in the shape and library of `reference` (batch, z, y, x)."""
    shaped = namespace(reference).reshape(converted_to(values, reference), tuple(reference.shape))
    return shaped * converted_to(np.reshape(np.asarray(scale, np.float32), (-1, 1, 1, 1)), reference)
