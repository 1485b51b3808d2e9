"""Memory on the GPU: what the libraries held at most, and what the whole device had in use."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

import torch

from gpu.place import cupy_on_gpu
from report import Cell

MIB = 2**20


@dataclass(frozen=True)
class DeviceMemory:
    """Peaks since `restart`; nothing is measured on a CPU."""

    device: str

    def restart(self) -> None:
        """Give back what is cached, and begin to watch anew."""
        if self.device == "cpu":
            return
        with suppress(ImportError):
            cupy_on_gpu().get_default_memory_pool().free_all_blocks()
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()

    def peaks(self) -> dict[str, Cell]:
        """MiB: tensors of torch at most, what torch and CuPy took from the device for it, and all that is in use on it."""
        columns = ("peak of torch / MiB", "reserved by torch / MiB", "CuPy's pool / MiB", "in use on the device / MiB")
        if self.device == "cpu":
            return dict.fromkeys(columns)
        torch.cuda.synchronize()
        try:  # a pool gives nothing back by itself, so that its size is its peak
            pool = cupy_on_gpu().get_default_memory_pool().total_bytes() / MIB
        except ImportError:
            pool = None
        free, total = torch.cuda.mem_get_info()
        held = (torch.cuda.max_memory_allocated() / MIB, torch.cuda.max_memory_reserved() / MIB, pool)
        return dict(zip(columns, (*held, (total - free) / MIB), strict=True))
