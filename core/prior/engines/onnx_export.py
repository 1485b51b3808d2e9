"""Our network as an ONNX model, by torch's exporter."""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from nilatron import __version__
from nilatron.core.prior.edm import EDMDenoiser
from nilatron.core.prior.engines.cache import Cache
from nilatron.core.prior.engines.onnx_file import FORMAT, OnnxFacts, OnnxModel, pack_onnx, parse_onnx
from nilatron.core.prior.engines.packages import needed
from nilatron.core.prior.unet import UNet
from nilatron.core.prior.weights import Prior, WeightsError

if TYPE_CHECKING:
    from onnx import ModelProto

OPSET = 18  # the lowest that the exporter writes without conversion: every runtime knows it
DTYPES = {"fp32": torch.float32, "fp16": torch.float16}
OF_THE_WEIGHTS_FILE = ("format", "architecture", "sigma_data", "content_sha256")

log = logging.getLogger(__name__)


class CastConvolution(nn.Module):
    """A convolution in `dtype`, whatever comes in."""

    def __init__(self, convolution: nn.Conv2d, dtype: torch.dtype) -> None:
        super().__init__()
        self.convolution = convolution.to(dtype)
        self.dtype = dtype

    @property
    def weight(self) -> Tensor:
        """Of the convolution."""
        return self.convolution.weight

    def forward(self, x: Tensor) -> Tensor:
        """Convolve."""
        out: Tensor = self.convolution(x.to(self.dtype))
        return out


class FullNormalisation(nn.GroupNorm):
    """A normalisation in float32, statistics and result, whatever comes in."""

    def __init__(self, norm: nn.GroupNorm) -> None:
        super().__init__(norm.num_groups, norm.num_channels, norm.eps)
        self.load_state_dict(norm.state_dict())

    def forward(self, x: Tensor) -> Tensor:
        """Normalise."""
        return super().forward(x.to(torch.float32))


def export_onnx(prior: Prior, precision: str) -> OnnxModel:
    """`prior` in the format of `onnx_file`, checked as if it had been read from a file.

    Features are kept in the precision of the convolutions; normalisation, modulation and SiLU between them are float32.

    Raises
    ------
    EngineError
        When onnx or onnxscript is not installed.
    WeightsError
        When the exporter fails.
    """
    denoiser = prior.denoiser
    notes = {key: value for key, value in prior.metadata.items() if key not in OF_THE_WEIGHTS_FILE}
    facts = OnnxFacts(denoiser.sigma_data, denoiser.multiple, precision, prior.sha256, notes)
    lowered = copy.deepcopy(denoiser).cpu()
    if precision != "fp32":
        lower_for_export(lowered.network, DTYPES[precision])
    return parse_onnx(pack_onnx(model_of(lowered), facts), "the exported model")


def cached_onnx(prior: Prior, precision: str, cache: Cache) -> OnnxModel:
    """`export_onnx`, which takes seconds, once for the same weights, precision, and versions of torch and ours."""
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
    """Convolutions in `dtype`, with the conversions written into the graph; in place."""
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Conv2d):
                setattr(parent, name, CastConvolution(child, dtype))
            elif isinstance(child, nn.GroupNorm):
                setattr(parent, name, FullNormalisation(child))


def model_of(denoiser: EDMDenoiser) -> ModelProto:
    """The graph of D(x, s) with dynamic batch and sides."""
    needed("onnx")
    needed("onnxscript")
    side = 4 * denoiser.multiple
    example = (torch.zeros(2, 2, side, side + denoiser.multiple), torch.full((2,), 0.1))
    dynamic = torch.export.Dim.DYNAMIC
    try:
        with quiet_exporter():
            program = torch.onnx.export(
                denoiser.eval(),
                example,
                input_names=["x", "s"],
                output_names=["d"],
                opset_version=OPSET,
                dynamo=True,
                dynamic_shapes=({0: dynamic, 2: dynamic, 3: dynamic}, {0: dynamic}),
                external_data=False,
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        raise WeightsError(f"torch {torch.__version__} cannot export the network to ONNX: {error}") from error
    if program is None:
        raise WeightsError(f"torch {torch.__version__} exported nothing")
    model: ModelProto = program.model_proto
    return model


@contextmanager
def quiet_exporter() -> Iterator[None]:
    """Without what torch's exporter says to its own developers: operators of torchvision, coming changes of torch."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=FutureWarning)
            warnings.filterwarnings("ignore", category=DeprecationWarning)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
