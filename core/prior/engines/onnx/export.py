"""Export of our network as an ONNX model, by torch's exporter."""

from __future__ import annotations

import copy
import logging

import torch
from torch import Tensor, nn

from nilatron import __version__
from nilatron.core.prior.edm_weights import EDMPrior
from nilatron.core.prior.engines.cache import ModelCache
from nilatron.core.prior.engines.onnx.exporter import OPSET, example_inputs, export_module
from nilatron.core.prior.engines.onnx.file import FORMAT, OnnxFacts, OnnxModel, pack_onnx, parse_onnx
from nilatron.core.prior.errors.model import KEYS as ERROR_MODEL_KEYS
from nilatron.core.prior.unet import UNet
from nilatron.core.prior.weights import WeightsError

DTYPES = {"fp32": torch.float32, "fp16": torch.float16}
# metadata of the weights file's format, and of what an exported model does not hold
WEIGHTS_FILE_KEYS = ("format", "architecture", "sigma_data", "content_sha256", *ERROR_MODEL_KEYS)

log = logging.getLogger(__name__)


class CastConvolution(nn.Module):
    """A convolution that converts its input to `dtype`."""

    def __init__(self, convolution: nn.Conv2d, dtype: torch.dtype) -> None:
        super().__init__()
        self.convolution = convolution.to(dtype)
        self.dtype = dtype

    @property
    def weight(self) -> Tensor:
        """Weight of the convolution."""
        return self.convolution.weight

    def forward(self, x: Tensor) -> Tensor:
        """Convolve."""
        out: Tensor = self.convolution(x.to(self.dtype))
        return out


class FullNormalisation(nn.GroupNorm):
    """A normalisation that converts its input to float32, so that statistics and result are float32."""

    def __init__(self, norm: nn.GroupNorm) -> None:
        super().__init__(norm.num_groups, norm.num_channels, norm.eps)
        self.load_state_dict(norm.state_dict())

    def forward(self, x: Tensor) -> Tensor:
        """Normalise."""
        return super().forward(x.to(torch.float32))


def export_onnx(prior: EDMPrior, precision: str) -> OnnxModel:
    """ONNX model of our network in the format of `onnx_file`, checked like one that was read from a file.

    Features have the precision of the convolutions; normalisation, modulation and SiLU between them are float32.

    Raises
    ------
    EngineError
        When onnx or onnxscript is not installed.
    WeightsError
        When the exporter fails.
    """
    denoiser = prior.denoiser
    notes = {key: value for key, value in prior.metadata.items() if key not in WEIGHTS_FILE_KEYS}
    facts = OnnxFacts(denoiser.sigma_data, denoiser.multiple, precision, prior.sha256, notes)
    lowered = copy.deepcopy(denoiser).cpu()
    if precision != "fp32":
        lower_for_export(lowered.network, DTYPES[precision])
    graph = export_module(lowered, example_inputs(denoiser.multiple, denoiser.n_inputs), ["x", "s"], ["d"])
    return parse_onnx(pack_onnx(graph, facts), "the exported model")


def cached_onnx(prior: EDMPrior, precision: str, cache: ModelCache) -> OnnxModel:
    """The result of `export_onnx`, from the cache if weights, precision and the versions of torch and Nilatron are the same."""
    versions = {"torch": str(torch.__version__), "nilatron": __version__, "opset": str(OPSET)}
    key = {"format": FORMAT, "weights": prior.sha256, "precision": precision, **versions}
    kept = cache.read("onnx", key)
    if kept is not None:
        try:
            return parse_onnx(kept, "the cached model")
        except WeightsError as error:
            log.warning("%s; it is made again", error)
    log.info("exporting the network to ONNX")
    model = export_onnx(prior, precision)
    cache.write("onnx", key, model.content)
    return model


def lower_for_export(network: UNet, dtype: torch.dtype) -> None:
    """Replace the network's convolutions by ones in `dtype`, in place, with the conversions as part of the graph."""
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Conv2d):
                setattr(parent, name, CastConvolution(child, dtype))
            elif isinstance(child, nn.GroupNorm):
                setattr(parent, name, FullNormalisation(child))
