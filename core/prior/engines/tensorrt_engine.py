"""Engine that computes the denoiser by TensorRT on an NVIDIA GPU, with another engine as fallback."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from nilatron.core.prior.edm import ChannelDenoiser
from nilatron.core.prior.engines.cache import ModelCache
from nilatron.core.prior.engines.engine import MAX_SHAPES, Engine
from nilatron.core.prior.engines.onnx.engine import graph_inputs
from nilatron.core.prior.engines.onnx.file import OnnxModel
from nilatron.core.prior.engines.packages import EngineError, import_package
from nilatron.core.prior.engines.tensorrt_build import Builder, Gpu

log = logging.getLogger(__name__)


class TensorRTDenoiser:
    """D by TensorRT with one engine for each shape (S, H, W); `fallback` computes shapes that TensorRT cannot.

    The last `MAX_SHAPES` engines are kept, with their memory on the GPU.

    Parameters
    ----------
    builder
        Builder of the engines.
    fallback
        Denoiser for shapes that TensorRT cannot compute.
    launch
        Function (context, device) that runs a context.
    """

    def __init__(
        self, builder: Builder, fallback: ChannelDenoiser, launch: Callable[[Any, torch.device], None] | None = None
    ) -> None:
        self.sigma_data, self.multiple = builder.model.facts.sigma_data, builder.model.facts.multiple
        self.n_inputs = builder.model.n_inputs
        self.failure = ""
        self._builder = builder
        self._fallback = fallback
        self._launch = launch or launch_on_stream
        self._contexts: OrderedDict[tuple[int, int, int], Any] = OrderedDict()
        self._lock = threading.Lock()

    def remark(self) -> str:
        """Why the fallback computed a shape; empty if it computed none."""
        return self.failure

    def __call__(self, x: Tensor, s: Tensor, /) -> Tensor:
        """D(x, s); see `ChannelDenoiser`. The call does not wait for the GPU."""
        with self._lock:  # a context holds the tensor addresses of only one call
            context = self._context((x.shape[0], x.shape[2], x.shape[3]))
            if context is None:
                return self._fallback(x, s)
            x, s = graph_inputs(x, s)
            out = torch.empty_like(x[:, :2])
            for name, tensor in (("x", x), ("s", s), ("d", out)):
                context.set_tensor_address(name, tensor.data_ptr())
            try:
                self._launch(context, x.device)
            except RuntimeError as error:
                self._failed(x.shape, error)
                return self._fallback(x, s)
            return out

    def _failed(self, shape: Sequence[int], error: Exception) -> None:
        self.failure = f"tensorrt failed for {'x'.join(map(str, shape))}: {error}"
        log.warning("%s; another engine computes it", self.failure)

    def _context(self, shape: tuple[int, int, int]) -> Any:
        """TensorRT's execution context for images of this shape; None if TensorRT cannot compute them."""
        if shape not in self._contexts:
            self._contexts[shape] = self._new_context(shape)
            if len(self._contexts) > MAX_SHAPES:
                self._contexts.popitem(last=False)
        self._contexts.move_to_end(shape)
        return self._contexts[shape]

    def _new_context(self, shape: tuple[int, int, int]) -> Any:
        try:
            context = self._builder.engine(shape).create_execution_context()
            if context is None:
                raise EngineError("no memory on the GPU for its context")
            n, n_y, n_x = shape
            if not (context.set_input_shape("x", (n, self.n_inputs, n_y, n_x)) and context.set_input_shape("s", (n,))):
                raise EngineError(f"its engine does not take {n}x{n_y}x{n_x}")
        except (EngineError, RuntimeError, MemoryError) as error:
            self._failed(shape, error)
            return None
        return context


def this_gpu() -> Gpu:
    """The GPU on which torch computes."""
    major, minor = torch.cuda.get_device_capability()
    return Gpu(torch.cuda.get_device_name(), f"{major}.{minor}")


def launch_on_stream(context: Any, device: torch.device) -> None:
    """Queue a context on the GPU after the work that torch has queued and before the work that torch queues next.

    It runs on torch's stream, unless that is the default stream, on which TensorRT would wait at every call; then it gets a
    stream of its own.
    """
    current = torch.cuda.current_stream(device)
    stream = torch.cuda.Stream(device) if current.cuda_stream == 0 else current  # type: ignore[no-untyped-call]
    stream.wait_stream(current)
    if not context.execute_async_v3(stream.cuda_stream):
        raise RuntimeError("TensorRT could not run its engine: see the log")
    current.wait_stream(stream)


def tensorrt_engine(
    model: Callable[[], OnnxModel], device: str, fallback: Engine, cache: Callable[[], ModelCache]
) -> Engine:
    """Engine that computes the denoiser by TensorRT; `fallback`, with a remark, without a GPU, TensorRT or model."""
    try:
        if device != "cuda":
            raise EngineError("no GPU")
        trt = import_package("tensorrt")
        built = model()
        denoiser = TensorRTDenoiser(Builder(trt, built, this_gpu(), cache()), fallback.denoiser)
    except (EngineError, RuntimeError) as error:
        why = f"tensorrt absent: {error}"
        log.warning("%s; %s computes in its place", why, fallback.name)
        return Engine(fallback.denoiser, fallback.name, lambda: why)
    return Engine(denoiser, f"tensorrt {built.facts.precision}", denoiser.remark)
