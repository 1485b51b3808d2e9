"""Engine that computes the denoiser by OpenVINO on a CPU, in bf16 if the CPU supports it: the fastest engine there."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any

import torch
from torch import Tensor

from nilatron.core.prior.engines.engine import MAX_SHAPES, Engine
from nilatron.core.prior.engines.onnx.engine import graph_inputs
from nilatron.core.prior.engines.onnx.file import OnnxModel
from nilatron.core.prior.engines.packages import EngineError, import_package

HINTS = {"fp32": "f32", "bf16": "bf16"}


class OpenVINODenoiser:
    """D by OpenVINO, compiled for each shape (S, H, W); the last `MAX_SHAPES` are kept.

    In bf16 OpenVINO computes the part after the last convolution, c_skip x + c_out F, in float32.

    Raises
    ------
    EngineError
        When OpenVINO is absent or refuses the model.
    """

    def __init__(self, model: OnnxModel, precision: str, n_threads: int | None = None) -> None:
        self.sigma_data, self.multiple = model.facts.sigma_data, model.facts.multiple
        self.n_inputs = model.n_inputs
        self._core = import_package("openvino").Core()
        self._content = model.content
        self._properties = {
            "INFERENCE_PRECISION_HINT": HINTS[precision],
            "INFERENCE_NUM_THREADS": n_threads or torch.get_num_threads(),
            "NUM_STREAMS": 1,
        }
        self._requests: OrderedDict[tuple[int, ...], Any] = OrderedDict()
        self._lock = threading.Lock()
        try:
            self._core.read_model(self._content)
        except RuntimeError as error:
            raise EngineError(f"OpenVINO refuses the model: {error}") from error

    def __call__(self, x: Tensor, s: Tensor, /) -> Tensor:
        """D(x, s); see `ChannelDenoiser`."""
        x, s = graph_inputs(x, s)
        with self._lock:  # a request computes one batch at a time, and the next one overwrites its result
            result = self._request(tuple(x.shape)).infer({"x": x.numpy(), "s": s.numpy()}, share_inputs=True)
            return torch.from_numpy(result["d"].copy())

    def _request(self, shape: tuple[int, ...]) -> Any:
        """Inference request for images of this shape, compiled if it is new."""
        if shape not in self._requests:
            model = self._core.read_model(self._content)
            model.reshape({"x": list(shape), "s": [shape[0]]})
            self._requests[shape] = self._core.compile_model(model, "CPU", self._properties).create_infer_request()
            if len(self._requests) > MAX_SHAPES:
                self._requests.popitem(last=False)
        self._requests.move_to_end(shape)
        return self._requests[shape]


def openvino_engine(model: OnnxModel, precision: str, device: str) -> Engine:
    """Engine that computes the denoiser of an fp32 `model` by OpenVINO; "auto" means bf16 if the CPU supports it.

    Raises
    ------
    EngineError
        When the device is not the CPU, or OpenVINO lacks the precision there.
    """
    if device != "cpu":
        raise EngineError("engine openvino computes on the CPU: use --device cpu, or engine torch or tensorrt")
    if precision == "fp16" or model.facts.precision != "fp32":
        raise EngineError(
            f"engine openvino takes an fp32 model and computes it in fp32 or bf16; got precision {precision} and a model "
            f"in {model.facts.precision}: export it with --precision fp32, and use precision auto, fp32 or bf16"
        )
    if precision == "auto":
        capabilities = import_package("openvino").Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        precision = "bf16" if "BF16" in capabilities else "fp32"
    return Engine(OpenVINODenoiser(model, precision), f"openvino {precision}")
