"""Engine that computes the denoiser by ONNX Runtime, on a CPU or GPU."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nilatron.core.prior.engines.engine import Engine
from nilatron.core.prior.engines.onnx.file import OnnxModel
from nilatron.core.prior.engines.packages import EngineError, import_package

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}

log = logging.getLogger(__name__)


class OnnxDenoiser:
    """D by ONNX Runtime; one session serves all shapes and threads.

    Parameters
    ----------
    model
        Checked model.
    device
        "cpu" or "cuda".
    n_threads
        Number of threads on a CPU; by default that of torch.

    Raises
    ------
    EngineError
        When ONNX Runtime is absent, lacks the device, or refuses the model.
    """

    def __init__(self, model: OnnxModel, device: str, n_threads: int | None = None) -> None:
        self.sigma_data, self.multiple = model.facts.sigma_data, model.facts.multiple
        self.n_inputs = model.n_inputs
        self._device = device
        self._session = open_session(model, device, n_threads or torch.get_num_threads())

    def __call__(self, x: Tensor, s: Tensor, /) -> Tensor:
        """D(x, s); see `ChannelDenoiser`."""
        x, s = graph_inputs(x, s)
        if self._device == "cpu":
            with as_runtime_error():
                (out,) = self._session.run(["d"], {"x": x.cpu().numpy(), "s": s.cpu().numpy()})
            return torch.from_numpy(out).to(x.device)
        torch.cuda.current_stream(x.device).synchronize()  # the runtime does not use torch's stream
        return self._in_place(x, s)

    def _in_place(self, x: Tensor, s: Tensor) -> Tensor:
        """D(x, s) computed in the GPU's memory without a copy; returns when it is finished."""
        out = torch.empty_like(x[:, :2])
        binding = self._session.io_binding()
        memory = x.device.type, x.device.index or 0, np.float32
        for name, tensor in (("x", x), ("s", s)):
            binding.bind_input(name, *memory, tuple(tensor.shape), tensor.data_ptr())
        binding.bind_output("d", *memory, tuple(out.shape), out.data_ptr())
        with as_runtime_error():
            self._session.run_with_iobinding(binding)
            binding.synchronize_outputs()
        return out


@contextmanager
def as_runtime_error() -> Iterator[None]:
    """Turn the exceptions of ONNX Runtime, whose only common base is Exception, into RuntimeError."""
    try:
        yield
    except Exception as error:
        raise RuntimeError(f"ONNX Runtime: {error}") from error


def graph_inputs(x: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
    """Contiguous float32 images (S, 2 or 4, H, W) and noise levels (S,); a single level is repeated."""
    s = s.to(torch.float32).expand(x.shape[0]) if s.shape[0] == 1 else s.to(torch.float32)
    return x.detach().to(torch.float32).contiguous(), s.detach().contiguous()


def open_session(model: OnnxModel, device: str, n_threads: int) -> Any:
    """A session of ONNX Runtime for the model; see `OnnxDenoiser` for parameters and errors."""
    runtime = import_package("onnxruntime")
    provider = PROVIDERS[device]
    if provider not in runtime.get_available_providers():
        raise EngineError(
            f"the installed ONNX Runtime has no {provider}: install onnxruntime-gpu in place of onnxruntime, use "
            "--device cpu, or engine torch"
        )
    options = runtime.SessionOptions()
    options.intra_op_num_threads = n_threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors only; warnings report nodes that stay on the CPU on purpose
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # between calls the solver needs the cores
    try:
        with as_runtime_error():
            session = runtime.InferenceSession(model.content, options, providers=[provider], enable_fallback=0)
    except RuntimeError as error:
        raise EngineError(f"the model cannot be loaded: {error} (version {runtime.__version__})") from error
    if session.get_providers()[0] != provider:
        raise EngineError(f"ONNX Runtime could not start {provider}: see its log; use --device cpu, or engine torch")
    return session


def onnx_engine(model: OnnxModel, device: str) -> Engine:
    """Engine that computes the denoiser of `model` by ONNX Runtime."""
    if device == "cpu" and model.facts.precision == "fp16":
        log.info("ONNX Runtime emulates fp16 on a CPU: an fp32 file is faster there")
    return Engine(OnnxDenoiser(model, device), f"onnx {model.facts.precision}")
