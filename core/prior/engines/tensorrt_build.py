"""Building TensorRT engines, one for each shape, and caching them for the GPU on which they were built.

This is written for TensorRT 10 and 11. Networks are strongly typed: precisions are those of the ONNX graph, so that the
preconditioning and the normalisations stay float32 when the convolutions are fp16.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from nilatron.core.prior.engines.cache import ModelCache
from nilatron.core.prior.engines.onnx.file import OnnxModel
from nilatron.core.prior.engines.packages import EngineError

WORKSPACE_BYTES = 2 << 30
KIND = "tensorrt"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Gpu:
    """Model of a GPU, to which an engine is tied: name and compute capability, e.g. "9.0"."""

    name: str
    capability: str


@dataclass
class Builder:
    """Builder of the engines of one model for one GPU.

    Attributes
    ----------
    trt
        The package tensorrt.
    model
        Model to build engines for.
    gpu
        GPU on which the engines are built and run.
    cache
        Cache for the engines.
    """

    trt: Any
    model: OnnxModel
    gpu: Gpu
    cache: ModelCache

    def __post_init__(self) -> None:
        """Create the logger and the runtime, which have to live as long as the engines."""
        self.logger = python_logger(self.trt)
        self.runtime = self.trt.Runtime(self.logger)

    def key(self, shape: tuple[int, int, int]) -> dict[str, str]:
        """Cache key of the engine for `shape` (S, H, W): all properties on which it depends."""
        return {
            "model": self.model.sha256,
            "weights": self.model.facts.weights_sha256,
            "precision": self.model.facts.precision,
            "shape": "x".join(map(str, shape)),
            "gpu": self.gpu.name,
            "capability": self.gpu.capability,
            "tensorrt": str(self.trt.__version__),
        }

    def engine(self, shape: tuple[int, int, int]) -> Any:
        """The engine for `shape` (S, H, W), from the cache or newly built, which takes from seconds to minutes.

        Raises
        ------
        EngineError
            When TensorRT cannot build the engine.
        """
        key = self.key(shape)
        cached = self.cache.read(KIND, key)
        if cached is not None:
            engine = self.runtime.deserialize_cuda_engine(cached)
            if engine is not None:
                return engine
            log.warning("TensorRT does not take its own engine for %s back: it is built again", key["shape"])
        log.warning("building a TensorRT engine for %s on %s; kept for the next time", key["shape"], self.gpu.name)
        plan = self._plan(shape)
        engine = self.runtime.deserialize_cuda_engine(plan)
        if engine is None:
            raise EngineError(f"TensorRT cannot load the engine that it built for {key['shape']}")
        self.cache.write(KIND, key, plan)
        return engine

    def _plan(self, shape: tuple[int, int, int]) -> bytes:
        trt = self.trt
        builder = trt.Builder(self.logger)
        network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
        parser = trt.OnnxParser(network, self.logger)
        if not parser.parse(self.model.content):
            why = "; ".join(parser.get_error(i).desc() for i in range(parser.num_errors))
            raise EngineError(f"TensorRT cannot read the model: {why}")
        config = builder.create_builder_config()
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, WORKSPACE_BYTES)
        n, n_y, n_x = shape
        profile = builder.create_optimization_profile()
        for name, size in (("x", (n, self.model.n_inputs, n_y, n_x)), ("s", (n,))):
            profile.set_shape(name, size, size, size)
        config.add_optimization_profile(profile)
        plan = builder.build_serialized_network(network, config)
        if plan is None:
            raise EngineError(f"TensorRT cannot build an engine for {n}x{n_y}x{n_x}: see the log")
        return bytes(plan)


def python_logger(trt: Any) -> Any:
    """Logger that passes TensorRT's messages to our log; its own writes to stdout, which belongs to the protocol."""
    severity = trt.ILogger.Severity
    levels = {severity.INTERNAL_ERROR: logging.ERROR, severity.ERROR: logging.ERROR, severity.WARNING: logging.INFO}

    class PythonLogger(trt.ILogger):  # type: ignore[misc]
        """TensorRT's logger interface."""

        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, msg: str) -> None:
            """Log one message."""
            log.log(levels.get(severity, logging.DEBUG), "TensorRT: %s", msg)

    return PythonLogger()
