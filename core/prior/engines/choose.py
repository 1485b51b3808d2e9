"""From weights and settings to the engine that runs."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from nilatron.core.prior.edm_weights import EDMPrior
from nilatron.core.prior.engines.cache import ModelCache, NoCache
from nilatron.core.prior.engines.engine import Engine
from nilatron.core.prior.engines.packages import EngineError
from nilatron.core.prior.engines.settings import ENGINES, PRECISIONS, EngineSettings
from nilatron.core.prior.loaders import load_weights
from nilatron.core.prior.prior import Prior
from nilatron.core.prior.weights import read_file

if TYPE_CHECKING:
    from nilatron.core.prior.engines.onnx_file import OnnxModel

__all__ = ["ENGINES", "PRECISIONS", "EngineSettings", "engine_for", "read_weights"]

log = logging.getLogger(__name__)


def read_weights(path: Path, device: str) -> EDMPrior | OnnxModel | Prior:
    """A network of ours, the denoiser of a file that ends in .onnx, or a prior that computes itself (`core.prior.loaders`).

    Raises
    ------
    WeightsError
        When the file cannot be used.
    """
    if path.suffix.lower() == ".onnx":
        from nilatron.core.prior.engines.onnx_file import parse_onnx

        return parse_onnx(read_file(path, "ONNX file", "export"), str(path))
    return load_weights(path, device)


def engine_for(
    source: EDMPrior | OnnxModel, settings: EngineSettings, device: str, cache: Callable[[], ModelCache] = NoCache
) -> Engine:
    """D of `source`, ready to run on `device`; `cache` gives, where it is needed, what keeps models that take long to make.

    Raises
    ------
    EngineError
        When the engine is not installed, or cannot compute on the device or in the precision that was asked for.
    ValueError
        When torch cannot compute in the precision that was asked for.
    """
    if settings.engine == "torch" and isinstance(source, EDMPrior):
        from nilatron.core.prior.engines.torch_engine import torch_engine

        return torch_engine(source.denoiser, settings.precision, device)
    if settings.engine == "tensorrt":
        from nilatron.core.prior.engines.tensorrt_engine import tensorrt_engine

        instead = _instead(source, settings, device)
        return tensorrt_engine(lambda: _model(source, settings, device, cache), device, instead, cache)
    model = _model(source, settings, device, cache)
    if settings.engine == "openvino":
        from nilatron.core.prior.engines.openvino_engine import openvino_engine

        return openvino_engine(model, settings.precision, device)
    from nilatron.core.prior.engines.onnx_engine import onnx_engine

    if settings.engine == "torch":
        log.info("an ONNX file is computed by ONNX Runtime")
    return onnx_engine(model, device)


def _instead(source: EDMPrior | OnnxModel, settings: EngineSettings, device: str) -> Engine:
    """What computes where TensorRT cannot: torch, and for an ONNX file its runtime, on the CPU if it lacks the GPU."""
    settings = EngineSettings("torch", settings.precision)
    try:
        return engine_for(source, settings, device)
    except EngineError:
        if device == "cpu":
            raise
        return engine_for(source, settings, "cpu")


def _model(
    source: EDMPrior | OnnxModel, settings: EngineSettings, device: str, cache: Callable[[], ModelCache]
) -> OnnxModel:
    """The file's own model, or the network exported in the precision that the engine is to compute in."""
    from nilatron.core.prior.engines.onnx_file import OnnxModel

    if isinstance(source, OnnxModel):
        fixed, wanted = source.facts.precision, settings.precision
        if wanted not in ("auto", fixed) and settings.engine != "openvino":
            raise EngineError(
                f"the ONNX file is {fixed}, precision {wanted} was asked for: use auto, or export another"
            )
        return source
    from nilatron.core.prior.engines.onnx_export import cached_onnx

    return cached_onnx(source, model_precision(settings, device), cache())


def model_precision(settings: EngineSettings, device: str) -> str:
    """Precision of the model for an engine; OpenVINO lowers an fp32 model itself.

    Raises
    ------
    EngineError
        For bf16, which has no operators in ONNX Runtime, and for fp16 on a CPU, which emulates it.
    """
    if settings.engine == "openvino":
        return "fp32"
    if settings.precision == "bf16":
        raise EngineError(f"engine {settings.engine} computes in fp32 or fp16: use one of them, auto, or engine torch")
    if settings.precision == "fp16" and device == "cpu":
        raise EngineError("precision fp16 needs a GPU; on a CPU use fp32 or auto")
    if settings.precision == "auto":
        return "fp32" if device == "cpu" else "fp16"
    return settings.precision
