"""Choice of the engine: reads weights and builds the engine that the settings ask for."""

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
    from nilatron.core.prior.engines.onnx.file import OnnxModel

__all__ = ["ENGINES", "PRECISIONS", "EngineSettings", "engine_for", "read_weights"]

log = logging.getLogger(__name__)


def read_weights(path: Path, device: str) -> EDMPrior | OnnxModel | Prior:
    """Content of a weights file: our network, an ONNX model (.onnx), or a `Prior` that needs no engine.

    Raises
    ------
    WeightsError
        When the file cannot be used.
    """
    if path.suffix.lower() == ".onnx":
        from nilatron.core.prior.engines.onnx.file import parse_onnx

        return parse_onnx(read_file(path, "ONNX file", "export"), str(path))
    return load_weights(path, device)


def engine_for(
    source: EDMPrior | OnnxModel, settings: EngineSettings, device: str, cache: Callable[[], ModelCache] = NoCache
) -> Engine:
    """Engine that computes the denoiser of `source` on `device`.

    `cache` returns the cache for models that take long to build; it is called only when one is needed.

    Raises
    ------
    EngineError
        When the engine is not installed, or cannot compute on the device or in the requested precision.
    ValueError
        When torch cannot compute in the requested precision.
    """
    if settings.engine == "torch" and isinstance(source, EDMPrior):
        from nilatron.core.prior.engines.torch_engine import torch_engine

        return torch_engine(source.denoiser, settings.precision, device)
    if settings.engine == "tensorrt":
        from nilatron.core.prior.engines.tensorrt_engine import tensorrt_engine

        fallback = _fallback_engine(source, settings, device)
        return tensorrt_engine(lambda: _model(source, settings, device, cache), device, fallback, cache)
    model = _model(source, settings, device, cache)
    if settings.engine == "openvino":
        from nilatron.core.prior.engines.openvino_engine import openvino_engine

        return openvino_engine(model, settings.precision, device)
    from nilatron.core.prior.engines.onnx.engine import onnx_engine

    if settings.engine == "torch":
        log.info("an ONNX file is computed by ONNX Runtime")
    return onnx_engine(model, device)


def _fallback_engine(source: EDMPrior | OnnxModel, settings: EngineSettings, device: str) -> Engine:
    """Engine for the case that TensorRT fails: torch, or for an ONNX file ONNX Runtime, on the CPU if it lacks the GPU."""
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
    """The ONNX model of the file, or our network exported in the precision in which the engine computes."""
    from nilatron.core.prior.engines.onnx.file import OnnxModel

    if isinstance(source, OnnxModel):
        fixed, wanted = source.facts.precision, settings.precision
        if wanted not in ("auto", fixed) and settings.engine != "openvino":
            raise EngineError(
                f"the ONNX file is {fixed}, precision {wanted} was asked for: use auto, or export another"
            )
        return source
    from nilatron.core.prior.engines.onnx.export import cached_onnx

    return cached_onnx(source, model_precision(settings, device), cache())


def model_precision(settings: EngineSettings, device: str) -> str:
    """Precision of the exported model for an engine; OpenVINO takes an fp32 model and lowers its precision itself.

    Raises
    ------
    EngineError
        For bf16, for which ONNX Runtime has no operators, and for fp16 on a CPU, which only emulates it.
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
