"""The network in torch, in the precision that the machine computes fastest; on a GPU as a CUDA graph."""

from __future__ import annotations

import copy

import torch

from nilatron.core.prior.edm import EDMDenoiser
from nilatron.core.prior.engines.cuda_graph import GraphedDenoiser
from nilatron.core.prior.engines.engine import Engine
from nilatron.core.prior.unet import lower_precision

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def torch_engine(denoiser: EDMDenoiser, precision: str, device: str) -> Engine:
    """The denoiser itself in fp32, a copy with convolutions of another precision otherwise.

    c_skip, c_in and c_out, which decide about the last digits where sigma is small, stay float32.

    Raises
    ------
    ValueError
        For fp16 on a CPU, which emulates it.
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
    graphed = GraphedDenoiser(denoiser)
    return Engine(graphed, f"{label}, CUDA graph", graphed.remark)


def fastest_dtype(device: str) -> torch.dtype:
    """bf16 where the processor multiplies in it, float32 elsewhere."""
    if device == "cpu":
        able = torch.cpu.get_capabilities()
        return torch.bfloat16 if able.get("avx512_bf16") or able.get("amx_bf16") else torch.float32
    return torch.bfloat16 if torch.cuda.get_device_capability() >= (8, 0) else torch.float32
