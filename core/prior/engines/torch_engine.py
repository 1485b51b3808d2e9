"""Engine that computes the denoiser in torch, on a GPU as a CUDA graph, by default in the fastest precision."""

from __future__ import annotations

import copy

import torch

from nilatron.core.prior.edm import EDMDenoiser
from nilatron.core.prior.engines.cuda_graph import CudaGraphDenoiser
from nilatron.core.prior.engines.engine import Engine
from nilatron.core.prior.unet import lower_precision

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def torch_engine(denoiser: EDMDenoiser, precision: str, device: str) -> Engine:
    """Engine of the denoiser itself in fp32, or of a copy whose convolutions have another precision.

    c_skip, c_in and c_out stay float32, because they decide the accuracy when sigma is small.

    Raises
    ------
    ValueError
        For fp16 on a CPU, which only emulates it.
    """
    dtype = fastest_dtype(device) if precision == "auto" else DTYPES[precision]
    if dtype == torch.float16 and device == "cpu":
        raise ValueError("precision fp16 needs a GPU; on a CPU use fp32, bf16 or auto")
    if dtype != torch.float32:
        denoiser = copy.deepcopy(denoiser)
        lower_precision(denoiser.network, dtype)
    label = f"torch {next(name for name, known in DTYPES.items() if known == dtype)}"
    if device == "cpu":
        return Engine(denoiser, label)
    graphed = CudaGraphDenoiser(denoiser)
    return Engine(graphed, f"{label}, CUDA graph", graphed.remark)


def fastest_dtype(device: str) -> torch.dtype:
    """bfloat16 if the processor supports it in hardware, else float32."""
    if device == "cpu":
        capabilities: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()  # older releases cannot say
        has_bfloat16 = capabilities.get("avx512_bf16") or capabilities.get("amx_bf16")
        return torch.bfloat16 if has_bfloat16 else torch.float32
    return torch.bfloat16 if torch.cuda.get_device_capability() >= (8, 0) else torch.float32
